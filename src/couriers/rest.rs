//! What adapters of JSON APIs share: one base address, one credential, bounded answers, and careful reading of what a
//! stranger wrote.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::clock::BusinessTime;
use crate::couriers::client::{self, retry_after, safe_code, send_code, surely_not_sent};
use crate::couriers::{BookError, CallError};
use crate::privacy::Secret;

/// A configuration that no adapter can work with.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not a URL, or one that would send the recipients in clear.
    #[error("base_url must be an https URL without parameters; http only on this machine (loopback)")]
    BaseUrl,
    /// Empty, or with characters that no header can carry.
    #[error("the credential cannot be sent: it is empty or has characters that no header can carry")]
    Credential,
    /// Empty.
    #[error("the webhook secret is empty")]
    WebhookSecret,
    /// The TLS library could not be initialised.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// An API at one address, with one credential.
pub(super) struct Api {
    base: Url,
    client: reqwest::Client,
    authorization: HeaderValue,
    longest_answer: usize,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// What the courier answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// The wait that it asked for.
    pub(super) after: Option<Duration>,
    /// Its JSON, or a code that says why there is none.
    pub(super) body: Result<Value, &'static str>,
}

/// No answer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoAnswer {
    /// Stable, without personal data.
    pub(super) code: &'static str,
    /// Whether the request may have arrived.
    pub(super) may_have_arrived: bool,
}

impl Api {
    /// An API at `base_url`; `authorization` is the whole header. Answers longer than `longest_answer` bytes are refused.
    ///
    /// # Errors
    /// The URL or the credential cannot be used.
    pub(super) fn new(
        base_url: &str,
        authorization: &Secret<String>,
        timeout: Duration,
        longest_answer: usize,
    ) -> Result<Self, SetupError> {
        // A base without its closing slash would lose its last segment when a path is joined to it.
        let base = Url::parse(&format!("{}/", base_url.trim_end_matches('/'))).map_err(|_| SetupError::BaseUrl)?;
        if base.query().is_some() || base.fragment().is_some() || !is_private(&base) {
            return Err(SetupError::BaseUrl);
        }
        let mut authorization = HeaderValue::from_str(authorization.expose()).map_err(|_| SetupError::Credential)?;
        authorization.set_sensitive(true);
        Ok(Self {
            base,
            client: client::build(timeout).map_err(SetupError::Client)?,
            authorization,
            longest_answer,
        })
    }

    /// One call. `path` must hold no personal data.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, NoAnswer> {
        let response = self.send(method, path, body).await?;
        let (status, after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = client::body(response, self.longest_answer)
            .await
            .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|_| "unreadable_answer"));
        Ok(Answer { status, after, body })
    }

    /// One call whose answer is not JSON, read by the caller.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<reqwest::Response, NoAnswer> {
        let url = self.base.join(path).map_err(|_| NoAnswer {
            code: "invalid_url",
            may_have_arrived: false,
        })?;
        let mut request = self
            .client
            .request(method, url)
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.map_err(|error| NoAnswer {
            code: send_code(&error),
            may_have_arrived: !surely_not_sent(&error),
        })
    }

    /// Fetches a file from where the courier says it is, without our credential.
    ///
    /// # Errors
    /// There is no answer, or the address is none that may be asked.
    pub(super) async fn fetch(&self, address: &str) -> Result<reqwest::Response, &'static str> {
        let url = Url::parse(address).ok().filter(is_private).ok_or("unusable_address")?;
        // A courier that is elsewhere must not make us ask ourselves.
        if is_loopback(&url) && !is_loopback(&self.base) {
            return Err("unusable_address");
        }
        self.client.get(url).send().await.map_err(|error| send_code(&error))
    }
}

/// Whether nobody between can read along.
fn is_private(url: &Url) -> bool {
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || address.is_some_and(|address| address.to_canonical().is_loopback())
}

