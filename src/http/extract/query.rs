//! Query parameters: unknown and repeated ones are refused (a misspelt filter must not list everything), and nothing of
//! them is repeated. Personal data is never taken here: URLs are kept by proxies and browsers.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::domain::invalid::Invalid;
use crate::http::errors::problem::Problem;
use crate::http::extract::shape;

/// The query string as `T`, which must say `#[serde(deny_unknown_fields)]`.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + IntoParams> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = form_urlencoded::parse(request.query_string().as_bytes());
        let read = T::deserialize(serde_urlencoded::Deserializer::new(pairs));
        ready(read.map(Self).map_err(|_| refusal::<T>(request.query_string())))
    }
}

/// What is wrong with a query that serde refused: the first parameter that is not as the OpenAPI document has it.
fn refusal<T: DeserializeOwned + IntoParams>(query: &str) -> Problem {
    let known = T::into_params(|| Some(ParameterIn::Query));
    let mut given = Vec::new();
    let pairs = || form_urlencoded::parse(query.as_bytes());
    for (name, value) in pairs() {
        let wrong = match known.iter().find(|parameter| parameter.name == name) {
            None => Some(shape::unknown(known.iter().map(|parameter| parameter.name.as_str()))),
            Some(_) if given.contains(&name) => Some(shape::duplicate()),
            Some(parameter) => parameter
                .schema
                .as_ref()
                .and_then(|schema| shape::not_listed(schema, &value)),
        };
        if let Some(wrong) = wrong {
            return refused(&name, &wrong);
        }
        given.push(name);
    }
    let missing = |parameter: &&Parameter| {
        parameter.required == Required::True && given.iter().all(|name| *name != parameter.name)
    };
    if let Some(parameter) = known.iter().find(missing) {
        return refused(&parameter.name, &shape::required());
    }
    // The document is looser than the type: serde says where, and nobody knows what its wording repeats.
    let read = serde_path_to_error::deserialize::<_, T>(serde_urlencoded::Deserializer::new(pairs()));
    let name = read.err().map(|error| error.path().to_string());
    refused(&name.unwrap_or_default(), &shape::unreadable())
}

fn refused(name: &str, invalid: &Invalid) -> Problem {
    let which = if shape::is_plain_name(name) {
        format!("The query parameter `{name}`")
    } else {
        "A query parameter".to_owned()
    };
    Problem::invalid_query(format!("{which} {}.", invalid.detail))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde::Deserialize;

    use super::*;
    use crate::http::testing::answer_to;

    #[derive(Debug, Deserialize, IntoParams)]
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
                "The query parameter `dry_run` is not in the right format.",
            ),
            (
                "reference=a&dry_run=%E5%BC%A0%E4%B8%89",
                "The query parameter `dry_run` is not in the right format.",
            ),
        ] {
            let answer = of(query).await;
            assert_eq!(answer.code(), (400, "invalid_query"), "{query}");
            assert_eq!(answer.body["detail"], says, "{query}");
        }
    }
}
