//! Safelight: an order service for printed ID photos. An order is taken, printed, shipped and, when it has been
//! delivered and the retention window is over, what identifies its recipient is destroyed.
//!
//! The house, and which room may call which (held by `tests/it/architecture.rs`):
//!
//! ```text
//! main -> cli -> http, jobs -> app -> couriers, vault -> store -> domain -> privacy, clock
//! ```

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod couriers;
pub mod domain;
pub mod http;
pub mod jobs;
pub mod privacy;
pub mod store;
pub mod telemetry;
pub mod vault;
