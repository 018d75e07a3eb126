//! The sealed record of a person, and an order as it is shown with it.

pub mod notes;
pub mod order_view;
pub mod personal_record;
