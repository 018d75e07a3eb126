//! Couriers: the trait they share, and a registry of those that are configured.
//!
//! An adapter's folder has `wire.rs`, which translates, and `mod.rs`, which speaks; a courier's wire shapes never leave it.
//! Adapters know nothing of the store. What they answer says **what to do next**, decided where the answer is understood:
//! a request that may have arrived is [`BookError::Unknown`], never a failure.

pub mod adapter;
pub mod client;
#[cfg(test)]
pub(crate) mod contract;
mod customs_declaration;
pub mod easypost;
pub mod karrio;
pub mod kuaidi100;
mod rates;
pub mod registry;
pub mod rest;
pub mod sf;
pub mod simulated;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{BusinessTime, Moment, WallTime};
use crate::domain::contact::{Address, Phone, Recipient};
use crate::domain::ids::BookingReference;
use crate::domain::shipment::TrackingStatus;
use crate::privacy::Pii;

/// Who sends every parcel: the shop, not a data subject.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Contact person or desk at the shop.
    pub name: String,
    /// The shop's name, where it has one.
    pub company: Option<String>,
    /// Where couriers can reach the shop.
    pub phone: Phone,
    /// Where parcels start.
    pub address: Address,
}

/// What is in every parcel.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Weight in grams.
    pub weight_g: u32,
    /// Length, width and height in millimetres.
    pub size_mm: (u32, u32, u32),
    /// What the waybill says is inside.
    pub contents: String,
}

/// What an adapter needs to book one parcel. Holds a person: lives for one call.
#[derive(Debug, Clone)]
pub struct BookingRequest {
    /// Our reference for this attempt; the courier must be able to find the parcel by it.
    pub reference: BookingReference,
    /// Who gets it.
    pub consignee: Recipient,
    /// Who sends it.
    pub sender: Arc<Sender>,
    /// What it is.
    pub parcel: Arc<Parcel>,
}

/// A booked parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// The courier's tracking number (personal data). `None`: accepted, the number comes later.
    pub tracking_no: Option<Pii<String>>,
    /// The courier's own id of the order, where it has one besides the reference.
    pub provider_ref: Option<String>,
    /// What was bought, where the courier offers a choice: carrier, service and price, such as `USPS Priority 7.58 USD`.
    pub service: Option<String>,
}

impl Booked {
    /// Booked under that tracking number, with nothing more to say.
    pub fn under(tracking_no: Option<Pii<String>>) -> Self {
        Self {
            tracking_no,
            provider_ref: None,
            service: None,
        }
    }
}

/// What is known of an attempt whose fate is to be found out, or of a parcel to be asked for or called off.
#[derive(Debug, Clone)]
pub struct ParcelRef {
    /// Our reference.
    pub reference: BookingReference,
    /// What `prepare` or the booking's answer gave.
    pub provider_ref: Option<String>,
    /// The tracking number, once known.
    pub tracking_no: Option<Pii<String>>,
    /// The consignee's phone: some couriers answer only to its last four digits.
    pub consignee_phone: Option<Phone>,
    /// When the attempt was first sent, wall time.
    pub first_sent_at: Option<WallTime>,
}

/// Why a booking did not succeed, in terms of what may be done next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// Surely not booked; the same attempt may be sent again.
    #[error("not booked, to be tried again ({code})")]
    Retry {
        /// Stable, without personal data: `rate_limited`, `unreachable`, `courier_busy`, a courier's own code.
        code: String,
        /// How long the courier asked to wait, wall time.
        after: Option<Duration>,
    },
    /// Surely not booked: the courier does not accept our credentials. Trying again only hammers, until somebody mends them.
    #[error("not booked, the courier refuses our credentials ({code})")]
    Unauthorized {
        /// Stable, without personal data.
        code: String,
    },
    /// Surely not booked, and sending the same again is pointless.
    #[error("refused ({code})")]
    Fail {
        /// Stable, without personal data.
        code: String,
    },
    /// The request may have arrived: reconcile before anything is sent again.
    #[error("outcome unknown ({code})")]
    Unknown {
        /// Stable, without personal data.
        code: String,
    },
}

