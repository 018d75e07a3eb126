//! The contract as a document.

pub mod documented;
pub mod openapi;
