//! What couriers say of their parcels by themselves: read from a webhook, queued, matched to an attempt, applied.

pub mod apply;
mod batch;
pub mod inbox;
pub(crate) mod matching;
pub mod webhook;