impl BookError {
    /// Surely not booked; no wait was asked for.
    pub fn retry(code: impl Into<String>) -> Self {
        Self::Retry {
            code: code.into(),
            after: None,
        }
    }

    /// Credentials are not accepted.
    pub fn unauthorized(code: impl Into<String>) -> Self {
        Self::Unauthorized { code: code.into() }
    }

    /// Refused for good.
    pub fn fail(code: impl Into<String>) -> Self {
        Self::Fail { code: code.into() }
    }

    /// May have arrived.
    pub fn unknown(code: impl Into<String>) -> Self {
        Self::Unknown { code: code.into() }
    }

    /// The code, whatever the kind.
    pub fn code(&self) -> &str {
        match self {
            Self::Retry { code, .. } | Self::Unauthorized { code } | Self::Fail { code } | Self::Unknown { code } => {
                code
            }
        }
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciled {
    /// It is booked.
    Booked(Booked),
    /// The courier has nothing under this reference, now. It counts only once the settle time is over.
    NotThere,
    /// The courier had it and will not carry it: refused or called off for good. Nothing more is sent under this
    /// reference; the next attempt takes the next.
    Refused {
        /// Stable, without personal data.
        code: String,
    },
    /// Asking is not possible, but the same id sent again does not book twice before this time (wall).
    SafeToResendUntil(WallTime),
    /// No query can tell: a person resolves it.
    CannotTell,
}

/// What a courier said to a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelAnswer {
    /// Called off, or was already, or never existed.
    Cancelled,
    /// Too late, or not possible.
    Refused {
        /// Stable, without personal data.
        code: String,
    },
}

/// A query or cancellation that got no usable answer; may be sent again, for it changes nothing or is idempotent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the courier gave no usable answer ({code})")]
pub struct CallError {
    /// Stable, without personal data.
    pub code: String,
    /// How long the courier asked to wait, wall time.
    pub after: Option<Duration>,
    /// The courier does not accept our credentials: asking again only hammers.
    pub unauthorized: bool,
}

impl CallError {
    /// No usable answer; no wait was asked for.
    pub fn new(code: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            after: None,
            unauthorized: false,
        }
    }

    /// Credentials are not accepted.
    pub fn unauthorized(code: impl Into<String>) -> Self {
        Self {
            unauthorized: true,
            ..Self::new(code)
        }
    }
}

/// What a piece of news means for its parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The parcel is there now.
    Moved(TrackingStatus),
    /// Nobody could collect it: an exception of a parcel that has not left the house, so no step of its order.
    NotCollected,
    /// The booking that was called off stands again.
    Revived,
    /// There will be no parcel: the courier, or somebody at its counter, called the booking off or could not take it.
    CalledOff,
    /// The state stays: a note, or a code that is not known (which is counted, not guessed at).
    Unchanged,
}

impl News {
    /// As a parked event keeps it; `None` for [`Unchanged`](Self::Unchanged).
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Moved(status) => Some(status.as_str()),
            Self::NotCollected => Some("not_collected"),
            Self::CalledOff => Some("called_off"),
            Self::Revived => Some("revived"),
            Self::Unchanged => None,
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("called_off") => Self::CalledOff,
            Some("not_collected") => Self::NotCollected,
            Some("revived") => Self::Revived,
            other => other
                .and_then(TrackingStatus::parse)
                .map_or(Self::Unchanged, Self::Moved),
        }
    }
}

/// One piece of news about a parcel, authentic, in this service's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierEvent {
    /// Our reference, where the courier echoes it.
    pub reference: Option<BookingReference>,
    /// The courier's own id of the booking, where it says it.
    pub provider_ref: Option<String>,
    /// The tracking number it is about.
    pub tracking_no: Option<Pii<String>>,
    /// The parcel goes on under this number.
    pub new_tracking_no: Option<Pii<String>>,
    /// The courier's own id of the booking from now on.
    pub new_provider_ref: Option<String>,
    /// What happened.
    pub news: News,
    /// The courier's own code, for the log and the metric; never free text.
    pub code: String,
    /// When it happened.
    pub at: BusinessTime,
    /// What the courier wrote (personal data: "signed for by ...").
    pub remark: Option<Pii<String>>,
}

