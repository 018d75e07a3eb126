//! Work that must not be forgotten: kinds of job and when a failed one is tried again.

use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::WallTime;
use crate::domain::ids::{AttemptId, OrderId};

/// A job: what is to be done, and the one id that it is about. Its verb reads everything else again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job {
    /// Drive the order's current booking attempt one step: send it, or find out what became of it.
    Ship(OrderId),
    /// Call off, at the courier, a parcel that should not exist (a late second booking).
    CancelParcel(AttemptId),
    /// Finish calling a booked parcel off where a cancellation or correction was interrupted.
    CallOff(AttemptId),
    /// Ask the courier whether an end that only an unsigned push reported is true.
    ConfirmEnd(AttemptId),
    /// Ask the courier whether it has called a booking off, as an unsigned push says.
    ConfirmCallOff(AttemptId),
    /// Ask the courier to send news of a parcel that was not booked through it.
    Watch(AttemptId),
}

impl Job {
    /// What is to be done.
    pub const fn kind(self) -> JobKind {
        match self {
            Self::Ship(_) => JobKind::Ship,
            Self::CancelParcel(_) => JobKind::CancelParcel,
            Self::CallOff(_) => JobKind::CallOff,
            Self::ConfirmEnd(_) => JobKind::ConfirmEnd,
            Self::ConfirmCallOff(_) => JobKind::ConfirmCallOff,
            Self::Watch(_) => JobKind::Watch,
        }
    }

    /// The id that it is about, as it is written in rows.
    pub fn subject(self) -> String {
        match self {
            Self::Ship(order) => order.to_string(),
            Self::CancelParcel(attempt)
            | Self::CallOff(attempt)
            | Self::ConfirmEnd(attempt)
            | Self::ConfirmCallOff(attempt)
            | Self::Watch(attempt) => attempt.to_string(),
        }
    }

    /// Reads what [`kind`](Self::kind) and [`subject`](Self::subject) wrote; `None` where the subject is not such an id.
    pub fn read(kind: JobKind, subject: &str) -> Option<Self> {
        let attempt = || subject.parse().ok();
        match kind {
            JobKind::Ship => subject.parse().ok().map(Self::Ship),
            JobKind::CancelParcel => attempt().map(Self::CancelParcel),
            JobKind::CallOff => attempt().map(Self::CallOff),
            JobKind::ConfirmEnd => attempt().map(Self::ConfirmEnd),
            JobKind::ConfirmCallOff => attempt().map(Self::ConfirmCallOff),
            JobKind::Watch => attempt().map(Self::Watch),
        }
    }
}

/// What a [`Job`] is to do, without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is explained at Job")]
pub enum JobKind {
    Ship,
    CancelParcel,
    CallOff,
    ConfirmEnd,
    ConfirmCallOff,
    Watch,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Ship,
        Self::CancelParcel,
        Self::CallOff,
        Self::ConfirmEnd,
        Self::ConfirmCallOff,
        Self::Watch,
    ];

    /// As it is written in rows, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ship => "ship",
            Self::CancelParcel => "cancel_parcel",
            Self::CallOff => "call_off",
            Self::ConfirmEnd => "confirm_end",
            Self::ConfirmCallOff => "confirm_call_off",
            Self::Watch => "watch",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What our own work may take beside a courier's network time, before another takes over: a job's lease, a call that goes
/// on as a job, a circuit breaker's probe.
pub const MARGIN: TimeDelta = TimeDelta::seconds(15);

/// Waits between tries, in business time: quick for a hiccup, then spaced so that a courier that is down for a day is
/// outlived (27 hours and a half in all) without being hammered.
const RETRY_AFTER: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(10 * 3600),
];

/// How long to wait after `failures` failed tries (1 or more); `None` when all are used up and the job is dead.
/// `jitter` in 0..=1 spreads the wait by 20 % either way, so that what failed together does not come back together.
pub fn retry_wait(failures: u32, jitter: f64) -> Option<Duration> {
    let index = usize::try_from(failures.checked_sub(1)?).ok()?;
    RETRY_AFTER
        .get(index)
        .map(|wait| wait.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0)))
}

/// A courier's own `Retry-After` is honoured, within these bounds.
pub fn bounded_retry_after(asked: Duration) -> Duration {
    asked.clamp(Duration::from_secs(1), Duration::from_secs(2 * 3600))
}

/// How a job's run ended, and when it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing is left to do.
    Done,
    /// At once: the state changed and can be driven on.
    Now,
    /// At this wall time; not a failure.
    At(WallTime),
    /// After so much business time, and not before that wall time; not a failure.
    Later {
        /// Business time.
        wait: TimeDelta,
        /// Wall time.
        not_before: WallTime,
    },
    /// A try failed; the schedule says when, unless the courier asked for a wait (wall).
    Retry {
        /// Stable code.
        code: String,
        /// The courier's own wish.
        after: Option<Duration>,
    },
    /// A person must act.
    Stop {
        /// Stable code.
        code: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_back_as_it_was_written_and_not_without_an_id() {
        let attempt = AttemptId::generate();
        let jobs = [
            Job::Ship(OrderId::generate()),
            Job::CancelParcel(attempt),
            Job::CallOff(attempt),
            Job::ConfirmEnd(attempt),
            Job::ConfirmCallOff(attempt),
            Job::Watch(attempt),
        ];
        assert_eq!(jobs.map(Job::kind), JobKind::ALL);
        for job in jobs {
            assert_eq!(Job::read(job.kind(), &job.subject()), Some(job));
            assert_eq!(Job::read(job.kind(), "a"), None);
        }
    }

    #[test]
    fn waits_grow_stay_within_the_jitter_and_end() {
        assert_eq!(retry_wait(1, 0.5), Some(Duration::from_secs(5)));
        assert_eq!(retry_wait(2, 0.0), Some(Duration::from_secs(240)));
        assert_eq!(retry_wait(2, 1.0), Some(Duration::from_secs(360)));
        assert_eq!(retry_wait(8, 0.5), None);
        assert_eq!(retry_wait(0, 0.5), None);
    }
}
