//! An order as checkout asks for it: every value checked, every refusal collected.

use chrono::TimeDelta;

use crate::clock::BusinessTime;
use crate::domain::contact::{Recipient, RecipientParts};
use crate::domain::invalid::{FieldErrors, Invalid, bounded_text, moment};
use crate::domain::money::Money;
use crate::domain::photo_size::{self, PhotoSize};
use crate::privacy::Pii;

/// An order that may be placed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of the contract, by their names")]
pub struct NewOrder {
    pub reference: String,
    pub recipient: Recipient,
    pub items: Vec<NewItem>,
    pub amount: Money,
    pub courier: Option<String>,
    pub confirm: bool,
    pub consent: Consent,
}

/// One line of a new order.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of the contract, by their names")]
pub struct NewItem {
    pub size: &'static PhotoSize,
    pub copies: i16,
    pub sheets: i16,
    pub photo: Option<Pii<String>>,
}

/// What the recipient agreed to.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of the contract, by their names")]
pub struct Consent {
    pub policy_version: String,
    pub accepted_at: BusinessTime,
    pub legal_basis: LegalBasis,
    pub cross_border: bool,
    pub minor: bool,
    pub guardian_consent: bool,
}

/// Why the law allows the processing (PIPL 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegalBasis {
    /// The contract needs it.
    Contract,
    /// The person agreed.
    Consent,
}

impl LegalBasis {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Consent => "consent",
        }
    }
}

/// A body of the right shape whose values are not checked yet.
#[expect(missing_docs, reason = "the fields of the contract, by their names")]
pub struct NewOrderParts<'a> {
    pub reference: &'a str,
    pub recipient: RecipientParts<'a>,
    pub items: Vec<NewItemParts<'a>>,
    pub amount: &'a str,
    pub currency: &'a str,
    pub courier: Option<&'a str>,
    pub confirm: bool,
    pub policy_version: &'a str,
    pub accepted_at: &'a str,
    pub legal_basis: Option<&'a str>,
    pub courier_sharing: bool,
    pub cross_border: bool,
    pub minor: bool,
    pub guardian_consent: bool,
}

/// An item of the right shape whose values are not checked yet.
#[expect(missing_docs, reason = "the fields of the contract, by their names")]
pub struct NewItemParts<'a> {
    pub photo_size: &'a str,
    pub copies: i64,
    pub sheets: i64,
    pub photo: Option<&'a str>,
}

/// At most this many items.
const MAX_ITEMS: usize = 20;

impl NewOrder {
    /// Checks every value at `now` (business time) and collects every refusal; `None` where there was one.
    pub fn parse(parts: &NewOrderParts<'_>, now: BusinessTime, errors: &mut FieldErrors) -> Option<Self> {
        let reference = errors.take("/reference", parse_reference(parts.reference));
        let recipient = Recipient::parse(&parts.recipient, "/recipient", errors);
        let counted = (1..=MAX_ITEMS).contains(&parts.items.len());
        if !counted {
            errors.push(
                "/items",
                Invalid::new("out_of_range", format!("must have between 1 and {MAX_ITEMS} items")),
            );
        }
        let items: Vec<Option<NewItem>> = parts
            .items
            .iter()
            .take(MAX_ITEMS)
            .enumerate()
            .map(|(index, item)| parse_item(item, index, errors))
            .collect();
        let amount = Money::parse(parts.amount, parts.currency, "/amount", "/currency", errors);
        let consent = parse_consent(parts, now, errors);
        counted.then_some(())?;
        Some(Self {
            reference: reference?,
            recipient: recipient?,
            items: items.into_iter().collect::<Option<_>>()?,
            amount: amount?,
            courier: parts.courier.map(str::to_owned),
            confirm: parts.confirm,
            consent: consent?,
        })
    }

