//! When personal data goes, and the proof that it is gone.

pub mod expiry;
pub mod hold;
pub(crate) mod journalled_erasure;
pub mod leftovers;
pub mod prove;
pub mod purge;
