//! What Kuaidi100's API speaks: the booking as it is sent, and the members of what comes back. Nothing here does I/O.
//!
//! What comes back is read without a fixed shape: a number may come as text and the other way round, and what is missing
//! may be null.

use serde::Serialize;
use serde_json::Value;

use crate::clock::{Moment, WallTime};
use crate::couriers::{BookError, BookingRequest};
use crate::domain::contact::{Address, Country};
use crate::privacy::Pii;

/// The longest `recManPrintAddr` and `sendManPrintAddr`, in bytes.
const LONGEST_ADDRESS: usize = 300;

/// Beijing is eight hours ahead of UTC, all year round.
pub(super) const BEIJING_SECONDS: i32 = 8 * 3600;

/// `param` of `bOrder`. Holds a person: made for one request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BookParam<'a> {
    #[serde(rename = "kuaidicom")]
    company: &'a str,
    rec_man_name: &'a str,
    rec_man_mobile: String,
    rec_man_print_addr: String,
    send_man_name: &'a str,
    send_man_mobile: String,
    send_man_print_addr: String,
    cargo: &'a str,
    weight: String,
    payment: &'static str,
    third_order_id: &'a str,
    call_back_url: &'a str,
    salt: &'a str,
    /// News of the waybill, free of charge, to `poll_call_back_url`.
    op: &'static str,
    poll_call_back_url: &'a str,
    /// The highest of the values documented for this call that only adds to the texts of the pushes.
    resultv2: &'static str,
    #[serde(flatten)]
    pickup: Option<Pickup>,
}

/// When somebody comes to collect.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Pickup {
    day_type: &'static str,
    pickup_start_time: String,
    pickup_end_time: String,
}

impl Pickup {
    /// What 顺丰 must be told: today from the next full hour for two hours, between 9:00 and 19:00; after 17:00
    /// tomorrow morning.
    fn at(now: WallTime) -> Self {
        use chrono::Timelike;
        let hour =
            chrono::FixedOffset::east_opt(BEIJING_SECONDS).map_or(9, |zone| now.utc().with_timezone(&zone).hour());
        let (day_type, start) = if hour < 17 {
            ("今天", (hour + 1).max(9))
        } else {
            ("明天", 9)
        };
        Self {
            day_type,
            pickup_start_time: format!("{start:02}:00"),
            pickup_end_time: format!("{:02}:00", (start + 2).min(19)),
        }
    }
}

/// What a booking needs to know of the configuration.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) company: &'a str,
    pub(super) salt: &'a str,
    pub(super) callback_url: &'a str,
    pub(super) now: WallTime,
}

/// `param` of `bOrder`.
///
/// # Errors
/// `Fail`: Kuaidi100 would not take it.
pub(super) fn book_param(request: &BookingRequest, terms: Terms<'_>) -> Result<String, BookError> {
    let consignee = &request.consignee;
    if consignee.address.country() != Country::CN || request.sender.address.country() != Country::CN {
        return Err(BookError::fail("country_not_served"));
    }
    let param = BookParam {
        company: terms.company,
        rec_man_name: consignee.name.expose(),
        rec_man_mobile: consignee.phone.national(),
        rec_man_print_addr: one_line(&consignee.address)?,
        send_man_name: &request.sender.name,
        send_man_mobile: request.sender.phone.national(),
        send_man_print_addr: one_line(&request.sender.address)?,
        cargo: &request.parcel.contents,
        weight: kilograms(request.parcel.weight_g),
        payment: "SHIPPER",
        third_order_id: request.reference.as_str(),
        call_back_url: terms.callback_url,
        salt: terms.salt,
        op: "1",
        poll_call_back_url: terms.callback_url,
        resultv2: "1",
        pickup: is_sf(terms.company).then(|| Pickup::at(terms.now)),
    };
    serde_json::to_string(&param).map_err(|_| BookError::fail("invalid_request"))
}

/// The whole address, as it is printed. Too long is refused: a cut address is a lost parcel.
fn one_line(address: &Address) -> Result<String, BookError> {
    let line = format!("{}{}", address.masked(), address.street());
    if line.len() > LONGEST_ADDRESS {
        return Err(BookError::fail("address_too_long"));
    }
    Ok(line)
}

