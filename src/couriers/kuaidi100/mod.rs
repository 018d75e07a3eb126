//! The adapter of Kuaidi100 (快递100): parcels are booked at its order desk (商家寄件), which hands them to the company of
//! `courier_code`; news comes by its tracking pushes and the order desk's callback, or is asked for.
//!
//! - **Once.** `thirdOrderId` is our booking reference: sent again within 48 hours it is answered with the first order,
//!   later it is a new one that is paid for. There is no query by it, so a booking of unknown outcome is sent again while
//!   that is safe, and afterwards a person resolves it.
//! - **Pushes** come to `{public_url}/webhooks/kuaidi100/{booking reference}`. The salt's signature makes them authentic;
//!   the reference in the path is only a hint, which the app holds against the ids in what was signed.
//! - **Labels**: the order desk gives none to fetch. Whoever collects brings the waybill, or Kuaidi100's own printer
//!   prints it; so [`Courier::label`] stays without an answer.

mod answers;
mod calls;
mod push;
mod settings;
mod signing;
mod status;
mod wire;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::Url;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::couriers::adapter::{Adapter, BuildError, CourierSettings, Parts};
use crate::couriers::client::{self, send_code, surely_not_sent};
use crate::couriers::{
    BookError, Booked, BookingRequest, CallError, CancelAnswer, Courier, CourierEvent, Finding, News, ParcelRef,
    Reconciled, TrackingLimits, WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest,
};
use crate::domain::ids::BookingReference;
use crate::domain::shipment::TrackingStatus;
use crate::privacy::Secret;
pub use settings::Settings;

use settings::{LONGEST_CALLBACK, LONGEST_PUBLIC_URL};
use wire::{Ids, Terms};

/// How long the same id is answered with the first order, less an hour: for clocks that differ, and for what is still
/// under way when the time is up.
const SAFE_TO_RESEND: TimeDelta = TimeDelta::hours(47);

/// Kuaidi100 locks a number that is asked for more often.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(30 * 60);

/// A configuration the adapter cannot work with.
#[derive(Debug, thiserror::Error)]
pub enum Kuaidi100Error {
    /// Not an `http` or `https` URL.
    #[error("couriers.kuaidi100.{0} must be an http or https URL")]
    Url(&'static str),
    /// Callbacks could not reach us.
    #[error(
        "http.public_url must be an http or https URL of at most {LONGEST_PUBLIC_URL} bytes: Kuaidi100 takes callback \
         addresses of at most {LONGEST_CALLBACK}"
    )]
    PublicUrl,
    /// Not a company's code.
    #[error("couriers.kuaidi100.courier_code must be a company's code in small letters, such as yuantong")]
    CourierCode,
    /// A key that the adapter cannot do without.
    #[error("couriers.kuaidi100.{0} is needed to book with Kuaidi100")]
    Missing(&'static str),
    /// The TLS library could not be initialised.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// Kuaidi100.
pub struct Kuaidi100 {
    order_url: Url,
    query_url: Url,
    subscribe_url: Url,
    public_url: String,
    key: Secret<String>,
    customer: String,
    secret: Secret<String>,
    salt: Secret<String>,
    courier_code: String,
    timeout: Duration,
    client: reqwest::Client,
    clock: Clock,
}

impl fmt::Debug for Kuaidi100 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kuaidi100")
            .field("courier_code", &self.courier_code)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none())
}

impl Kuaidi100 {
    /// An adapter that speaks to the three addresses of `settings`; requests are stamped by `clock`'s wall time.
    /// `public_url` is how the world reaches this service, without a slash at the end; at most `LONGEST_PUBLIC_URL` bytes.
    ///
    /// # Errors
    /// A URL or the company's code cannot be used, or a credential is missing.
    pub fn new(settings: Settings, public_url: &str, timeout: Duration, clock: Clock) -> Result<Self, Kuaidi100Error> {
        let url = |text: &str, key| web_url(text).ok_or(Kuaidi100Error::Url(key));
        let missing = Kuaidi100Error::Missing;
        if web_url(public_url).is_none() || public_url.len() > LONGEST_PUBLIC_URL {
            return Err(Kuaidi100Error::PublicUrl);
        }
        let courier_code = settings.courier_code.ok_or(missing("courier_code"))?;
        if !wire::is_company(&courier_code) {
            return Err(Kuaidi100Error::CourierCode);
        }
        let customer = settings.customer.ok_or(missing("customer"))?;
        Ok(Self {
            order_url: url(&settings.order_url, "order_url")?,
            query_url: url(&settings.query_url, "query_url")?,
            subscribe_url: url(&settings.subscribe_url, "subscribe_url")?,
            public_url: public_url.to_owned(),
            key: settings.key.ok_or(missing("key"))?,
            customer: customer.trim().to_owned(),
            secret: settings.secret.ok_or(missing("secret"))?,
            salt: settings.salt.ok_or(missing("salt"))?,
            courier_code,
            timeout,
            client: client::build(timeout).map_err(Kuaidi100Error::Client)?,
            clock,
        })
    }

