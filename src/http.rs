//! The edge: what a request must look like to come in and how every answer leaves. Handlers live beside their DTOs
//! and read from top to bottom: extract, authorise, parse into the domain, one app call, answer.
//!
//! ```text
//! server               the one list of routes, and the parts that handlers are given
//! orders, admin/       the handlers, each beside its body and its answer; photo_sizes, webhooks, privacy_notice,
//!                      system (with health and metrics) likewise
//! order_json           an order as it is answered, for each audience; recipient and reason: bodies that many share
//! run_to_completion    what a client that hangs up must not stop
//! docs/                the contract: documented (refusals that many routes share), openapi (the document, served)
//! extract/             what a handler is given: auth (whose signature names the scope), json and shape, body, query,
//!                      page, path, filters
//! errors/              problem, the only error a handler returns; app_error turns a verb's refusal into one
//! middleware/          boundary, outermost (`App::wrap(from_fn(boundary::handle))`): request id, span, the one log line,
//!                      metrics, headers and the last word on errors; nothing may be wrapped around it. rate_limit and
//!                      client_address
//! ```
//!
//! Files call downwards in this list: handlers do not know the document that lists them.
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
