//! What Kuaidi100's answers mean. A failure looks different from a success, and is told in words as much as by its code;
//! only a yes with a task and an order id counts as booked.

use std::time::Duration;

use serde_json::Value;

use super::status;
use super::wire::{Ids, number, text};
use crate::couriers::client::safe_code;
use crate::couriers::{BookError, Booked, News};
use crate::privacy::Pii;

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
    pub(super) fn booked(&self, after: Option<Duration>) -> Result<Booked, BookError> {
        if self.good {
            let data = self.data();
            let ids = Ids::new(text(&data, &["taskId"]), text(&data, &["orderId"]));
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
        // The order desk says no by a `returnCode`; other words are of something in front of it.
        if text(&self.whole, &["returnCode"]).is_none() {
            return Err(BookError::unknown("unreadable_answer"));
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
        let ids = Ids::new(text(&data, &["taskId"]), text(&data, &["orderId"]));
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
            r#"{"timestamp":"2026-11-23","status":400,"error":"Bad Request","path":"/order/borderapi.do"}"#,
            r#"{"code":400,"message":"blocked"}"#,
        ] {
            assert!(matches!(read(body), Err(BookError::Unknown { .. })), "{body}");
        }
    }
}
