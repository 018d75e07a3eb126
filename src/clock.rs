//! Time as a parameter. Nothing else in the crate asks the machine what time it is.
//!
//! Two clocks that must not be mixed up:
//! - **business time** ([`BusinessTime`], `business_now`): retention, holds, drafts, retry schedules, key epochs, polling. It can
//!   be scaled for demonstrations and tests (`clock.speed`).
//! - **wall time** ([`WallTime`], `wall_now`): what guards running work: leases, sessions, caches, signature tolerance,
//!   idempotency retention, network deadlines.

use std::ops::{Add, Sub};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::format::{DelayedFormat, StrftimeItems};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// What both kinds of time can do; each is a type of its own, so that one cannot be taken for the other.
pub trait Moment: Copy {
    /// The moment in UTC.
    fn utc(self) -> DateTime<Utc>;
    /// That moment, taken for this kind of time. Only where a moment comes in: from the clock, a row, a caller, a courier.
    fn from_utc(at: DateTime<Utc>) -> Self;
}

macro_rules! moment {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(DateTime<Utc>);

        impl Moment for $name {
            fn utc(self) -> DateTime<Utc> {
                self.0
            }

            fn from_utc(at: DateTime<Utc>) -> Self {
                Self(at)
            }
        }

        impl FromStr for $name {
            type Err = chrono::ParseError;

            fn from_str(rfc_3339: &str) -> Result<Self, Self::Err> {
                rfc_3339.parse().map(Self)
            }
        }

        impl From<$name> for DateTime<Utc> {
            fn from($name(at): $name) -> Self {
                at
            }
        }

        impl $name {
            /// The beginning of 1970.
            pub const UNIX_EPOCH: Self = Self(DateTime::UNIX_EPOCH);

            /// The latest there is.
            pub const MAX: Self = Self(DateTime::<Utc>::MAX_UTC);

            /// Microseconds since 1970.
            pub const fn timestamp_micros(self) -> i64 {
                self.0.timestamp_micros()
            }

            /// Seconds since 1970.
            pub const fn timestamp(self) -> i64 {
                self.0.timestamp()
            }

            /// Milliseconds since 1970.
            pub const fn timestamp_millis(self) -> i64 {
                self.0.timestamp_millis()
            }

            /// As chrono formats it.
            pub fn format<'a>(&self, format: &'a str) -> DelayedFormat<StrftimeItems<'a>> {
                self.0.format(format)
            }

            /// Reads [`timestamp_micros`](Self::timestamp_micros); `None` where no calendar reaches.
            pub fn from_timestamp_micros(micros: i64) -> Option<Self> {
                DateTime::from_timestamp_micros(micros).map(Self)
            }

            /// That much later; `None` where no calendar reaches.
            pub fn checked_add_signed(self, span: TimeDelta) -> Option<Self> {
                self.0.checked_add_signed(span).map(Self)
            }
        }

        impl Add<TimeDelta> for $name {
            type Output = Self;

            fn add(self, span: TimeDelta) -> Self {
                Self(self.0 + span)
            }
        }

        impl Sub<TimeDelta> for $name {
            type Output = Self;

            fn sub(self, span: TimeDelta) -> Self {
                Self(self.0 - span)
            }
        }

        impl Sub for $name {
            type Output = TimeDelta;

            fn sub(self, earlier: Self) -> TimeDelta {
                self.0 - earlier.0
            }
        }
    };
}

moment! {
    /// A moment of business time in UTC, whole microseconds (the finest that both engines keep): what the law and the shop
    /// count in days.
    ///
    /// ```compile_fail
    /// # use safelight::clock::{BusinessTime, WallTime};
    /// fn is_due(at: BusinessTime, now: BusinessTime) -> bool { at <= now }
    /// fn swapped(at: BusinessTime, now: WallTime) -> bool { is_due(at, now) }
    /// ```
    BusinessTime
}

moment! {
    /// A moment of wall time in UTC, whole microseconds: what guards running work.
    ///
    /// ```compile_fail
    /// # use safelight::clock::{BusinessTime, WallTime};
    /// fn age(since: WallTime, now: BusinessTime) -> chrono::TimeDelta { now - since }
    /// ```
    WallTime
}

/// Where business time started to run faster than the wall, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// The wall time at which both clocks agreed.
    pub origin: WallTime,
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
    pub fn manual(start: impl Into<DateTime<Utc>>) -> Self {
        let micros = start.into().timestamp_micros();
        Self(Arc::new(Source::Manual {
            business: AtomicI64::new(micros),
            wall: AtomicI64::new(micros),
        }))
    }

    /// Now, for everything the law and the shop count in days.
    pub fn business_now(&self) -> BusinessTime {
        match &*self.0 {
            Source::Machine(None) => BusinessTime(machine_now()),
            Source::Machine(Some(Scale { origin, speed })) => {
                let elapsed = machine_now() - origin.0;
                let fast = elapsed.checked_mul(i32::try_from(*speed).unwrap_or(i32::MAX));
                fast.and_then(|fast| BusinessTime(origin.0).checked_add_signed(fast))
                    .unwrap_or(BusinessTime::MAX)
            }
            Source::Manual { business, .. } => BusinessTime(from_micros(business.load(Ordering::SeqCst))),
        }
    }

    /// Now, for everything that guards running work.
    pub fn wall_now(&self) -> WallTime {
        WallTime(match &*self.0 {
            Source::Machine(_) => machine_now(),
            Source::Manual { wall, .. } => from_micros(wall.load(Ordering::SeqCst)),
        })
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
fn machine_now() -> DateTime<Utc> {
    from_micros(Utc::now().timestamp_micros())
}

fn from_micros(micros: i64) -> DateTime<Utc> {
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
        let clock = Clock::scaled(Scale {
            origin: WallTime(origin),
            speed: 86_400,
        });
        assert!(clock.business_now().utc() - origin >= TimeDelta::days(10));
        assert!(clock.wall_now().utc() - origin < TimeDelta::days(1));
        assert_eq!(clock.wall_wait(Duration::from_secs(86_400)), Duration::from_secs(1));
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_each_time_by_itself() {
        let start = from_micros(1_700_000_000_000_000);
        let clock = Clock::manual(start);
        clock.advance_business(TimeDelta::days(2));
        assert_eq!(clock.business_now().utc(), start + TimeDelta::days(2));
        assert_eq!(clock.wall_now().utc(), start);
        clock.clone().advance_wall(TimeDelta::seconds(3));
        assert_eq!(clock.wall_now().utc(), start + TimeDelta::seconds(3));
    }
}