/// When something was sent, taken for when it happened, where the courier does not say.
pub(crate) fn as_happened(sent: WallTime) -> BusinessTime {
    BusinessTime::from_utc(sent.utc())
}

/// An incoming call on `/webhooks/{courier}`, before anything in it is believed.
#[derive(Debug)]
pub struct WebhookRequest<'a> {
    /// Header names in lower case, values as sent.
    pub headers: &'a [(String, String)],
    /// The raw body; signatures are over these bytes.
    pub body: &'a [u8],
    /// The token in the path, for couriers that do not sign.
    pub token: Option<&'a str>,
    /// Who is calling, as far as our own proxies tell; personal data, to be compared and never logged.
    pub peer: Option<IpAddr>,
    /// For signature tolerance.
    pub now: WallTime,
    /// When news count as heard that say no time of their own.
    pub received_at: BusinessTime,
}

impl WebhookRequest<'_> {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Why a webhook was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Signature, secret or token is missing or wrong: 401, and nothing changes.
    #[error("not authentic")]
    NotAuthentic,
    /// Authentic, but not a message this adapter knows.
    #[error("not understood")]
    Malformed,
}

/// What to tell the courier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// Taken in (or not needed any more): do not send it again.
    Accepted,
    /// Could not be stored: send it again.
    Failed,
}

/// An answer in the courier's own format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Body.
    pub body: String,
}

/// How parcels may be asked for, within the courier's own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackingLimits {
    /// Parcels in one call of `track`, at least 1.
    pub per_call: usize,
    /// The least time between two questions about one parcel, wall time.
    pub between: Duration,
}

/// A waybill as it is printed.
#[derive(Debug, Clone)]
pub struct Label {
    /// Such as `application/pdf`.
    pub content_type: String,
    /// The document: it shows the consignee.
    pub document: Pii<Vec<u8>>,
}

/// One thing that `courier check` looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub good: bool,
    /// In plain words; where it is not good, what to do. No secret in it.
    pub what: String,
}

/// A courier's API, as this service needs it.
#[async_trait]
pub trait Courier: Send + Sync + fmt::Debug {
    /// The name in orders, paths and configuration.
    fn name(&self) -> &'static str;

    /// The longest that `prepare` and `commit` together can take; the job's lease outlasts it.
    fn deadline(&self) -> Duration;

    /// Creates what the courier needs before buying and returns its id, which is stored before `commit`.
    /// Buys nothing, so an error here is never [`BookError::Unknown`].
    ///
    /// # Errors
    /// `Retry` or `Fail`.
    async fn prepare(&self, _request: &BookingRequest) -> Result<Option<String>, BookError> {
        Ok(None)
    }

    /// Books the parcel; `prepared` is what `prepare` returned for this attempt.
    ///
    /// # Errors
    /// What may be done next.
    async fn commit(&self, request: &BookingRequest, prepared: Option<&str>) -> Result<Booked, BookError>;

    /// Finds out what became of an attempt.
    ///
    /// # Errors
    /// No usable answer: ask again later.
    async fn reconcile(&self, attempt: &ParcelRef) -> Result<Reconciled, CallError>;

    /// Calls a parcel off. Idempotent: one already called off is `Cancelled`.
    ///
    /// # Errors
    /// No usable answer: the parcel may or may not be cancelled; ask again.
    async fn cancel(&self, parcel: &ParcelRef) -> Result<CancelAnswer, CallError>;

    /// What is known of these parcels, oldest first; a parcel without news is simply absent.
    ///
    /// # Errors
    /// No usable answer.
    async fn track(&self, parcels: &[ParcelRef]) -> Result<Vec<CourierEvent>, CallError>;

    /// How many parcels one call of [`track`](Self::track) asks for, and how often one parcel may be asked for.
    fn tracking_limits(&self) -> TrackingLimits;

