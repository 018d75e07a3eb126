//! The sandbox's doors: each handler reads, asks the ledger, answers. The documentation is in the parent module.
//!
//! A person in a request is checked for presence and dropped at once: it is never stored, logged or echoed.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, SizedStream};
use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Data, Path, Query, ServiceConfig, delete, get, post, put};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Responder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Shared;
use super::faults::{self, Call, FaultError, FaultKind, Faults};
use super::journal::{Line, lock};
use super::ledger::{Ledger, Parcel};
use super::life::End;
use super::post::{Announcement, News};
use crate::clock::Instant;
use crate::privacy::Pii;

/// Parcels on a page, without and with `limit`.
const DEFAULT_PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

/// The most parcels one `POST /track` may name.
const TRACK_AT_MOST: usize = 100;

const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
const DEFAULT_SLOWNESS: Duration = Duration::from_secs(5);

/// How long an answer waits for the webhook that is to come before it.
const WEBHOOK_FIRST_AT_MOST: Duration = Duration::from_secs(5);

/// Every route.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/parcels", post().to(book))
        .route("/parcels", get().to(list))
        .route("/parcels/{tracking_no}", get().to(one))
        .route("/parcels/{tracking_no}/events", get().to(events))
        .route("/parcels/{tracking_no}/cancel", post().to(cancel_one))
        .route("/cancel", post().to(cancel))
        .route("/track", post().to(track))
        .route("/faults", get().to(faults_now))
        .route("/faults", put().to(faults_set))
        .route("/faults", delete().to(faults_cleared))
        .route("/webhook", get().to(webhook_now))
        .route("/webhook", put().to(webhook_set))
        .route("/healthz", get().to(health))
        .default_service(actix_web::web::to(|| async { Reply::error(StatusCode::NOT_FOUND, "no_such_route") }));
}

/// What a caller gets.
enum Reply {
    Answer { status: StatusCode, body: Value, retry_after: Option<Duration> },
    /// The connection is closed without a byte.
    HangUp,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self::Answer { status: StatusCode::OK, body, retry_after: None }
    }

    fn error(status: StatusCode, code: &str) -> Self {
        Self::Answer { status, body: json!({ "code": code }), retry_after: None }
    }

    fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "parcel_not_found")
    }

    /// Not 503 `down`: the line may have reached the disk before the failure.
    fn not_stored() -> Self {
        Self::error(StatusCode::INTERNAL_SERVER_ERROR, "not_stored")
    }
}

/// Ends an answer's body before its first byte; the server then drops the connection with the head still unsent.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox hangs up, as its faults ask")]
struct HungUp;

impl Responder for Reply {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        match self {
            Self::Answer { status, body, retry_after } => {
                let mut answer = HttpResponseBuilder::new(status);
                if let Some(wait) = retry_after {
                    // Whole seconds, rounded up: earlier would be refused again.
                    answer.insert_header((header::RETRY_AFTER, wait.as_millis().div_ceil(1000).to_string()));
                }
                answer.json(body)
            }
            Self::HangUp => {
                let nothing = futures_util::stream::once(async { Err::<Bytes, HungUp>(HungUp) });
                HttpResponse::Ok().force_close().body(SizedStream::new(1, Box::pin(nothing)))
            }
        }
    }
}

/// Reads a body. What was wrong is told by its place, never by its content.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if error.inner().is_data() {
            let body = json!({ "code": "invalid_request", "field": error.path().to_string() });
            Reply::Answer { status: StatusCode::UNPROCESSABLE_ENTITY, body, retry_after: None }
        } else {
            Reply::error(StatusCode::BAD_REQUEST, "malformed_json")
        }
    })
}

/// Strikes with what can hit any call. `Some`: that is the answer.
async fn disturbed(shared: &Shared, call: Call) -> Option<Reply> {
    if let Some(fault) = shared.strike(FaultKind::RateLimit, call) {
        let mut reply = Reply::error(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
        if let Reply::Answer { retry_after, .. } = &mut reply {
            *retry_after = Some(fault.delay_or(DEFAULT_RETRY_AFTER));
        }
        return Some(reply);
    }
    if shared.strike(FaultKind::Down, call).is_some() {
        return Some(Reply::error(StatusCode::SERVICE_UNAVAILABLE, "down"));
    }
    if let Some(fault) = shared.strike(FaultKind::Slow, call) {
        tokio::time::sleep(fault.delay_or(DEFAULT_SLOWNESS)).await;
    }
    None
}

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
        self.parcel.as_ref().is_some_and(|parcel| !parcel.is_plausible()).then_some("invalid_parcel")
    }
}

impl Party {
    fn is_complete(&self) -> bool {
        let PartyAddress { province, city, district, street, postal_code, country } = &self.address;
        let given = |text: &Pii<String>| !text.expose().trim().is_empty();
        let given_if_there = |text: &Option<Pii<String>>| text.as_ref().is_none_or(given);
        [&self.name, &self.phone, province, city, street].into_iter().all(given)
            && [district, postal_code, country].into_iter().all(given_if_there)
            && self.company.as_ref().is_none_or(|company| !company.trim().is_empty())
    }
}

