//! What is known of parcels, and calling them off.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::faults::Call;
use super::super::journal::lock;
use super::super::parcel_store::{Line, Parcel, ParcelStore};
use super::super::webhook_sender::News;
use super::{Reply, disturbed, read};
use crate::clock::BusinessTime;
use crate::privacy::Pii;

/// Parcels on a page, without and with `limit`.
const DEFAULT_PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

/// The most parcels one `POST /track` may name.
const TRACK_AT_MOST: usize = 100;

fn parcel_json(store: &ParcelStore, parcel: &Parcel, now: BusinessTime) -> Value {
    json!({
        "tracking_no": store.tracking_no(parcel.ordinal),
        "ordinal": parcel.ordinal,
        "reference": parcel.reference,
        "booked_at": parcel.booked_at,
        "status": parcel.status(now).as_str(),
        "cancelled": parcel.cancelled_at.is_some(),
    })
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    reference: Option<String>,
    limit: Option<usize>,
    after: Option<u64>,
}

pub(super) async fn list(shared: Data<Shared>, query: Query<ListQuery>) -> Reply {
    if let Some(reply) = disturbed(&shared, Call::Query).await {
        return reply;
    }
    let now = shared.clock.business_now();
    let store = lock(&shared.store);
    if let Some(reference) = &query.reference {
        let data: Vec<Value> = store
            .of_reference(reference)
            .map(|parcel| parcel_json(&store, parcel, now))
            .collect();
        return Reply::ok(json!({ "count": data.len(), "data": data }));
    }
    let limit = query.limit.unwrap_or(DEFAULT_PAGE).clamp(1, LARGEST_PAGE);
    let page: Vec<&Parcel> = store.after(query.after.unwrap_or(0)).take(limit).collect();
    let last = page.last().map(|parcel| parcel.ordinal);
    let next_after = last.filter(|ordinal| *ordinal < store.count());
    let data: Vec<Value> = page
        .into_iter()
        .map(|parcel| parcel_json(&store, parcel, now))
        .collect();
    Reply::ok(json!({ "count": store.count(), "data": data, "next_after": next_after }))
}

pub(super) async fn one(shared: Data<Shared>, tracking_no: Path<String>) -> Reply {
    if let Some(reply) = disturbed(&shared, Call::Query).await {
        return reply;
    }
    let store = lock(&shared.store);
    let parcel = store.by_tracking_no(&tracking_no);
    parcel.map_or_else(Reply::not_found, |parcel| {
        Reply::ok(parcel_json(&store, parcel, shared.clock.business_now()))
    })
}

pub(super) async fn events(shared: Data<Shared>, tracking_no: Path<String>) -> Reply {
    if let Some(reply) = disturbed(&shared, Call::Query).await {
        return reply;
    }
    let store = lock(&shared.store);
    let parcel = store.by_tracking_no(&tracking_no);
    parcel.map_or_else(Reply::not_found, |parcel| {
        news_reply(&store, &[parcel], shared.clock.business_now())
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrackRequest {
    #[serde(default)]
    tracking_nos: Vec<Pii<String>>,
    #[serde(default)]
    references: Vec<String>,
}

pub(super) async fn track(shared: Data<Shared>, body: Bytes) -> Reply {
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
    let store = lock(&shared.store);
    let mut parcels: Vec<&Parcel> = request
        .tracking_nos
        .iter()
        .filter_map(|number| store.by_tracking_no(number.expose()))
        .collect();
    parcels.extend(
        request
            .references
            .iter()
            .flat_map(|reference| store.of_reference(reference)),
    );
    parcels.sort_unstable_by_key(|parcel| parcel.ordinal);
    parcels.dedup_by_key(|parcel| parcel.ordinal);
    news_reply(&store, &parcels, shared.clock.business_now())
}

fn news_reply(store: &ParcelStore, parcels: &[&Parcel], now: BusinessTime) -> Reply {
    let news: Vec<News<'_>> = parcels
        .iter()
        .flat_map(|parcel| {
            parcel
                .history(now)
                .map(move |(stage, at)| News::new(store, parcel, stage, at))
        })
        .collect();
    Reply::ok(json!({ "count": news.len(), "data": news }))
}

pub(super) async fn cancel_one(shared: Data<Shared>, tracking_no: Path<String>) -> Reply {
    let found = lock(&shared.store)
        .by_tracking_no(&tracking_no)
        .map(|parcel| parcel.ordinal);
    cancel_all(&shared, found.into_iter().collect()).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelRequest {
    tracking_no: Option<Pii<String>>,
    reference: Option<String>,
}

pub(super) async fn cancel(shared: Data<Shared>, body: Bytes) -> Reply {
    let request: CancelRequest = match read(&body) {
        Ok(request) => request,
        Err(reply) => return reply,
    };
    let found: Vec<u64> = {
        let store = lock(&shared.store);
        match (&request.tracking_no, &request.reference) {
            (Some(number), None) => store
                .by_tracking_no(number.expose())
                .map(|p| p.ordinal)
                .into_iter()
                .collect(),
            (None, Some(reference)) => store.of_reference(reference).map(|p| p.ordinal).collect(),
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
        let store = lock(&shared.store);
        for parcel in ordinals.iter().filter_map(|ordinal| store.get(*ordinal)) {
            too_late |= parcel.is_picked_up(now);
            if parcel.cancelled_at.is_none() && !parcel.is_picked_up(now) {
                to_cancel.push(parcel.ordinal);
            }
        }
    }
    for ordinal in to_cancel {
        if shared
            .journal
            .write(Line::Cancelled { ordinal, at: now })
            .await
            .is_err()
        {
            return Reply::not_stored();
        }
    }
    if too_late {
        return Reply::error(StatusCode::CONFLICT, "too_late");
    }
    Reply::ok(json!({ "cancelled": true, "count": ordinals.len() }))
}
