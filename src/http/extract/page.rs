//! Lists by keyset: `?limit=&cursor=` in, `{"data", "next_cursor"}` out, newest first. A cursor is opaque: a version, what
//! is listed and the last id that was given out. Must not count rows or skip by offset.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{JobId, OrderId, RequestId};
use crate::http::errors::problem::Problem;

/// What lists go by: an id of the things listed.
pub trait Key: FromStr + Display {
    /// Stands in a cursor for the kind of thing listed, so that a list of others refuses it.
    const KIND: u8;
}

impl Key for OrderId {
    const KIND: u8 = b'o';
}

impl Key for JobId {
    const KIND: u8 = b'j';
}

impl Key for RequestId {
    const KIND: u8 = b'r';
}

/// Entries of the audit log.
impl Key for i64 {
    const KIND: u8 = b'a';
}

/// How many rows an answer has when the caller does not say.
pub const DEFAULT_LIMIT: u32 = 50;

/// How many rows an answer has at most.
pub const MAX_LIMIT: u32 = 200;

/// The first byte of a cursor. Another one is from another version of this service and refused.
const VERSION: u8 = 2;

/// The parameters of a list without filters. Lists with filters have these two fields among their own, since
/// `flatten` and `deny_unknown_fields` do not go together.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many rows at most, 1 to 200; 50 when it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub limit: Option<String>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Reads both parameters.
    ///
    /// # Errors
    /// As [`PageRequest::parse`].
    pub fn page<K: Key>(&self) -> Result<PageRequest<K>, Problem> {
        PageRequest::parse(self.limit.as_deref(), self.cursor.as_deref())
    }
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// How many rows at most, 1 to 200.
    pub limit: u32,
    /// Only rows older than this one; `None` for the first page.
    pub after: Option<K>,
}

impl<K: Key> PageRequest<K> {
    /// Reads the two parameters as they stand in the query.
    ///
    /// # Errors
    /// `invalid_query` for the limit, `invalid_cursor` for the cursor.
    pub fn parse(limit: Option<&str>, cursor: Option<&str>) -> Result<Self, Problem> {
        let limit = match limit.map(str::parse::<u32>) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => {
                let detail = format!("The query parameter `limit` must be a whole number from 1 to {MAX_LIMIT}.");
                return Err(Problem::invalid_query(detail));
            }
        };
        let after = cursor
            .map(|text| decode(text).ok_or_else(Problem::invalid_cursor))
            .transpose()?;
        Ok(Self { limit, after })
    }

    /// How many rows to fetch: one more than is given out, to know whether there is a next page.
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The answer made of the `fetch()` rows that were asked for: at most `limit` of them, and a cursor when there are
    /// more.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| encode(&key(last)));
        Page {
            data: rows,
            next_cursor,
        }
    }
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; `null` on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The same page with every row in the shape it is answered in.
    pub fn map<U>(self, shape: impl FnMut(T) -> U) -> Page<U> {
        Page {
            data: self.data.into_iter().map(shape).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

fn encode<K: Key>(key: &K) -> String {
    let mut bytes = vec![VERSION, K::KIND];
    bytes.extend_from_slice(key.to_string().as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode<K: Key>(cursor: &str) -> Option<K> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = bytes.strip_prefix(&[VERSION, K::KIND])?;
    let key: K = std::str::from_utf8(text).ok()?.parse().ok()?;
    // One row has one cursor: a spelling that the key reads but would not write is not ours.
    (key.to_string().as_bytes() == text).then_some(key)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::domain::ids::OrderId;
    use crate::http::extract::query::Query;
    use crate::http::testing::answer_to;

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let ids: Vec<OrderId> = std::iter::repeat_with(OrderId::generate).take(7).collect();
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let request = PageRequest::<OrderId>::parse(Some("3"), cursor.as_deref()).unwrap();
            let rows = ids
                .iter()
                .rev()
                .filter(|id| request.after.is_none_or(|after| **id < after));
            let rows: Vec<OrderId> = rows.take(request.fetch().try_into().unwrap()).copied().collect();
            let page = request.page(rows, |id| *id);
            assert!((1..=3).contains(&page.data.len()));
            seen.extend(page.data);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        seen.reverse();
        assert_eq!(seen, ids);
    }

    #[test]
    fn a_page_that_is_exactly_full_has_no_next_one() {
        let request = PageRequest::<i64>::parse(Some("2"), None).unwrap();
        assert_eq!(request.page(vec![9, 8], |n| *n).next_cursor, None);
        assert!(request.page(vec![9, 8, 7], |n| *n).next_cursor.is_some());
    }

    #[test]
    fn only_a_cursor_as_it_was_given_out_is_read() {
        let id = OrderId::generate();
        let good = encode(&id);
        assert_eq!(decode::<OrderId>(&good), Some(id));
        let other_version = URL_SAFE_NO_PAD.encode([&[1, OrderId::KIND], id.to_string().as_bytes()].concat());
        let leading_zero = URL_SAFE_NO_PAD.encode([&[VERSION, i64::KIND], &b"007"[..]].concat());
        for bad in [
            "",
            "AQ",
            "张三",
            &format!("{good}="),
            &good[1..],
            &id.to_string(),
            &other_version,
        ] {
            assert_eq!(decode::<OrderId>(bad), None, "{bad}");
        }
        assert_eq!(decode::<i64>(&leading_zero), None);
    }

    #[test]
    fn a_cursor_of_one_kind_of_list_is_refused_by_another() {
        let id = OrderId::generate();
        let of_job = encode(&id.to_string().parse::<JobId>().unwrap());
        assert!(decode::<JobId>(&of_job).is_some());
        assert_eq!(decode::<OrderId>(&of_job), None);
        assert_eq!(decode::<RequestId>(&of_job), None);
    }

    #[test]
    fn the_limit_is_fifty_when_left_out_and_at_most_two_hundred() {
        let limit = |text| PageRequest::<OrderId>::parse(text, None).map(|request| request.limit);
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!((limit(Some("1")).unwrap(), limit(Some("200")).unwrap()), (1, 200));
        for bad in ["0", "201", "-1", "", "x", "1.5", "99999999999"] {
            assert_eq!(limit(Some(bad)).unwrap_err().code(), "invalid_query", "{bad}");
        }
    }

    #[actix_web::test]
    async fn a_bad_cursor_is_refused_without_repeating_it() {
        struct Asked;
        impl actix_web::FromRequest for Asked {
            type Error = Problem;
            type Future = std::future::Ready<Result<Self, Problem>>;

            fn from_request(request: &actix_web::HttpRequest, payload: &mut actix_web::dev::Payload) -> Self::Future {
                let query = Query::<PageQuery>::from_request(request, payload).into_inner();
                std::future::ready(query.and_then(|query| query.0.page::<OrderId>()).map(|_| Self))
            }
        }
        let of = |query: &str| answer_to::<Asked>(TestRequest::get().uri(&format!("/?{query}")));
        assert_eq!(of("limit=5").await.status, 204);
        assert_eq!(of("cursor=13800138000").await.code(), (400, "invalid_cursor"));
        assert_eq!(of("limit=13800138000").await.code(), (400, "invalid_query"));
        assert_eq!(of("phone=13800138000").await.code(), (400, "invalid_query"));
    }
}
