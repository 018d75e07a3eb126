//! Refusals, for the document alone: how a problem looks, and which statuses many routes share, each a problem. What is
//! particular to one route stands at its handler.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::http::errors::problem::CONTENT_TYPE;

/// An error response (RFC 9457).
// For the document alone: `errors::problem::Problem` writes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:safelight:problem:invalid_body", "title": "Invalid body", "status": 422,
    "detail": "The request body is invalid; see `errors`.", "code": "invalid_body",
    "request_id": "01936f5e-7c3a-7b60-9d1e-0a4b6c2f8e55",
    "errors": [{"pointer": "/items/0/copies", "code": "out_of_range", "detail": "must be from 1 to 999"}],
}))]
pub struct ProblemSchema {
    /// `urn:safelight:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened, for people. Never repeats a value that was sent.
    pub detail: String,
    /// What happened, for programs; stable.
    pub code: String,
    /// The request's id, also in `X-Request-Id`.
    pub request_id: String,
    /// Of `reference_taken`: the order that has the reference.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The fields of the body that are wrong: all of them, at most 100. Values are checked once the shape is right.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldErrorSchema>,
}

/// One wrong field of a body.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldErrorSchema {
    /// Where it stands in the body (RFC 6901).
    pub pointer: String,
    /// What is wrong, for programs; stable.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
}

type Responses = BTreeMap<String, RefOr<Response>>;

fn problems(entries: &[(&str, &str)]) -> Responses {
    let problem = |description: &str| {
        let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
        let content = ContentBuilder::new().schema(Some(schema)).build();
        ResponseBuilder::new()
            .description(description)
            .content(CONTENT_TYPE, content)
            .build()
    };
    entries
        .iter()
        .map(|(status, description)| ((*status).to_owned(), RefOr::T(problem(description))))
        .collect()
}

macro_rules! documented {
    ($($(#[$doc:meta])* $name:ident { $($status:literal: $description:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl IntoResponses for $name {
                fn responses() -> Responses {
                    problems(&[$(($status, $description)),*])
                }
            }
        )*
    };
}

documented! {
    /// Any call with a key.
    ByKey {
        "401": "`unauthorized`: no valid API key. `malformed_api_key`: cut off or mistyped.",
        "403": "`forbidden`: the key lacks the scope.",
        "429": "`too_many_requests`: see `Retry-After` and the `RateLimit` fields.",
        "500": "`internal`: internal error; the service log has the cause under the request id.",
        "503": "`unavailable`: `part` names the part that is down or overloaded; the call can be repeated safely.",
    }
    /// A call with a body.
    WithBody {
        "400": "`malformed_json`: the body is not JSON.",
        "413": "`payload_too_large`: more than 64 KiB.",
        "415": "`unsupported_media_type`: not sent as `application/json`.",
        "422": "`invalid_body`: the wrong shape or wrong values; `errors` says which, all at once.",
    }
    /// A call with query parameters.
    WithQuery {
        "400": "`invalid_query` or `invalid_cursor`: a parameter is unknown, repeated or not what it must be.",
    }
    /// A call about one thing.
    OfOne {
        "404": "`not_found`: it does not exist, or is not accessible with this API key.",
    }
    /// A page that needs no key.
    WithoutKey {
        "429": "`too_many_requests`: see `Retry-After` and the `RateLimit` fields.",
        "500": "`internal`: internal error; the service log has the cause under the request id.",
    }
}
