//! A parcel's states: how far its booking is, and what the courier last said about it.

use chrono::{DurationRound as _, TimeDelta};

use crate::clock::{BusinessTime, Moment, WallTime};
use crate::domain::ids::{AttemptId, BookingReference, OrderId};

/// A booked parcel without news for so long (business time) is asked for, and again after as long, until it ends: half of
/// the longest gap between two scans of a parcel that moves.
pub const QUIET: TimeDelta = TimeDelta::hours(12);

/// When a parcel with news at `now` is next asked for. In whole hours: what is heard in quick succession asks for no other
/// moment, and the database need not touch its index.
pub fn ask_again_at(now: BusinessTime) -> BusinessTime {
    let at = now + QUIET;
    at.utc()
        .duration_trunc(TimeDelta::hours(1))
        .map_or(at, BusinessTime::from_utc)
}

/// The same for a parcel that was accepted without a number: couriers give it within minutes.
pub const WITHOUT_NUMBER: TimeDelta = TimeDelta::minutes(30);

/// An end that only an unsigned push reported and that the courier does not confirm for so long (business time) is
/// trouble.
pub const CONFIRM_WITHIN: TimeDelta = TimeDelta::days(7);

/// How far the booking of a parcel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShipmentState {
    /// To be sent to the courier.
    Pending,
    /// Being sent; whoever finds it so without a living lease must treat it as unknown.
    Booking,
    /// The request may have arrived: ask before anything is sent again.
    Unknown,
    /// The courier has it.
    Booked,
    /// The courier refused for good, or all tries are used up.
    Failed,
    /// Called off.
    Cancelled,
}

impl ShipmentState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Booking,
        Self::Unknown,
        Self::Booked,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As it is written in answers and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Booking => "booking",
            Self::Unknown => "unknown",
            Self::Booked => "booked",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether a request may be under way or may have arrived.
    pub const fn is_in_flight(self) -> bool {
        matches!(self, Self::Booking | Self::Unknown)
    }
}

/// What a courier says of a parcel, in the words of this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackingStatus {
    /// Booked; the courier waits for the parcel.
    Accepted,
    /// Collected.
    PickedUp,
    /// Moving.
    InTransit,
    /// On the last mile, or waiting at a pick-up point.
    OutForDelivery,
    /// Handed over.
    Delivered,
    /// In trouble, not at an end.
    Exception,
    /// On its way back.
    Returning,
    /// Back at the sender.
    Returned,
    /// Refused by the recipient.
    Rejected,
    /// Gone.
    Lost,
}

impl TrackingStatus {
    /// Every status.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::PickedUp,
        Self::InTransit,
        Self::OutForDelivery,
        Self::Delivered,
        Self::Exception,
        Self::Returning,
        Self::Returned,
        Self::Rejected,
        Self::Lost,
    ];

    /// As it is written in answers and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::PickedUp => "picked_up",
            Self::InTransit => "in_transit",
            Self::OutForDelivery => "out_for_delivery",
            Self::Delivered => "delivered",
            Self::Exception => "exception",
            Self::Returning => "returning",
            Self::Returned => "returned",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the parcel's journey is over.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Delivered | Self::Returned | Self::Lost)
    }

    /// How far along: a lower stage never replaces a higher one.
    const fn stage(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::PickedUp => 1,
            // One stage: a parcel goes out for delivery, fails, and is in transit again.
            Self::InTransit | Self::OutForDelivery | Self::Exception => 2,
            Self::Rejected => 3,
            Self::Returning => 4,
            Self::Lost => 5,
            Self::Delivered => 6,
            Self::Returned => 7,
        }
    }
}

/// What is known of a parcel: the status that counts and when it happened, in the courier's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The status that counts.
    pub status: TrackingStatus,
    /// When it happened.
    pub at: BusinessTime,
}

impl Progress {
    /// What is known after hearing `news`, or `None` when the news is old, repeated or would move the parcel backwards.
    pub fn after(known: Option<Self>, news: Self) -> Option<Self> {
        use TrackingStatus::{Delivered, Exception, Lost, PickedUp, Rejected, Returned, Returning};
        let Some(known) = known else { return Some(news) };
        let later = news.at > known.at;
        let status = match (known.status, news.status) {
            // Handed over while on its way back: handed over to the sender.
            (Returning | Rejected, Delivered) => later.then_some(Returned),
            // An end can be corrected only by later truth, and only so.
            (Delivered, Returning | Returned) | (Lost, Delivered | Returned) => later.then_some(news.status),
            (end, _) if end.is_end() => None,
            // Nobody could collect it at first.
            (Exception, PickedUp) => later.then_some(PickedUp),
            (current, next) if next.stage() > current.stage() => Some(next),
            (current, next) if next.stage() == current.stage() && next != current => later.then_some(next),
            _ => None,
        };
        status.map(|status| Self { status, at: news.at })
    }
}

