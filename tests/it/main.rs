//! The whole service, from the outside: over HTTP, on both engines, with a courier that goes wrong on request.
//!
//! Modules are grouped as `src/app` is. A test's name is a sentence that says what holds; every body that touches a
//! store is written once and run on SQLite and on PostgreSQL (`on_both_engines`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect fails, and says where"
)]

#[macro_use]
mod harness;

mod access;
mod architecture;
mod http;
mod jobs;
mod old_data;
mod orders;
mod parcels;
mod privacy;
mod process;
mod recovery;
mod retention;
mod schema;
mod subject_requests;
