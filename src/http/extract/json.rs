//! JSON bodies. Each way of being wrong has its own answer: 415 (not sent as JSON), 413 (too large), 400 (not JSON),
//! 422 (the wrong shape, with a pointer). None of them repeats what was sent. Rules about values are the domain's.

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use utoipa::ToSchema;

use crate::domain::invalid::FieldError;
use crate::http::errors::problem::Problem;
use crate::http::extract::body::{self, Extracting};
use crate::http::extract::no_tuples::NoTuples;
use crate::http::extract::shape;

/// A body that must be there.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// A body that may be left out; with no bytes at all the content type does not matter.
#[derive(Debug)]
pub struct OptionalJson<T>(pub Option<T>);

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if !is_json(request) {
            return Box::pin(async { Err(Problem::unsupported_media_type()) });
        }
        let read = body::read(request, payload, body::MAX_BYTES);
        Box::pin(async move { parse(&read.await?).map(Json) })
    }
}

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let read = body::read(request, payload, body::MAX_BYTES);
        Box::pin(async move {
            let bytes = read.await?;
            if bytes.is_empty() {
                return Ok(Self(None));
            }
            if !is_json {
                return Err(Problem::unsupported_media_type());
            }
            parse(&bytes).map(|value| Self(Some(value)))
        })
    }
}

/// Reads a body whose bytes are already here.
///
/// # Errors
/// `malformed_json` or `invalid_body`.
pub fn parse<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::malformed_json())?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = T::deserialize(NoTuples(&mut json)).and_then(|value| json.end().map(|()| value));
    read.map_err(|_| refusal::<T>(text))
}

/// What is wrong with a body that serde refused. Well-formedness comes first: a wrong type in a truncated body is not
/// answered before the truncation.
fn refusal<T: DeserializeOwned + ToSchema>(text: &str) -> Problem {
    match shape::errors::<T>(text) {
        Ok(errors) if errors.is_empty() => looser_schema::<T>(text),
        Ok(errors) => Problem::invalid_body(errors),
        Err(_) => Problem::malformed_json(),
    }
}

/// The one error that serde gave, where the schema finds none: where it stands, but nothing of its wording, since nobody
/// knows what that repeats.
fn looser_schema<T: DeserializeOwned>(text: &str) -> Problem {
    let mut json = serde_json::Deserializer::from_str(text);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(NoTuples(&mut json)) else {
        return Problem::malformed_json();
    };
    let mut pointer = String::new();
    for segment in error.path() {
        let step = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } if shape::is_plain_name(key) => key.clone(),
            // An enum's variant is no step of JSON's, and any other key may be personal: point at what holds it.
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => break,
        };
        pointer = format!("{pointer}/{step}");
    }
    let invalid = shape::unreadable();
    Problem::invalid_body(vec![FieldError { pointer, invalid }])
}

