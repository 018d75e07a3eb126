//! The sandbox's doors: each handler reads, asks the store, answers. The documentation is in the parent module.
//!
//! A person in a request is checked for presence and dropped at once: it is never stored, logged or echoed.

mod book;
mod control;
mod parcels;

use std::time::Duration;

use actix_web::body::{BoxBody, SizedStream};
use actix_web::error::InternalError;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, QueryConfig, ServiceConfig, delete, get, post, put};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Responder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Shared;
use super::faults::{Call, FaultKind};

const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
const DEFAULT_SLOWNESS: Duration = Duration::from_secs(5);

/// Every route.
pub(super) fn routes(config: &mut ServiceConfig) {
    let bad_query = QueryConfig::default().error_handler(|_, _| {
        let answer = HttpResponse::BadRequest().json(json!({ "code": "invalid_query" }));
        InternalError::from_response("invalid query", answer).into()
    });
    config
        .app_data(bad_query)
        .route("/parcels", post().to(book::book))
        .route("/parcels", get().to(parcels::list))
        .route("/parcels/{tracking_no}", get().to(parcels::one))
        .route("/parcels/{tracking_no}/events", get().to(parcels::events))
        .route("/parcels/{tracking_no}/cancel", post().to(parcels::cancel_one))
        .route("/cancel", post().to(parcels::cancel))
        .route("/track", post().to(parcels::track))
        .route("/faults", get().to(control::faults_now))
        .route("/faults", put().to(control::faults_set))
        .route("/faults", delete().to(control::faults_cleared))
        .route("/webhook", get().to(control::webhook_now))
        .route("/webhook", put().to(control::webhook_set))
        .route("/healthz", get().to(control::health))
        .default_service(actix_web::web::to(|| async {
            Reply::error(StatusCode::NOT_FOUND, "no_such_route")
        }));
}

/// What a caller gets.
enum Reply {
    Answer {
        status: StatusCode,
        body: Value,
        retry_after: Option<Duration>,
    },
    /// The connection is closed without a byte.
    HangUp,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self::Answer {
            status: StatusCode::OK,
            body,
            retry_after: None,
        }
    }

    fn error(status: StatusCode, code: &str) -> Self {
        Self::Answer {
            status,
            body: json!({ "code": code }),
            retry_after: None,
        }
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
            Self::Answer {
                status,
                body,
                retry_after,
            } => {
                let mut answer = HttpResponseBuilder::new(status);
                if let Some(wait) = retry_after {
                    // Whole seconds, rounded up: earlier would be refused again.
                    answer.insert_header((header::RETRY_AFTER, wait.as_millis().div_ceil(1000).to_string()));
                }
                answer.json(body)
            }
            Self::HangUp => {
                let nothing = futures_util::stream::once(async { Err::<Bytes, HungUp>(HungUp) });
                HttpResponse::Ok()
                    .force_close()
                    .body(SizedStream::new(1, Box::pin(nothing)))
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
            Reply::Answer {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                body,
                retry_after: None,
            }
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
    if shared.strike(FaultKind::Unauthorized, call).is_some() {
        return Some(Reply::error(StatusCode::UNAUTHORIZED, "bad_credentials"));
    }
    if shared.strike(FaultKind::Down, call).is_some() {
        return Some(Reply::error(StatusCode::SERVICE_UNAVAILABLE, "down"));
    }
    if let Some(fault) = shared.strike(FaultKind::Slow, call) {
        tokio::time::sleep(fault.delay_or(DEFAULT_SLOWNESS)).await;
    }
    None
}
