//! News of parcels out of SF's JSON and XML: the routes that it answers, and what it pushes in three styles. The elements
//! are read liberally; an element that names neither an order nor a waybill is nobody's news and is left out.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta};
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use serde_json::{Map, Value};

use super::status::{Node, of_order_state, order_state_code};
use super::{lenient_json, wire};
use crate::clock::BusinessTime;
use crate::couriers::{CourierEvent, ParcelRef};
use crate::domain::ids::BookingReference;
use crate::privacy::Pii;

/// SF writes Beijing time and does not say so.
const BEIJING: TimeDelta = TimeDelta::hours(8);

/// The news in an answer to a question about these parcels, oldest first. What was not asked for is not believed.
pub(super) fn answered(answer: &Value, asked: &[&ParcelRef], now: BusinessTime) -> Vec<CourierEvent> {
    let mut events = Vec::new();
    for parcel in lenient_json::list(answer, "routeResps") {
        let waybill = lenient_json::text(&parcel, "mailNo").filter(|number| wire::is_waybill(number));
        // One question by reference is about one parcel, whatever its waybill is.
        let about = match asked {
            [one] if one.tracking_no.is_none() => Some(one),
            _ => asked.iter().find(|one| {
                let known = one.tracking_no.as_ref().map(Pii::expose);
                known.is_some() && known == waybill.as_ref()
            }),
        };
        let Some(about) = about else { continue };
        for node in lenient_json::list(&parcel, "routes") {
            events.push(CourierEvent {
                reference: Some(about.reference.clone()),
                ..of_node(&node, waybill.clone(), now)
            });
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

/// One node of a route.
fn of_node(node: &Value, waybill: Option<String>, now: BusinessTime) -> CourierEvent {
    let remark = lenient_json::text(node, "remark");
    let reason_name = lenient_json::text(node, "reasonName");
    let code = |name: &str| lenient_json::text(node, name);
    let read = Node {
        first: code("firstStatusCode"),
        second: code("secondaryStatusCode"),
        operation: code("opCode"),
        reason: code("reasonCode"),
        words: [&remark, &reason_name].into_iter().flatten().cloned().collect(),
    };
    let new_waybill = read.new_waybill().filter(|number| Some(number) != waybill.as_ref());
    CourierEvent {
        reference: None,
        provider_ref: None,
        tracking_no: waybill.map(Pii::new),
        new_tracking_no: new_waybill.map(Pii::new),
        new_provider_ref: None,
        news: read.news(),
        code: read.code(),
        at: code("acceptTime").and_then(|text| beijing(&text)).unwrap_or(now),
        remark: remark.or(reason_name).map(Pii::new),
    }
}

/// The style of a push, which its acknowledgement has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Routes as JSON.
    Json,
    /// Routes as XML, by itself or in a form.
    Xml,
    /// The state of orders as JSON.
    OrderState,
}

/// A push that could be taken apart.
enum Push {
    Json(Value),
    Xml(String),
}

/// The style of a push; what cannot be read at all counts as JSON.
pub(super) fn style(body: &[u8]) -> Style {
    match taken_apart(body) {
        Some(Push::Json(value)) if lenient_json::member(&value, "orderState").is_some() => Style::OrderState,
        Some(Push::Xml(_)) => Style::Xml,
        _ => Style::Json,
    }
}

/// The news in a push, oldest first; `None` when it is no push that SF documents.
pub(super) fn pushed(body: &[u8], now: BusinessTime) -> Option<Vec<CourierEvent>> {
    let mut events: Vec<CourierEvent> = match taken_apart(body)? {
        Push::Xml(text) => {
            let routes = xml_routes(&text)?;
            routes.iter().filter_map(|route| of_route(route, now)).collect()
        }
        Push::Json(value) => match lenient_json::member(&value, "orderState") {
            Some(states) => {
                let sent = lenient_json::text(&value, "timestamp").and_then(|text| beijing(&text));
                let states = lenient_json::items(states);
                states
                    .iter()
                    .filter_map(|state| of_order(state, sent.unwrap_or(now)))
                    .collect()
            }
            None => {
                let body = lenient_json::member(&value, "Body").map_or(Cow::Borrowed(&value), lenient_json::opened);
                let routes = match &*body {
                    list @ Value::Array(_) => lenient_json::items(list),
                    other => lenient_json::items(lenient_json::member(other, "WaybillRoute")?),
                };
                routes.iter().filter_map(|route| of_route(route, now)).collect()
            }
        },
    };
    events.sort_by_key(|event| event.at);
    Some(events)
}

/// JSON, XML, or a form that has one of them in a field.
fn taken_apart(body: &[u8]) -> Option<Push> {
    let text = lenient_json::characters(body);
    let text = text.trim();
    if let Some(push) = plain(text) {
        return Some(push);
    }
    // XML that nobody encoded would be torn apart at its `&`.
    if let Some(push) = text.strip_prefix("content=").and_then(plain) {
        return Some(push);
    }
    // `msgData` is what an integrator in Hong Kong reports; SF's documents know `content` alone.
    let named = |name: &str| matches!(name, "content" | "msgData");
    let (_, content) = form_urlencoded::parse(text.as_bytes()).find(|(name, _)| named(name))?;
    plain(content.trim()).or_else(|| {
        // Encoded once for XML's sake and once for the form's.
        let twice = format!("content={content}");
        let (_, content) = form_urlencoded::parse(twice.as_bytes()).next()?;
        plain(content.trim())
    })
}

fn plain(text: &str) -> Option<Push> {
    match text.chars().next()? {
        '{' | '[' => serde_json::from_str(text).ok().map(Push::Json),
        '<' => Some(Push::Xml(text.to_owned())),
        _ => None,
    }
}

/// An element of a route push.
fn of_route(route: &Value, now: BusinessTime) -> Option<CourierEvent> {
    let waybill = lenient_json::text(route, "mailno").filter(|number| wire::is_waybill(number));
    let reference = lenient_json::text(route, "orderid").and_then(|id| BookingReference::parse(&id));
    if waybill.is_none() && reference.is_none() {
        return None;
    }
    Some(CourierEvent {
        reference,
        ..of_node(route, waybill, now)
    })
}

/// An element of an order-state push. Name and number of the courier's employee stay unread.
fn of_order(state: &Value, sent: BusinessTime) -> Option<CourierEvent> {
    let waybill = lenient_json::text(state, "waybillNo").filter(|number| wire::is_waybill(number));
    let reference = lenient_json::text(state, "orderNo").and_then(|id| BookingReference::parse(&id));
    if waybill.is_none() && reference.is_none() {
        return None;
    }
    let code = lenient_json::text(state, "orderStateCode").unwrap_or_default();
    let at = ["lastTime", "createTm"]
        .into_iter()
        .find_map(|name| beijing(&lenient_json::text(state, name)?));
    Some(CourierEvent {
        reference,
        provider_ref: None,
        tracking_no: waybill.map(Pii::new),
        new_tracking_no: None,
        new_provider_ref: None,
        news: of_order_state(&code),
        code: order_state_code(&code).to_owned(),
        at: at.unwrap_or(sent),
        remark: lenient_json::text(state, "orderStateDesc").map(Pii::new),
    })
}

/// The `WaybillRoute` elements of a document, their attributes, or the elements in them, as members; `None` when it is cut
/// off or no XML.
fn xml_routes(text: &str) -> Option<Vec<Value>> {
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut routes, mut depth) = (Vec::new(), 0_usize);
    // The route that is not closed yet, and the member of it whose text is being read.
    let mut open: Option<(usize, Map<String, Value>)> = None;
    let mut member = (String::new(), String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                depth += 1;
                member = (named(element.local_name().as_ref()), String::new());
                if open.is_none() {
                    open = route(&element).map(|members| (depth, members));
                }
            }
            Event::Empty(element) => routes.extend(route(&element).map(Value::Object)),
            Event::Text(text) => member.1.push_str(&named(&text)),
            Event::CData(text) => member.1.push_str(&named(&text)),
            Event::GeneralRef(entity) => member.1.push_str(&character(&entity)),
            Event::End(_) => {
                let (name, text) = std::mem::take(&mut member);
                match open.take() {
                    Some((began, members)) if began == depth => routes.push(Value::Object(members)),
                    Some((began, mut members)) => {
                        if !name.is_empty() {
                            members.entry(name).or_insert(Value::String(text));
                        }
                        open = Some((began, members));
                    }
                    None => {}
                }
                depth = depth.checked_sub(1)?;
            }
            Event::Eof if depth == 0 => return Some(routes),
            Event::Eof => return None,
            _ => {}
        }
    }
}

