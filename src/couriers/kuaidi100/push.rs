//! What Kuaidi100 sends by itself, and the histories that queries answer: read into events.
//!
//! A tracking push carries the whole history every time; the app keeps what is new. The order desk's callback tells one
//! state and no time, so its time is when it came (see [`REPEATED`]). Whoever collects is named in it with a phone number:
//! neither is read.

use chrono::{FixedOffset, NaiveDateTime, TimeDelta, TimeZone};
use serde_json::Value;

use super::status;
use super::wire::{BEIJING_SECONDS, Ids, company, number, text};
use crate::clock::{BusinessTime, Moment};
use crate::couriers::client::safe_code;
use crate::couriers::{CourierEvent, News};
use crate::domain::ids::BookingReference;
use crate::domain::shipment::TrackingStatus::Delivered;
use crate::privacy::Pii;

/// How far ahead of us a courier's clock may be before its times are not believed.
const AHEAD: TimeDelta = TimeDelta::hours(24);

/// How late the order desk's callback can be: one that fails is repeated three times, 30 to 35 minutes apart. "Signed for"
/// means another thing once the parcel is on its way back, so it happened at the earliest that it can have.
const REPEATED: TimeDelta = TimeDelta::hours(2);

/// The fields of a push; what is missing is `None`.
pub(super) struct Form {
    pub(super) param: Option<String>,
    pub(super) sign: Option<String>,
    pub(super) task: Option<String>,
}

impl Form {
    /// Reads a form body; the first of a field that stands twice, for that one is also what is signed.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut form = Self {
            param: None,
            sign: None,
            task: None,
        };
        for (name, value) in form_urlencoded::parse(body) {
            let field = match name.as_ref() {
                "param" => &mut form.param,
                "sign" => &mut form.sign,
                "taskId" => &mut form.task,
                _ => continue,
            };
            if field.is_none() {
                *field = Some(value.into_owned());
            }
        }
        form
    }
}

/// An event about nothing yet.
fn blank(code: &str, at: BusinessTime) -> CourierEvent {
    CourierEvent {
        reference: None,
        provider_ref: None,
        tracking_no: None,
        new_tracking_no: None,
        new_provider_ref: None,
        news: News::Unchanged,
        code: safe_code(code).unwrap_or("unknown").to_owned(),
        at,
        remark: None,
    }
}

/// The events of an authentic push; `None` where it is none that this adapter knows. `reference` is from the path, which
/// nobody signed.
pub(super) fn events(
    param: &str,
    task: Option<String>,
    reference: Option<BookingReference>,
    now: BusinessTime,
) -> Option<Vec<CourierEvent>> {
    let param: Value = serde_json::from_str(param).ok()?;
    if param.get("lastResult").is_some() {
        return tracking(&param, reference, now);
    }
    callback(&param, task, reference, now)
}

fn tracking(param: &Value, reference: Option<BookingReference>, now: BusinessTime) -> Option<Vec<CourierEvent>> {
    let result = param.get("lastResult")?;
    let mut events = history(result, now);
    // 暂停: nothing was heard for too long. It moves nothing, and is told for the log.
    if events.is_empty() && text(param, &["status"]).as_deref() == Some("abort") {
        events.push(CourierEvent {
            tracking_no: number(result, &["nu"]),
            ..blank("abort", now)
        });
    }
    for event in &mut events {
        // Without a number there is nothing signed to hold the reference against.
        event.reference = reference.clone().filter(|_| event.tracking_no.is_some());
    }
    Some(events)
}

