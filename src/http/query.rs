//! Query parameters: unknown and repeated ones are refused (a misspelt filter must not list everything), and nothing of
//! them is repeated. Personal data is never taken here: URLs are kept by proxies and browsers.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::error::QueryPayloadError;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use crate::http::problem::Problem;
use crate::http::shape;

/// The query string as `T`, which must say `#[serde(deny_unknown_fields)]`.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match web::Query::<T>::from_query(request.query_string()) {
            Ok(query) => Ok(Self(query.into_inner())),
            Err(QueryPayloadError::Deserialize(error)) => Err(refusal(&error.to_string())),
            Err(_) => Err(Problem::invalid_query("The query string cannot be read.")),
        })
    }
}

fn refusal(message: &str) -> Problem {
    let shape = shape::explain(message);
    let which = shape.field.map_or_else(
        || "A query parameter".to_owned(),
        |name| format!("The query parameter `{name}`"),
    );
    Problem::invalid_query(format!("{which} {}.", shape.invalid.detail))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde::Deserialize;

    use super::*;
    use crate::http::testing::answer_to;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Filter {
        reference: String,
        dry_run: Option<bool>,
    }

    #[actix_web::test]
    async fn a_query_is_read_whole_or_refused_without_repeating_it() {
        let of = |query: &str| answer_to::<Query<Filter>>(TestRequest::get().uri(&format!("/?{query}")));
        assert_eq!(of("reference=KD1&dry_run=true").await.status, 204);
        for (query, says) in [
            ("", "The query parameter `reference` is required."),
            (
                "reference=a&phon=13800138000",
                "The query parameter `phon` is not known; expected `reference` or `dry_run`.",
            ),
            (
                "reference=a&13800138000=1",
                "A query parameter is not known; expected `reference` or `dry_run`.",
            ),
            (
                "reference=a&reference=b",
                "The query parameter `reference` must be given once.",
            ),
            (
                "reference=a&dry_run=13800138000",
                "A query parameter is not in the right format.",
            ),
            (
                "reference=a&dry_run=%E5%BC%A0%E4%B8%89",
                "A query parameter is not in the right format.",
            ),
        ] {
            let answer = of(query).await;
            assert_eq!(answer.code(), (400, "invalid_query"), "{query}");
            assert_eq!(answer.body["detail"], says, "{query}");
        }
    }
}
