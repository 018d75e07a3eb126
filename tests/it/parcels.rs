//! The parcel of an order: booked, labelled, followed, called off; and what happens where its courier is in trouble.

mod booking;
mod cancel_at_courier;
mod circuit_breaker;
mod couriers;
mod label;
mod manual;
mod polling;
mod tracking;
mod unsigned_ends;
