//! The adapter of the simulated courier: a courier company's API over HTTP, without a courier company behind it.
//!
//! It speaks to whatever listens at `base_url`; the [`sandbox`] is the server that imitates one. The adapter must treat
//! it as it would a stranger: what an answer means for the next step is decided here, and a request that may have
//! arrived is `Unknown`, whatever the sandbox is known to do.

mod settings;
mod signing;
mod wire;

pub mod sandbox;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Response, StatusCode, Url};
use serde::de::DeserializeOwned;

pub use settings::{SecretMissing, Settings};
pub use signing::InvalidSecret;

use crate::couriers::adapter::{Adapter, BuildError, CourierSettings, Endpoint, Parts};
use crate::couriers::client::{self, retry_after, send_code, surely_not_sent};
use crate::couriers::{
    BookError, Booked, BookingRequest, CallError, CancelAnswer, Courier, CourierEvent, Finding, ParcelRef, Reconciled,
    TrackingLimits, WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest,
};
use signing::Signer;

/// The most parcels that one `POST /track` asks for; the sandbox takes no more.
const TRACK_BATCH: usize = 100;

/// The longest answer that is read. A hundred parcels with all their events are well below it.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// A configuration the adapter cannot work with.
#[derive(Debug, thiserror::Error)]
pub enum SimulatedError {
    /// Not an `http` or `https` URL.
    #[error("the simulated courier's base_url must be an http or https URL")]
    BaseUrl,
    /// Not a usable secret.
    #[error("the simulated courier's webhook_secret is not usable")]
    WebhookSecret(#[from] InvalidSecret),
    /// The TLS library could not be initialised.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// The simulated courier.
pub struct Simulated {
    base: Url,
    client: reqwest::Client,
    signer: Signer,
    timeout: Duration,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Simulated {
    /// An adapter that speaks to `endpoint`.
    ///
    /// # Errors
    /// The URL or the secret cannot be used.
    pub fn new(endpoint: &Endpoint, timeout: Duration) -> Result<Self, SimulatedError> {
        // A base without its closing slash would lose its last segment when a path is joined to it.
        let base = Url::parse(&format!("{}/", endpoint.base_url.trim_end_matches('/')))
            .map_err(|_| SimulatedError::BaseUrl)?;
        if !matches!(base.scheme(), "http" | "https") || base.query().is_some() || base.fragment().is_some() {
            return Err(SimulatedError::BaseUrl);
        }
        let signer = Signer::new(&endpoint.webhook_secret)?;
        let client = client::build(timeout).map_err(SimulatedError::Client)?;
        Ok(Self {
            base,
            client,
            signer,
            timeout,
        })
    }

    fn post<T: serde::Serialize>(&self, path: &str, body: &T) -> Result<reqwest::RequestBuilder, CallError> {
        let url = self.base.join(path).map_err(|_| CallError::new("invalid_url"))?;
        Ok(self.client.post(url).json(body))
    }

    /// Sends a call that may be sent again, and reads a good answer.
    async fn ask<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, CallError> {
        let response = request
            .send()
            .await
            .map_err(|error| CallError::new(send_code(&error)))?;
        if response.status().is_success() {
            read(response).await.map_err(CallError::new)
        } else {
            Err(refused_call(response).await)
        }
    }
}

impl Adapter for Simulated {
    type Settings = Settings;

    /// Where it is may be known only once it runs, so its place is not taken from the settings.
    fn build(_settings: &Settings, parts: &Parts<'_>) -> Result<Option<Self>, BuildError> {
        let adapter = parts.simulated.map(|endpoint| Self::new(endpoint, parts.timeout));
        Ok(adapter.transpose()?)
    }
}

#[async_trait]
impl Courier for Simulated {
    fn name(&self) -> &'static str {
        Settings::NAME
    }

    fn deadline(&self) -> Duration {
        self.timeout
    }

    async fn commit(&self, request: &BookingRequest, _prepared: Option<&str>) -> Result<Booked, BookError> {
        let call = self
            .post("parcels", &wire::BookBody::from(request))
            .map_err(|error| BookError::retry(error.code))?;
        let response = call.send().await.map_err(|error| {
            let code = send_code(&error);
            if surely_not_sent(&error) {
                BookError::retry(code)
            } else {
                BookError::unknown(code)
            }
        })?;
        if !response.status().is_success() {
            return Err(refused_booking(response).await);
        }
        // The courier said yes: a parcel exists, even when its number cannot be read.
        let answer: wire::BookAnswer = read(response).await.map_err(BookError::unknown)?;
        answer
            .for_reference(&request.reference)
            .ok_or_else(|| BookError::unknown("unreadable_answer"))
    }

    /// The first parcel under the reference that is not cancelled. A reference with only cancelled parcels is
    /// `NotThere`: nothing will be carried under it.
    async fn reconcile(&self, attempt: &ParcelRef) -> Result<Reconciled, CallError> {
        let url = self.base.join("parcels").map_err(|_| CallError::new("invalid_url"))?;
        let call = self.client.get(url).query(&[("reference", attempt.reference.as_str())]);
        let found: wire::FoundAnswer = self.ask(call).await?;
        match found.first_live() {
            Ok(Some(booked)) => Ok(Reconciled::Booked(booked)),
            Ok(None) => Ok(Reconciled::NotThere),
            Err(()) => Err(CallError::new("unreadable_answer")),
        }
    }

    /// By tracking number where it is known, else every live parcel under the reference.
    async fn cancel(&self, parcel: &ParcelRef) -> Result<CancelAnswer, CallError> {
        let tracking_no = parcel.tracking_no.as_ref().map(|number| number.expose().as_str());
        let reference = tracking_no.is_none().then(|| parcel.reference.as_str());
        let call = self.post("cancel", &wire::CancelBody { tracking_no, reference })?;
        let response = call.send().await.map_err(|error| CallError::new(send_code(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(CancelAnswer::Cancelled);
        }
        let error = refused_call(response).await;
        match (status, error.code.as_str()) {
            // Only its own word counts: the 404 of a proxy says nothing about a parcel.
            (StatusCode::NOT_FOUND, "parcel_not_found") => Ok(CancelAnswer::Cancelled),
            (StatusCode::CONFLICT, _) => Ok(CancelAnswer::Refused { code: error.code }),
            _ => Err(error),
        }
    }

    async fn track(&self, parcels: &[ParcelRef]) -> Result<Vec<CourierEvent>, CallError> {
        let mut events: Vec<CourierEvent> = Vec::new();
        for batch in parcels.chunks(TRACK_BATCH) {
            let mut body = wire::TrackBody {
                tracking_nos: Vec::new(),
                references: Vec::new(),
            };
            for parcel in batch {
                match &parcel.tracking_no {
                    Some(number) => body.tracking_nos.push(number.expose()),
                    None => body.references.push(parcel.reference.as_str()),
                }
            }
            let answer: wire::TrackAnswer = self.ask(self.post("track", &body)?).await?;
            events.extend(answer.data.into_iter().map(CourierEvent::from));
        }
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    /// It has no limits of its own beside the number in a call.
    fn tracking_limits(&self) -> TrackingLimits {
        TrackingLimits {
            per_call: TRACK_BATCH,
            between: Duration::from_secs(60),
        }
    }

    async fn check(&self) -> Vec<Finding> {
        let body = wire::TrackBody {
            tracking_nos: Vec::new(),
            references: Vec::new(),
        };
        let asked = match self.post("track", &body) {
            Ok(call) => self.ask::<wire::TrackAnswer>(call).await,
            Err(error) => Err(error),
        };
        vec![match asked {
            Ok(_) => Finding {
                good: true,
                what: "the simulated courier answers".to_owned(),
            },
            Err(error) => Finding {
                good: false,
                what: format!(
                    "the simulated courier gives no usable answer ({}): start the service, or the sandbox at \
                     couriers.simulated.base_url",
                    error.code
                ),
            },
        }]
    }

    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Vec<CourierEvent>, WebhookError> {
        let (Some(id), Some(timestamp), Some(signatures)) = (
            request.header(signing::ID),
            request.header(signing::TIMESTAMP),
            request.header(signing::SIGNATURE),
        ) else {
            return Err(WebhookError::NotAuthentic);
        };
        if !self
            .signer
            .is_authentic(id, timestamp, signatures, request.body, request.now)
        {
            return Err(WebhookError::NotAuthentic);
        }
        match serde_json::from_slice::<wire::WebhookBody>(request.body) {
            Ok(body) if body.kind == "parcel.updated" => Ok(vec![body.data.into()]),
            _ => Err(WebhookError::Malformed),
        }
    }

    fn acknowledge(&self, _request: &WebhookRequest<'_>, outcome: WebhookOutcome) -> WebhookAnswer {
        let (status, body) = match outcome {
            WebhookOutcome::Accepted => (200, r#"{"ok":true}"#),
            WebhookOutcome::Failed => (503, r#"{"ok":false}"#),
        };
        WebhookAnswer {
            status,
            content_type: "application/json",
            body: body.to_owned(),
        }
    }
}

/// What a refused booking means for the next step. Only what surely was not booked may be sent again.
async fn refused_booking(response: Response) -> BookError {
    let status = response.status();
    let after = retry_after(response.headers());
    let code = error_code(response).await;
    match (status.as_u16(), code.as_deref()) {
        (429, _) => BookError::Retry {
            code: "rate_limited".into(),
            after,
        },
        // Documented: said before anything is booked. Any other 503 may come from a proxy that lost its way back.
        (503, Some("down")) => BookError::Retry {
            code: "down".into(),
            after,
        },
        (422, code) => BookError::fail(code.unwrap_or("refused")),
        // The request itself was not acceptable; the same again will not be.
        (400 | 413 | 415, code) => BookError::fail(code.unwrap_or("bad_request")),
        (401 | 403, code) => BookError::unauthorized(code.unwrap_or("unauthorized")),
        // Wrong address or door: refused before it was understood, and somebody will put it right.
        (404 | 405, _) => BookError::retry(format!("http_{}", status.as_u16())),
        _ => BookError::unknown(format!("http_{}", status.as_u16())),
    }
}

async fn refused_call(response: Response) -> CallError {
    let status = response.status();
    let after = retry_after(response.headers());
    let code = error_code(response)
        .await
        .unwrap_or_else(|| format!("http_{}", status.as_u16()));
    CallError {
        code,
        after,
        unauthorized: matches!(status.as_u16(), 401 | 403),
    }
}

/// The courier's own code, where the body has one that may be logged.
async fn error_code(response: Response) -> Option<String> {
    let answer: wire::ErrorAnswer = read(response).await.ok()?;
    client::safe_code(&answer.code).map(str::to_owned)
}

/// Reads an answer of bounded length. The error is a code; what was read is never in it.
async fn read<T: DeserializeOwned>(response: Response) -> Result<T, &'static str> {
    let bytes = client::body(response, LONGEST_ANSWER).await?;
    serde_json::from_slice(&bytes).map_err(|_| "unreadable_answer")
}
