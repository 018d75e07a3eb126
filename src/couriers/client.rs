//! The one way to make an HTTP client: bounded in time, no redirects, no transport-level retries, nothing from the
//! environment. A booking must never be sent twice behind our back.

use std::time::Duration;

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

/// The wait that a `Retry-After` header in seconds asks for.
pub fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
