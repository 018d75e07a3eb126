//! SF Express by its open platform (丰桥, `std/service`).
//!
//! One URL, one signed form, and inside its answer the answer of a service. What makes a parcel booked once here: SF keeps
//! an order id for ever, so ours is the booking reference; "duplicate order" and every lost answer are settled by asking
//! for that id; and an answer counts only where it names that id. SF does not sign what it pushes.

mod check;
mod codes;
mod gateway;
mod label;
mod lenient_json;
mod requests;
mod routes;
mod settings;
mod signing;
mod status;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;

use crate::clock::Clock;
use crate::couriers::adapter::{Adapter, BuildError, CourierSettings, Parts};
use crate::couriers::{
    BookError, Booked, BookingRequest, CallError, CancelAnswer, Courier, CourierEvent, Finding, Label, ParcelRef,
    Reconciled, TrackingLimits, WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest, client,
};
use crate::domain::ids::BookingReference;
use crate::privacy::Secret;
pub use settings::Settings;

use codes::Meaning;
use gateway::{Booking, Failure, Gateway};
use routes::Style;
use wire::Held;

/// The most parcels that one question about routes may name.
const ROUTES_BATCH: usize = 10;

/// A configuration the adapter cannot work with.
#[derive(Debug, thiserror::Error)]
pub enum SfError {
    /// Not an `http` or `https` URL.
    #[error("couriers.sf.base_url must be an http or https URL")]
    BaseUrl,
    /// A key that the adapter cannot do without.
    #[error("couriers.sf.{0} is needed to book with SF")]
    Missing(&'static str),
    /// The TLS library could not be initialised.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// SF Express.
pub struct Sf {
    gateway: Gateway,
    monthly_card: Option<Secret<String>>,
    express_type_id: u32,
    push_tokens: Vec<Secret<String>>,
    push_addresses: Vec<IpNet>,
    timeout: Duration,
}

impl fmt::Debug for Sf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sf")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Sf {
    /// An adapter that speaks to `settings.base_url`; `clock` stamps what it sends, in wall time.
    ///
    /// # Errors
    /// The URL cannot be used, or a credential is missing.
    pub fn new(settings: Settings, timeout: Duration, clock: Clock) -> Result<Self, SfError> {
        let partner_id = settings.partner_id.ok_or(SfError::Missing("partner_id"))?;
        let gateway = Gateway {
            url: gateway::gateway_url(&settings.base_url).ok_or(SfError::BaseUrl)?,
            client: client::build(timeout).map_err(SfError::Client)?,
            clock,
            partner_id: partner_id.trim().to_owned(),
            checkword: settings.checkword.ok_or(SfError::Missing("checkword"))?,
        };
        let mut push_tokens = settings.push_tokens;
        push_tokens.retain(|token| !token.expose().is_empty());
        Ok(Self {
            gateway,
            monthly_card: settings.monthly_card,
            express_type_id: settings.express_type_id,
            push_tokens,
            push_addresses: settings.push_addresses,
            timeout,
        })
    }

    /// What SF holds under a reference.
    async fn look_for(&self, reference: &BookingReference) -> Result<Reconciled, CallError> {
        let search = requests::SearchOrder::from(reference.as_str());
        match self.gateway.call("EXP_RECE_SEARCH_ORDER_RESP", &search).await {
            Ok(order) => match wire::held(&order, reference).map_err(CallError::new)? {
                Held::Carried(waybill) => Ok(Reconciled::Booked(Booked::under(waybill))),
                // It holds the order and says nothing against it.
                Held::Unsaid => Ok(Reconciled::Booked(Booked::under(None))),
                Held::OutOfRange(code) => Ok(Reconciled::Refused { code: code.to_owned() }),
            },
            Err(Failure::Said { code, after }) => match codes::meaning(&code) {
                Meaning::NotThere => Ok(Reconciled::NotThere),
                // Not "not there": SF never takes the id again, so it must not be sent again.
                Meaning::CalledOff => Ok(Reconciled::Refused { code }),
                _ => Err(Failure::Said { code, after }.of_call()),
            },
            Err(failure) => Err(failure.of_call()),
        }
    }

    /// Routes of parcels that are all known by waybill, or of one that is known by reference alone.
    async fn routes_of(&self, parcels: &[&ParcelRef]) -> Result<Vec<CourierEvent>, CallError> {
        let search = requests::SearchRoutes::from(parcels);
        match self.gateway.call("EXP_RECE_SEARCH_ROUTES", &search).await {
            Ok(answer) => Ok(routes::answered(&answer, parcels, self.gateway.clock.business_now())),
            Err(failure) => Err(failure.of_call()),
        }
    }

    /// Whether a push may be believed. Every token is compared, so that the time says nothing about any of them.
    fn is_authentic(&self, request: &WebhookRequest<'_>) -> bool {
        let given = request.token.unwrap_or_default().as_bytes();
        let by_token = self
            .push_tokens
            .iter()
            .fold(false, |found, token| token.matches(given) | found);
        let by_address = self.push_addresses.is_empty()
            || request.peer.is_some_and(|peer| {
                let peer = peer.to_canonical();
                self.push_addresses.iter().any(|network| network.contains(&peer))
            });
        by_token && by_address
    }
}

impl Adapter for Sf {
    type Settings = Settings;