/// Grams as kilograms, without a zero at the end: `0.05`.
fn kilograms(grams: u32) -> String {
    let text = format!("{}.{:03}", grams / 1000, grams % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn is_sf(company: &str) -> bool {
    company.starts_with("shunfeng")
}

/// Whether a company answers questions about a parcel only to the end of a phone number.
pub(super) fn asks_for_phone(company: &str) -> bool {
    is_sf(company) || company.starts_with("fengwang") || company.starts_with("zhongtong")
}

/// A member as text, under the first of these names that has one: text trimmed, numbers as they are written.
pub(super) fn text(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match value.get(name)? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// An id that may stand in a URL, a row and a log: short, letters and digits.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A member that can be a tracking number.
pub(super) fn number(value: &Value, names: &[&str]) -> Option<Pii<String>> {
    let fits =
        |text: &String| (6..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text(value, names).filter(fits).map(Pii::new)
}

/// A member that can be a company's code.
pub(super) fn company(value: &Value, names: &[&str]) -> Option<String> {
    text(value, names).filter(|code| is_company(code))
}

/// Whether this can be a company's code: `yuantong`.
pub(super) fn is_company(code: &str) -> bool {
    (2..=40).contains(&code.len())
        && code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// What a booking is called at Kuaidi100, as this service keeps it: `task/order`, and `task/order/company` once another
/// company than the configured one carries the parcel. Cancelling needs task and order, a detail the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) task: Option<String>,
    pub(super) order: Option<String>,
    pub(super) company: Option<String>,
}

impl Ids {
    /// Those of an answer's or a push's members; what cannot be an id is none.
    pub(super) fn new(task: Option<String>, order: Option<String>) -> Self {
        Self {
            task: task.filter(|id| is_id(id)),
            order: order.filter(|id| is_id(id)),
            company: None,
        }
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = text
            .split('/')
            .map(|part| Some(part.to_owned()).filter(|part| !part.is_empty()));
        let (task, order, company) = (parts.next(), parts.next(), parts.next());
        Self {
            company: company.flatten().filter(|code| is_company(code)),
            ..Self::new(task.flatten(), order.flatten())
        }
    }

    /// `None` where there is nothing to know the booking by.
    pub(super) fn to_text(&self) -> Option<String> {
        if self.task.is_none() && self.order.is_none() {
            return None;
        }
        let part = |id: &Option<String>| id.clone().unwrap_or_default();
        let mut text = format!("{}/{}", part(&self.task), part(&self.order));
        if let Some(company) = &self.company {
            text.push('/');
            text.push_str(company);
        }
        Some(text)
    }

    /// Whether both name an order, and not the same.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        matches!((&self.order, &other.order), (Some(one), Some(two)) if one != two)
    }

    /// Whether both mean one booking. The order's id decides: it is inside what is signed, and a change of courier gives
    /// a new task.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (&self.order, &other.order) {
            (Some(one), Some(two)) => one == two,
            _ => self.task.is_some() && self.task == other.task,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pickup(utc: &str) -> (&'static str, String, String) {
        let pickup = Pickup::at(utc.parse().unwrap());
        (pickup.day_type, pickup.pickup_start_time, pickup.pickup_end_time)
    }

    #[test]
    fn a_pickup_is_in_office_hours_of_beijing() {
        for (utc, day, start, end) in [
            ("2026-11-22T20:00:00Z", "今天", "09:00", "11:00"),
            ("2026-11-23T02:30:00Z", "今天", "11:00", "13:00"),
            ("2026-11-23T08:59:00Z", "今天", "17:00", "19:00"),
            ("2026-11-23T09:00:00Z", "明天", "09:00", "11:00"),
            ("2026-11-23T15:59:00Z", "明天", "09:00", "11:00"),
        ] {
            assert_eq!(pickup(utc), (day, start.to_owned(), end.to_owned()), "{utc}");
        }
    }

    #[test]
    fn weights_are_kilograms_without_rounding() {
        for (grams, kg) in [
            (50, "0.05"),
            (1, "0.001"),
            (1000, "1"),
            (1500, "1.5"),
            (12345, "12.345"),
        ] {
            assert_eq!(kilograms(grams), kg);
        }
    }

    #[test]
    fn ids_read_back_and_the_order_decides_what_is_the_same() {
        for text in ["T1/O1", "/O1", "T1/", "T1/O1/zhongtong"] {
            assert_eq!(Ids::parse(text).to_text().as_deref(), Some(text));
        }
        assert_eq!(Ids::parse("").to_text(), None);
        assert_eq!(Ids::new(Some("张三".into()), Some("a/b".into())).to_text(), None);
        let same = |one: &str, two: &str| Ids::parse(one).same(&Ids::parse(two));
        assert!(same("T1/O1", "T2/O1/zhongtong") && same("T1/O1", "/O1") && same("T1/O1", "T1/"));
        assert!(!same("T1/O1", "T1/O2") && !same("T1/O1", "T2/") && !same("/O1", "T1/"));
    }
}
