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

/// The wait that a `Retry-After` header in seconds asks for.
pub fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
