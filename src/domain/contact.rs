//! Who gets a parcel, and where: read from a body with every refusal collected, shown masked, sealed whole.
//!
//! Nothing here prints a person: the texts are [`Pii`], and only [`MaskedRecipient`] is made to be shown.

mod address;
mod country;
mod name;
mod phone;

use serde::{Deserialize, Serialize};

use crate::domain::invalid::{FieldErrors, Invalid, without_control};
use crate::privacy::Pii;

pub use address::{Address, AddressParts};
pub use country::Country;
pub use name::Name;
pub use phone::Phone;

/// Everything a courier needs to know of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Who.
    pub name: Name,
    /// Where the courier calls.
    pub phone: Phone,
    /// Where the parcel goes.
    pub address: Address,
}

/// A recipient as it stands in a body, nothing checked.
#[derive(Clone, Copy)]
pub struct RecipientParts<'a> {
    /// Who.
    pub name: &'a str,
    /// As people type it; without `+` a number of `country`.
    pub phone: &'a str,
    /// Province or state.
    pub province: &'a str,
    /// City; of a municipality the same as the province.
    pub city: &'a str,
    /// District or county. Empty is as good as absent.
    pub district: Option<&'a str>,
    /// Street, building and room.
    pub street: &'a str,
    /// Postal code. Empty is as good as absent.
    pub postal_code: Option<&'a str>,
    /// ISO 3166-1 alpha-2; China when absent.
    pub country: Option<&'a str>,
}

impl Recipient {
    /// Reads a recipient and collects what is wrong with it under `<pointer_prefix>/name` and so on. The codes are those
    /// of [`Name::parse`], [`Phone::parse`] and [`Address::parse`].
    pub fn parse(parts: &RecipientParts<'_>, pointer_prefix: &str, errors: &mut FieldErrors) -> Option<Self> {
        let place = AddressParts {
            province: parts.province,
            city: parts.city,
            district: parts.district,
            street: parts.street,
            postal_code: parts.postal_code,
            country: parts.country,
        };
        let name = errors.take(format!("{pointer_prefix}/name"), Name::parse(parts.name));
        // Where the country is refused, a number cannot be judged by it: only that is reported, at the country.
        let phone = match place.country() {
            Ok(home) => errors.take(format!("{pointer_prefix}/phone"), Phone::parse(parts.phone, home)),
            Err(_) => None,
        };
        let address = Address::parse(&place, pointer_prefix, errors);
        Some(Self {
            name: name?,
            phone: phone?,
            address: address?,
        })
    }

    /// What may be shown by default.
    pub fn masked(&self) -> MaskedRecipient {
        MaskedRecipient {
            name: self.name.masked(),
            phone: self.phone.masked(),
            region: self.address.masked(),
        }
    }

    /// The form in which it is sealed.
    pub fn to_stored(&self) -> StoredRecipient {
        StoredRecipient {
            name: self.name.expose().to_owned(),
            e164: self.phone.e164().to_owned(),
            national: self.phone.national(),
            province: self.address.province().to_owned(),
            city: self.address.city().to_owned(),
            district: self.address.district().map(str::to_owned),
            street: self.address.street().to_owned(),
            postal_code: self.address.postal_code().map(str::to_owned),
            country: self.address.country().as_str().to_owned(),
        }
    }
}

/// A recipient as everybody may see it. Holds only masks, so it may be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedRecipient {
    /// `张*`
    pub name: String,
    /// `138******00`
    pub phone: String,
    /// `广东省深圳市南山区`
    pub region: String,
}

/// A recipient in the clear, only for the vault's sealing and opening. It can be serialised, which [`Pii`] cannot: never
/// answer with it, log it or keep it. The short names are stored in every sealed value and stay as they are.
#[derive(Serialize, Deserialize)]
pub struct StoredRecipient {
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "p")]
    e164: String,
    #[serde(rename = "l")]
    national: String,
    #[serde(rename = "r")]
    province: String,
    #[serde(rename = "c")]
    city: String,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    district: Option<String>,
    #[serde(rename = "s")]
    street: String,
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    postal_code: Option<String>,
    #[serde(rename = "k")]
    country: String,
}

impl StoredRecipient {
    /// Takes what was opened. It is not held to the rules for bodies again, which may have become stricter since; it is
    /// only asked whether it can be a recipient at all.
    ///
    /// # Errors
    /// `corrupt` when it cannot.
    pub fn restore(self) -> Result<Recipient, Invalid> {
        let address = Address::restore(&AddressParts {
            province: &self.province,
            city: &self.city,
            district: self.district.as_deref(),
            street: &self.street,
            postal_code: self.postal_code.as_deref(),
            country: Some(&self.country),
        })?;
        Ok(Recipient {
            name: Name::restore(self.name)?,
            phone: Phone::restore(self.e164, self.national)?,
            address,
        })
    }
}

fn corrupt() -> Invalid {
    Invalid::new("corrupt", "a stored contact is not one that was ever taken in")
}

/// A text that was checked when it was taken in: not empty, no control characters, not absurdly long.
fn stored_text(text: String) -> Result<Pii<String>, Invalid> {
    if text.is_empty() || text.len() > 4096 || without_control(&text).is_err() {
        return Err(corrupt());
    }
    Ok(Pii::new(text))
}

#[cfg(test)]
mod tests;