    /// Everything that makes two requests the same, in a fixed order, for a keyed hash.
    pub fn identity(&self) -> Vec<Vec<u8>> {
        let text = |value: &str| value.as_bytes().to_vec();
        let address = &self.recipient.address;
        let mut parts = vec![
            text(&self.reference),
            text(self.recipient.name.expose()),
            text(self.recipient.phone.e164()),
            text(address.province()),
            text(address.city()),
            text(address.district().unwrap_or("")),
            text(address.street()),
            text(address.postal_code().unwrap_or("")),
            text(address.country().as_str()),
            text(&self.amount.minor().to_string()),
            text(self.amount.currency().code()),
            text(self.courier.as_deref().unwrap_or("")),
            text(&self.confirm.to_string()),
            text(&self.consent.policy_version),
            text(&self.consent.accepted_at.timestamp_micros().to_string()),
            text(self.consent.legal_basis.as_str()),
            text(&format!(
                "{}{}{}",
                self.consent.cross_border, self.consent.minor, self.consent.guardian_consent
            )),
        ];
        for item in &self.items {
            parts.push(text(&format!("{}|{}|{}", item.size.code, item.copies, item.sheets)));
            parts.push(text(item.photo.as_ref().map_or("", |photo| photo.expose())));
        }
        parts
    }
}

fn parse_reference(text: &str) -> Result<String, Invalid> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Invalid::new(
            "invalid_format",
            "must have 1 to 64 characters of A-Z a-z 0-9 . _ : - and no personal data",
        ))
    }
}

fn parse_item(item: &NewItemParts<'_>, index: usize, errors: &mut FieldErrors) -> Option<NewItem> {
    let at = |field: &str| format!("/items/{index}/{field}");
    let size = photo_size::find(item.photo_size).ok_or_else(|| {
        Invalid::new(
            "unknown_photo_size",
            "must be a code of the catalogue: GET /v1/photo-sizes lists them",
        )
    });
    let size = errors.take(at("photo_size"), size);
    let copies = errors.take(at("copies"), in_range(item.copies, 1, 999));
    let sheets = errors.take(at("sheets"), in_range(item.sheets, 1, 99));
    let photo = match item.photo {
        None => Some(None),
        Some(photo) => errors
            .take(at("photo"), bounded_text(photo, 1, 512))
            .map(|photo| Some(Pii::new(photo))),
    };
    Some(NewItem {
        size: size?,
        copies: copies?,
        sheets: sheets?,
        photo: photo?,
    })
}

fn in_range(value: i64, min: i16, max: i16) -> Result<i16, Invalid> {
    match i16::try_from(value) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(Invalid::new("out_of_range", format!("must be between {min} and {max}"))),
    }
}

fn parse_consent(parts: &NewOrderParts<'_>, now: BusinessTime, errors: &mut FieldErrors) -> Option<Consent> {
    let policy_version = errors.take("/consent/policy_version", bounded_text(parts.policy_version, 1, 64));
    let accepted_at = moment(parts.accepted_at).and_then(|at| {
        if at > now + TimeDelta::minutes(5) {
            return Err(Invalid::new("out_of_range", "must be at most 5 minutes ahead"));
        }
        Ok(at)
    });
    let accepted_at = errors.take("/consent/accepted_at", accepted_at);
    let legal_basis = match parts.legal_basis {
        None | Some("contract") => Ok(LegalBasis::Contract),
        Some("consent") => Ok(LegalBasis::Consent),
        Some(_) => Err(Invalid::new("invalid_value", "must be contract or consent")),
    };
    let legal_basis = errors.take("/consent/legal_basis", legal_basis);
    let mut complete = true;
    if !parts.courier_sharing {
        complete = false;
        let why = "a parcel cannot be sent without consent to share the address with the courier";
        errors.push("/consent/courier_sharing", Invalid::new("consent_required", why));
    }
    if parts.minor && !parts.guardian_consent {
        complete = false;
        let why = "an order for a person under 18 needs a guardian's consent";
        errors.push(
            "/consent/guardian_consent",
            Invalid::new("guardian_consent_required", why),
        );
    }
    complete.then_some(())?;
    Some(Consent {
        policy_version: policy_version?,
        accepted_at: accepted_at?,
        legal_basis: legal_basis?,
        cross_border: parts.cross_border,
        minor: parts.minor,
        guardian_consent: parts.guardian_consent,
    })
}
