//! What a handler is given of a request: the caller, the body, the query, the page, an id of the path.

pub mod auth;
pub mod body;
pub(crate) mod filters;
pub mod json;
mod no_tuples;
pub mod page;
pub mod path;
pub mod query;
pub(crate) mod shape;
