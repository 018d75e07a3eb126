//! Time as a parameter. Nothing else in the crate asks the machine what time it is.
//!
//! Two clocks that must not be mixed up:
//! - **business time** (`business_now`): retention, holds, drafts, retry schedules, key epochs, polling. It can
//!   be scaled for demonstrations and tests (`clock.speed`).
//! - **wall time** (`wall_now`): what guards running work: leases, sessions, caches, signature tolerance,
//!   idempotency retention, network deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A moment in UTC, whole microseconds (the finest that both engines keep).
pub type Instant = DateTime<Utc>;

/// Where business time started to run faster than the wall, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// The wall time at which both clocks agreed.
    pub origin: Instant,
    /// Business seconds in a wall second, at least 1.
    pub speed: u32,
}

#[derive(Debug)]
enum Source {
    Machine(Option<Scale>),
    Manual { business: AtomicI64, wall: AtomicI64 },
}

/// The one source of time. Cheap to clone; clones agree.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Source>);

impl Clock {
    /// The machine's clock, both times the same.
    pub fn system() -> Self {
        Self(Arc::new(Source::Machine(None)))
    }

    /// The machine's clock with business time running faster since `scale.origin`.
    pub fn scaled(scale: Scale) -> Self {
        Self(Arc::new(Source::Machine(Some(scale))))
    }

    /// A clock that stands still until it is advanced (tests).
    pub fn manual(start: Instant) -> Self {
        let micros = start.timestamp_micros();
        Self(Arc::new(Source::Manual {
            business: AtomicI64::new(micros),
            wall: AtomicI64::new(micros),
        }))
    }

    /// Now, for everything the law and the shop count in days.
    pub fn business_now(&self) -> Instant {
        match &*self.0 {
            Source::Machine(None) => machine_now(),
            Source::Machine(Some(scale)) => {
                let elapsed = machine_now() - scale.origin;
                let speed = i32::try_from(scale.speed).unwrap_or(i32::MAX);
                elapsed
                    .checked_mul(speed)
                    .and_then(|fast| scale.origin.checked_add_signed(fast))
                    .unwrap_or(Instant::MAX_UTC)
            }
            Source::Manual { business, .. } => from_micros(business.load(Ordering::SeqCst)),
        }
    }

    /// Now, for everything that guards running work.
    pub fn wall_now(&self) -> Instant {
        match &*self.0 {
            Source::Machine(_) => machine_now(),
            Source::Manual { wall, .. } => from_micros(wall.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock's business time on; does nothing to the machine's.
    pub fn advance_business(&self, by: TimeDelta) {
        if let Source::Manual { business, .. } = &*self.0 {
            business.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// Moves a manual clock's wall time on; does nothing to the machine's.
    pub fn advance_wall(&self, by: TimeDelta) {
        if let Source::Manual { wall, .. } = &*self.0 {
            wall.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// How long a sleeper must really wait until `span` of business time has passed.
    pub fn wall_wait(&self, span: Duration) -> Duration {
        match &*self.0 {
            Source::Machine(Some(scale)) => span / scale.speed.max(1),
            _ => span,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one home of the machine's clock")]
fn machine_now() -> Instant {
    from_micros(Utc::now().timestamp_micros())
}

fn from_micros(micros: i64) -> Instant {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
}

/// A configured duration as chrono counts it; absurdly long ones are cut to about 292 years.
pub fn delta(span: Duration) -> TimeDelta {
    TimeDelta::from_std(span).unwrap_or(TimeDelta::nanoseconds(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn business_time_runs_faster_and_wall_time_does_not() {
        let origin = machine_now() - TimeDelta::seconds(10);
        let clock = Clock::scaled(Scale { origin, speed: 86_400 });
        assert!(clock.business_now() - origin >= TimeDelta::days(10));
        assert!(clock.wall_now() - origin < TimeDelta::days(1));
        assert_eq!(clock.wall_wait(Duration::from_secs(86_400)), Duration::from_secs(1));
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_each_time_by_itself() {
        let start = from_micros(1_700_000_000_000_000);
        let clock = Clock::manual(start);
        clock.advance_business(TimeDelta::days(2));
        assert_eq!(clock.business_now(), start + TimeDelta::days(2));
        assert_eq!(clock.wall_now(), start);
        clock.clone().advance_wall(TimeDelta::seconds(3));
        assert_eq!(clock.wall_now(), start + TimeDelta::seconds(3));
    }
}
