//! A tracker's events as a chain of news. Carriers send them in either order, in minutes and without a zone, so the
//! order is found first and kept where times are equal.

use chrono::{NaiveDate, NaiveTime};
use serde_json::Value;

use crate::clock::{BusinessTime, Moment};
use crate::couriers::News;
use crate::couriers::client::safe_code;
use crate::couriers::karrio::status;
use crate::couriers::rest::{in_place, items, moment, text};
use crate::domain::shipment::TrackingStatus::{Delivered, Returned, Returning};
use crate::privacy::Pii;

/// The newest of a longer history are read.
const LONGEST: usize = 200;

/// One event of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) news: News,
    pub(super) code: String,
    pub(super) at: BusinessTime,
    pub(super) remark: Option<Pii<String>>,
}

/// When an event happened: its moment, else its date and time as if in UTC, for a zone is not said.
fn when(event: &Value) -> Option<BusinessTime> {
    if let Some(at) = text(event, "timestamp").and_then(moment) {
        return Some(at);
    }
    let date = text(event, "date")?;
    let date = ["%Y-%m-%d", "%m/%d/%Y"]
        .into_iter()
        .find_map(|format| NaiveDate::parse_from_str(date, format).ok())?;
    let time = text(event, "time").and_then(|time| {
        ["%I:%M %p", "%H:%M:%S", "%H:%M", "%I:%M:%S %p"]
            .into_iter()
            .find_map(|format| NaiveTime::parse_from_str(time, format).ok())
    });
    Some(BusinessTime::from_utc(
        date.and_time(time.unwrap_or(NaiveTime::MIN)).and_utc(),
    ))
}

/// The events, oldest first; those without a time stay with their neighbours.
fn in_order(tracker: &Value) -> Vec<(Option<BusinessTime>, &Value)> {
    let mut events: Vec<_> = items(tracker, "events")
        .iter()
        .map(|event| (when(event), event))
        .collect();
    let timed: Vec<BusinessTime> = events.iter().filter_map(|(at, _)| *at).collect();
    if timed.first() > timed.last() {
        events.reverse();
    }
    let mut known = None;
    for (at, _) in &mut events {
        known = at.or(known);
        *at = known;
    }
    events.sort_by_key(|(at, _)| *at);
    events.split_off(events.len().saturating_sub(LONGEST))
}

fn code(status: &str, reason: Option<&str>) -> String {
    safe_code(reason.unwrap_or(status)).unwrap_or("unknown").to_owned()
}

