//! The one error of the edge, and how a verb's refusal becomes it.

pub(in crate::http) mod app_error;
pub mod problem;
