//! `POST /parcels`: takes a parcel on, or goes wrong as the faults ask.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::super::Shared;
use super::super::faults::{Call, FaultKind};
use super::super::journal::lock;
use super::super::parcel_lifecycle::End;
use super::super::webhook_sender::Announcement;
use super::{Reply, disturbed, read};
use crate::privacy::Pii;

/// How long an answer waits for the webhook that is to come before it.
const WEBHOOK_FIRST_AT_MOST: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BookRequest {
    reference: String,
    consignee: Party,
    sender: Option<Party>,
    parcel: Option<ParcelSize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Party {
    name: Pii<String>,
    company: Option<String>,
    phone: Pii<String>,
    address: PartyAddress,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartyAddress {
    province: Pii<String>,
    city: Pii<String>,
    district: Option<Pii<String>>,
    street: Pii<String>,
    postal_code: Option<Pii<String>>,
    country: Option<Pii<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParcelSize {
    weight_g: u32,
    length_mm: u32,
    width_mm: u32,
    height_mm: u32,
    contents: Option<String>,
}

impl BookRequest {
    /// What is missing, as a courier would say it.
    fn refusal(&self) -> Option<&'static str> {
        if !is_reference(&self.reference) {
            return Some("invalid_reference");
        }
        if !self.consignee.is_complete() {
            return Some("incomplete_consignee");
        }
        if self.sender.as_ref().is_some_and(|sender| !sender.is_complete()) {
            return Some("incomplete_sender");
        }
        self.parcel
            .as_ref()
            .is_some_and(|parcel| !parcel.is_plausible())
            .then_some("invalid_parcel")
    }
}

impl Party {
    fn is_complete(&self) -> bool {
        let PartyAddress {
            province,
            city,
            district,
            street,
            postal_code,
            country,
        } = &self.address;
        let given = |text: &Pii<String>| !text.expose().trim().is_empty();
        let given_if_there = |text: &Option<Pii<String>>| text.as_ref().is_none_or(given);
        [&self.name, &self.phone, province, city, street].into_iter().all(given)
            && [district, postal_code, country].into_iter().all(given_if_there)
            && self.company.as_ref().is_none_or(|company| !company.trim().is_empty())
    }
}

impl ParcelSize {
    fn is_plausible(&self) -> bool {
        [self.weight_g, self.length_mm, self.width_mm, self.height_mm]
            .into_iter()
            .all(|size| size > 0)
            && self
                .contents
                .as_ref()
                .is_none_or(|contents| !contents.trim().is_empty())
    }
}

fn is_reference(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

pub(super) async fn book(shared: Data<Shared>, body: Bytes) -> Reply {
    let request: BookRequest = match read(&body) {
        Ok(request) => request,
        Err(reply) => return reply,
    };
    if let Some(code) = request.refusal() {
        return Reply::error(StatusCode::UNPROCESSABLE_ENTITY, code);
    }
    // The person ends here: what follows may outlive the request.
    let reference = request.reference.clone();
    drop((request, body));
    // A task of its own: whatever the server does with the handler of a caller that gave up, the booking goes on.
    let booking = tokio::spawn(book_for(shared.into_inner(), reference));
    booking.await.unwrap_or_else(|_| Reply::not_stored())
}

async fn book_for(shared: Arc<Shared>, reference: String) -> Reply {
    if shared.strike(FaultKind::DropBeforeBooking, Call::Book).is_some() {
        return Reply::HangUp;
    }
    if let Some(reply) = disturbed(&shared, Call::Book).await {
        return reply;
    }
    if let Some(fault) = shared.strike(FaultKind::Refuse, Call::Book) {
        return Reply::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            fault.code.as_deref().unwrap_or("refused"),
        );
    }
    let end = [
        (FaultKind::Lost, End::Lost),
        (FaultKind::Returned, End::Returned),
        (FaultKind::Rejected, End::Rejected),
    ]
    .into_iter()
    .find(|(fault, _)| shared.strike(*fault, Call::Book).is_some())
    .map_or(End::Delivered, |(_, end)| end);
    let Ok(ordinal) = shared
        .journal
        .book(reference.clone(), shared.clock.business_now(), end)
        .await
    else {
        return Reply::not_stored();
    };
    // Nobody is told when there is no receiver, and then there is nothing to wait for.
    let webhook_first =
        shared.webhook_url.borrow().is_some() && shared.strike(FaultKind::WebhookBeforeAnswer, Call::Book).is_some();
    if webhook_first {
        let (first_tried, tried) = oneshot::channel();
        shared.announce(Announcement {
            ordinal,
            first_tried: Some(first_tried),
        });
        let _ = tokio::time::timeout(WEBHOOK_FIRST_AT_MOST, tried).await;
    } else {
        shared.announce(Announcement {
            ordinal,
            first_tried: None,
        });
    }
    if shared.strike(FaultKind::DropAfterBooking, Call::Book).is_some() {
        return Reply::HangUp;
    }
    let tracking_no = lock(&shared.store).tracking_no(ordinal);
    let body = json!({ "tracking_no": tracking_no, "ordinal": ordinal, "reference": reference });
    Reply::Answer {
        status: StatusCode::CREATED,
        body,
        retry_after: None,
    }
}
