//! One call of SF's gateway: the form, its signature, and what became of it.

use std::fmt;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};
use serde::Serialize;
use serde_json::Value;

use super::codes::{self, Meaning};
use super::{signing, wire};
use crate::clock::Clock;
use crate::couriers::client::{self, retry_after, send_code, surely_not_sent};
use crate::couriers::{BookError, CallError};
use crate::domain::ids::RowId;
use crate::privacy::Secret;

/// The longest answer that is read. Ten parcels with all their routes are well below it.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// The path of the gateway, for a `base_url` that has none.
const PATH: &str = "/std/service";

/// The one door to every service of SF.
pub(super) struct Gateway {
    pub(super) url: Url,
    pub(super) client: reqwest::Client,
    pub(super) clock: Clock,
    pub(super) partner_id: String,
    pub(super) checkword: Secret<String>,
}

/// Why a call brought no "yes".
#[derive(Debug)]
pub(super) enum Failure {
    /// It surely never left.
    NotSent(&'static str),
    /// It may have arrived; what came back, if anything, says nothing.
    Unclear(String),
    /// Turned away at the door, in HTTP's words.
    Http(u16),
    /// Too fast, in HTTP's words.
    Busy(Option<Duration>),
    /// SF says no.
    Said {
        code: String,
        /// How long it asks to wait.
        after: Option<Duration>,
    },
}

/// Where gateways are.
pub(super) fn gateway_url(base_url: &str) -> Option<Url> {
    let mut url = Url::parse(base_url).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    if matches!(url.path(), "" | "/") {
        url.set_path(PATH);
    }
    Some(url)
}

impl Gateway {
    /// Calls a service; the answer is its own object.
    pub(super) async fn call<T: Serialize>(&self, service: &'static str, data: &T) -> Result<Value, Failure> {
        // Written once: what is signed is what is sent, byte by byte.
        let msg_data = serde_json::to_string(data).map_err(|_| Failure::NotSent("unwritable_request"))?;
        let timestamp = self.clock.wall_now().timestamp_millis().to_string();
        let digest = signing::digest(&msg_data, &timestamp, &self.checkword);
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("partnerID", &self.partner_id)
            .append_pair("requestID", &RowId::generate().to_string())
            .append_pair("serviceCode", service)
            .append_pair("timestamp", &timestamp)
            .append_pair("msgDigest", &digest)
            .append_pair("msgData", &msg_data)
            .finish();
        let sent = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded;charset=UTF-8")
            .body(form)
            .send()
            .await;
        let response = sent.map_err(|error| {
            let code = send_code(&error);
            if surely_not_sent(&error) {
                Failure::NotSent(code)
            } else {
                Failure::Unclear(code.to_owned())
            }
        })?;
        understood(response).await
    }
}

async fn understood(response: Response) -> Result<Value, Failure> {
    let status = response.status();
    let after = retry_after(response.headers());
    let body = client::body(response, LONGEST_ANSWER).await;
    let said = body.and_then(|bytes| wire::envelope(&bytes));
    match status.as_u16() {
        200..=299 => match said {
            Ok(wire::Said::Yes(payload)) => Ok(payload),
            Ok(wire::Said::No(code)) => Err(Failure::Said { code, after }),
            Err(code) => Err(Failure::Unclear(code.to_owned())),
        },
        429 => Err(Failure::Busy(after)),
        // The gateway's own words, whatever status it puts on them. Those of a service count with success alone.
        other @ 400..=499 if other != 408 => match said {
            Ok(wire::Said::No(code)) if code.starts_with('A') => Err(Failure::Said { code, after }),
            _ => Err(Failure::Http(other)),
        },
        other => Err(Failure::Unclear(format!("http_{other}"))),
    }
}

/// What a failed booking means for the next step.
pub(super) enum Booking {
    /// This.
    Decided(BookError),
    /// SF says no in words that its documents do not have: whether it holds the order is asked at once.
    Ask(String),
}

impl Failure {
    /// As the outcome of a booking.
    pub(super) fn of_booking(self) -> Booking {
        let busy = |after| BookError::Retry {
            code: "rate_limited".to_owned(),
            after,
        };
        Booking::Decided(match self {
            Self::NotSent(code) => BookError::retry(code),
            Self::Unclear(code) => BookError::unknown(code),
            Self::Busy(after) => busy(after),
            Self::Http(status @ (401 | 403)) => BookError::unauthorized(http(status)),
            // The wrong address: refused before it was understood, and somebody will put it right.
            Self::Http(status @ (404 | 405)) => BookError::retry(http(status)),
            Self::Http(status) => return Booking::Ask(http(status)),
            Self::Said { code, after } => match codes::meaning(&code) {
                Meaning::Later if code == "A1005" => busy(after),
                Meaning::Later => BookError::Retry { code, after },
                Meaning::Account => BookError::Unauthorized { code },
                // A called-off order will not be carried, and its id is never good again: the next attempt has another.
                Meaning::Refused | Meaning::CalledOff => BookError::Fail { code },
                Meaning::MayBeThere => BookError::Unknown { code },
                Meaning::NotThere | Meaning::Unlisted => return Booking::Ask(code),
            },
        })
    }

    /// As the outcome of a call that may be sent again.
    pub(super) fn of_call(self) -> CallError {
        match self {
            Self::NotSent(code) => CallError::new(code),
            Self::Unclear(code) => CallError::new(code),
            Self::Busy(after) => CallError {
                after,
                ..CallError::new("rate_limited")
            },
            Self::Http(status @ (401 | 403)) => CallError::unauthorized(http(status)),
            Self::Http(status) => CallError::new(http(status)),
            Self::Said { code, after } => match codes::meaning(&code) {
                Meaning::Account => CallError::unauthorized(code),
                Meaning::Later if code == "A1005" => CallError {
                    after,
                    ..CallError::new("rate_limited")
                },
                _ => CallError {
                    after,
                    ..CallError::new(code)
                },
            },
        }
    }
}

fn http(status: u16) -> String {
    format!("http_{status}")
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}
