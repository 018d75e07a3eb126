//! When personal data goes, and the proof that it is gone.

pub(crate) mod erasure;
pub mod expiry;
pub mod hold;
pub mod leftovers;
pub mod prove;
pub mod purge;