/// The personal fields that a booking hands to a courier, as the disclosure names them.
pub const DISCLOSED_TO_COURIERS: &str = "name,phone,address";

/// An end that only an unsigned push reported, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedEnd {
    /// What it said.
    pub status: TrackingStatus,
    /// Since when, business time.
    pub at: BusinessTime,
}

/// Why a booked parcel is being called off at its courier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallingOff {
    /// The order is to be cancelled.
    Cancel,
    /// The recipient is to be corrected, and the parcel booked anew.
    Correct,
}

impl CallingOff {
    /// As it is written in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Correct => "correct",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Cancel, Self::Correct]
            .into_iter()
            .find(|why| why.as_str() == text)
    }
}

/// One attempt to book a parcel.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of migrations/orders, where each is explained")]
pub struct Attempt {
    pub id: AttemptId,
    pub order_id: OrderId,
    pub number: u8,
    pub courier: String,
    pub reference: BookingReference,
    pub state: ShipmentState,
    pub provider_ref: Option<String>,
    pub tries: u16,
    /// Wall time.
    pub first_sent_at: Option<WallTime>,
    /// Wall time: after this the request of the last send is certainly no longer under way from here.
    pub network_deadline: Option<WallTime>,
    pub booked_at: Option<BusinessTime>,
    pub progress: Option<Progress>,
    pub last_error: Option<String>,
    /// What was bought, where the courier offers a choice.
    pub service: Option<String>,
    /// Business time: when its courier is next asked about it.
    pub poll_at: Option<BusinessTime>,
    /// Wall time: when its courier was last asked about it.
    pub polled_at: Option<WallTime>,
    /// What waits to be confirmed.
    pub end_reported: Option<ReportedEnd>,
    /// Whether it is being called off just now, and why.
    pub calling_off: Option<CallingOff>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> BusinessTime {
        BusinessTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn hear(news: &[(TrackingStatus, i64)]) -> Option<TrackingStatus> {
        let mut known = None;
        for (status, minute) in news {
            known = Progress::after(
                known,
                Progress {
                    status: *status,
                    at: at(*minute),
                },
            )
            .or(known);
        }
        known.map(|k| k.status)
    }

    use TrackingStatus::*;

    #[test]
    fn late_and_repeated_news_never_move_a_parcel_backwards() {
        assert_eq!(hear(&[(InTransit, 5), (PickedUp, 2), (Accepted, 1)]), Some(InTransit));
        assert_eq!(
            hear(&[(Delivered, 9), (OutForDelivery, 8), (InTransit, 20)]),
            Some(Delivered)
        );
        assert_eq!(hear(&[(OutForDelivery, 8), (InTransit, 5)]), Some(OutForDelivery));
        assert_eq!(hear(&[(OutForDelivery, 8), (InTransit, 12)]), Some(InTransit));
        assert_eq!(hear(&[(Returning, 5), (InTransit, 9)]), Some(Returning));
        assert_eq!(hear(&[(Exception, 5), (PickedUp, 2)]), Some(Exception));
    }

    #[test]
    fn a_parcel_that_could_not_be_collected_is_collected_later() {
        assert_eq!(hear(&[(Accepted, 1), (Exception, 5), (PickedUp, 9)]), Some(PickedUp));
    }

    #[test]
    fn an_end_is_taken_even_when_its_clock_was_slow() {
        assert_eq!(hear(&[(InTransit, 10), (Delivered, 9)]), Some(Delivered));
    }

    #[test]
    fn later_truth_corrects_an_end_and_a_repeated_delivery_does_not_undo_a_return() {
        assert_eq!(hear(&[(Delivered, 5), (Returned, 9)]), Some(Returned));
        assert_eq!(hear(&[(Lost, 5), (Delivered, 9)]), Some(Delivered));
        assert_eq!(hear(&[(Returned, 5), (Delivered, 9)]), Some(Returned));
        assert_eq!(hear(&[(Delivered, 5), (Lost, 9)]), Some(Delivered));
        assert_eq!(hear(&[(Delivered, 5), (Returning, 9), (Delivered, 5)]), Some(Returning));
        assert_eq!(hear(&[(Returning, 5), (Delivered, 9)]), Some(Returned));
    }

    #[test]
    fn every_pair_of_statuses_settles_the_same_way_however_often_it_is_repeated() {
        for first in TrackingStatus::ALL {
            for second in TrackingStatus::ALL {
                let once = hear(&[(first, 1), (second, 2)]);
                assert_eq!(
                    once,
                    hear(&[(first, 1), (second, 2), (first, 1), (second, 2)]),
                    "{first:?} {second:?}"
                );
            }
        }
    }
}
