//! The refusals that many routes share, for the document alone: which statuses an operation may answer with, each a
//! problem. What is particular to one route stands at its handler.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::http::errors::problem::CONTENT_TYPE;

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
        "500": "`internal`: the service failed; its log says why under the request id.",
        "503": "`unavailable`: `part` says which part is; nothing was done that repeating the call would do twice.",
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
        "404": "`not_found`: there is no such thing, or not for this key.",
    }
    /// A page that needs no key.
    WithoutKey {
        "429": "`too_many_requests`: see `Retry-After` and the `RateLimit` fields.",
        "500": "`internal`: the service failed; its log says why under the request id.",
    }
}
