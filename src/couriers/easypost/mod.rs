//! The adapter of EasyPost (API v2), which brokers many carriers.
//!
//! It knows no idempotency key, so a parcel is bought in two steps: a shipment is created, which costs nothing, and its
//! id is stored; then one of its rates is bought. A shipment can be bought only once, and asking for it says whether it
//! was: that is how an answer that was lost is found again.

mod settings;
mod signing;
mod status;
mod tracking_history;
mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};

use crate::couriers::adapter::{Adapter, BuildError, CourierSettings, Parts};
use crate::couriers::rest::{self, Answer, Api, SetupError, is_id, not_booked};
use crate::couriers::{
    BookError, Booked, BookingRequest, CallError, CancelAnswer, Courier, CourierEvent, Finding, Label, ParcelRef,
    Reconciled, TrackingLimits, WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest, client,
};
use crate::domain::ids::BookingReference;
use crate::privacy::{Pii, Secret};
pub use settings::Settings;

use signing::Signature;
use wire::{Purchase, Shipment};

/// The longest answer that is read: a shipment with sixty carriers' rates is well below it.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// The longest label that is read.
const LONGEST_LABEL: usize = 10 * 1024 * 1024;

/// EasyPost.
#[derive(Debug)]
pub struct Easypost {
    api: Api,
    signature: Signature,
    is_test: bool,
    wanted: wire::Wanted,
    timeout: Duration,
}

impl Easypost {
    /// An adapter that speaks to `settings.base_url`.
    ///
    /// # Errors
    /// The URL, the key or the secret cannot be used.
    pub fn new(settings: Settings, timeout: Duration) -> Result<Self, SetupError> {
        let key = settings.api_key.as_ref().ok_or(SetupError::Credential)?.expose();
        let webhook_secret = settings.webhook_secret.as_ref().ok_or(SetupError::WebhookSecret)?;
        if key.trim().is_empty() || key.contains(':') {
            return Err(SetupError::Credential);
        }
        let user = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        let authorization = Secret::new(format!("Basic {user}"));
        Ok(Self {
            api: Api::new(&settings.base_url, &authorization, timeout, LONGEST_ANSWER)?,
            signature: Signature::new(webhook_secret)?,
            is_test: key.starts_with("EZTK"),
            wanted: wire::Wanted {
                carrier: settings.carrier,
                service: settings.service,
                carrier_account: settings.carrier_account,
            },
            timeout,
        })
    }

    /// A query or a call that may be sent again.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let answer = self.api.call(method, path, body).await?;
        let own = answer.body.as_ref().ok().and_then(wire::own_code);
        match answer.body {
            Ok(body) if answer.is_good() => Ok(body),
            _ => Err(answer.unusable(own)),
        }
    }

    /// The shipment as it is now: that one and no other.
    async fn shipment(&self, id: &str, reference: &BookingReference) -> Result<Shipment, CallError> {
        let unreadable = || CallError::new("unreadable_answer");
        if !is_id(id) {
            return Err(unreadable());
        }
        let body = self.ask(Method::GET, &format!("shipments/{id}"), None).await?;
        Shipment::read(body, id, reference).ok_or_else(unreadable)
    }

    /// What an answer to `buy` other than a good one means.
    async fn not_bought(&self, answer: Answer, id: &str, reference: &BookingReference) -> BookOutcome {
        let own = answer.body.as_ref().ok().and_then(wire::own_code);
        match (answer.status, own) {
            (429, own) => Err(BookError::Retry {
                code: own.unwrap_or_else(|| "rate_limited".to_owned()),
                after: answer.after,
            }),
            (401..=403, own) => Err(BookError::unauthorized(own.unwrap_or_else(|| answer.status_code()))),
            // EasyPost's own refusal. One of them is that the shipment has its postage already, so it is asked.
            (400 | 404 | 405 | 409 | 422, Some(code)) => match self.shipment(id, reference).await {
                Ok(shipment) => match shipment.purchase() {
                    Purchase::None => Err(BookError::fail(code)),
                    Purchase::Live(booked) => Ok(booked),
                    Purchase::Refunded => Err(BookError::fail("refunded")),
                },
                Err(_) => Err(BookError::unknown(code)),
            },
            // Neither a purchase nor a refusal in EasyPost's own words: it may have been bought.
            _ => Err(BookError::unknown(answer.status_code())),
        }
    }

    /// The tracker of a parcel: through its shipment, for a tracking number must not stand in a URL; else by asking for
    /// it to be watched, which answers with the tracker that there is.
    async fn tracker(&self, parcel: &ParcelRef) -> Result<Option<Value>, CallError> {
        match (&parcel.provider_ref, &parcel.tracking_no) {
            (Some(id), _) => Ok(self.shipment(id, &parcel.reference).await?.into_tracker()),
            (None, Some(number)) => self.watched(number).await.map(Some),
            (None, None) => Ok(None),
        }
    }

    async fn watched(&self, number: &Pii<String>) -> Result<Value, CallError> {
        let body = json!({"tracker": {"tracking_code": number.expose()}});
        let tracker = self.ask(Method::POST, "trackers", Some(&body)).await?;
        match rest::text(&tracker, "tracking_code") {
            Some(code) if code.eq_ignore_ascii_case(number.expose()) => Ok(tracker),
            _ => Err(CallError::new("unreadable_answer")),
        }
    }
}