fn named(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `&amp;` or `&#38;` in an element stands for; what stands for nothing is left as it is.
fn character(entity: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = entity.resolve_char_ref() {
        return character.to_string();
    }
    let name = named(entity);
    resolve_predefined_entity(&name).map_or_else(|| format!("&{name};"), str::to_owned)
}

fn route(element: &BytesStart<'_>) -> Option<Map<String, Value>> {
    let name = element.local_name();
    if !name.as_ref().eq_ignore_ascii_case(b"WaybillRoute") {
        return None;
    }
    let mut members = Map::new();
    for attribute in element.attributes().flatten() {
        let name = named(attribute.key.local_name().as_ref());
        // A bare `&` is no reason to lose the rest.
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.unwrap_or_else(|_| String::from_utf8_lossy(&attribute.value).into_owned().into());
        members.insert(name, Value::String(value.into_owned()));
    }
    Some(members)
}

/// A moment as SF writes it: Beijing time in several spellings, or seconds or milliseconds since 1970.
fn beijing(text: &str) -> Option<BusinessTime> {
    let epoch = || {
        let number: i64 = text.parse().ok()?;
        match text.len() {
            10 => DateTime::from_timestamp(number, 0),
            13 => DateTime::from_timestamp_millis(number),
            _ => None,
        }
    };
    let spelled = || {
        [
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%dT%H:%M:%S%.f",
            "%Y/%m/%d %H:%M:%S",
            "%Y-%m-%d %H:%M",
        ]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .and_then(|naive| naive.and_utc().checked_sub_signed(BEIJING))
    };
    let zoned = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let at = epoch().or_else(spelled).or_else(zoned)?;
    // What no parcel can have: a time so far off would hide everything that comes later.
    (2000..2100)
        .contains(&at.year())
        .then(|| BusinessTime::from_timestamp_micros(at.timestamp_micros()))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_beijings_in_every_spelling_and_absurd_ones_are_none() {
        let expected: BusinessTime = "2020-05-11T08:56:54Z".parse().unwrap();
        for text in [
            "2020-05-11 16:56:54",
            "2020-05-11 16:56:54.000",
            "2020-05-11T16:56:54",
            "2020/05/11 16:56:54",
            "2020-05-11T16:56:54+08:00",
            "1589187414",
            "1589187414000",
        ] {
            assert_eq!(beijing(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "gestern",
            "9999-12-31 00:00:00",
            "0001-01-01 00:00:00",
            "158918741444476",
            "-1",
        ] {
            assert_eq!(beijing(bad), None, "{bad}");
        }
    }
}
