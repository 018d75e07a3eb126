//! The parcel of a printed order: booked at a courier exactly once, followed, called off, settled by hand.
//!
//! [`dispatch`] drives one booking attempt from whatever state it is in; [`attempts`] is what all share who change one;
//! [`events`] takes in what couriers say by themselves, [`poll`] asks those that say nothing.

mod attempt_io;
pub mod attempts;
pub mod cancel_at_courier;
pub mod circuit_breaker;
pub mod dispatch;
pub mod events;
pub mod fallback;
pub mod label;
pub mod manual;
pub mod poll;
mod resend;
pub mod resolve;