/// The whole history, oldest first; its last step is where the parcel is now. `otherwise` is the time of a tracker without
/// events. Empty where the tracker has no status, or no time can be told.
pub(super) fn read(tracker: &Value, otherwise: Option<BusinessTime>) -> Vec<Step> {
    let delivered = tracker.get("delivered").and_then(Value::as_bool) == Some(true);
    let status = match text(tracker, "status") {
        None | Some("unknown") if delivered => "delivered",
        Some(status) => status,
        None => return Vec::new(),
    };
    let events = in_order(tracker);
    let newest = events.last().map(|(_, event)| *event);
    let Some(now) = events.iter().filter_map(|(at, _)| *at).max().or(otherwise) else {
        return Vec::new();
    };
    let mut returning = false;
    let mut advance = |news| match news {
        News::Moved(Delivered) if returning => News::Moved(Returned),
        News::Moved(Returning) => {
            returning = true;
            news
        }
        _ => news,
    };
    let mut steps = Vec::new();
    for (place, (at, event)) in events.iter().enumerate() {
        // Only Karrio's own word for an event counts; a carrier's code can mean anything.
        let said = text(event, "status").unwrap_or("unknown");
        let reason = text(event, "reason");
        steps.push(Step {
            news: advance(status::news(said, reason)),
            code: code(said, reason),
            at: in_place(at.unwrap_or(now), place),
            remark: text(event, "description").map(|remark| Pii::new(remark.to_owned())),
        });
    }
    let reason = newest.and_then(|event| text(event, "reason"));
    let told = steps
        .last_mut()
        .and_then(|step| step.remark.take())
        .map(Pii::into_exposed);
    let signed_by = tracker.get("info").and_then(|info| text(info, "signed_by"));
    let remarks: Vec<String> = [told, signed_by.map(|name| format!("signed for by {name}"))]
        .into_iter()
        .flatten()
        .collect();
    let current = Step {
        news: advance(status::news(status, reason)),
        code: code(status, reason),
        at: in_place(now, steps.len()),
        remark: (!remarks.is_empty()).then(|| Pii::new(remarks.join("; "))),
    };
    // The newest event is told by the tracker's own status.
    steps.pop();
    steps.push(current);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shipment::TrackingStatus::{InTransit, Lost, OutForDelivery, PickedUp};
    use serde_json::json;

    fn event(status: &str, date: &str, time: &str) -> Value {
        json!({"date": date, "time": time, "status": status, "code": "X1", "description": status})
    }

    fn news(tracker: &Value) -> Vec<News> {
        read(tracker, None).into_iter().map(|step| step.news).collect()
    }

    #[test]
    fn events_are_told_oldest_first_whichever_way_they_came() {
        let (first, second, third) = (
            event("picked_up", "2026-11-22", "11:30 PM"),
            event("in_transit", "2026-11-23", "09:05 AM"),
            event("out_for_delivery", "2026-11-23", "01:15 PM"),
        );
        let expected = [PickedUp, InTransit, OutForDelivery].map(News::Moved);
        for events in [json!([first, second, third]), json!([third, second, first])] {
            let tracker = json!({"status": "out_for_delivery", "events": events});
            assert_eq!(news(&tracker), expected);
            let steps = read(&tracker, None);
            assert_eq!(
                steps.last().unwrap().at.utc().to_rfc3339(),
                "2026-11-23T13:15:00.000003+00:00"
            );
        }
    }

    #[test]
    fn one_minute_keeps_its_order_so_that_a_later_word_is_later() {
        let at = |count: usize, status| {
            let events = vec![event("unknown", "2026-11-23", "10:00 AM"); count];
            read(&json!({"status": status, "events": events}), None).pop().unwrap()
        };
        let (back, handed_over) = (at(3, "return_to_sender"), at(4, "delivered"));
        assert!(back.at < handed_over.at);
        assert_eq!(handed_over.news, News::Moved(Delivered));
    }

    #[test]
    fn only_karrios_own_word_says_that_it_came_back() {
        let own = json!([
            event("return_to_sender", "2026-11-23", "10:00"),
            event("delivered", "2026-11-23", "11:00")
        ]);
        let tracker = json!({"status": "delivered", "delivered": true, "events": own});
        assert_eq!(news(&tracker), [Returning, Returned].map(News::Moved));
        let mut carriers = own;
        for event in carriers.as_array_mut().unwrap() {
            event["code"] = event["status"].take();
        }
        let tracker = json!({"status": "delivered", "events": carriers});
        assert_eq!(news(&tracker), [News::Unchanged, News::Moved(Delivered)]);
    }

    #[test]
    fn a_reason_and_a_signature_are_taken_from_where_they_stand() {
        let lost = json!({"status": "on_hold", "info": {"signed_by": null}, "events":
            [{"date": "2026-11-23", "time": "10:00 AM", "reason": "carrier_parcel_lost", "description": "gone"}]});
        let step = read(&lost, None).pop().unwrap();
        assert_eq!(
            (step.news, step.code.as_str()),
            (News::Moved(Lost), "carrier_parcel_lost")
        );
        let signed = json!({"status": "unknown", "delivered": true, "info": {"signed_by": "J. Doe"}, "events":
            [{"timestamp": "2026-11-23T10:00:00.000Z", "description": "left at door"}]});
        let step = read(&signed, None).pop().unwrap();
        assert_eq!(step.news, News::Moved(Delivered));
        assert_eq!(
            step.remark,
            Some(Pii::new("left at door; signed for by J. Doe".to_owned()))
        );
    }

    #[test]
    fn a_tracker_without_times_or_status_tells_what_it_can() {
        assert!(news(&json!({"status": "pending", "events": []})).is_empty());
        assert!(news(&json!({"events": null})).is_empty());
        assert!(news(&json!(["delivered"])).is_empty());
        let now = moment("2026-11-23T10:00:00Z");
        assert_eq!(read(&json!({"status": "picked_up"}), now).len(), 1);
    }
}
