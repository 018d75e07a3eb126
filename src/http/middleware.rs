//! What every request and every answer passes through, whatever the route.

pub mod boundary;
pub mod client_address;
pub mod context;
pub mod headers;
pub mod rate_limit;
pub mod request_id;
