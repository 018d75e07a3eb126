//! Keeping the two databases in step: an old copy that was put back, keys that are given up, stores kept tidy.

pub mod housekeeping;
pub mod restore;
pub mod retire_key_epochs;
