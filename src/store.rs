//! The only room that speaks SQL, for both databases and both engines; one file per aggregate.
//!
//! Functions here take a connection, do one thing, and say in their names when they need to be inside a transaction
//! (`_in_tx`). They decide nothing: rules live in `domain`, steps in `app` and `vault`. Rows are untrusted input: a
//! row that cannot be read is [`StoreError::Corrupt`], naming the row and never its content.

pub mod audit;
pub mod breach;
pub mod conn;
pub mod courier_state;
pub mod dialect;
pub mod epochs;
pub mod error;
pub mod idempotency;
pub mod intake;
pub mod jobs;
pub mod keys;
pub mod labels;
pub mod maintenance;
pub mod meta;
pub mod migrate;
pub mod orders;
pub mod parked;
pub mod personal_records;
pub mod prints;
pub mod proof;
pub mod purges;
pub mod reseal;
pub mod reveals;
pub mod schema;
pub mod shipments;
pub mod stats;
pub mod subject_orders;
pub mod subject_requests;
pub mod subject_texts;
pub mod timeline;
pub mod vault;

pub use conn::{AnyConn, Database};
pub use error::StoreError;

use chrono::NaiveDateTime;

use crate::clock::Moment;

/// A moment as both engines keep it: UTC without saying so.
pub(crate) fn to_row(at: impl Moment) -> NaiveDateTime {
    at.utc().naive_utc()
}

/// A stored moment: of which time it is, the type of what it is read into says.
pub(crate) fn from_row<T: Moment>(at: NaiveDateTime) -> T {
    T::from_utc(at.and_utc())
}
