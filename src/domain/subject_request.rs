//! What a data subject may ask for, who may ask, by when it is answered, and what the answer does to an order.

use chrono::{NaiveDate, TimeDelta};

use crate::clock::BusinessTime;
use crate::domain::ids::RequestId;
use crate::domain::invalid::Invalid;
use crate::domain::order::OrderStatus;
use crate::domain::retention::PurgeReason;

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$each])* $variant,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it is written in bodies and rows.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Reads the spelling of [`as_str`](Self::as_str).
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

closed_set! {
    /// What is asked for.
    RequestKind {
        /// To know what is kept.
        Access = "access",
        /// To have a copy of it.
        Copy = "copy",
        /// To have it corrected.
        Correct = "correct",
        /// To have it destroyed.
        Delete = "delete",
        /// To take a consent back.
        WithdrawConsent = "withdraw_consent",
    }
}

closed_set! {
    /// Where a request stands.
    RequestState {
        /// Not answered yet.
        Open = "open",
        /// Done as asked.
        Completed = "completed",
        /// Refused, with a reason.
        Refused = "refused",
    }
}

closed_set! {
    /// Who asks.
    Role {
        /// The person.
        Oneself = "self",
        /// A minor's guardian.
        Guardian = "guardian",
        /// Close kin of the deceased.
        Kin = "kin",
    }
}

closed_set! {
    /// Why nothing but its delivery may go on with an order; also the reason of the purge that follows its end.
    Restriction {
        /// The person asked for deletion.
        Request = "request",
        /// Consent was withdrawn.
        ConsentWithdrawn = "consent_withdrawn",
    }
}

impl RequestKind {
    /// What completing a request of this kind puts on its orders.
    pub const fn restriction(self) -> Option<Restriction> {
        match self {
            Self::Delete => Some(Restriction::Request),
            Self::WithdrawConsent => Some(Restriction::ConsentWithdrawn),
            Self::Access | Self::Copy | Self::Correct => None,
        }
    }
}

/// What a restriction asks for next of an order that nothing holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Its end: the courier carries it.
    Wait,
    /// To be called off, at the courier too where it is booked, and then purged.
    CallOff,
    /// To be cancelled and purged.
    Cancel,
    /// To be purged.
    Purge,
}

impl Restriction {
    /// The reason of the purge that follows.
    pub const fn purge_reason(self) -> PurgeReason {
        match self {
            Self::Request => PurgeReason::Request,
            Self::ConsentWithdrawn => PurgeReason::ConsentWithdrawn,
        }
    }

    /// Whether an order that has the restriction `known` takes this one on: a withdrawal asks for more than a deletion.
    pub fn adds_to(self, known: Option<Self>) -> bool {
        match known {
            None => true,
            Some(known) => known != self && self == Self::ConsentWithdrawn,
        }
    }

    /// What it asks for next of an order with that status.
    pub const fn next(self, status: OrderStatus) -> NextStep {
        match (status, self) {
            (OrderStatus::Draft | OrderStatus::Placed, _) => NextStep::Cancel,
            (OrderStatus::Printing | OrderStatus::Printed, Self::ConsentWithdrawn) => NextStep::CallOff,
            (OrderStatus::Printing | OrderStatus::Printed | OrderStatus::Shipped, _) => NextStep::Wait,
            (OrderStatus::Delivered | OrderStatus::Returned | OrderStatus::Lost | OrderStatus::Cancelled, _) => {
                NextStep::Purge
            }
        }
    }
}

/// Requests that came on paper may be entered late, but not this late.
const OLDEST: TimeDelta = TimeDelta::days(366);

/// Reads when a request was received: not in the future, and within the last year. Whole microseconds.
///
/// # Errors
/// `out_of_range`.
pub fn parse_received(at: BusinessTime, now: BusinessTime) -> Result<BusinessTime, Invalid> {
    if at > now || at < now - OLDEST {
        return Err(Invalid::new(
            "out_of_range",
            "must be within the last year and not in the future",
        ));
    }
    Ok(BusinessTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at))
}

/// A request, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of migrations/orders, where each is explained")]
pub struct SubjectRequest {
    pub id: RequestId,
    pub kind: RequestKind,
    pub state: RequestState,
    pub role: Role,
    pub by_phone: bool,
    pub received_at: BusinessTime,
    pub due_on: NaiveDate,
    pub due_official: bool,
    pub created_at: BusinessTime,
    pub created_by: String,
    pub closed_at: Option<BusinessTime>,
    pub closed_by: Option<String>,
    pub journal: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn what_a_restriction_asks_of_every_status() {
        use OrderStatus::{Cancelled, Delivered, Draft, Lost, Placed, Printed, Printing, Returned, Shipped};
        for (status, deletion, withdrawal) in [
            (Draft, NextStep::Cancel, NextStep::Cancel),
            (Placed, NextStep::Cancel, NextStep::Cancel),
            (Printing, NextStep::Wait, NextStep::CallOff),
            (Printed, NextStep::Wait, NextStep::CallOff),
            (Shipped, NextStep::Wait, NextStep::Wait),
            (Delivered, NextStep::Purge, NextStep::Purge),
            (Returned, NextStep::Purge, NextStep::Purge),
            (Lost, NextStep::Purge, NextStep::Purge),
            (Cancelled, NextStep::Purge, NextStep::Purge),
        ] {
            assert_eq!(Restriction::Request.next(status), deletion, "{status:?}");
            assert_eq!(Restriction::ConsentWithdrawn.next(status), withdrawal, "{status:?}");
        }
    }

    #[test]
    fn a_withdrawal_adds_to_a_deletion_and_not_the_other_way_round() {
        let (deletion, withdrawal) = (Restriction::Request, Restriction::ConsentWithdrawn);
        assert!(deletion.adds_to(None) && withdrawal.adds_to(None));
        assert!(withdrawal.adds_to(Some(deletion)) && !deletion.adds_to(Some(withdrawal)));
        assert!(!deletion.adds_to(Some(deletion)) && !withdrawal.adds_to(Some(withdrawal)));
    }

    #[test]
    fn a_restriction_is_spelt_as_the_reason_of_its_purge() {
        for restriction in Restriction::ALL {
            assert_eq!(restriction.as_str(), restriction.purge_reason().as_str());
            assert_eq!(Restriction::parse(restriction.as_str()), Some(*restriction));
        }
    }

    #[test]
    fn a_request_was_received_within_the_last_year_and_not_in_the_future() {
        let now = BusinessTime::UNIX_EPOCH + TimeDelta::days(10_000);
        assert_eq!(parse_received(now, now), Ok(now));
        assert!(parse_received(now - TimeDelta::days(366), now).is_ok());
        for bad in [
            now + TimeDelta::seconds(1),
            now - TimeDelta::days(367),
            crate::clock::Moment::from_utc(DateTime::<chrono::Utc>::MIN_UTC),
        ] {
            assert_eq!(parse_received(bad, now).unwrap_err().code, "out_of_range");
        }
    }
}
