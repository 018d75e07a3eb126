//! The parcel of a printed order: booked at a courier exactly once, followed, called off, settled by hand.
//!
//! [`dispatch`] drives one booking attempt from whatever state it is in; [`booking_attempts`] is what all share who change one;
//! [`events`] takes in what couriers say by themselves, [`poll_tracking`] asks those that say nothing.

pub mod booking_attempts;
mod booking_io;
pub mod cancel_at_courier;
pub mod circuit_breaker;
pub mod dispatch;
pub mod events;
pub mod fallback;
pub mod label;
pub mod manual_operations;
pub mod poll_tracking;
mod resend_booking;
pub mod resolve_unknown;
