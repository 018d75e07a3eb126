//! An order from checkout to print: placed, confirmed, corrected, cancelled, printed, looked at.

pub mod cancel;
pub mod confirm;
pub mod correct;
pub mod intake;
pub mod place;
pub mod print_floor;
pub mod query;
