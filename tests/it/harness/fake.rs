//! A courier that says what a test tells it to say: beside the simulated one, under another name.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use safelight::couriers::{
    BookError, Booked, BookingRequest, CallError, CancelAnswer, Courier, CourierEvent, Finding, Label, News, ParcelRef,
    Reconciled, TrackingLimits, WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest,
};
use safelight::domain::ids::BookingReference;
use safelight::domain::shipment::TrackingStatus;
use safelight::privacy::Pii;

/// What it says next, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Answers to bookings, in order; then every booking succeeds.
    pub(crate) book: VecDeque<Result<Booked, BookError>>,
    /// While set, every booking fails so.
    pub(crate) always: Option<BookError>,
    /// References of every booking that was asked for.
    pub(crate) sent: Vec<String>,
    /// Answers to cancellations, in order; then all are called off.
    pub(crate) cancel: VecDeque<Result<CancelAnswer, CallError>>,
    pub(crate) cancelled: usize,
    /// While set, no question gets an answer.
    pub(crate) mute: Option<CallError>,
    /// A question that names one of these parcels gets no answer.
    pub(crate) unspoken: Vec<String>,
    /// What `track` knows of every parcel it is asked for.
    pub(crate) status: Option<TrackingStatus>,
    /// How many parcels each call of `track` asked for.
    pub(crate) tracked: Vec<usize>,
    /// What `reconcile` finds.
    pub(crate) found: Option<Booked>,
    pub(crate) watched: Vec<String>,
    pub(crate) label: Option<Label>,
    pub(crate) labels_asked: usize,
}

/// The courier.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) name: &'static str,
    pub(crate) signs: bool,
    pub(crate) clock: safelight::clock::Clock,
    script: Mutex<Script>,
}

impl Fake {
    pub(crate) fn new(name: &'static str, signs: bool, clock: safelight::clock::Clock) -> Self {
        Self {
            name,
            signs,
            clock,
            script: Mutex::default(),
        }
    }

    /// What it says and heard.
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> Result<(), CallError> {
        self.script().mute.clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Courier for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(20)
    }

    async fn commit(&self, request: &BookingRequest, _: Option<&str>) -> Result<Booked, BookError> {
        let mut script = self.script();
        script.sent.push(request.reference.to_string());
        if let Some(error) = script.always.clone() {
            return Err(error);
        }
        let number = format!("FK{}", request.reference);
        let usual = Ok(Booked::under(Some(Pii::new(number))));
        script.book.pop_front().unwrap_or(usual)
    }

    async fn reconcile(&self, _: &ParcelRef) -> Result<Reconciled, CallError> {
        self.answers()?;
        Ok(self
            .script()
            .found
            .clone()
            .map_or(Reconciled::NotThere, Reconciled::Booked))
    }

    async fn cancel(&self, _: &ParcelRef) -> Result<CancelAnswer, CallError> {
        self.answers()?;
        let mut script = self.script();
        script.cancelled += 1;
        script.cancel.pop_front().unwrap_or(Ok(CancelAnswer::Cancelled))
    }

    async fn track(&self, parcels: &[ParcelRef]) -> Result<Vec<CourierEvent>, CallError> {
        self.script().tracked.push(parcels.len());
        self.answers()?;
        if parcels
            .iter()
            .any(|parcel| self.script().unspoken.contains(&parcel.reference.to_string()))
        {
            return Err(CallError::new("refused"));
        }
        let (status, at) = (self.script().status, self.clock.business_now());
        let event = |parcel: &ParcelRef, status| CourierEvent {
            reference: Some(parcel.reference.clone()),
            provider_ref: None,
            tracking_no: parcel.tracking_no.clone(),
            new_tracking_no: None,
            new_provider_ref: None,
            news: News::Moved(status),
            code: "T1".to_owned(),
            at,
            remark: None,
        };
        let events = parcels
            .iter()
            .filter_map(|parcel| status.map(|status| event(parcel, status)));
        Ok(events.collect())
    }

    fn tracking_limits(&self) -> TrackingLimits {
        TrackingLimits {
            per_call: 2,
            between: Duration::from_secs(60),
        }
    }

    async fn watch(&self, parcel: &ParcelRef) -> Result<(), CallError> {
        self.answers()?;
        let number = parcel.tracking_no.as_ref().map(|number| number.expose().clone());
        self.script().watched.extend(number);
        Ok(())
    }

    async fn label(&self, _: &ParcelRef) -> Result<Option<Label>, CallError> {
        self.answers()?;
        let mut script = self.script();
        script.labels_asked += 1;
        Ok(script.label.clone())
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn signs_webhooks(&self) -> bool {
        self.signs
    }

    /// `REFERENCE STATUS`, and the token in the path stands for everything.
    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Vec<CourierEvent>, WebhookError> {
        if request.token != Some("token") {
            return Err(WebhookError::NotAuthentic);
        }
        let text = std::str::from_utf8(request.body).map_err(|_| WebhookError::Malformed)?;
        let (reference, status) = text.split_once(' ').ok_or(WebhookError::Malformed)?;
        Ok(vec![CourierEvent {
            reference: BookingReference::parse(reference),
            provider_ref: None,
            tracking_no: None,
            new_tracking_no: None,
            new_provider_ref: None,
            news: TrackingStatus::parse(status).map_or(News::Unchanged, News::Moved),
            code: "P1".to_owned(),
            at: self.clock.business_now(),
            remark: None,
        }])
    }

    fn acknowledge(&self, _: &WebhookRequest<'_>, outcome: WebhookOutcome) -> WebhookAnswer {
        WebhookAnswer {
            status: if outcome == WebhookOutcome::Accepted { 200 } else { 503 },
            content_type: "text/plain",
            body: "ok".to_owned(),
        }
    }
}
