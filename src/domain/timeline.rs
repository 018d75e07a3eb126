//! What an order's timeline tells.

use crate::domain::order::{OrderStatus, Step};

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimelineKind {
    /// It has this status now.
    Reached(OrderStatus),
    /// A draft became an order.
    Confirmed,
    /// The print floor took it.
    Claimed,
    /// The print floor gave it back, or let its lease lapse.
    Released,
    /// Its parcel is booked.
    Booked,
    /// Its parcel is surely not booked.
    BookingFailed,
    /// Nobody knows whether its parcel is booked.
    BookingUnknown,
    /// Its courier no longer calls its parcel off.
    CallOffRefused,
    /// Another courier is to carry it.
    CourierChanged,
    /// Its courier's unsigned push reports an end that is to be confirmed.
    EndReported,
    /// Another courier carries it, for its own refused or stays away.
    Fallback,
    /// A hold stops its clock.
    Hold,
    /// The hold is lifted.
    HoldLifted,
    /// Its recipient was corrected.
    RecipientCorrected,
    /// It was printed once more.
    Reprinted,
    /// Nothing but its delivery goes on.
    Restricted,
    /// A person said what became of a booking of unknown outcome.
    ShipmentResolved,
    /// A person had its booking tried again.
    ShipmentRetried,
    /// It was shipped without a booking of ours.
    ShippedByHand,
    /// A parcel exists that should not.
    DuplicateParcel,
    /// Its courier said where the parcel is.
    Tracking,
    /// Its parcel got a tracking number.
    TrackingNumber,
}

impl TimelineKind {
    /// What a step to `status` is told as.
    pub const fn of_step(step: Step, status: OrderStatus) -> Self {
        match step {
            Step::Confirm => Self::Confirmed,
            Step::Claim => Self::Claimed,
            Step::Release => Self::Released,
            _ => Self::Reached(status),
        }
    }

    /// As it is written in rows and answers; forever.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reached(status) => status.as_str(),
            Self::Confirmed => "confirmed",
            Self::Claimed => "claimed",
            Self::Released => "released",
            Self::Booked => "booked",
            Self::BookingFailed => "booking_failed",
            Self::BookingUnknown => "booking_unknown",
            Self::CallOffRefused => "call_off_refused",
            Self::CourierChanged => "courier_changed",
            Self::EndReported => "end_reported",
            Self::Fallback => "fallback",
            Self::Hold => "hold",
            Self::HoldLifted => "hold_lifted",
            Self::RecipientCorrected => "recipient_corrected",
            Self::Reprinted => "reprinted",
            Self::Restricted => "restricted",
            Self::ShipmentResolved => "shipment_resolved",
            Self::ShipmentRetried => "shipment_retried",
            Self::ShippedByHand => "shipped_by_hand",
            Self::DuplicateParcel => "stray_parcel",
            Self::Tracking => "tracking",
            Self::TrackingNumber => "tracking_number",
        }
    }
}