    fn build(settings: &Settings, parts: &Parts<'_>) -> Result<Option<Self>, BuildError> {
        if settings.partner_id.is_none() || settings.checkword.is_none() {
            return Ok(None);
        }
        Ok(Some(Self::new(settings.clone(), parts.timeout, parts.clock.clone())?))
    }
}

#[async_trait]
impl Courier for Sf {
    fn name(&self) -> &'static str {
        Settings::NAME
    }

    fn deadline(&self) -> Duration {
        self.timeout
    }

    async fn commit(&self, request: &BookingRequest, _prepared: Option<&str>) -> Result<Booked, BookError> {
        let ends = tokio::time::Instant::now() + self.timeout;
        let card = self.monthly_card.as_ref().map(|card| card.expose().as_str());
        let order = requests::CreateOrder::new(request, card, self.express_type_id);
        let failure = match self.gateway.call("EXP_RECE_CREATE_ORDER", &order).await {
            // SF said yes: a parcel may exist, even when the answer cannot be read or is about another.
            Ok(answer) => {
                return match wire::held(&answer, &request.reference).map_err(BookError::unknown)? {
                    Held::Carried(waybill) => Ok(Booked::under(waybill)),
                    Held::OutOfRange(code) => Err(BookError::fail(code)),
                    Held::Unsaid => Err(BookError::unknown("unreadable_answer")),
                };
            }
            Err(failure) => failure,
        };
        match failure.of_booking() {
            Booking::Decided(error) => Err(error),
            // The request is dealt with, so what is not there now does not come later. Within the same deadline.
            Booking::Ask(code) => match tokio::time::timeout_at(ends, self.look_for(&request.reference)).await {
                Ok(Ok(Reconciled::Booked(booked))) => Ok(booked),
                Ok(Ok(Reconciled::NotThere | Reconciled::Refused { .. })) => Err(BookError::Fail { code }),
                _ => Err(BookError::Unknown { code }),
            },
        }
    }

    async fn reconcile(&self, attempt: &ParcelRef) -> Result<Reconciled, CallError> {
        self.look_for(&attempt.reference).await
    }

    async fn cancel(&self, parcel: &ParcelRef) -> Result<CancelAnswer, CallError> {
        let cancel = requests::CancelOrder::from(&parcel.reference);
        let code = match self.gateway.call("EXP_RECE_UPDATE_ORDER", &cancel).await {
            Ok(answer) => return wire::cancelled(&answer, &parcel.reference).map_err(CallError::new),
            Err(Failure::Said { code, after }) => match codes::meaning(&code) {
                Meaning::CalledOff => return Ok(CancelAnswer::Cancelled),
                // Confirmed, perhaps under way; or a rule of time, or one that SF's list does not have.
                Meaning::MayBeThere if !matches!(code.as_str(), "8017" | "8252" | "8019") => {
                    return Err(Failure::Said { code, after }.of_call());
                }
                Meaning::MayBeThere | Meaning::Unlisted => return Ok(CancelAnswer::Refused { code }),
                Meaning::NotThere => code,
                Meaning::Later | Meaning::Account | Meaning::Refused => {
                    return Err(Failure::Said { code, after }.of_call());
                }
            },
            Err(failure) => return Err(failure.of_call()),
        };
        // Shipped by hand under that waybill: not ours to call off.
        if parcel.tracking_no.is_some() && parcel.first_sent_at.is_none() {
            let code = "not_booked_here".to_owned();
            return Ok(CancelAnswer::Refused { code });
        }
        // "No such order" is good news only where there never was one: it had no waybill, and its other service has not
        // heard of it either. Of a parcel that SF did book it is nonsense, and asked again.
        let never_booked = parcel.tracking_no.is_none()
            && (parcel.first_sent_at.is_none()
                || matches!(self.look_for(&parcel.reference).await?, Reconciled::NotThere));
        if never_booked {
            Ok(CancelAnswer::Cancelled)
        } else {
            Err(CallError::new(code))
        }
    }