type BookOutcome = Result<Booked, BookError>;

impl Adapter for Easypost {
    type Settings = Settings;

    fn build(settings: &Settings, parts: &Parts<'_>) -> Result<Option<Self>, BuildError> {
        if settings.api_key.is_none() || settings.webhook_secret.is_none() {
            return Ok(None);
        }
        let adapter =
            Self::new(settings.clone(), parts.timeout).map_err(|error| format!("couriers.easypost: {error}"))?;
        Ok(Some(adapter))
    }
}

#[async_trait]
impl Courier for Easypost {
    fn name(&self) -> &'static str {
        Settings::NAME
    }

    /// Create; then ask, buy, and ask once more where the purchase was refused.
    fn deadline(&self) -> Duration {
        self.timeout * 4
    }

    async fn prepare(&self, request: &BookingRequest) -> Result<Option<String>, BookError> {
        let body = wire::shipment_body(request);
        let retry = |code: String| Err(BookError::retry(code));
        let answer = match self.api.call(Method::POST, "shipments", Some(&body)).await {
            Ok(answer) => answer,
            Err(none) => return retry(none.code.to_owned()),
        };
        let own = answer.body.as_ref().ok().and_then(wire::own_code);
        match (answer.status, own) {
            // A shipment that nobody knows of costs nothing: whatever failed, another may be made.
            (200..=299, _) => match answer
                .body
                .ok()
                .and_then(|body| wire::created(&body, &request.reference))
            {
                Some(id) => Ok(Some(id)),
                None => retry("unreadable_answer".to_owned()),
            },
            (429, own) => Err(BookError::Retry {
                code: own.unwrap_or_else(|| "rate_limited".to_owned()),
                after: answer.after,
            }),
            (401..=403, own) => Err(BookError::unauthorized(own.unwrap_or_else(|| answer.status_code()))),
            (400 | 404 | 405 | 409 | 422, Some(code)) => Err(BookError::fail(code)),
            (_, own) => Err(BookError::Retry {
                code: own.unwrap_or_else(|| answer.status_code()),
                after: answer.after,
            }),
        }
    }

    async fn commit(&self, request: &BookingRequest, prepared: Option<&str>) -> BookOutcome {
        let Some(id) = prepared.filter(|id| is_id(id)) else {
            return Err(BookError::fail("not_prepared"));
        };
        let shipment = match self.shipment(id, &request.reference).await {
            Ok(shipment) => shipment,
            Err(error) => return Err(wire::lost_shipment(&error).unwrap_or_else(|| not_booked(error))),
        };
        match shipment.purchase() {
            Purchase::None => {}
            Purchase::Live(booked) => return Ok(booked),
            Purchase::Refunded => return Err(BookError::fail("refunded")),
        }
        let Some(rate) = shipment.best_rate(&self.wanted) else {
            return Err(BookError::fail("no_rate"));
        };
        let body = json!({"rate": {"id": rate.id}});
        let answer = match self
            .api
            .call(Method::POST, &format!("shipments/{id}/buy"), Some(&body))
            .await
        {
            Ok(answer) => answer,
            Err(none) if none.may_have_arrived => return Err(BookError::unknown(none.code)),
            Err(none) => return Err(BookError::retry(none.code)),
        };
        if !answer.is_good() {
            return self.not_bought(answer, id, &request.reference).await;
        }
        // It said yes, but only what can be read and is this shipment's counts.
        let bought = answer
            .body
            .ok()
            .and_then(|body| Shipment::read(body, id, &request.reference));
        match bought.map(|shipment| shipment.purchase()) {
            Some(Purchase::Live(booked)) => Ok(Booked {
                service: booked.service.or_else(|| Some(rate.describe())),
                ..booked
            }),
            _ => Err(BookError::unknown("unreadable_answer")),
        }
    }

    /// Nothing is ever bought without a shipment id that was stored before.
    async fn reconcile(&self, attempt: &ParcelRef) -> Result<Reconciled, CallError> {
        let Some(id) = &attempt.provider_ref else {
            return Ok(Reconciled::NotThere);
        };
        Ok(match self.shipment(id, &attempt.reference).await?.purchase() {
            Purchase::Live(booked) => Reconciled::Booked(booked),
            Purchase::None | Purchase::Refunded => Reconciled::NotThere,
        })
    }

    async fn cancel(&self, parcel: &ParcelRef) -> Result<CancelAnswer, CallError> {
        let Some(id) = parcel.provider_ref.as_deref().filter(|id| is_id(id)) else {
            return Ok(CancelAnswer::Cancelled);
        };
        let refused = |code: String| Ok(CancelAnswer::Refused { code });
        let path = format!("shipments/{id}/refund");
        let answer = self.api.call(Method::POST, &path, Some(&json!({}))).await?;
        let own = answer.body.as_ref().ok().and_then(wire::own_code);
        match (answer.status, own) {
            (200..=299, _) => {
                let refund = answer
                    .body
                    .ok()
                    .and_then(|body| Shipment::read(body, id, &parcel.reference));
                match refund.map(|shipment| shipment.purchase()) {
                    Some(Purchase::Refunded) => Ok(CancelAnswer::Cancelled),
                    Some(_) => refused("refund_refused".to_owned()),
                    None => Err(CallError::new("unreadable_answer")),
                }
            }
            // Refused: because it is on its way, or because there is nothing to refund (any more).
            (400 | 404 | 405 | 409 | 422, Some(code)) => match self.shipment(id, &parcel.reference).await {
                Ok(shipment) => match shipment.purchase() {
                    Purchase::None | Purchase::Refunded => Ok(CancelAnswer::Cancelled),
                    Purchase::Live(_) => refused(code),
                },
                Err(error) if wire::lost_shipment(&error).is_some() => refused(code),
                Err(error) => Err(error),
            },
            (_, own) => Err(answer.unusable(own)),
        }
    }

    async fn track(&self, parcels: &[ParcelRef]) -> Result<Vec<CourierEvent>, CallError> {
        let mut events = Vec::new();
        for parcel in parcels {
            if let Some(tracker) = self.tracker(parcel).await? {
                events.extend(wire::events_of(&tracker, parcel));
            }
        }
        events.sort_by_key(|event: &CourierEvent| event.at);
        Ok(events)
    }

    /// One call a parcel; EasyPost slows down whoever asks much, and sends its news by itself.
    fn tracking_limits(&self) -> TrackingLimits {
        TrackingLimits {
            per_call: 10,
            between: Duration::from_secs(10 * 60),
        }
    }

    async fn watch(&self, parcel: &ParcelRef) -> Result<(), CallError> {
        match &parcel.tracking_no {
            Some(number) => self.watched(number).await.map(drop),
            None => Ok(()),
        }
    }

    async fn label(&self, parcel: &ParcelRef) -> Result<Option<Label>, CallError> {
        let Some(id) = &parcel.provider_ref else {
            return Ok(None);
        };
        let shipment = self.shipment(id, &parcel.reference).await?;
        let Some(address) = shipment.label_address() else {
            return Ok(None);
        };
        let response = self.api.fetch(address).await.map_err(CallError::new)?;
        if !response.status().is_success() {
            return Err(CallError::new(format!("http_{}", response.status().as_u16())));
        }
        let said = response.headers().get(reqwest::header::CONTENT_TYPE);
        let said = said
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let document = client::body(response, LONGEST_LABEL).await.map_err(CallError::new)?;
        match rest::document_type(&document, &said) {
            Some(content_type) => Ok(Some(Label {
                content_type: content_type.to_owned(),
                document: Pii::new(document),
            })),
            None => Err(CallError::new("not_a_label")),
        }
    }

    async fn check(&self) -> Vec<Finding> {
        let finding = |good, what: String| Finding { good, what };
        match self.ask(Method::GET, "shipments?page_size=1", None).await {
            Ok(_) if self.is_test => vec![
                finding(true, "EasyPost answers and accepts the key".to_owned()),
                finding(
                    false,
                    "couriers.easypost.api_key is a test key (EZTK): its labels carry nothing; put in the production \
                     key (EZAK) before parcels are sent"
                        .to_owned(),
                ),
            ],
            Ok(_) => vec![finding(true, "EasyPost answers and accepts the key".to_owned())],
            Err(error) if error.unauthorized => vec![finding(
                false,
                format!(
                    "EasyPost does not accept couriers.easypost.api_key, or the account is not in order ({}): look at the \
                     key and the balance in its dashboard",
                    error.code
                ),
            )],
            Err(error) => vec![finding(
                false,
                format!(
                    "EasyPost gives no usable answer ({}): look at couriers.easypost.base_url and at the way out of this \
                     machine",
                    error.code
                ),
            )],
        }
    }

    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Vec<CourierEvent>, WebhookError> {
        let given = request.header(signing::HEADER).ok_or(WebhookError::NotAuthentic)?;
        if !self.signature.is_authentic(given, request.body) {
            return Err(WebhookError::NotAuthentic);
        }
        let body: Value = serde_json::from_slice(request.body).map_err(|_| WebhookError::Malformed)?;
        wire::read_event(&body, request.received_at).ok_or(WebhookError::Malformed)
    }

    /// Any 2xx is enough; everything else is sent again for about a day.
    fn acknowledge(&self, _request: &WebhookRequest<'_>, outcome: WebhookOutcome) -> WebhookAnswer {
        WebhookAnswer {
            status: match outcome {
                WebhookOutcome::Accepted => 200,
                WebhookOutcome::Failed => 503,
            },
            content_type: "application/json",
            body: "{}".to_owned(),
        }
    }
}
