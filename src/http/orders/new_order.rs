//! The body of `POST /v1/orders`: its shape, its defaults, and its way into the domain, which checks the values.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::clock::BusinessTime;
use crate::domain::checkout::{NewItemParts, NewOrder, NewOrderParts};
use crate::domain::invalid::FieldErrors;
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::http::recipient::RecipientBody;
use crate::privacy::Pii;

/// An order to be placed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrder)]
pub struct NewOrderBody {
    /// The client's own name for the order, unique for it. A fact that stays: no personal data in it.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "KD20261123000187")]
    reference: String,
    recipient: RecipientBody,
    #[schema(min_items = 1, max_items = 20)]
    items: Vec<NewItemBody>,
    /// A decimal of 0 or more with at most as many decimals as the currency has; a string, never a number.
    #[schema(example = "12.90")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "CNY")]
    currency: String,
    /// The configured default when it is left out.
    #[schema(example = "simulated")]
    courier: Option<String>,
    /// `false` places a draft, which waits for `confirm`; `true` when it is left out.
    #[schema(default = true)]
    confirm: Option<bool>,
    consent: ConsentBody,
}

/// One line of an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewItem)]
struct NewItemBody {
    /// A code of `GET /v1/photo-sizes`.
    #[schema(example = "cn-1in")]
    photo_size: String,
    #[schema(minimum = 1, maximum = 999)]
    copies: i64,
    #[schema(minimum = 1, maximum = 99, default = 1)]
    sheets: Option<i64>,
    /// Where the print floor finds the photo; sealed, and destroyed with the recipient.
    #[schema(value_type = Option<String>, max_length = 512, example = "oss://id-photos/2026/11/23/a.jpg")]
    photo: Option<Pii<String>>,
}

/// What the recipient agreed to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Consent)]
struct ConsentBody {
    #[schema(example = "2024-06", max_length = 64)]
    policy_version: String,
    /// At most five minutes ahead.
    #[schema(format = DateTime)]
    accepted_at: String,
    /// That the courier is told name, phone and address; without it nothing is placed.
    courier_sharing: bool,
    /// `contract` (when it is left out) or `consent`.
    legal_basis: Option<String>,
    /// That the data may leave the country.
    #[schema(default = false)]
    cross_border: Option<bool>,
    /// Whether the recipient is under 18.
    #[schema(default = false)]
    minor: Option<bool>,
    /// Of a minor's guardian; needed where `minor` is true.
    #[schema(default = false)]
    guardian_consent: Option<bool>,
}

impl NewOrderBody {
    /// The order, every value checked at `now` (business time).
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(super) fn read(&self, now: BusinessTime) -> Result<NewOrder, Problem> {
        let mut errors = FieldErrors::new();
        NewOrder::parse(&self.parts(), now, &mut errors).ok_or_else(|| app_error::invalid(errors.into_vec()))
    }

    fn parts(&self) -> NewOrderParts<'_> {
        NewOrderParts {
            reference: &self.reference,
            recipient: self.recipient.parts(),
            items: self.items.iter().map(NewItemBody::parts).collect(),
            amount: &self.amount,
            currency: &self.currency,
            courier: self.courier.as_deref(),
            confirm: self.confirm.unwrap_or(true),
            policy_version: &self.consent.policy_version,
            accepted_at: &self.consent.accepted_at,
            legal_basis: self.consent.legal_basis.as_deref(),
            courier_sharing: self.consent.courier_sharing,
            cross_border: self.consent.cross_border.unwrap_or(false),
            minor: self.consent.minor.unwrap_or(false),
            guardian_consent: self.consent.guardian_consent.unwrap_or(false),
        }
    }
}

impl NewItemBody {
    fn parts(&self) -> NewItemParts<'_> {
        NewItemParts {
            photo_size: &self.photo_size,
            copies: self.copies,
            sheets: self.sheets.unwrap_or(1),
            photo: self.photo.as_ref().map(|photo| photo.expose().as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::extract::json::parse;

    fn now() -> BusinessTime {
        "2026-11-23T08:00:00Z".parse().unwrap()
    }

    fn minimal() -> Value {
        json!({
            "reference": "KD20261123000187",
            "recipient": {"name": "张三", "phone": "13800138000", "province": "广东省", "city": "深圳市", "street": "路1号"},
            "items": [{"photo_size": "cn-1in", "copies": 8}],
            "amount": "12.90", "currency": "CNY",
            "consent": {"policy_version": "2024-06", "accepted_at": "2026-11-23T16:00:00+08:00", "courier_sharing": true}
        })
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut body = minimal();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[member] = value;
        body
    }

    fn read(body: &Value) -> Result<NewOrder, Problem> {
        parse::<NewOrderBody>(body.to_string().as_bytes())?.read(now())
    }

    #[test]
    fn what_is_left_out_or_null_has_the_contracts_default() {
        let mut nulls = minimal();
        for (object, members) in [
            ("", &["courier", "confirm"][..]),
            ("/recipient", &["district", "postal_code", "country"]),
            ("/items/0", &["sheets", "photo"]),
            (
                "/consent",
                &["legal_basis", "cross_border", "minor", "guardian_consent"],
            ),
        ] {
            for member in members {
                nulls.pointer_mut(object).unwrap()[member] = Value::Null;
            }
        }
        for body in [minimal(), nulls] {
            let order = read(&body).unwrap();
            assert!(order.confirm && order.courier.is_none());
            assert_eq!(order.items[0].sheets, 1);
            assert_eq!(order.recipient.address.country().as_str(), "CN");
            assert_eq!(order.consent.legal_basis.as_str(), "contract");
            assert!(!order.consent.cross_border && !order.consent.minor && !order.consent.guardian_consent);
            assert_eq!(order.consent.accepted_at, now());
        }
    }

    #[test]
    fn an_amount_that_is_a_number_is_the_wrong_shape() {
        let refused = read(&with("/amount", json!(12.9))).unwrap_err();
        assert_eq!(
            (refused.code(), refused.errors()[0].pointer.as_str()),
            ("invalid_body", "/amount")
        );
    }

    #[test]
    fn unknown_fields_are_refused_at_every_depth() {
        for pointer in ["/extra", "/recipient/nick", "/items/0/colour", "/consent/extra"] {
            let refused = read(&with(pointer, json!(1))).unwrap_err();
            assert_eq!(refused.errors()[0].invalid.code, "unknown_field", "{pointer}");
        }
    }

    #[test]
    fn the_contracts_named_codes_are_the_problems_own() {
        for (pointer, value, code) in [
            ("/consent/courier_sharing", json!(false), "consent_required"),
            ("/consent/minor", json!(true), "guardian_consent_required"),
            ("/items/0/photo_size", json!("xx"), "unknown_photo_size"),
        ] {
            assert_eq!(read(&with(pointer, value)).unwrap_err().code(), code);
        }
    }

    #[test]
    fn every_wrong_value_is_named_at_once_where_it_stands() {
        let mut body = with("/reference", json!("张三"));
        body["consent"]["accepted_at"] = json!("yesterday");
        body["items"][0]["copies"] = json!(1000);
        body["recipient"]["phone"] = json!("1");
        let refused = read(&body).unwrap_err();
        let mut pointers: Vec<&str> = refused.errors().iter().map(|error| error.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(
            pointers,
            [
                "/consent/accepted_at",
                "/items/0/copies",
                "/recipient/phone",
                "/reference"
            ]
        );
    }
}