/// `application/json` or `application/*+json`, in UTF-8 and not compressed (a small body must not become a large one).
fn is_json(request: &HttpRequest) -> bool {
    if request
        .headers()
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return false;
    }
    let Ok(Some(mime)) = request.mime_type() else {
        return false;
    };
    let json =
        mime.type_() == "application" && (mime.subtype() == "json" || mime.suffix().is_some_and(|s| s == "json"));
    let utf8 = mime
        .get_param("charset")
        .is_none_or(|charset| charset.as_str().eq_ignore_ascii_case("utf-8"));
    json && utf8
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::http::testing::{NoEcho, answer_to};
    use crate::privacy::Pii;
    use actix_web::test::TestRequest;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Order {
        recipient: Recipient,
        items: Vec<Item>,
        #[serde(default)]
        labels: std::collections::BTreeMap<String, u8>,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Recipient {
        #[schema(value_type = String)]
        name: Pii<String>,
        #[schema(value_type = String)]
        phone: Pii<String>,
        role: Option<Role>,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    enum Role {
        Kin,
        Guardian,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Item {
        copies: u16,
    }

    const GOOD: &str = r#"{"recipient":{"name":"张三","phone":"13800138000"},"items":[{"copies":8}]}"#;

    fn post(body: impl Into<Vec<u8>>) -> TestRequest {
        TestRequest::post()
            .insert_header(("content-type", "application/json"))
            .set_payload(body.into())
    }

    async fn refused(request: TestRequest) -> NoEcho {
        answer_to::<Json<Order>>(request).await
    }

    #[actix_web::test]
    async fn a_good_body_is_read_under_every_name_of_json() {
        for kind in [
            "application/json",
            "application/json; charset=UTF-8",
            "application/vnd.shop+json",
        ] {
            let request = TestRequest::post()
                .insert_header(("content-type", kind))
                .set_payload(GOOD);
            assert_eq!(refused(request).await.status, 204, "{kind}");
        }
    }

    #[actix_web::test]
    async fn another_content_type_charset_or_encoding_is_415() {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "text/json",
            "application/json; charset=gbk",
            "x",
        ] {
            let request = TestRequest::post()
                .insert_header(("content-type", kind))
                .set_payload(GOOD);
            assert_eq!(refused(request).await.code(), (415, "unsupported_media_type"), "{kind}");
        }
        assert_eq!(refused(TestRequest::post().set_payload(GOOD)).await.status, 415);
        assert_eq!(
            refused(post(GOOD).insert_header(("content-encoding", "gzip")))
                .await
                .status,
            415
        );
    }

    #[actix_web::test]
    async fn seventy_kibibytes_are_413() {
        let body = format!(r#"{{"recipient":{{"name":"{}"}}}}"#, "张三".repeat(70 * 1024 / 6));
        assert_eq!(refused(post(body)).await.code(), (413, "payload_too_large"));
    }

    #[actix_web::test]
    async fn what_is_not_json_is_400_even_when_a_type_is_wrong_before_the_break() {
        let bad: [&[u8]; 8] = [
            b"",
            b"{",
            &GOOD.as_bytes()[..40],
            br#"{"items":"13800138000""#,
            br#"{"recipient":{"name":"a\ud800"}}"#,
            b"{\"recipient\":{\"name\":\"a\0\"}}",
            b"{\"recipient\":{\"name\":\"\xff\xfe\"}}",
            b"{} {}",
        ];
        for body in bad {
            assert_eq!(refused(post(body)).await.code(), (400, "malformed_json"), "{body:?}");
        }
    }

    #[actix_web::test]
    async fn a_wrong_shape_is_422_at_its_pointer_and_repeats_nothing() {
        // `R` stands for a good recipient.
        let cases = [
            (
                r#"{R,"items":[{"copies":8},{"copies":"13800138000"}]}"#,
                "/items/1/copies",
                "wrong_type",
            ),
            (
                r#"{R,"items":[{"copies":-13800138000}]}"#,
                "/items/0/copies",
                "out_of_range",
            ),
            (
                r#"{R,"items":[{"copies":13800138000}]}"#,
                "/items/0/copies",
                "out_of_range",
            ),
            (r#"{R,"items":[{}]}"#, "/items/0/copies", "required"),
            (r#"{R,"items":"张三"}"#, "/items", "wrong_type"),
            (r#"{R,"items":[],"nots":"张三"}"#, "/nots", "unknown_field"),
            (r#"{R,"items":[],"13800138000":"张三"}"#, "", "unknown_field"),
            (
                r#"{R,"items":[],"labels":{"13800138000":"张三"}}"#,
                "/labels",
                "wrong_type",
            ),
            (r#"{R,R,"items":[]}"#, "/recipient", "duplicate_field"),
            (
                r#"{"recipient":{"name":"张三","phone":13800138000},"items":[]}"#,
                "/recipient/phone",
                "wrong_type",
            ),
            (
                r#"{"recipient":{"phone":"13800138000"},"items":[]}"#,
                "/recipient/name",
                "required",
            ),
            (
                r#"{"recipient":{"name":"张三","phone":"1","role":"13800138000"},"items":[]}"#,
                "/recipient/role",
                "unknown_value",
            ),
            (
                r#"{"recipient":{"name":"张三","phone":"1","fone":"1"},"items":[]}"#,
                "/recipient/fone",
                "unknown_field",
            ),
            (r#"["13800138000"]"#, "", "wrong_type"),
            (
                r#"{"recipient":["张三","13800138000"],"items":[]}"#,
                "/recipient",
                "wrong_type",
            ),
            (r#"{R,"items":[[8]]}"#, "/items/0", "wrong_type"),
            (r#""13800138000""#, "", "wrong_type"),
        ];
        for (body, pointer, code) in cases {
            let body = body.replace('R', r#""recipient":{"name":"张三","phone":"13800138000"}"#);
            let answer = refused(post(body.clone())).await;
            assert_eq!(answer.code(), (422, "invalid_body"), "{body}");
            let errors = answer.body["errors"].as_array().unwrap();
            let [error] = errors.as_slice() else {
                panic!("{body}: {errors:?}")
            };
            assert_eq!(
                (&error["pointer"], &error["code"]),
                (&pointer.into(), &code.into()),
                "{body}"
            );
        }
    }

    #[actix_web::test]
    async fn an_optional_body_may_be_missing_but_not_wrong() {
        let of = answer_to::<OptionalJson<Order>>;
        assert_eq!(of(TestRequest::post()).await.status, 204);
        assert_eq!(of(post(GOOD)).await.status, 204);
        assert_eq!(of(post("{")).await.code(), (400, "malformed_json"));
        assert_eq!(
            of(TestRequest::post().set_payload(GOOD)).await.code(),
            (415, "unsupported_media_type")
        );
    }
}
