//! The one error of the edge: RFC 9457 `application/problem+json` with a stable `code`, the request id and JSON
//! pointers. Must not repeat a caller's value, and must not render its cause: that is logged once, by the boundary.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::invalid::{FieldError, Invalid};
use crate::domain::scope::Scope;
use crate::http::middleware::context;

/// The media type of every problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What led to a problem; for the log, never for the caller.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why a request was not served. Made by the constructors below, each named after what happened.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

// Boxed so that `Result<T, Problem>` stays small.
#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    extra: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Cause>,
}

impl Problem {
    /// Any problem: a status, a stable code in snake case, a sentence that holds no value of the caller's.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extra: Map::new(),
            headers: Vec::new(),
            cause: None,
        }))
    }

    /// 400 with a code of its own, such as `idempotency_key_missing`.
    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 400: the body is not JSON at all.
    pub fn malformed_json() -> Self {
        Self::bad_request("malformed_json", "The request body is not valid JSON in UTF-8.")
    }

    /// 400: a query parameter is unknown, repeated or not what it must be.
    pub fn invalid_query(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request("invalid_query", detail)
    }

    /// 400: the cursor is not one that this service gave out.
    pub fn invalid_cursor() -> Self {
        Self::bad_request(
            "invalid_cursor",
            "The cursor is invalid; send the `next_cursor` of the previous page unchanged.",
        )
    }

    /// 401: no key, or not a valid one; the same answer for both.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid API key is required.")
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403: the key lacks a scope.
    pub fn forbidden(scope: Scope) -> Self {
        let detail = format!("The API key lacks the required scope `{}`.", scope.as_str());
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: no such route or thing, or not the caller's to see.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Not found, or not accessible with this API key.",
        )
    }

    /// 405. The `Allow` header is the router's to add.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This path does not support the request method.",
        )
    }

    /// 408: the body did not arrive in time.
    pub fn request_timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "The request was not received in time.",
        )
    }

    /// 409: the state of things does not allow it; `code` says why.
    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 410: it was there and never will be again (`purged`, `unreadable`).
    pub fn gone(code: &'static str) -> Self {
        Self::new(
            StatusCode::GONE,
            code,
            "The personal data of this order no longer exists and cannot be restored.",
        )
    }

    /// 413: more than `limit` bytes.
    pub fn payload_too_large(limit: usize) -> Self {
        let detail = format!("The request body exceeds the limit of {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    /// 415: the body is not `application/json`.
    pub fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The request body must be sent as `application/json` in UTF-8, without compression.",
        )
    }

    /// 422: fields of the body are wrong; all that were found.
    pub fn invalid_body(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::unprocessable("invalid_body", "The request body is invalid; see `errors`.");
        problem.0.errors = errors;
        problem
    }

    /// 422 with a code of its own, such as `idempotency_key_reused`.
    pub fn unprocessable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 422 whose code is that of the one field that is wrong, such as `unknown_photo_size`.
    pub fn invalid_field(pointer: impl Into<String>, invalid: Invalid) -> Self {
        let mut problem = Self::unprocessable(invalid.code, "The request body is invalid; see `errors`.");
        problem.0.errors.push(FieldError {
            pointer: pointer.into(),
            invalid,
        });
        problem
    }

    /// 429: too often; may be tried again in `after`.
    pub fn too_many_requests(after: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "Rate limit exceeded; retry after the time in `Retry-After`.",
        )
        .retry_after(after)
    }

    /// 503: `part` (such as `database`) cannot take it now; may be tried again in `after`. The part is logged, not shown.
    pub fn unavailable(part: &'static str, after: Duration) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The service is temporarily unavailable; retry later.",
        )
        .caused_by(format!("{part} is unavailable"))
        .retry_after(after)
    }

    /// 500, opaque; the cause is logged by the boundary.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::server_error(StatusCode::INTERNAL_SERVER_ERROR).caused_by(cause)
    }

    /// The problem for a status that something other than this crate came up with.
    pub(in crate::http) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::UNAUTHORIZED => Self::unauthorized(),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(),
            StatusCode::REQUEST_TIMEOUT => Self::request_timeout(),
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(status, "payload_too_large", "The request exceeds the size limit.")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media_type(),
            StatusCode::SERVICE_UNAVAILABLE => Self::new(
                status,
                "unavailable",
                "The service is temporarily unavailable; retry later.",
            ),
            _ if status.is_server_error() => Self::server_error(status),
            _ => Self::new(status, "request_refused", "The request is invalid."),
        }
    }

    fn server_error(status: StatusCode) -> Self {
        Self::new(
            status,
            "internal",
            "Internal error; the service log has the cause under this request id.",
        )
    }

    /// Takes a more telling code, where there is one.
    #[must_use]
    pub(in crate::http) fn named(mut self, code: Option<&'static str>) -> Self {
        if let Some(code) = code {
            self.0.code = code;
        }
        self
    }

    /// Adds a member, such as `order_id`. Never a personal value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says when to try again: whole seconds, rounded up, at least one.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(whole_seconds(after)))
    }

    /// Remembers what led to it, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The wrong fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }
}

