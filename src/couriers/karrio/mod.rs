//! The adapter of Karrio, which the shop runs itself and which brokers the carriers that it has accounts with.
//!
//! It knows no idempotency key, so a label is bought in two steps, as at EasyPost: a draft shipment, whose id is stored,
//! then one of its rates. Karrio does not sign its webhooks; it sends the secret itself in a header.

mod label;
mod settings;
mod status;
mod tracking_history;
mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use crate::couriers::adapter::{Adapter, BuildError, CourierSettings, Parts};
use crate::couriers::rest::{self, Answer, Api, SetupError, is_id, not_booked};
use crate::couriers::{
    BookError, Booked, BookingRequest, CallError, CancelAnswer, Courier, CourierEvent, Finding, Label, ParcelRef,
    Reconciled, TrackingLimits, WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest,
};
use crate::domain::ids::BookingReference;
use crate::privacy::{Pii, Secret};
pub use settings::Settings;

use wire::{Purchase, Shipment};

/// The longest answer that is read: the answer to a purchase holds the label, in base64.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// Where the webhook's secret stands, whatever the header's name says.
const SECRET_HEADER: &str = "x-event-id";

/// Karrio.
#[derive(Debug)]
pub struct Karrio {
    api: Api,
    webhook_secret: Secret<String>,
    wanted: wire::Wanted,
    timeout: Duration,
}

type BookOutcome = Result<Booked, BookError>;

