//! The whole service, from the outside: over HTTP, on both engines, with a courier that goes wrong on request.
//!
//! Modules mirror the routes and the jobs. A test's name is a sentence that says what holds; every body that touches a
//! store is written once and run on SQLite and on PostgreSQL (`on_both_engines!`).

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
mod booking;
mod breach;
mod by_hand;
mod calling_off;
mod checkout;
mod couriers;
mod crash;
mod easypost;
mod edge;
mod ends;
mod epochs;
mod floor;
mod holds;
mod intake;
mod jobs;
mod karrio;
mod kuaidi100;
mod label;
mod late_writers;
mod leak;
mod old_data;
mod polling;
mod process;
mod proof;
mod restore;
mod retention;
mod retirement;
mod reveal;
mod rights;
mod schema;
mod sf;
mod stolen;
mod system;
mod tracking;
mod vault_down;
mod visibility;
