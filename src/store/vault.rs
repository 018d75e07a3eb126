//! The vault database: wrapped keys, the journal, and small facts. Nothing here reads or writes a table of the orders.

pub mod journal;
pub mod rows;
