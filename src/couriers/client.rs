//! The one way to make an HTTP client: bounded in time, no redirects, no transport-level retries, nothing from the
//! environment. A booking must never be sent twice behind our back.

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// A client whose every call ends within `timeout`.
///
/// # Errors
/// The TLS library could not be initialised.
#[expect(clippy::disallowed_methods, reason = "this is the one home of HTTP clients")]
pub fn build(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(5)))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .user_agent(concat!("safelight/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Whether a failed send surely never reached the courier: no connection was made.
pub fn surely_not_sent(error: &reqwest::Error) -> bool {
    error.is_connect() || error.is_builder()
}

/// A failed send as a code.
pub fn send_code(error: &reqwest::Error) -> &'static str {
    if surely_not_sent(error) {
        "unreachable"
    } else if error.is_timeout() {
        "timeout"
    } else {
        "connection_lost"
    }
}

/// An answer's whole body, at most `limit` bytes of it.
///
/// # Errors
/// A code; what was read is never in it.
pub async fn body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= limit => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err("answer_too_long"),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err(send_code(&error)),
        }
    }
}

/// A courier's code that may be logged and stored: a short word, so that neither free text nor a phone number passes for
/// one.
pub fn safe_code(text: &str) -> Option<&str> {
    let safe = (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && text.bytes().filter(u8::is_ascii_digit).count() <= 6;
    safe.then_some(text)
}

/// The wait that a `Retry-After` header asks for: seconds, or a date by the clock of whoever answers (`Date`).
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let wait = text(RETRY_AFTER)?;
    if let Ok(seconds) = wait.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| DateTime::parse_from_rfc2822(text).ok();
    (date(wait)? - date(text(DATE)?)?).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_said_in_seconds_or_as_a_date() {
        let wait = |after: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        let (now, then) = ("Mon, 23 Nov 2026 08:00:00 GMT", "Mon, 23 Nov 2026 08:02:00 GMT");
        assert_eq!(wait(" 120 ", None), Some(120));
        assert_eq!(wait(then, Some(now)), Some(120));
        for (after, date) in [(then, None), (now, Some(then)), ("soon", Some(now)), ("-1", None)] {
            assert_eq!(wait(after, date), None, "{after} {date:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
