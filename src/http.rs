//! The edge: what a request must look like to come in and how every answer leaves. Handlers live beside their DTOs
//! and read from top to bottom: extract, authorise, parse into the domain, one app call, answer.
//!
//! What each piece is for:
//! - [`boundary`] is the outermost middleware (`App::wrap(from_fn(boundary::handle))`): request id, span, the one log
//!   line, metrics, headers, and the last word on errors. Nothing may be wrapped around it.
//! - [`problem`] is the only error a handler returns; [`json`], [`body`], [`page`] and [`path`] are the extractors.
//! - [`auth`] says who may call: a handler's signature names the scope; `app_error` turns a verb's refusal into a problem.
//! - [`server`] has the one list of routes. [`shown`] is an order as it is answered.
//! - [`rate_limit`] and [`client_address`] say who may ask how often; [`openapi`] serves the contract.
//!
//! Must not: name diesel, hold rules of the domain, or put a caller's value, path, query, header or body in an answer
//! or a log. Routes are registered as `web::resource(path).route(web::get().to(..))`, one resource for a path:
//! the handler macros make one resource a method, and a wrong method would then be 404 instead of 405.

pub mod admin;
pub mod docs;
pub mod errors;
pub mod extract;
pub mod health;
pub mod metrics;
pub mod middleware;
pub mod order_json;
pub mod orders;
pub mod photo_sizes;
pub mod privacy_notice;
pub mod reason;
pub mod recipient;
mod run_to_completion;
pub mod server;
pub mod system;
#[cfg(test)]
mod testing;
pub mod webhooks;
#[cfg(test)]
mod wrong_shapes;
