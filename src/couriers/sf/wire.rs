//! What SF's gateway answers, translated to this service's words; what it is asked is in [`requests`](super::requests).
//!
//! Nothing here does I/O. What SF writes is read liberally (see [`lenient_json`](super::lenient_json)); what counts as booked is not:
//! a parcel is ours only where the answer says so, in SF's own words for success, and names our order id.

use std::borrow::Cow;

use serde_json::Value;

use super::lenient_json;
use crate::couriers::CancelAnswer;
use crate::couriers::client::safe_code;
use crate::domain::ids::BookingReference;
use crate::privacy::Pii;

/// What an answer says.
pub(super) enum Said {
    /// Yes, and this: the service's own object, `Null` where there is none.
    Yes(Value),
    /// No, with a code that may be logged.
    No(String),
}

/// Reads the envelope of an answer.
///
/// # Errors
/// A code: it is no answer, or it contradicts itself.
pub(super) fn envelope(bytes: &[u8]) -> Result<Said, &'static str> {
    let outer: Value = serde_json::from_str(&lenient_json::characters(bytes)).map_err(|_| "unreadable_answer")?;
    let outer = lenient_json::opened(&outer);
    match lenient_json::text(&outer, "apiResultCode") {
        // Taken in by the gateway, no more: the service's own answer is inside.
        Some(code) if code.eq_ignore_ascii_case("A1000") => {
            let inner = lenient_json::member(&outer, "apiResultData").map(lenient_json::opened);
            service_answer(&inner.unwrap_or(Cow::Owned(Value::Null)))
        }
        Some(code) => Ok(Said::No(loggable(&code))),
        None => service_answer(&outer),
    }
}

fn service_answer(inner: &Value) -> Result<Said, &'static str> {
    let code = lenient_json::text(inner, "errorCode");
    match (lenient_json::truth(inner, "success"), code.as_deref()) {
        (Some(true), None | Some("S0000")) => {
            let payload = ["msgData", "obj"]
                .into_iter()
                .find_map(|name| lenient_json::member(inner, name));
            Ok(Said::Yes(
                payload.map_or(Value::Null, |value| lenient_json::opened(value).into_owned()),
            ))
        }
        (Some(false), Some(code)) if code != "S0000" => Ok(Said::No(loggable(code))),
        (Some(_), _) => Err("contradictory_answer"),
        (None, _) => Err("unreadable_answer"),
    }
}

fn loggable(code: &str) -> String {
    safe_code(code).unwrap_or("unknown").to_owned()
}

/// What SF holds under an order id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It carries it, or will once a person has looked at the address; the number may come later.
    Carried(Option<Pii<String>>),
    /// It does not go there.
    OutOfRange(&'static str),
    /// It holds the order, and says neither that it carries it nor that it does not.
    Unsaid,
}

/// Reads an order, as booking and searching answer it.
///
/// # Errors
/// A code: it is another's order, or cannot be read.
pub(super) fn held(order: &Value, reference: &BookingReference) -> Result<Held, &'static str> {
    belongs(order, reference)?;
    let verdict = lenient_json::text(order, "filterResult");
    if verdict.as_deref() == Some("3") {
        return Ok(Held::OutOfRange(out_of_range(lenient_json::text(order, "remark"))));
    }
    let waybill = waybill(order)?;
    Ok(match verdict.as_deref() {
        // 2: goes there. 1: a person looks at it. 4: cannot be told yet.
        Some("1" | "2" | "4") => Held::Carried(waybill),
        _ if waybill.is_some() => Held::Carried(waybill),
        _ => Held::Unsaid,
    })
}

/// Whether an answer is about this order of ours.
///
/// # Errors
/// It names another, or none.
pub(super) fn belongs(order: &Value, reference: &BookingReference) -> Result<(), &'static str> {
    match lenient_json::text(order, "orderId") {
        Some(id) if id == reference.as_str() => Ok(()),
        Some(_) => Err("foreign_answer"),
        None => Err("unreadable_answer"),
    }
}

/// Reads the answer to calling an order off.
///
/// # Errors
/// A code: it is about another's order, or says nothing.
pub(super) fn cancelled(answer: &Value, reference: &BookingReference) -> Result<CancelAnswer, &'static str> {
    match lenient_json::text(answer, "resStatus").as_deref() {
        Some("2") => belongs(answer, reference).map(|()| CancelAnswer::Cancelled),
        // Order and waybill do not belong together: nothing was called off.
        Some("1") => Ok(CancelAnswer::Refused {
            code: "mismatch".to_owned(),
        }),
        _ => Err("unreadable_answer"),
    }
}

/// Why it does not go there. The digit speaks of collecting (收) and delivering (派).
fn out_of_range(remark: Option<String>) -> &'static str {
    let remark = remark.unwrap_or_default();
    let mut characters = remark.chars();
    let (first, second) = (characters.next(), characters.next());
    match first {
        _ if second.is_some_and(|c| c.is_ascii_digit()) => "out_of_range_other",
        Some('1') => "out_of_range_pickup",
        Some('2') => "out_of_range_delivery",
        _ => "out_of_range_other",
    }
}

/// The number of the parcel itself (type 1), not of a further piece or a returned receipt.
fn waybill(order: &Value) -> Result<Option<Pii<String>>, &'static str> {
    let all = lenient_json::list(order, "waybillNoInfoList");
    let typed = |wanted: Option<&str>| {
        all.iter()
            .find(|one| lenient_json::text(one, "waybillType").as_deref() == wanted)
    };
    let Some(main) = typed(Some("1")).or_else(|| typed(None)) else {
        return Ok(None);
    };
    match lenient_json::text(main, "waybillNo") {
        Some(number) if is_waybill(&number) => Ok(Some(Pii::new(number))),
        Some(_) => Err("unreadable_answer"),
        None => Ok(None),
    }
}

/// Whether a text can be a waybill number.
pub(super) fn is_waybill(text: &str) -> bool {
    (6..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Where a printed waybill is.
pub(super) struct PrintedFile {
    pub(super) url: Pii<String>,
    pub(super) token: Pii<String>,
}

/// The file of that waybill: the first page, for the order of files is not kept.
pub(super) fn printed_file(answer: &Value, waybill: &str) -> Option<PrintedFile> {
    let mut files = lenient_json::list(answer, "files");
    files.retain(|file| lenient_json::text(file, "waybillNo").is_none_or(|number| number == waybill));
    files.sort_by_key(|file| {
        ["seqNo", "areaNo", "pageNo"]
            .map(|name| lenient_json::text(file, name).and_then(|number| number.parse::<u32>().ok()))
    });
    let file = files.first()?;
    Some(PrintedFile {
        url: Pii::new(lenient_json::text(file, "url")?),
        token: Pii::new(lenient_json::text(file, "token")?),
    })
}
