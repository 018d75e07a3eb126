//! An order from checkout to print: placed, confirmed, corrected, cancelled, printed, looked at.

pub mod cancel;
pub mod confirm_draft;
pub mod correct_recipient;
pub mod place;
pub mod print_floor;
pub mod query;
pub mod write_new;