    /// Asks the courier to send news of a parcel that was not booked through it, or that moves under another number now.
    /// Idempotent. A courier that sends news of whatever it knows, or of nothing, needs no telling.
    ///
    /// # Errors
    /// No usable answer.
    async fn watch(&self, _parcel: &ParcelRef) -> Result<(), CallError> {
        Ok(())
    }

    /// The waybill to print; `None` where the courier gives none.
    ///
    /// # Errors
    /// No usable answer.
    async fn label(&self, _parcel: &ParcelRef) -> Result<Option<Label>, CallError> {
        Ok(None)
    }

    /// Tries address, credentials and account with calls that change nothing.
    async fn check(&self) -> Vec<Finding>;

    /// Whether the courier signs what it sends. Where it does not, the token in the path is all there is, and an end that
    /// only such a push reports is confirmed by [`track`](Self::track) before an order moves.
    fn signs_webhooks(&self) -> bool {
        true
    }

    /// Whether two of the courier's own ids are of one booking: `known` is what we keep, `named` what an event says.
    fn same_booking(&self, known: &str, named: &str) -> bool {
        known == named
    }

    /// Checks authenticity over the raw bytes, then reads the events.
    ///
    /// # Errors
    /// Not authentic, or not understood.
    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Vec<CourierEvent>, WebhookError>;

    /// The acknowledgement of a webhook, in the courier's own format (which may depend on the request's).
    fn acknowledge(&self, request: &WebhookRequest<'_>, outcome: WebhookOutcome) -> WebhookAnswer;
}

/// The configured couriers.
#[derive(Debug, Clone)]
pub struct Couriers {
    by_name: BTreeMap<&'static str, Configured>,
    default: &'static str,
    unmapped: Arc<Mutex<UnmappedCodes>>,
}

/// How often each code of each courier came that moves nothing.
type UnmappedCodes = BTreeMap<String, BTreeMap<String, u64>>;

/// Codes of one courier that are counted one by one; what else comes is counted together, as `other`.
const CODES_COUNTED: usize = 100;

/// A courier, and where it handles the recipients' data.
#[derive(Debug, Clone)]
pub struct Configured {
    /// Its adapter.
    pub courier: Arc<dyn Courier>,
    /// Two letters, ISO 3166.
    pub region: String,
}

impl Couriers {
    /// Those couriers; `None` when `default` is not among them.
    pub fn new(couriers: impl IntoIterator<Item = Configured>, default: &str) -> Option<Self> {
        let by_name: BTreeMap<_, _> = couriers.into_iter().map(|one| (one.courier.name(), one)).collect();
        let default = *by_name.keys().find(|name| **name == default)?;
        let unmapped = Arc::default();
        Some(Self {
            by_name,
            default,
            unmapped,
        })
    }

    /// The courier of that name, if it is configured.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Courier>> {
        self.by_name.get(name).map(|one| &one.courier)
    }

    /// The country in which that courier handles the recipients' data; two letters, ISO 3166.
    pub fn region(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(|one| one.region.as_str())
    }

    /// The courier that orders get when they name none.
    pub fn default_name(&self) -> &'static str {
        self.default
    }

    /// Counts a code that moves nothing: a note, or one that its courier's table does not know.
    pub fn count_unmapped(&self, courier: &str, code: &str) {
        let mut counts = self.unmapped.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(courier.to_owned()).or_default();
        let known = counts.len() < CODES_COUNTED || counts.contains_key(code);
        let count = counts.entry(if known { code } else { "other" }.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// What was counted since the start: courier, code, how often.
    pub fn unmapped(&self) -> Vec<(String, String, u64)> {
        let counts = self.unmapped.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = |(courier, codes): (&String, &BTreeMap<String, u64>)| {
            let all = codes.iter();
            all.map(|(code, count)| (courier.clone(), code.clone(), *count))
                .collect::<Vec<_>>()
        };
        counts.iter().flat_map(of_one).collect()
    }

    /// Every configured courier's name.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_name.keys().copied()
    }
}
