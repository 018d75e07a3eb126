//! What Kuaidi100's API speaks, translated to and from this service's words. Nothing here does I/O.
//!
//! Its answers are read without a fixed shape: a number may come as text and the other way round, what is missing may be
//! null, and a failure looks different from a success. Only a task and an order id together count as booked.

use serde::Serialize;
use serde_json::Value;

use super::status;
use crate::clock::Instant;
use crate::couriers::client::safe_code;
use crate::couriers::{BookError, Booked, BookingRequest, News};
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
    fn at(now: Instant) -> Self {
        use chrono::Timelike;
        let hour = chrono::FixedOffset::east_opt(BEIJING_SECONDS).map_or(9, |zone| now.with_timezone(&zone).hour());
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
    pub(super) now: Instant,
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
    pub(super) fn of(task: Option<String>, order: Option<String>) -> Self {
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
            ..Self::of(task.flatten(), order.flatten())
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

/// An answer's outside, which all calls share.
pub(super) struct Answer {
    /// `returnCode`, or `status` where a success has only that.
    pub(super) code: String,
    /// Whether it says that the call did what it was to do.
    pub(super) good: bool,
    message: String,
    whole: Value,
}

impl Answer {
    /// Reads a body; `None` where it is not one of Kuaidi100's answers.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let whole: Value = serde_json::from_slice(body).ok()?;
        let code = text(&whole, &["returnCode", "status", "code"])?;
        let denied = match whole.get("result") {
            Some(Value::Bool(good)) => !good,
            Some(Value::String(text)) => text.trim().eq_ignore_ascii_case("false"),
            _ => false,
        };
        Some(Self {
            good: code == "200" && !denied,
            message: text(&whole, &["message", "msg"]).unwrap_or_default(),
            code,
            whole,
        })
    }

    /// The whole answer.
    pub(super) const fn whole(&self) -> &Value {
        &self.whole
    }

    /// `data`, also where it is JSON within a text.
    fn data(&self) -> Value {
        match self.whole.get("data") {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            Some(data) => data.clone(),
            None => Value::Null,
        }
    }

    /// Whether the message has one of these words.
    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.message.contains(word))
    }

    /// Whether our key, secret, customer or account is not accepted.
    pub(super) fn denies_us(&self) -> bool {
        matches!(self.code.as_str(), "503" | "600" | "601")
    }

    /// The code as a word that may be logged and stored. The message never is: it may repeat what was sent.
    pub(super) fn word(&self) -> String {
        match self.code.as_str() {
            "400" => "bad_parameter".to_owned(),
            "408" => "phone_check_failed".to_owned(),
            "500" => "courier_error".to_owned(),
            "501" => "submitted_twice".to_owned(),
            "502" => "courier_busy".to_owned(),
            "503" => "bad_signature".to_owned(),
            "600" => "key_or_quota".to_owned(),
            "601" => "key_expired".to_owned(),
            "700" => "bad_callback".to_owned(),
            "701" => "company_refused".to_owned(),
            "702" => "number_not_recognised".to_owned(),
            other => safe_code(other).map_or_else(|| "unknown_code".to_owned(), |code| format!("kuaidi100_{code}")),
        }
    }

    /// What the answer to `bOrder` means.
    pub(super) fn booked(&self, after: Option<std::time::Duration>) -> Result<Booked, BookError> {
        if self.good {
            let data = self.data();
            let ids = Ids::of(text(&data, &["taskId"]), text(&data, &["orderId"]));
            // Said yes, and did not say to what: a parcel may exist.
            return match (&ids.task, &ids.order) {
                (Some(_), Some(_)) => Ok(Booked {
                    // 韵达 gives its number later, by the callback.
                    provider_ref: ids.to_text(),
                    ..Booked::under(number(&data, &["kuaidinum", "kuaidiNum"]))
                }),
                _ => Err(BookError::unknown("unreadable_answer")),
            };
        }
        Err(match self.code.as_str() {
            // It has the order already, or is working on it.
            "501" => BookError::unknown(self.word()),
            "500" if self.says(&NOT_SERVED) => BookError::fail("not_served"),
            "500" if self.says(&NO_MONEY) => BookError::unauthorized("no_balance"),
            "502" => BookError::Retry {
                code: self.word(),
                after,
            },
            "400" | "700" | "701" | "702" => BookError::fail(self.word()),
            _ if self.denies_us() => BookError::unauthorized(self.word()),
            // 500 is also said of a server in trouble; the same id sent again is answered with the first order.
            _ => BookError::unknown(self.word()),
        })
    }

    /// What `detail` says of a booking.
    pub(super) fn detail(&self) -> Option<Detail> {
        let data = match self.data() {
            Value::Array(mut list) if list.len() == 1 => list.pop()?,
            other => other,
        };
        if !self.good || !data.is_object() {
            return None;
        }
        let ids = Ids::of(text(&data, &["taskId"]), text(&data, &["orderId"]));
        Some(Detail {
            ids,
            status: text(&data, &["status", "orderStatus"]),
            number: number(&data, &["kuaidiNum", "kuaidinum"]),
        })
    }

    /// Whether the answer to `cancel` says that it was called off before.
    pub(super) fn says_called_off(&self) -> bool {
        self.good || self.says(&["已取消", "已经取消", "重复取消"])
    }

    /// Whether the answer to `cancel` says that it is too late.
    pub(super) fn says_too_late(&self) -> bool {
        self.says(&[
            "不能取消",
            "无法取消",
            "不可取消",
            "不允许取消",
            "不支持取消",
            "已取件",
            "已揽",
            "已完成",
            "已签收",
        ])
    }
}

