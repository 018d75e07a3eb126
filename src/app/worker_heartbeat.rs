//! A worker's sign of life, for the readiness check: set by one door, read by the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::WallTime;

/// When the worker last looked at the job table: what the readiness check asks for.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<AtomicI64>);

impl Heartbeat {
    /// The worker is alive at `wall`.
    pub fn beat(&self, wall: WallTime) {
        self.0.store(wall.timestamp_micros(), Ordering::Relaxed);
    }

    /// How long ago the last beat was; `None` before the first.
    pub fn age(&self, wall: WallTime) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            last => Some(Duration::from_micros(
                u64::try_from(wall.timestamp_micros().saturating_sub(last)).unwrap_or(0),
            )),
        }
    }
}
