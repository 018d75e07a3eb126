//! The vault's database: wrapped keys, the journal, and small facts. Nothing here reads or writes a table of the orders.

mod conn;
pub mod journal;
pub mod keys;
pub mod meta;

pub use conn::{VaultConn, VaultDatabase};