    /// Where news of a booking is sent: the reference names no person.
    fn callback_url(&self, reference: &BookingReference) -> String {
        let base = self.public_url.trim_end_matches('/');
        format!("{base}/webhooks/kuaidi100/{reference}")
    }

    /// The company that carries a parcel now.
    fn company_of(&self, parcel: &ParcelRef) -> String {
        let known = parcel.provider_ref.as_deref().map(Ids::parse);
        known
            .and_then(|ids| ids.company)
            .unwrap_or_else(|| self.courier_code.clone())
    }

    /// The end of the consignee's phone number, where the company asks for it.
    fn phone_for(company: &str, parcel: &ParcelRef) -> Option<String> {
        let phone = parcel.consignee_phone.as_ref()?;
        wire::asks_for_phone(company).then(|| phone.last4())
    }

    /// How a booking stands at the order desk; `None` where there is no task to ask by.
    async fn detail(&self, ids: &Ids) -> Result<Option<answers::Detail>, CallError> {
        let Some(task) = &ids.task else { return Ok(None) };
        let param = json!({ "taskId": task }).to_string();
        let answer = self.ask(self.order_call("detail", &param)).await?;
        match answer.detail() {
            // An answer about another booking is no answer.
            Some(detail) if !detail.ids.contradicts(ids) => Ok(Some(detail)),
            _ => Err(calls::refused(&answer)),
        }
    }

    /// News of a parcel whose number is not known yet.
    async fn track_task(&self, parcel: &ParcelRef, ids: &Ids) -> Result<Vec<CourierEvent>, CallError> {
        let Some(detail) = self.detail(ids).await? else {
            return Ok(Vec::new());
        };
        let Some(code) = detail.status.clone() else {
            return Ok(Vec::new());
        };
        Ok(vec![CourierEvent {
            reference: Some(parcel.reference.clone()),
            provider_ref: parcel.provider_ref.clone(),
            news: detail.news(),
            tracking_no: detail.number,
            new_tracking_no: None,
            new_provider_ref: None,
            code: client::safe_code(&code).unwrap_or("unknown").to_owned(),
            at: self.clock.business_now(),
            remark: None,
        }])
    }

    async fn track_one(&self, parcel: &ParcelRef) -> Result<Vec<CourierEvent>, CallError> {
        let Some(asked) = &parcel.tracking_no else {
            return match parcel.provider_ref.as_deref().map(Ids::parse) {
                Some(ids) => self.track_task(parcel, &ids).await,
                None => Ok(Vec::new()),
            };
        };
        let company = self.company_of(parcel);
        let mut param = json!({
            "com": company, "num": asked.expose(), "resultv2": "4", "show": "0", "order": "desc", "lang": "zh",
        });
        if let Some(phone) = Self::phone_for(&company, parcel)
            && let Some(members) = param.as_object_mut()
        {
            members.insert("phone".to_owned(), Value::from(phone));
        }
        let answer = self.ask(self.query_call(&param.to_string())).await?;
        if !answer.good {
            return match answer.code.as_str() {
                // Nothing is known of it yet.
                "500" => Ok(Vec::new()),
                // Elsewhere it means a repetition.
                "501" => Err(CallError::new("courier_error")),
                _ => Err(calls::refused(&answer)),
            };
        }
        let mut events = push::history(answer.whole(), self.clock.business_now());
        // An answer about another number says nothing of this parcel.
        events.retain(|event| event.tracking_no.as_ref().is_none_or(|number| number == asked));
        for event in &mut events {
            event.reference = Some(parcel.reference.clone());
            event.tracking_no = Some(asked.clone());
        }
        Ok(events)
    }
}

impl Adapter for Kuaidi100 {
    type Settings = Settings;

    fn build(settings: &Settings, parts: &Parts<'_>) -> Result<Option<Self>, BuildError> {
        let Some(public_url) = parts.public_url.filter(|_| settings.is_complete()) else {
            return Ok(None);
        };
        let adapter = Self::new(settings.clone(), public_url, parts.timeout, parts.clock.clone())?;
        Ok(Some(adapter))
    }
}

