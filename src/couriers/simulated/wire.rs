//! What the simulated courier's API speaks, translated to and from this service's words.
//!
//! Nothing here does I/O. What comes in is not believed: codes are checked before they may reach a log, and a status
//! this service does not know is passed on as "nothing changed", never guessed at.

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use crate::clock::{BusinessTime, Moment};
use crate::couriers::client::safe_code;
use crate::couriers::{Booked, BookingRequest, CourierEvent, News};
use crate::domain::contact::Address;
use crate::domain::ids::BookingReference;
use crate::domain::shipment::TrackingStatus;
use crate::privacy::Pii;

/// Body of `POST /parcels`. Holds a person: made for one request.
#[derive(Serialize)]
pub(super) struct BookBody<'a> {
    reference: &'a str,
    consignee: PartyBody<'a>,
    sender: PartyBody<'a>,
    parcel: ParcelBody<'a>,
}

#[derive(Serialize)]
struct PartyBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<&'a str>,
    phone: &'a str,
    address: AddressBody<'a>,
}

#[derive(Serialize)]
struct AddressBody<'a> {
    province: &'a str,
    city: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    district: Option<&'a str>,
    street: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<&'a str>,
    country: String,
}

#[derive(Serialize)]
struct ParcelBody<'a> {
    weight_g: u32,
    length_mm: u32,
    width_mm: u32,
    height_mm: u32,
    contents: &'a str,
}

impl<'a> From<&'a BookingRequest> for BookBody<'a> {
    fn from(request: &'a BookingRequest) -> Self {
        let (length_mm, width_mm, height_mm) = request.parcel.size_mm;
        Self {
            reference: request.reference.as_str(),
            consignee: PartyBody {
                name: request.consignee.name.expose(),
                company: None,
                phone: request.consignee.phone.e164(),
                address: address(&request.consignee.address),
            },
            sender: PartyBody {
                name: &request.sender.name,
                company: request.sender.company.as_deref(),
                phone: request.sender.phone.e164(),
                address: address(&request.sender.address),
            },
            parcel: ParcelBody {
                weight_g: request.parcel.weight_g,
                length_mm,
                width_mm,
                height_mm,
                contents: &request.parcel.contents,
            },
        }
    }
}

fn address(address: &Address) -> AddressBody<'_> {
    AddressBody {
        province: address.province(),
        city: address.city(),
        district: address.district(),
        street: address.street(),
        postal_code: address.postal_code(),
        country: address.country().as_str().to_owned(),
    }
}

/// Body of `POST /track`.
#[derive(Serialize)]
pub(super) struct TrackBody<'a> {
    pub(super) tracking_nos: Vec<&'a str>,
    pub(super) references: Vec<&'a str>,
}

/// Body of `POST /cancel`: the tracking number where it is known (it must not stand in a URL), else the reference.
#[derive(Serialize)]
pub(super) struct CancelBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracking_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<&'a str>,
}

/// Answer of `POST /parcels`.
#[derive(Deserialize)]
pub(super) struct BookAnswer {
    tracking_no: Pii<String>,
    reference: String,
}

impl BookAnswer {
    /// The booked parcel; `None` when the answer is about something else or cannot be a tracking number.
    pub(super) fn for_reference(self, reference: &BookingReference) -> Option<Booked> {
        if self.reference != reference.as_str() {
            return None;
        }
        booked(self.tracking_no)
    }
}

/// Answer of `GET /parcels?reference=`.
#[derive(Deserialize)]
pub(super) struct FoundAnswer {
    data: Vec<FoundParcel>,
}

#[derive(Deserialize)]
struct FoundParcel {
    tracking_no: Pii<String>,
    cancelled: bool,
}

impl FoundAnswer {
    /// The first parcel that is not cancelled: `Ok(None)` when there is none, `Err` when its number is unusable.
    pub(super) fn first_live(self) -> Result<Option<Booked>, ()> {
        match self.data.into_iter().find(|parcel| !parcel.cancelled) {
            Some(parcel) => booked(parcel.tracking_no).map(Some).ok_or(()),
            None => Ok(None),
        }
    }
}

fn booked(tracking_no: Pii<String>) -> Option<Booked> {
    is_tracking_no(tracking_no.expose()).then(|| Booked::under(Some(tracking_no)))
}

fn is_tracking_no(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Answer of `POST /track`.
#[derive(Deserialize)]
pub(super) struct TrackAnswer {
    pub(super) data: Vec<EventBody>,
}

/// An error's body.
#[derive(Deserialize)]
pub(super) struct ErrorAnswer {
    pub(super) code: String,
}

/// A webhook's body.
#[derive(Deserialize)]
pub(super) struct WebhookBody {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) data: EventBody,
}

/// One piece of news, in a webhook or as the answer to a query.
#[derive(Deserialize)]
pub(super) struct EventBody {
    reference: Option<String>,
    tracking_no: Option<Pii<String>>,
    status: String,
    code: String,
    occurred_at: DateTime<Utc>,
    remark: Option<Pii<String>>,
}

impl From<EventBody> for CourierEvent {
    fn from(body: EventBody) -> Self {
        Self {
            reference: body.reference.as_deref().and_then(BookingReference::parse),
            tracking_no: body.tracking_no.filter(|number| is_tracking_no(number.expose())),
            provider_ref: None,
            new_tracking_no: None,
            new_provider_ref: None,
            news: TrackingStatus::parse(&body.status).map_or(News::Unchanged, News::Moved),
            code: safe_code(&body.code).unwrap_or("unknown").to_owned(),
            at: BusinessTime::from_utc(body.occurred_at.trunc_subsecs(6)),
            remark: body.remark.filter(|remark| !remark.expose().is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(status: &str, code: &str) -> CourierEvent {
        let body = serde_json::json!({"reference": "KD1", "tracking_no": "SM000000000001", "status": status, "code": code,
            "occurred_at": "2026-11-23T08:00:00.123456789Z", "remark": ""});
        serde_json::from_value::<EventBody>(body).unwrap().into()
    }

    #[test]
    fn an_unknown_status_keeps_the_state_and_a_known_one_is_read() {
        assert_eq!(event("abducted", "S99").news, News::Unchanged);
        assert_eq!(event("delivered", "S80").news, News::Moved(TrackingStatus::Delivered));
        assert_eq!(event("delivered", "S80").code, "S80");
    }

    #[test]
    fn free_text_never_passes_for_a_code_and_a_foreign_reference_never_for_ours() {
        assert_eq!(event("delivered", "signed by 张三").code, "unknown");
        assert_eq!(event("delivered", "P13800138000").code, "unknown");
        assert_eq!(event("delivered", "S80").reference, None);
        assert_eq!(event("delivered", "S80").remark, None);
    }

    #[test]
    fn times_are_cut_to_what_both_engines_keep() {
        assert_eq!(event("delivered", "S80").at.utc().timestamp_subsec_nanos(), 123_456_000);
    }
}
