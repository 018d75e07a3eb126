//! What data subjects ask for: taken in, answered, exported, carried out on their orders.

pub mod close;
pub mod export;
pub mod journalled;
pub mod reconcile;
pub mod register;
pub mod remind;
pub mod restrict;
