//! Every 409 of the app. The code is the contract; the detail says what is, then what to do. Causes that a client need
//! not tell apart are variants that share a code.

macro_rules! conflicts {
    ($($(#[$each:meta])* $variant:ident = $code:literal, $detail:literal;)+) => {
        /// Why the state of a thing does not allow what is asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Conflict {
            $($(#[$each])* $variant,)+
        }

        impl Conflict {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Stable code.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// What is, then what to do: whole sentences.
            pub const fn detail(self) -> &'static str {
                match self {
                    $(Self::$variant => $detail,)+
                }
            }
        }
    };
}

conflicts! {
    /// A hold keeps the order as it is.
    Held = "held", "The order is held; lift the hold first.";
    /// There is no hold to lift.
    NotHeld = "not_held", "The order is not held.";
    /// The person asked to be forgotten, or took the consent back: nothing new begins.
    Restricted = "restricted", "The order is restricted at the person's request and is about to be purged.";
    /// Consent was withdrawn: whatever would hand the person on, or begin anything new with it, is refused.
    ConsentWithdrawn = "consent_withdrawn", "Consent was withdrawn; only a delivery that is under way goes on.";

    /// Only a draft is confirmed.
    NotADraft = "not_a_draft", "The order is not a draft; only a draft can be confirmed.";
    /// The status is past cancelling.
    PastCancelling = "not_cancellable", "The order is shipped or has ended; it can no longer be cancelled.";
    /// The courier was asked.
    CourierKeepsParcel = "not_cancellable", "The courier no longer calls this parcel off; it carries it to its end.";
    /// The courier never heard of us.
    BookedElsewhere = "not_cancellable",
        "The parcel was not booked here; call it off at its courier, then mark what becomes of it.";
    /// A cancelled order takes no change.
    OrderCancelled = "illegal_transition", "The order is cancelled; place a new one.";
    /// What is marked by hand is how a parcel ended.
    NotAnEnd = "illegal_transition", "The status is not an end; only an end can be marked by hand.";
    /// Any other step that the status does not have.
    StatusForbids = "illegal_transition", "The order's status does not allow this.";
    /// The parcel has left the house.
    AlreadyShipped = "already_shipped",
        "The parcel is on its way, or its journey is over; one that came back can be sent again by reship.";

    /// The floor works on what it has claimed.
    LeaseLost = "lease_lost", "The order is not leased to this key, operator and station; claim it again.";
    /// The print is recorded.
    AlreadyPrinted = "already_printed", "The order is printed already; POST .../reprint records another print.";
    /// There is no print that waits for its parcel.
    NotPrinted = "not_printed",
        "The order is not printed, or is shipped already; this takes one that waits to be shipped.";

    /// Nothing came back.
    NotReturned = "not_returned", "The order is not returned; only a returned order is sent again.";
    /// The courier may be booking just now.
    BookingInProgress = "booking_in_progress",
        "The parcel is being booked, or it is not known yet whether it is; try again shortly.";
    /// Between the question to the courier and the lock.
    BookedMeanwhile = "booking_in_progress", "The parcel was booked just now; try again.";
    /// The order has its parcel.
    AlreadyBooked = "already_booked", "The order has a booked parcel; cancel or correct the order first.";
    /// The order has no parcel.
    NotBooked = "not_booked", "The order has no booked parcel that a label could be for.";
    /// There is nothing to drive on.
    NothingToRetry = "nothing_to_retry", "The order has no shipment that waits.";
    /// There is nothing to settle.
    NotUnknown = "not_unknown", "No booking of unknown outcome is there; only such a one is resolved by hand.";
    /// References have two digits for the attempt.
    TooManyAttempts = "too_many_attempts", "All 99 booking attempts of this order are used up; place a new one.";

    /// Somebody works on the order, or the parcel is out.
    InFulfilment = "in_fulfilment", "The order is being printed or delivered; purge it once it has ended.";
    /// Another request or the sweep destroys it.
    PurgeInProgress = "purge_in_progress", "The order is being purged; ask for its receipt shortly.";

    /// Nobody approves a request of its own.
    SameKey = "same_key", "The request was made with this key; another key must approve it.";
    /// Two approvals of one request do not both count.
    AlreadyApproved = "already_approved", "The request is approved already.";
    /// A subject request was answered.
    AlreadyCompleted = "already_completed", "The request is completed already.";
    /// A subject request was turned down.
    AlreadyRefused = "already_refused", "The request is refused already.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_snake_case_and_details_are_sentences_of_their_own() {
        let mut details = HashSet::new();
        for conflict in Conflict::ALL {
            let (code, detail) = (conflict.code(), conflict.detail());
            let snake_case = code
                .split('_')
                .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
            assert!(snake_case, "{code}");
            assert!(detail.starts_with(|first: char| first.is_ascii_uppercase()), "{detail}");
            assert!(detail.ends_with('.'), "{detail}");
            assert!(details.insert(detail), "{detail}");
        }
    }
}