impl ParcelSize {
    fn is_plausible(&self) -> bool {
        [self.weight_g, self.length_mm, self.width_mm, self.height_mm].into_iter().all(|size| size > 0)
            && self.contents.as_ref().is_none_or(|contents| !contents.trim().is_empty())
    }
}

fn is_reference(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

async fn book(shared: Data<Shared>, body: Bytes) -> Reply {
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
    // A task of its own: a caller that gives up drops the handler, not the booking.
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
        return Reply::error(StatusCode::UNPROCESSABLE_ENTITY, fault.code.as_deref().unwrap_or("refused"));
    }
    let end = [(FaultKind::Lost, End::Lost), (FaultKind::Returned, End::Returned), (FaultKind::Rejected, End::Rejected)]
        .into_iter()
        .find(|(fault, _)| shared.strike(*fault, Call::Book).is_some())
        .map_or(End::Delivered, |(_, end)| end);
    let Ok(ordinal) = shared.journal.book(reference.clone(), shared.clock.business_now(), end).await else {
        return Reply::not_stored();
    };
    // Nobody is told when there is no receiver, and then there is nothing to wait for.
    let webhook_first = shared.webhook_url.borrow().is_some()
        && shared.strike(FaultKind::WebhookBeforeAnswer, Call::Book).is_some();
    if webhook_first {
        let (first_tried, tried) = oneshot::channel();
        shared.announce(Announcement { ordinal, first_tried: Some(first_tried) });
        let _ = tokio::time::timeout(WEBHOOK_FIRST_AT_MOST, tried).await;
    } else {
        shared.announce(Announcement { ordinal, first_tried: None });
    }
    if shared.strike(FaultKind::DropAfterBooking, Call::Book).is_some() {
        return Reply::HangUp;
    }
    let tracking_no = lock(&shared.ledger).tracking_no(ordinal);
    let body = json!({ "tracking_no": tracking_no, "ordinal": ordinal, "reference": reference });
    Reply::Answer { status: StatusCode::CREATED, body, retry_after: None }
}

fn parcel_json(ledger: &Ledger, parcel: &Parcel, now: Instant) -> Value {
    json!({
        "tracking_no": ledger.tracking_no(parcel.ordinal),
        "ordinal": parcel.ordinal,
        "reference": parcel.reference,
        "booked_at": parcel.booked_at,
        "status": parcel.status(now).as_str(),
        "cancelled": parcel.cancelled_at.is_some(),
    })
}

#[derive(Deserialize)]
struct ListQuery {
    reference: Option<String>,
    limit: Option<usize>,
    after: Option<u64>,
}

async fn list(shared: Data<Shared>, query: Query<ListQuery>) -> Reply {
    if let Some(reply) = disturbed(&shared, Call::Query).await {
        return reply;
    }
    let now = shared.clock.business_now();
    let ledger = lock(&shared.ledger);
    if let Some(reference) = &query.reference {
        let data: Vec<Value> = ledger.of_reference(reference).map(|parcel| parcel_json(&ledger, parcel, now)).collect();
        return Reply::ok(json!({ "count": data.len(), "data": data }));
    }
    let limit = query.limit.unwrap_or(DEFAULT_PAGE).clamp(1, LARGEST_PAGE);
    let page: Vec<&Parcel> = ledger.after(query.after.unwrap_or(0)).take(limit).collect();
    let last = page.last().map(|parcel| parcel.ordinal);
    let next_after = last.filter(|ordinal| *ordinal < ledger.count());
    let data: Vec<Value> = page.into_iter().map(|parcel| parcel_json(&ledger, parcel, now)).collect();
    Reply::ok(json!({ "count": ledger.count(), "data": data, "next_after": next_after }))
}

async fn one(shared: Data<Shared>, tracking_no: Path<String>) -> Reply {
    if let Some(reply) = disturbed(&shared, Call::Query).await {
        return reply;
    }
    let ledger = lock(&shared.ledger);
    let parcel = ledger.by_tracking_no(&tracking_no);
    parcel.map_or_else(Reply::not_found, |parcel| Reply::ok(parcel_json(&ledger, parcel, shared.clock.business_now())))
}

