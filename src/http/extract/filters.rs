//! The filters of order lists, the same in a query and in a body. What cannot be a value of ours is refused: a misspelt
//! filter must not list everything, and must not reach a database that chokes on it.

use crate::clock::BusinessTime;
use crate::domain::invalid::{FieldErrors, Invalid, moment};
use crate::domain::order::OrderStatus;
use crate::domain::shipment::ShipmentState;
use crate::http::errors::problem::Problem;
use crate::store::orders::Filter;

/// Orders whose end only an unsigned push reported and that nobody confirmed in time.
const END_UNCONFIRMED: &str = "end_unconfirmed";

/// The filters of a list as they were given, nothing checked.
#[derive(Debug, Default)]
pub(in crate::http) struct Filters {
    pub(in crate::http) reference: Option<String>,
    pub(in crate::http) status: Option<String>,
    pub(in crate::http) courier: Option<String>,
    pub(in crate::http) shipment_state: Option<String>,
    /// `end_unconfirmed`, and since when that is trouble.
    pub(in crate::http) trouble: Option<(String, BusinessTime)>,
    pub(in crate::http) created_after: Option<String>,
    pub(in crate::http) created_before: Option<String>,
}

impl Filters {
    /// Checks the filters of a query.
    ///
    /// # Errors
    /// 400 `invalid_query` for the first wrong one.
    pub(in crate::http) fn read(self) -> Result<Filter, Problem> {
        let mut errors = FieldErrors::new();
        let filter = self.check(&mut errors);
        match errors.into_vec().first() {
            None => Ok(filter),
            Some(first) => {
                let name = first.pointer.trim_start_matches('/');
                let detail = format!("The query parameter `{name}` {}.", first.invalid.detail);
                Err(Problem::invalid_query(detail))
            }
        }
    }

    /// Checks every filter and collects what is wrong, under the filters' names.
    pub(in crate::http) fn check(self, errors: &mut FieldErrors) -> Filter {
        let status = self
            .status
            .map(|text| OrderStatus::parse(&text).ok_or_else(|| one_of(&OrderStatus::ALL.map(OrderStatus::as_str))));
        let state = self.shipment_state.map(|text| {
            ShipmentState::parse(&text).ok_or_else(|| one_of(&ShipmentState::ALL.map(ShipmentState::as_str)))
        });
        let trouble = self.trouble.map(|(text, since)| match text.as_str() {
            END_UNCONFIRMED => Ok(since),
            _ => Err(one_of(&[END_UNCONFIRMED])),
        });
        Filter {
            client: None,
            reference: take(errors, "/reference", self.reference.map(|text| plain(text, 64))),
            status: take(errors, "/status", status),
            courier: take(errors, "/courier", self.courier.map(|text| plain(text, 32))),
            shipment_state: take(errors, "/shipment_state", state),
            end_unconfirmed_since: take(errors, "/trouble", trouble),
            created_after: take(errors, "/created_after", self.created_after.map(|text| moment(&text))),
            created_before: take(errors, "/created_before", self.created_before.map(|text| moment(&text))),
            among: None,
            before: None,
        }
    }
}

fn take<T>(errors: &mut FieldErrors, pointer: &str, parsed: Option<Result<T, Invalid>>) -> Option<T> {
    parsed.and_then(|parsed| errors.take(pointer, parsed))
}

/// The alphabet of references and couriers' names: anything else names none, and a NUL would be PostgreSQL's error.
fn plain(text: String, max: usize) -> Result<String, Invalid> {
    let fits = (1..=max).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'));
    if fits {
        Ok(text)
    } else {
        let detail = format!("must have 1 to {max} characters of A-Z a-z 0-9 . _ : -");
        Err(Invalid::new("invalid_format", detail))
    }
}

/// A value of a closed set.
pub(in crate::http) fn one_of(known: &[&str]) -> Invalid {
    Invalid::new("unknown_value", format!("must be one of {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_filters_are_read() {
        let filters = Filters {
            reference: Some("KD-1.a:b_2".to_owned()),
            status: Some("printed".to_owned()),
            courier: Some("simulated".to_owned()),
            shipment_state: Some("booked".to_owned()),
            trouble: Some(("end_unconfirmed".to_owned(), BusinessTime::UNIX_EPOCH)),
            created_after: Some("2026-11-23T16:00:00+08:00".to_owned()),
            created_before: None,
        };
        let filter = filters.read().unwrap();
        assert_eq!(filter.status, Some(OrderStatus::Printed));
        assert_eq!(filter.shipment_state, Some(ShipmentState::Booked));
        assert_eq!(filter.end_unconfirmed_since, Some(BusinessTime::UNIX_EPOCH));
        assert_eq!(
            chrono::DateTime::<chrono::Utc>::from(filter.created_after.unwrap()).to_rfc3339(),
            "2026-11-23T08:00:00+00:00"
        );
    }

    #[test]
    fn what_names_nothing_is_refused_by_name_and_not_repeated() {
        let wrong = || Filters {
            reference: Some("张三".to_owned()),
            status: Some("13800138000".to_owned()),
            courier: Some("a\u{0}".to_owned()),
            shipment_state: Some(String::new()),
            trouble: Some(("much".to_owned(), BusinessTime::UNIX_EPOCH)),
            created_after: Some("9999-12-31T23:59:59Z".to_owned()),
            created_before: Some("138-00".to_owned()),
        };
        let mut errors = FieldErrors::new();
        wrong().check(&mut errors);
        let errors = errors.into_vec();
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/reference",
                "/status",
                "/courier",
                "/shipment_state",
                "/trouble",
                "/created_after",
                "/created_before"
            ]
        );
        assert!(errors.iter().all(|error| !error.invalid.detail.contains("138")));
        assert_eq!(wrong().read().unwrap_err().code(), "invalid_query");
    }
}
