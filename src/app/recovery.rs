//! Keeping the two databases in step: an old copy that was put back, keys that are given up, stores kept tidy.

pub mod restore;
pub mod retire_epochs;
pub mod upkeep;
