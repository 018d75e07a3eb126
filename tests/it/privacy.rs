//! Who looked at a person, and whom a breach touched.

mod breach;
mod reveal;