#[async_trait]
impl Courier for Kuaidi100 {
    fn name(&self) -> &'static str {
        Settings::NAME
    }

    fn deadline(&self) -> Duration {
        self.timeout
    }

    async fn commit(&self, request: &BookingRequest, _prepared: Option<&str>) -> Result<Booked, BookError> {
        let callback_url = self.callback_url(&request.reference);
        let terms = Terms {
            company: &self.courier_code,
            salt: self.salt.expose(),
            callback_url: &callback_url,
            now: self.clock.wall_now(),
        };
        let param = wire::book_param(request, terms)?;
        let response = self.order_call("bOrder", &param).send().await.map_err(|error| {
            let code = send_code(&error);
            if surely_not_sent(&error) {
                BookError::retry(code)
            } else {
                BookError::unknown(code)
            }
        })?;
        calls::booking_answer(response).await
    }

    /// By the task where it is known. Otherwise there is no question to ask, but the same id is safe to send again.
    async fn reconcile(&self, attempt: &ParcelRef) -> Result<Reconciled, CallError> {
        if let Some(ids) = attempt.provider_ref.as_deref().map(Ids::parse)
            && let Some(detail) = self.detail(&ids).await?
        {
            // Under this id only what was called off would be answered again.
            if detail.news() == News::CalledOff {
                let code = "called_off".to_owned();
                return Ok(Reconciled::Refused { code });
            }
            return Ok(Reconciled::Booked(Booked {
                provider_ref: attempt.provider_ref.clone(),
                ..Booked::under(detail.number)
            }));
        }
        Ok(match attempt.first_sent_at {
            Some(sent) => Reconciled::SafeToResendUntil(sent + SAFE_TO_RESEND),
            None => Reconciled::CannotTell,
        })
    }

    /// Possible until the parcel is collected. What the answer leaves open is asked for.
    async fn cancel(&self, parcel: &ParcelRef) -> Result<CancelAnswer, CallError> {
        let refused = |code: &str| CancelAnswer::Refused { code: code.to_owned() };
        let ids = parcel.provider_ref.as_deref().map(Ids::parse);
        // Booked elsewhere, or entered by hand: Kuaidi100 does not know it.
        let Some(ids) = ids.filter(|ids| ids.task.is_some() && ids.order.is_some()) else {
            return Ok(refused("not_booked_here"));
        };
        let (task, order) = (&ids.task, &ids.order);
        let param = json!({ "taskId": task, "orderId": order, "cancelMsg": "订单取消" }).to_string();
        let answer = self.ask(self.order_call("cancel", &param)).await?;
        if answer.says_called_off() {
            return Ok(CancelAnswer::Cancelled);
        }
        if answer.denies_us() || answer.code == "502" {
            return Err(calls::refused(&answer));
        }
        if let Ok(Some(detail)) = self.detail(&ids).await {
            match detail.news() {
                News::CalledOff => return Ok(CancelAnswer::Cancelled),
                News::Moved(status) if status != TrackingStatus::Accepted => return Ok(refused("too_late")),
                _ => {}
            }
        }
        match answer.code.as_str() {
            _ if answer.says_too_late() => Ok(refused("too_late")),
            "400" => Ok(refused("bad_parameter")),
            _ => Err(calls::refused(&answer)),
        }
    }

    async fn track(&self, parcels: &[ParcelRef]) -> Result<Vec<CourierEvent>, CallError> {
        let mut events = Vec::new();
        for parcel in parcels {
            events.extend(self.track_one(parcel).await?);
        }
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    fn tracking_limits(&self) -> TrackingLimits {
        TrackingLimits {
            per_call: 1,
            between: BETWEEN_QUESTIONS,
        }
    }

    /// Subscribes to a number's news. One that is subscribed already is as good.
    async fn watch(&self, parcel: &ParcelRef) -> Result<(), CallError> {
        let Some(number) = &parcel.tracking_no else {
            return Ok(());
        };
        let company = self.company_of(parcel);
        let mut parameters = json!({
            "callbackurl": self.callback_url(&parcel.reference), "salt": self.salt.expose(), "resultv2": "4",
        });
        if let Some(phone) = Self::phone_for(&company, parcel)
            && let Some(members) = parameters.as_object_mut()
        {
            members.insert("phone".to_owned(), Value::from(phone));
        }
        let param = json!({
            "company": company, "number": number.expose(), "key": self.key.expose(), "parameters": parameters,
        });
        let answer = self.ask(self.subscribe_call(&param.to_string())).await?;
        if answer.good || answer.code == "501" {
            return Ok(());
        }
        Err(calls::refused(&answer))
    }

    async fn check(&self) -> Vec<Finding> {
        calls::findings(self).await
    }

    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Vec<CourierEvent>, WebhookError> {
        let form = push::Form::read(request.body);
        let (Some(param), Some(sign)) = (form.param, form.sign) else {
            return Err(WebhookError::NotAuthentic);
        };
        if !signing::is_authentic(&param, &self.salt, &sign) {
            return Err(WebhookError::NotAuthentic);
        }
        let reference = request.token.and_then(BookingReference::parse);
        push::events(&param, form.task, reference, request.received_at).ok_or(WebhookError::Malformed)
    }

    fn same_booking(&self, known: &str, named: &str) -> bool {
        Ids::parse(known).same(&Ids::parse(named))
    }

    /// Anything but the exact words counts as a failure, and is sent again up to three times, half an hour apart.
    fn acknowledge(&self, _request: &WebhookRequest<'_>, outcome: WebhookOutcome) -> WebhookAnswer {
        let (status, body) = match outcome {
            WebhookOutcome::Accepted => (200, r#"{"result":true,"returnCode":"200","message":"提交成功"}"#),
            WebhookOutcome::Failed => (503, r#"{"result":false,"returnCode":"500","message":"失败"}"#),
        };
        WebhookAnswer {
            status,
            content_type: "application/json; charset=utf-8",
            body: body.to_owned(),
        }
    }
}