/// Rounded up, at least one: a client that comes back on the second must not be too early.
pub(in crate::http) fn whole_seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.status.as_u16(), self.0.code)
    }
}

impl StdError for Problem {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .cause
            .as_deref()
            .map(|cause| -> &(dyn StdError + 'static) { cause })
    }
}

#[derive(Serialize)]
struct Rendered<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<RenderedError<'a>>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct RenderedError<'a> {
    pointer: &'a str,
    code: &'a str,
    detail: &'a str,
}

/// `reference_taken` reads `Reference taken`: the title belongs to the kind of problem, not to its occurrence.
fn title(code: &str) -> String {
    let words = code.replace('_', " ").replace("json", "JSON").replace("api", "API");
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let parts = &*self.0;
        let errors = parts.errors.iter().map(|error| RenderedError {
            pointer: &error.pointer,
            code: error.invalid.code,
            detail: &error.invalid.detail,
        });
        let rendered = Rendered {
            kind: format!("urn:safelight:problem:{}", parts.code),
            title: title(parts.code),
            status: parts.status.as_u16(),
            detail: &parts.detail,
            code: parts.code,
            request_id: context::request_id().map(|id| id.to_string()),
            errors: errors.collect(),
            extra: &parts.extra,
        };
        let mut response = HttpResponse::build(parts.status);
        for (name, value) in &parts.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response
            .content_type(CONTENT_TYPE)
            .body(serde_json::to_vec(&rendered).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn rendered(problem: Problem) -> Value {
        let response = problem.error_response();
        assert_eq!(response.headers().get("content-type").unwrap(), CONTENT_TYPE);
        serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap()
    }

    #[actix_web::test]
    async fn a_problem_says_what_kind_it_is_and_which_fields_are_wrong() {
        let error = FieldError {
            pointer: "/items/0/copies".into(),
            invalid: Invalid::new("out_of_range", "must be from 1 to 999"),
        };
        let body = rendered(Problem::invalid_body(vec![error])).await;
        assert_eq!(body["type"], "urn:safelight:problem:invalid_body");
        assert_eq!(
            (&body["title"], &body["status"], &body["code"]),
            (&"Invalid body".into(), &422.into(), &"invalid_body".into())
        );
        let expected = serde_json::json!([{"pointer": "/items/0/copies", "code": "out_of_range", "detail": "must be from 1 to 999"}]);
        assert_eq!(body["errors"], expected);
    }

    #[actix_web::test]
    async fn a_cause_is_kept_for_the_log_and_not_rendered() {
        let problem = Problem::internal("disk on fire");
        assert_eq!(StdError::source(&problem).unwrap().to_string(), "disk on fire");
        let body = rendered(problem).await;
        assert!(!body.to_string().contains("fire"), "{body}");
        let body = rendered(Problem::unavailable("database", Duration::from_secs(1))).await;
        assert!(!body.to_string().contains("database"), "{body}");
    }

    #[actix_web::test]
    async fn extra_members_stand_beside_the_standard_ones() {
        let body = rendered(Problem::conflict("reference_taken", "Taken.").with("order_id", "abc")).await;
        assert_eq!(
            (&body["order_id"], &body["title"]),
            (&"abc".into(), &"Reference taken".into())
        );
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        for (span, header) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (30_000, "30")] {
            let response = Problem::too_many_requests(Duration::from_millis(span)).error_response();
            assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), header, "{span} ms");
        }
    }
}
