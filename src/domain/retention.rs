//! When an order's personal data must go, and why it went.

use chrono::TimeDelta;

use crate::clock::BusinessTime;

/// When an order that ended at `ended_at` is due. A corrected end sets the clock anew, but never past twice the window
/// from the first end.
pub fn purge_due_at(ended_at: BusinessTime, first_ended_at: BusinessTime, window: TimeDelta) -> BusinessTime {
    let latest = first_ended_at.checked_add_signed(window + window);
    let due = ended_at.checked_add_signed(window);
    match (due, latest) {
        (Some(due), Some(latest)) => due.min(latest),
        _ => BusinessTime::MAX,
    }
}

/// Why a person's data was purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PurgeReason {
    /// The retention window after the end was over.
    Retention,
    /// The draft was never confirmed.
    DraftExpired,
    /// Nothing had moved for too long.
    Stuck,
    /// The data subject asked.
    Request,
    /// Consent was withdrawn.
    ConsentWithdrawn,
    /// A minor's data without a guardian's consent.
    MinorWithoutGuardian,
    /// The key that could open it no longer exists.
    KeyDestroyed,
    /// An operator with the privacy scope asked.
    Operator,
}

impl PurgeReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Retention,
        Self::DraftExpired,
        Self::Stuck,
        Self::Request,
        Self::ConsentWithdrawn,
        Self::MinorWithoutGuardian,
        Self::KeyDestroyed,
        Self::Operator,
    ];

    /// As it is written in answers and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::DraftExpired => "draft_expired",
            Self::Stuck => "stuck",
            Self::Request => "request",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::MinorWithoutGuardian => "minor_without_guardian",
            Self::KeyDestroyed => "key_destroyed",
            Self::Operator => "operator",
        }
    }

    /// Whether the purge comes by itself, without anybody's asking for it.
    pub const fn is_unasked(self) -> bool {
        matches!(self, Self::Retention | Self::DraftExpired | Self::Stuck)
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrected_end_sets_the_clock_anew_but_at_most_twice_the_window() {
        let start: BusinessTime = "2026-11-23T08:00:00Z".parse().unwrap();
        let day = TimeDelta::days;
        assert_eq!(purge_due_at(start, start, day(30)), start + day(30));
        assert_eq!(purge_due_at(start + day(10), start, day(30)), start + day(40));
        assert_eq!(purge_due_at(start + day(50), start, day(30)), start + day(60));
    }
}
