//! What the privacy desk shows and answers for: recipients revealed, the notice, the list for a breach.

pub mod breach;
pub mod notice;
pub mod reveal;