async fn events(shared: Data<Shared>, tracking_no: Path<String>) -> Reply {
    if let Some(reply) = disturbed(&shared, Call::Query).await {
        return reply;
    }
    let ledger = lock(&shared.ledger);
    let parcel = ledger.by_tracking_no(&tracking_no);
    parcel.map_or_else(Reply::not_found, |parcel| news_reply(&ledger, &[parcel], shared.clock.business_now()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrackRequest {
    #[serde(default)]
    tracking_nos: Vec<Pii<String>>,
    #[serde(default)]
    references: Vec<String>,
}

async fn track(shared: Data<Shared>, body: Bytes) -> Reply {
    let request: TrackRequest = match read(&body) {
        Ok(request) => request,
        Err(reply) => return reply,
    };
    if request.tracking_nos.len() + request.references.len() > TRACK_AT_MOST {
        return Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "too_many");
    }
    if let Some(reply) = disturbed(&shared, Call::Query).await {
        return reply;
    }
    let ledger = lock(&shared.ledger);
    let mut parcels: Vec<&Parcel> =
        request.tracking_nos.iter().filter_map(|number| ledger.by_tracking_no(number.expose())).collect();
    parcels.extend(request.references.iter().flat_map(|reference| ledger.of_reference(reference)));
    parcels.sort_unstable_by_key(|parcel| parcel.ordinal);
    parcels.dedup_by_key(|parcel| parcel.ordinal);
    news_reply(&ledger, &parcels, shared.clock.business_now())
}

fn news_reply(ledger: &Ledger, parcels: &[&Parcel], now: Instant) -> Reply {
    let news: Vec<News<'_>> = parcels
        .iter()
        .flat_map(|parcel| parcel.history(now).map(move |(stage, at)| News::new(ledger, parcel, stage, at)))
        .collect();
    Reply::ok(json!({ "count": news.len(), "data": news }))
}

async fn cancel_one(shared: Data<Shared>, tracking_no: Path<String>) -> Reply {
    let found = lock(&shared.ledger).by_tracking_no(&tracking_no).map(|parcel| parcel.ordinal);
    cancel_all(&shared, found.into_iter().collect()).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelRequest {
    tracking_no: Option<Pii<String>>,
    reference: Option<String>,
}

async fn cancel(shared: Data<Shared>, body: Bytes) -> Reply {
    let request: CancelRequest = match read(&body) {
        Ok(request) => request,
        Err(reply) => return reply,
    };
    let found: Vec<u64> = {
        let ledger = lock(&shared.ledger);
        match (&request.tracking_no, &request.reference) {
            (Some(number), None) => ledger.by_tracking_no(number.expose()).map(|p| p.ordinal).into_iter().collect(),
            (None, Some(reference)) => ledger.of_reference(reference).map(|p| p.ordinal).collect(),
            _ => return Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "tracking_no_or_reference"),
        }
    };
    cancel_all(&shared, found).await
}

/// Calls off all of them, or says that it is too late for one (the others are called off all the same).
async fn cancel_all(shared: &Shared, ordinals: Vec<u64>) -> Reply {
    if let Some(reply) = disturbed(shared, Call::Cancel).await {
        return reply;
    }
    if ordinals.is_empty() {
        return Reply::not_found();
    }
    let now = shared.clock.business_now();
    let (mut too_late, mut to_cancel) = (false, Vec::new());
    {
        let ledger = lock(&shared.ledger);
        for parcel in ordinals.iter().filter_map(|ordinal| ledger.get(*ordinal)) {
            too_late |= parcel.is_picked_up(now);
            if parcel.cancelled_at.is_none() && !parcel.is_picked_up(now) {
                to_cancel.push(parcel.ordinal);
            }
        }
    }
    for ordinal in to_cancel {
        if shared.journal.write(Line::Cancelled { ordinal, at: now }).await.is_err() {
            return Reply::not_stored();
        }
    }
    if too_late {
        return Reply::error(StatusCode::CONFLICT, "too_late");
    }
    Reply::ok(json!({ "cancelled": true, "count": ordinals.len() }))
}

async fn faults_now(shared: Data<Shared>) -> Reply {
    Reply::ok(json!({ "faults": *lock(&shared.faults), "known": faults::known() }))
}

async fn faults_set(shared: Data<Shared>, body: Bytes) -> Reply {
    let given: Value = match read(&body) {
        Ok(given) => given,
        Err(reply) => return reply,
    };
    match Faults::from_json(&given) {
        Ok(faults) => replace_faults(&shared, faults).await,
        Err(error) => {
            let code = match error {
                FaultError::Unknown => "unknown_fault",
                FaultError::Invalid => "invalid_fault",
            };
            let body = json!({ "code": code, "message": error.to_string(), "known": faults::known() });
            Reply::Answer { status: StatusCode::UNPROCESSABLE_ENTITY, body, retry_after: None }
        }
    }
}

async fn faults_cleared(shared: Data<Shared>) -> Reply {
    replace_faults(&shared, Faults::default()).await
}

async fn replace_faults(shared: &Shared, faults: Faults) -> Reply {
    match shared.set_faults(faults).await {
        Ok(()) => Reply::ok(json!({ "faults": *lock(&shared.faults), "known": faults::known() })),
        Err(_) => Reply::not_stored(),
    }
}

async fn webhook_now(shared: Data<Shared>) -> Reply {
    Reply::ok(json!({ "url": *shared.webhook_url.borrow() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookRequest {
    url: Option<String>,
}

async fn webhook_set(shared: Data<Shared>, body: Bytes) -> Reply {
    match read::<WebhookRequest>(&body).map(|request| shared.set_webhook_url(request.url)) {
        Ok(Ok(())) => Reply::ok(json!({ "url": *shared.webhook_url.borrow() })),
        Ok(Err(_)) => Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "invalid_url"),
        Err(reply) => reply,
    }
}

async fn health(shared: Data<Shared>) -> Reply {
    Reply::ok(json!({ "ok": true, "parcels": lock(&shared.ledger).count() }))
}