impl Answer {
    /// 2xx.
    pub(super) const fn is_good(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The account or its key is not accepted, or has no money: trying again only hammers.
    pub(super) const fn is_account_refused(&self) -> bool {
        matches!(self.status, 401..=403)
    }

    /// `http_422`, for an answer that says nothing of its own.
    pub(super) fn status_code(&self) -> String {
        format!("http_{}", self.status)
    }

    /// An answer that is no use to a query; `own` is the courier's own code, where it gave one.
    pub(super) fn unusable(&self, own: Option<String>) -> CallError {
        CallError {
            code: match (own, &self.body) {
                (Some(own), _) => own,
                (None, Err(code)) if self.is_good() => (*code).to_owned(),
                (None, _) if self.is_good() => "unreadable_answer".to_owned(),
                (None, _) => self.status_code(),
            },
            after: self.after,
            unauthorized: self.is_account_refused(),
        }
    }
}

impl From<NoAnswer> for CallError {
    fn from(none: NoAnswer) -> Self {
        Self::new(none.code)
    }
}

/// A query that failed before anything was bought: surely not booked by it.
pub(super) fn not_booked(error: CallError) -> BookError {
    if error.unauthorized {
        return BookError::unauthorized(error.code);
    }
    BookError::Retry {
        code: error.code,
        after: error.after,
    }
}

/// A member that is text and not empty.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// A member's items; none where it is absent, null or something else.
pub(super) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A courier's code that may be logged, whether it came as text or as a number.
pub(super) fn own_code(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(code) => safe_code(code).map(str::to_owned),
        Value::Number(code) => safe_code(&code.to_string()).map(str::to_owned),
        _ => None,
    }
}

/// Whether a courier's id may stand in a path and in the store.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Whether this can be a tracking number.
pub(super) fn is_tracking_no(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What kind of document this is: by its first bytes, else as its sender says, if that can be printed.
pub(super) fn document_type(document: &[u8], said: &str) -> Option<&'static str> {
    let said = said.split(';').next().unwrap_or_default().trim();
    match document {
        [] => None,
        [b'%', b'P', b'D', b'F', ..] => Some("application/pdf"),
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [b'^', b'X', b'A', ..] => Some("application/zpl"),
        _ => ["application/pdf", "image/png", "application/zpl"]
            .into_iter()
            .find(|known| said.eq_ignore_ascii_case(known)),
    }
}

/// A moment as APIs write it, with or without zone (then UTC), cut to what both engines keep.
pub(super) fn moment(text: &str) -> Option<BusinessTime> {
    let read = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
        .map(|at| at.to_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|at| at.and_utc()))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|at| at.and_utc()))
        .ok()?;
    BusinessTime::from_timestamp_micros(read.timestamp_micros())
}

/// The same moment, told after `place` others: what couriers say of one minute stays in their order.
pub(super) fn in_place(at: BusinessTime, place: usize) -> BusinessTime {
    let micros = i64::try_from(place).unwrap_or_default();
    at.checked_add_signed(TimeDelta::microseconds(micros)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(base_url: &str) -> Result<Api, SetupError> {
        let key = Secret::new("Token abc".to_owned());
        Api::new(base_url, &key, Duration::from_secs(1), 1000)
    }

    #[test]
    fn recipients_leave_this_machine_only_under_tls() {
        for good in [
            "https://api.example.com/v2",
            "http://127.0.0.1:8080",
            "http://localhost:5002/",
            "http://[::1]:5002",
        ] {
            assert!(api(good).is_ok(), "{good}");
        }
        for bad in [
            "http://api.example.com",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "https://api.example.com/?key=1",
            "api.example.com",
            "",
        ] {
            assert!(matches!(api(bad), Err(SetupError::BaseUrl)), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_courier_elsewhere_never_makes_us_ask_ourselves() {
        let elsewhere = api("https://api.example.com").unwrap();
        for address in [
            "http://127.0.0.1:1/x",
            "http://192.168.0.1/x",
            "https://[::1]/x",
            "file:///etc/passwd",
            "",
        ] {
            assert_eq!(
                elsewhere.fetch(address).await.unwrap_err(),
                "unusable_address",
                "{address}"
            );
        }
    }

    #[test]
    fn moments_are_read_in_every_spelling_met() {
        for text in [
            "2026-11-23T13:02:13.080308Z",
            "2026-11-23T13:02:13.080308+00:00",
            "2026-11-23 13:02:13.080308+00:00",
            "2026-11-23T21:02:13.080308999+08:00",
            "2026-11-23T13:02:13.080308",
            "2026-11-23 13:02:13.080308",
        ] {
            assert_eq!(
                moment(text).map(|at| at.timestamp_micros()),
                Some(1_795_438_933_080_308),
                "{text}"
            );
        }
        assert_eq!(moment("yesterday"), None);
    }
}
