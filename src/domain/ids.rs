//! Identifiers, all made here: UUIDv7 (sortable by the wall time of their making), as text in both engines.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use uuid::Uuid;

use crate::domain::invalid::Invalid;

#[expect(clippy::disallowed_methods, reason = "this is the one home of new ids")]
fn new_v7() -> Uuid {
    Uuid::now_v7()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one, later in sort order than every earlier one of this process.
            pub fn generate() -> Self {
                Self(new_v7())
            }

            /// The bare UUID.
            pub const fn uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                // Only the canonical spelling: one order has one URL.
                match Uuid::try_parse(text) {
                    Ok(uuid) if uuid.hyphenated().to_string() == text => Ok(Self(uuid)),
                    _ => Err(Invalid::new("invalid_id", "must be an id as the service gave it out")),
                }
            }
        }
    };
}

id!(
    /// An order.
    OrderId
);
id!(
    /// One attempt to book a parcel for an order.
    AttemptId
);
id!(
    /// A row of the job table.
    JobId
);
id!(
    /// A data subject's request.
    RequestId
);
id!(
    /// Anything else that needs a sortable id: events, remarks, disclosures, prints, reveals.
    RowId
);

/// Our own name for a booking attempt at a courier: `SL`, the order's id in base32, and the attempt's number in two
/// digits; 30 characters, never the client's. A retry of one attempt keeps it, the next attempt takes the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BookingReference {
    text: String,
    order: OrderId,
}

impl BookingReference {
    /// The reference of attempt `number` (1 to 99) of an order.
    pub fn new(order: OrderId, number: u8) -> Self {
        let text = format!(
            "SL{}{:02}",
            BASE32_NOPAD.encode(order.uuid().as_bytes()),
            number.min(99)
        );
        Self { text, order }
    }

    /// Reads one that came back from a courier; `None` when it is not ours.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix("SL")?;
        let (order, number) = (body.get(..26)?, body.get(26..)?);
        let id = BASE32_NOPAD.decode(order.as_bytes()).ok()?;
        let order = OrderId(Uuid::from_slice(&id).ok()?);
        let known = number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit());
        let text = text.to_owned();
        known.then_some(Self { text, order })
    }

    /// As it is sent to couriers.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The order it was made for; there may be none.
    pub const fn order(&self) -> OrderId {
        self.order
    }
}

impl fmt::Display for BookingReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made_and_read_back() {
        let (first, second) = (OrderId::generate(), OrderId::generate());
        assert!(first < second && first.to_string() < second.to_string());
        assert_eq!(first.to_string().parse(), Ok(first));
    }

    #[test]
    fn only_the_canonical_spelling_of_an_id_is_read() {
        let id = OrderId::generate().to_string();
        for bad in [
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{id}}}"),
            String::new(),
            "1".into(),
        ] {
            assert!(bad.parse::<OrderId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_booking_reference_has_thirty_characters_and_reads_back() {
        let order = OrderId::generate();
        let reference = BookingReference::new(order, 7);
        assert_eq!((reference.as_str().len(), reference.order()), (30, order));
        assert!(reference.as_str().ends_with("07"));
        assert_eq!(BookingReference::parse(reference.as_str()), Some(reference));
        for bad in ["", "SL", "KD20261123000187", "SLAAAAAAAAAAAAAAAAAAAAAAAAAA0x"] {
            assert_eq!(BookingReference::parse(bad), None, "{bad}");
        }
    }
}