    async fn track(&self, parcels: &[ParcelRef]) -> Result<Vec<CourierEvent>, CallError> {
        // Those whose phone is known apart from those whose is not: SF takes the digits for a whole question.
        let mut by_waybill: BTreeMap<bool, Vec<&ParcelRef>> = BTreeMap::new();
        let mut events = Vec::new();
        for parcel in parcels {
            if parcel.tracking_no.is_some() {
                by_waybill
                    .entry(parcel.consignee_phone.is_some())
                    .or_default()
                    .push(parcel);
            } else {
                // One by one: an answer by reference does not say which of several it is about.
                events.extend(self.routes_of(&[parcel]).await?);
            }
        }
        for batch in by_waybill.values().flat_map(|group| group.chunks(ROUTES_BATCH)) {
            events.extend(self.routes_of(batch).await?);
        }
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    /// SF names no least time between two questions about one parcel; it counts questions, 3000 a day where it is
    /// strictest.
    fn tracking_limits(&self) -> TrackingLimits {
        TrackingLimits {
            per_call: ROUTES_BATCH,
            between: Duration::from_secs(30 * 60),
        }
    }

    async fn label(&self, parcel: &ParcelRef) -> Result<Option<Label>, CallError> {
        label::fetch(&self.gateway, parcel).await.map(Some)
    }

    async fn check(&self) -> Vec<Finding> {
        check::findings(self).await
    }

    fn signs_webhooks(&self) -> bool {
        false
    }

    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Vec<CourierEvent>, WebhookError> {
        if !self.is_authentic(request) {
            return Err(WebhookError::NotAuthentic);
        }
        routes::pushed(request.body, request.received_at).ok_or(WebhookError::Malformed)
    }

    /// In the style of the push, and always with 200: SF's documents put success and failure into the body, and say nothing
    /// of the status. They have no acknowledgement for the state of an order either; those that integrators are seen to
    /// send are in one answer here, which each reader finds its own words in.
    fn acknowledge(&self, request: &WebhookRequest<'_>, outcome: WebhookOutcome) -> WebhookAnswer {
        let taken = outcome == WebhookOutcome::Accepted;
        let (content_type, body) = match (routes::style(request.body), taken) {
            (Style::Json, true) => (JSON, r#"{"return_code":"0000","return_msg":"成功"}"#),
            (Style::Json, false) => (JSON, r#"{"return_code":"1000","return_msg":"系统异常"}"#),
            (Style::OrderState, true) => (
                JSON,
                r#"{"return_code":"0000","return_msg":"成功","head":"OK","code":"OK","status":"OK"}"#,
            ),
            (Style::OrderState, false) => (
                JSON,
                r#"{"return_code":"1000","return_msg":"系统异常","head":"ERR","code":"ERR","status":"ERR"}"#,
            ),
            (Style::Xml, true) => (
                XML,
                r#"<Response service="RoutePushService"><Head>OK</Head></Response>"#,
            ),
            (Style::Xml, false) => (
                XML,
                r#"<Response service="RoutePushService"><Head>ERR</Head><ERROR code="4001">系统发生数据错误或运行时异常</ERROR></Response>"#,
            ),
        };
        WebhookAnswer {
            status: 200,
            content_type,
            body: body.to_owned(),
        }
    }
}

const JSON: &str = "application/json;charset=UTF-8";
const XML: &str = "text/xml;charset=UTF-8";