/// The nodes of a tracking result, oldest first. The newest has the result's own `state`: nodes are often wrong about
/// themselves. Where that is a basic one and the node names an advanced one of its kind, the node only says more.
pub(super) fn history(result: &Value, now: BusinessTime) -> Vec<CourierEvent> {
    let tracking_no = number(result, &["nu"]);
    let state = text(result, &["state"]);
    let nodes = match result.get("data") {
        Some(Value::Array(nodes)) => nodes.as_slice(),
        _ => &[],
    };
    // Newest first, as they are sent; a node without a time that can be read is told only where it is the newest.
    let mut events: Vec<CourierEvent> = nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| {
            let at = moment(node).or((index == 0).then_some(now))?;
            Some(one_node(node, at.min(now + AHEAD)))
        })
        .collect();
    events.reverse();
    events.sort_by_key(|event| event.at);
    if let Some(newest) = events.last_mut()
        && let Some(state) = state.filter(|state| !status::is_kind_of(&newest.code, state))
    {
        match status::of_tracking(&state) {
            Some((code, news)) => (newest.code, newest.news) = (code.to_owned(), news),
            None => {
                newest.code = safe_code(&state).unwrap_or("unknown").to_owned();
                newest.news = News::Unchanged;
            }
        }
    }
    for event in &mut events {
        event.tracking_no.clone_from(&tracking_no);
    }
    events
}

fn one_node(node: &Value, at: BusinessTime) -> CourierEvent {
    let codes = ["statusCode", "status"];
    let known = codes
        .iter()
        .filter_map(|name| text(node, &[name]))
        .find_map(|code| status::of_tracking(&code));
    let unknown = text(node, &codes).unwrap_or_default();
    let (code, news) = known.unwrap_or((&unknown, News::Unchanged));
    CourierEvent {
        news,
        remark: text(node, &["context"]).map(Pii::new),
        ..blank(code, at)
    }
}

/// `time`, or `ftime`: Beijing's, without saying so.
fn moment(node: &Value) -> Option<BusinessTime> {
    let zone = FixedOffset::east_opt(BEIJING_SECONDS)?;
    ["time", "ftime"].iter().find_map(|name| {
        let text = text(node, &[name])?;
        let local = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok())?;
        Some(BusinessTime::from_utc(
            zone.from_local_datetime(&local).single()?.to_utc(),
        ))
    })
}

/// The order desk's callback: one state of one booking.
fn callback(
    param: &Value,
    task: Option<String>,
    reference: Option<BookingReference>,
    now: BusinessTime,
) -> Option<Vec<CourierEvent>> {
    let data = match param.get("data")? {
        Value::String(text) => serde_json::from_str(text).ok()?,
        data => data.clone(),
    };
    let data = Some(&data).filter(|data| data.is_object())?;
    let code = text(data, &["status"])?;
    let news = status::of_order(&code);
    let at = match news {
        News::Moved(Delivered) => now - REPEATED,
        _ => now,
    };
    let numbers = ["kuaidinum", "kuaidiNum"];
    let ids = Ids::new(
        task.map(|task| task.trim().to_owned()).filter(|task| !task.is_empty()),
        text(data, &["orderId"]),
    );
    let mut event = CourierEvent {
        provider_ref: ids.to_text(),
        tracking_no: number(param, &numbers),
        news,
        ..blank(&code, at)
    };
    if code == "302" {
        changed(&mut event, param, data, &ids);
    } else if event.tracking_no.is_none() {
        event.tracking_no = number(data, &numbers);
    }
    // The reference is believed only together with something signed to hold it against; the task's id is not.
    let signed = ids.order.is_some() || event.tracking_no.is_some() || event.new_tracking_no.is_some();
    event.reference = reference.filter(|_| signed);
    Some(vec![event])
}

/// Another courier takes the parcel: a new task, company and number, of which any may be missing.
fn changed(event: &mut CourierEvent, param: &Value, data: &Value, ids: &Ids) {
    let new = number(data, &["newKuaidiNum", "kuaidiNum", "kuaidinum"]);
    // Some of them have the new number outside too: then the old one is not said.
    let outside = event.tracking_no.take();
    match new {
        Some(new) => {
            event.tracking_no = outside.filter(|old| *old != new);
            event.new_tracking_no = Some(new);
        }
        None => event.new_tracking_no = outside,
    }
    let next = Ids {
        company: company(data, &["newKuaidiCom", "kuaidiCom", "kuaidicom"])
            .or_else(|| company(param, &["kuaidicom", "kuaidiCom"])),
        ..Ids::new(
            text(data, &["newTaskId", "taskId"]).or_else(|| ids.task.clone()),
            text(data, &["newOrderId"]).or_else(|| ids.order.clone()),
        )
    };
    if next.task.is_some() && next.order.is_some() {
        event.new_provider_ref = next.to_text();
    }
}
