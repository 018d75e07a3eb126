//! The `Idempotency-Key` of a request: what makes sending it again safe. It may hold anything a client likes, a phone
//! number perhaps: it is personal until it is hashed.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{FromRequest, HttpRequest};

use crate::http::errors::problem::Problem;
use crate::privacy::Pii;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// 1 to 255 visible ASCII characters, bare or as a quoted string of RFC 8941 (the IETF draft's form).
#[derive(Debug)]
pub(in crate::http) struct IdempotencyKey(pub(super) Pii<String>);

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.headers()))
    }
}

fn read(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let mut given = headers.get_all(HEADER);
    let Some(first) = given.next() else {
        return Err(Problem::bad_request(
            "idempotency_key_missing",
            "The header `Idempotency-Key` is required.",
        ));
    };
    let text = first.to_str().ok().filter(|_| given.next().is_none());
    text.map(unquoted)
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()))
        .map(|key| IdempotencyKey(Pii::new(key.to_owned())))
        .ok_or_else(|| {
            Problem::bad_request(
                "idempotency_key_invalid",
                "The header `Idempotency-Key` must be given once, with 1 to 255 visible ASCII characters.",
            )
        })
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        read(&headers)
            .map(|key| key.0.expose().clone())
            .map_err(|problem| problem.code())
    }

    #[test]
    fn a_key_is_read_bare_or_quoted() {
        assert_eq!(of(&[b"KD-1"]).unwrap(), "KD-1");
        assert_eq!(of(&[b"\"KD-1\""]).unwrap(), "KD-1");
        assert_eq!(of(&[&[b'k'; 255]]).unwrap().len(), 255);
    }

    #[test]
    fn a_missing_key_and_a_wrong_one_are_told_apart() {
        assert_eq!(of(&[]), Err("idempotency_key_missing"));
        for wrong in [&b""[..], b"\"\"", b"a b", b"a\tb", "张三".as_bytes(), &[b'k'; 256]] {
            assert_eq!(of(&[wrong]), Err("idempotency_key_invalid"));
        }
        assert_eq!(of(&[b"a", b"a"]), Err("idempotency_key_invalid"));
    }
}