/// Refusals by the courier behind Kuaidi100, said in words under code 500 before anything is booked.
const NOT_SERVED: [&str; 8] = [
    "停派",
    "停收",
    "不开放",
    "风控",
    "超区",
    "暂不支持下单",
    "不在服务范围",
    "无法派送",
];

/// The account that pays is empty.
const NO_MONEY: [&str; 2] = ["余额不足", "欠费"];

/// How a booking stands at the order desk.
pub(super) struct Detail {
    pub(super) ids: Ids,
    pub(super) status: Option<String>,
    pub(super) number: Option<Pii<String>>,
}

impl Detail {
    /// What its status means, where it has one.
    pub(super) fn news(&self) -> News {
        self.status.as_deref().map_or(News::Unchanged, status::of_order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn pickup(utc: &str) -> (&'static str, String, String) {
        let pickup = Pickup::at(DateTime::parse_from_rfc3339(utc).unwrap().to_utc());
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
        assert_eq!(Ids::of(Some("张三".into()), Some("a/b".into())).to_text(), None);
        let same = |one: &str, two: &str| Ids::parse(one).same(&Ids::parse(two));
        assert!(same("T1/O1", "T2/O1/zhongtong") && same("T1/O1", "/O1") && same("T1/O1", "T1/"));
        assert!(!same("T1/O1", "T1/O2") && !same("T1/O1", "T2/") && !same("/O1", "T1/"));
    }

    #[test]
    fn only_yes_with_both_ids_is_booked() {
        let read = |body: &str| Answer::read(body.as_bytes()).unwrap().booked(None);
        let good = r#"{"result":"true","returnCode":200,"data":{"taskId":"T1","orderId":20066771,"kuaidinum":null}}"#;
        assert_eq!(read(good).unwrap().provider_ref.as_deref(), Some("T1/20066771"));
        for body in [
            r#"{"result":true,"returnCode":"200","data":{"taskId":"T1","kuaidinum":"YT0000000000001"}}"#,
            r#"{"result":true,"returnCode":"200","data":null}"#,
            r#"{"result":true,"returnCode":"200"}"#,
            r#"{"result":false,"returnCode":"200","data":{"taskId":"T1","orderId":"O1"}}"#,
            r#"{"result":false,"returnCode":"501","message":"重复提交"}"#,
            r#"{"result":false,"returnCode":"500","message":"服务器错误"}"#,
            r#"{"result":false,"returnCode":"999"}"#,
        ] {
            assert!(matches!(read(body), Err(BookError::Unknown { .. })), "{body}");
        }
    }
}
