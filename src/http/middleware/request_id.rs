//! The name of one request, the same in the answer, the log and the problem. Taken from the caller when it is
//! well-formed, made here otherwise. Must not carry anything else a caller sent.

use std::fmt;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::ids::RowId;

/// The header it arrives and leaves in.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// `[A-Za-z0-9._-]{1,64}`, and not digits alone from seven of them on: that could be somebody's phone number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// A new one.
    pub fn generate() -> Self {
        Self(RowId::generate().to_string())
    }

    /// The caller's, if it is well-formed: anything else could smuggle text into logs.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let like_a_phone = text.len() >= 7
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
        (well_formed && !like_a_phone).then(|| Self(text.to_owned()))
    }

    /// The caller's or a new one.
    pub fn take_or_make(headers: &HeaderMap) -> Self {
        let taken = headers
            .get(HEADER)
            .and_then(|value| value.to_str().ok())
            .and_then(Self::parse);
        taken.unwrap_or_else(Self::generate)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header; `None` cannot happen for a well-formed id.
    pub fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_ids_are_taken() {
        for good in ["a", "KD-2026_11.23", "123456", "a1380013", &"x".repeat(64)] {
            assert_eq!(RequestId::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a b",
            "张三",
            "a\n",
            "a/b",
            "{x}",
            &"x".repeat(65),
            "13800138000",
            "1380013",
            "138-0013-8000",
        ] {
            assert_eq!(RequestId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_made_id_is_well_formed_and_unlike_the_one_before() {
        let (first, second) = (RequestId::generate(), RequestId::generate());
        assert_ne!(first, second);
        assert_eq!(RequestId::parse(first.as_str()), Some(first));
    }
}