impl Karrio {
    /// An adapter that speaks to `settings.base_url`.
    ///
    /// # Errors
    /// The URL, the token or the secret cannot be used.
    pub fn new(settings: Settings, timeout: Duration) -> Result<Self, SetupError> {
        let given = |secret: &Secret<String>| !secret.expose().trim().is_empty();
        let base_url = settings.base_url.ok_or(SetupError::BaseUrl)?;
        let token = settings.token.filter(given).ok_or(SetupError::Credential)?;
        let webhook_secret = settings.webhook_secret.filter(given).ok_or(SetupError::WebhookSecret)?;
        let authorization = Secret::new(format!("Token {}", token.expose()));
        Ok(Self {
            api: Api::new(&base_url, &authorization, timeout, LONGEST_ANSWER)?,
            webhook_secret,
            wanted: wire::Wanted {
                service: settings.service,
                carrier_ids: settings.carrier_ids,
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
        let body = self.ask(Method::GET, &format!("v1/shipments/{id}"), None).await?;
        Shipment::read(body, id, reference).ok_or_else(unreadable)
    }

    /// What an answer to `purchase` other than a good one means.
    async fn not_purchased(&self, answer: Answer, id: &str, reference: &BookingReference) -> BookOutcome {
        let own = answer.body.as_ref().ok().and_then(wire::own_code);
        match (answer.status, own) {
            (429, own) => Err(BookError::Retry {
                code: own.unwrap_or_else(|| "rate_limited".to_owned()),
                after: answer.after,
            }),
            (401..=403, own) => Err(BookError::unauthorized(own.unwrap_or_else(|| answer.status_code()))),
            // The carrier behind Karrio failed in a way that may have come after it made the label.
            (424, Some(code)) if wire::may_pass(&code) => Err(BookError::unknown(code)),
            // Karrio's own refusal, or its carrier's. One of them is that the label is bought already, so it is asked.
            (status @ (400 | 404 | 405 | 409 | 422 | 424), Some(code)) => match self.shipment(id, reference).await {
                Ok(shipment) => match shipment.purchase() {
                    Purchase::Live(booked) => Ok(booked),
                    Purchase::Cancelled => Err(BookError::fail(code)),
                    // In a state that does not go with a purchase, and not bought: another purchase is under way.
                    Purchase::None if status == 409 => Err(BookError::unknown(code)),
                    Purchase::None => Err(BookError::fail(code)),
                    Purchase::Odd => Err(BookError::unknown("unreadable_answer")),
                },
                Err(_) => Err(BookError::unknown(code)),
            },
            // Neither a purchase nor a refusal in Karrio's own words: it may have been bought.
            _ => Err(BookError::unknown(answer.status_code())),
        }
    }

    /// The tracker of a parcel, and where its shipment is where Karrio has no tracker for it: not every carrier behind it
    /// can be asked. A tracking number stands in a body, never in a URL.
    async fn events_of(&self, parcel: &ParcelRef) -> Result<Vec<CourierEvent>, CallError> {
        let Some(id) = &parcel.provider_ref else {
            let (Some(number), Some(carrier)) = (&parcel.tracking_no, self.wanted.carrier_ids.first()) else {
                return Ok(Vec::new());
            };
            let tracker = self.watched(number, carrier).await?;
            return Ok(wire::events_of(&tracker, parcel));
        };
        let shipment = self.shipment(id, &parcel.reference).await?;
        let asked = match (shipment.tracker_id(), shipment.tracked_as()) {
            (Some(tracker), _) => self.ask(Method::GET, &format!("v1/trackers/{tracker}"), None).await,
            (None, Some((number, carrier))) => self.watched(&number, &carrier).await,
            (None, None) => return Ok(shipment.own_events(parcel)),
        };
        match asked {
            Ok(tracker) if wire::is_about(&tracker, &shipment) => Ok(wire::events_of(&tracker, parcel)),
            Ok(_) => Err(CallError::new("unreadable_answer")),
            Err(error) if wire::has_no_tracker(&error) => Ok(shipment.own_events(parcel)),
            Err(error) => Err(error),
        }
    }

    /// Creates the tracker, or finds the one that there is.
    async fn watched(&self, number: &Pii<String>, carrier: &str) -> Result<Value, CallError> {
        let body = json!({"tracking_number": number.expose(), "carrier_name": carrier});
        self.ask(Method::POST, "v1/trackers", Some(&body)).await
    }
}

impl Adapter for Karrio {
    type Settings = Settings;

    fn build(settings: &Settings, parts: &Parts<'_>) -> Result<Option<Self>, BuildError> {
        if settings.base_url.is_none() || settings.token.is_none() || settings.webhook_secret.is_none() {
            return Ok(None);
        }
        let adapter =
            Self::new(settings.clone(), parts.timeout).map_err(|error| format!("couriers.karrio: {error}"))?;
        Ok(Some(adapter))
    }
}

#[async_trait]
impl Courier for Karrio {
    fn name(&self) -> &'static str {
        Settings::NAME
    }

    /// Create; then ask, buy, and ask once more where the purchase was refused.
    fn deadline(&self) -> Duration {
        self.timeout * 4
    }

    async fn prepare(&self, request: &BookingRequest) -> Result<Option<String>, BookError> {
        let body = wire::shipment_body(request, &self.wanted);
        let answer = match self.api.call(Method::POST, "v1/shipments", Some(&body)).await {
            Ok(answer) => answer,
            Err(none) => return Err(BookError::retry(none.code)),
        };
        let own = answer.body.as_ref().ok().and_then(wire::own_code);
        match (answer.status, own) {
            // A draft costs nothing: whatever failed, another may be made.
            (200..=299, _) => answer
                .body
                .ok()
                .and_then(|body| wire::created(&body, &request.reference))
                .map(Some)
                .ok_or_else(|| BookError::retry("unreadable_answer")),
            (429, own) => Err(BookError::Retry {
                code: own.unwrap_or_else(|| "rate_limited".to_owned()),
                after: answer.after,
            }),
            (401..=403, own) => Err(BookError::unauthorized(own.unwrap_or_else(|| answer.status_code()))),
            (400 | 404 | 405 | 409 | 422, Some(code)) => Err(BookError::fail(code)),
            (424, Some(code)) if !wire::may_pass(&code) => Err(BookError::fail(code)),
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
            Err(error) if error.code == "not_found" => return Err(BookError::fail("shipment_not_found")),
            Err(error) => return Err(not_booked(error)),
        };
        match shipment.purchase() {
            Purchase::None => {}
            Purchase::Live(booked) => return Ok(booked),
            Purchase::Cancelled => return Err(BookError::fail("cancelled")),
            Purchase::Odd => return Err(BookError::unknown("unreadable_answer")),
        }
        let Some(rate) = shipment.best_rate(&self.wanted) else {
            return Err(BookError::fail("no_rate"));
        };
        let body = json!({"selected_rate_id": rate.id, "label_type": "PDF"});
        let answer = match self
            .api
            .call(Method::POST, &format!("v1/shipments/{id}/purchase"), Some(&body))
            .await
        {
            Ok(answer) => answer,
            Err(none) if none.may_have_arrived => return Err(BookError::unknown(none.code)),
            Err(none) => return Err(BookError::retry(none.code)),
        };
        if !answer.is_good() {
            return self.not_purchased(answer, id, &request.reference).await;
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
        match self.shipment(id, &attempt.reference).await?.purchase() {
            Purchase::Live(booked) => Ok(Reconciled::Booked(booked)),
            Purchase::None | Purchase::Cancelled => Ok(Reconciled::NotThere),
            Purchase::Odd => Err(CallError::new("unreadable_answer")),
        }
    }

    async fn cancel(&self, parcel: &ParcelRef) -> Result<CancelAnswer, CallError> {
        let Some(id) = parcel.provider_ref.as_deref().filter(|id| is_id(id)) else {
            return Ok(CancelAnswer::Cancelled);
        };
        let answer = self
            .api
            .call(Method::POST, &format!("v1/shipments/{id}/cancel"), Some(&json!({})))
            .await?;
        let own = answer.body.as_ref().ok().and_then(wire::own_code);
        let code = match (answer.status, own) {
            // 202: it was cancelled already. What counts is the state that it says it is in.
            (200..=299 | 304, _) => None,
            (424, Some(code)) if wire::may_pass(&code) => return Err(answer.unusable(Some(code))),
            (400 | 404 | 405 | 409 | 422 | 424, Some(code)) => Some(code),
            (_, own) => return Err(answer.unusable(own)),
        };
        let told = answer.body.ok().filter(|_| code.is_none());
        let told = told.and_then(|body| Shipment::read(body, id, &parcel.reference));
        let shipment = match told {
            Some(shipment) => shipment,
            None => match self.shipment(id, &parcel.reference).await {
                Ok(shipment) => shipment,
                Err(error) if error.code == "not_found" => return Ok(CancelAnswer::Refused { code: error.code }),
                Err(error) => return Err(error),
            },
        };
        match shipment.purchase() {
            Purchase::Cancelled => Ok(CancelAnswer::Cancelled),
            _ => Ok(CancelAnswer::Refused {
                code: code.unwrap_or_else(|| "not_cancelled".to_owned()),
            }),
        }
    }

    async fn track(&self, parcels: &[ParcelRef]) -> Result<Vec<CourierEvent>, CallError> {
        let mut events = Vec::new();
        for parcel in parcels {
            events.extend(self.events_of(parcel).await?);
        }
        events.sort_by_key(|event: &CourierEvent| event.at);
        Ok(events)
    }

    /// Two calls a parcel; Karrio lets 300 a minute through to carriers.
    fn tracking_limits(&self) -> TrackingLimits {
        TrackingLimits {
            per_call: 10,
            between: Duration::from_secs(10 * 60),
        }
    }

    /// Karrio watches what it booked. Of another parcel it must know the carrier: the first of `carrier_ids`.
    async fn watch(&self, parcel: &ParcelRef) -> Result<(), CallError> {
        match (
            &parcel.provider_ref,
            &parcel.tracking_no,
            self.wanted.carrier_ids.first(),
        ) {
            (None, Some(number), Some(carrier)) => self.watched(number, carrier).await.map(drop),
            _ => Ok(()),
        }
    }

    async fn label(&self, parcel: &ParcelRef) -> Result<Option<Label>, CallError> {
        let Some(id) = &parcel.provider_ref else {
            return Ok(None);
        };
        let shipment = self.shipment(id, &parcel.reference).await?;
        let Some(document) = self.label_of(id, &shipment).await? else {
            return Ok(None);
        };
        let said = format!("application/{}", shipment.label_format());
        match rest::document_type(&document, &said) {
            Some(content_type) => Ok(Some(Label {
                content_type: content_type.to_owned(),
                document: Pii::new(document),
            })),
            None => Err(CallError::new("not_a_label")),
        }
    }

    async fn check(&self) -> Vec<Finding> {
        let (good, what) = match self.ask(Method::GET, "v1/shipments?limit=1", None).await {
            Ok(_) => (true, "Karrio answers and accepts the token".to_owned()),
            Err(error) if error.unauthorized => (
                false,
                format!(
                    "Karrio does not accept couriers.karrio.token ({}): make a key in its dashboard under API keys",
                    error.code
                ),
            ),
            Err(error) => (
                false,
                format!(
                    "Karrio gives no usable answer ({}): is it running at couriers.karrio.base_url (without /v1)?",
                    error.code
                ),
            ),
        };
        vec![Finding { good, what }]
    }

    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Vec<CourierEvent>, WebhookError> {
        let given = request.header(SECRET_HEADER).ok_or(WebhookError::NotAuthentic)?;
        if !self.webhook_secret.matches(given.as_bytes()) {
            return Err(WebhookError::NotAuthentic);
        }
        let body: Value = serde_json::from_slice(request.body).map_err(|_| WebhookError::Malformed)?;
        wire::read_event(&body, request.received_at).ok_or(WebhookError::Malformed)
    }

    /// Karrio sends nothing twice, and switches a webhook off after more than five failures in a row.
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
