//! Everything in an order that identifies a person, in one value: what is sealed, and what a purge destroys.

use crate::domain::contact::Recipient;
use crate::privacy::Pii;

/// The personal part of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalRecord {
    /// Who gets the parcel.
    pub recipient: Recipient,
    /// A photo reference per item, in the items' order; `None` where the item came without.
    pub photos: Vec<Option<Pii<String>>>,
    /// Tracking numbers, with the number of the booking attempt each belongs to.
    pub tracking: Vec<TrackingNumber>,
    /// Free texts that people wrote: reasons and notes.
    pub notes: Vec<Note>,
}

/// A tracking number and the attempt it was given for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackingNumber {
    /// The attempt's number in its order.
    pub attempt: u8,
    /// The courier's number.
    pub number: Pii<String>,
}

/// What somebody wrote about an order, such as the reason of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What the text is: `cancel_reason`, `reveal_reason`, `reprint_reason`, `hold_reason`, ...
    pub kind: String,
    /// The row it belongs to (an event, a reveal), so that it can be shown beside it.
    pub about: String,
    /// The text.
    pub text: Pii<String>,
}

impl PersonalRecord {
    /// The tracking number of an attempt; the latest where a courier changed it.
    pub fn tracking_of(&self, attempt: u8) -> Option<&Pii<String>> {
        self.tracking
            .iter()
            .rev()
            .find(|known| known.attempt == attempt)
            .map(|known| &known.number)
    }
}
