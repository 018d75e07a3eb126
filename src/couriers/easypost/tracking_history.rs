//! A tracker's history as a chain of news. Where a parcel is depends on where it has been: the first scan is the
//! pick-up, and what is handed over on its way back is handed over to the sender.

use serde_json::Value;

use crate::clock::BusinessTime;
use crate::couriers::News;
use crate::couriers::client::safe_code;
use crate::couriers::easypost::status;
use crate::couriers::rest::{in_place, items, moment, text};
use crate::domain::shipment::TrackingStatus::{
    Accepted, Delivered, Exception, InTransit, OutForDelivery, PickedUp, Rejected, Returned, Returning,
};
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

/// What a parcel has been through.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    moving: bool,
    returning: bool,
}

impl Progress {
    /// The news in the light of what was before it.
    fn advance(&mut self, news: News) -> News {
        let News::Moved(status) = news else { return news };
        let status = match status {
            Delivered if self.returning => Returned,
            InTransit | OutForDelivery | PickedUp | Exception | Rejected if self.returning => Returning,
            InTransit if !self.moving => PickedUp,
            other => other,
        };
        self.moving |= status != Accepted;
        self.returning |= status == Returning;
        News::Moved(status)
    }
}

struct Detail<'a> {
    status: &'a str,
    detail: Option<&'a str>,
    at: Option<BusinessTime>,
    remark: Option<&'a str>,
}

impl<'a> Detail<'a> {
    fn read(detail: &'a Value) -> Option<Self> {
        Some(Self {
            status: text(detail, "status")?,
            detail: meaningful(text(detail, "status_detail")),
            at: text(detail, "datetime").and_then(moment),
            remark: text(detail, "message").or_else(|| text(detail, "description")),
        })
    }
}

/// A detail that says anything.
fn meaningful(detail: Option<&str>) -> Option<&str> {
    detail.filter(|detail| !matches!(*detail, "unknown" | "status_update"))
}

fn code(status: &str, detail: Option<&str>) -> String {
    let said = detail.unwrap_or(status);
    safe_code(said).unwrap_or("unknown").to_owned()
}

/// The newest scans, oldest first.
fn in_order(tracker: &Value) -> Vec<Detail<'_>> {
    let mut details: Vec<Detail<'_>> = items(tracker, "tracking_details")
        .iter()
        .filter_map(Detail::read)
        .collect();
    // A scan without a time happened with the one before it.
    let mut known = None;
    for detail in &mut details {
        known = detail.at.or(known);
        detail.at = known;
    }
    details.sort_by_key(|detail| detail.at);
    details.split_off(details.len().saturating_sub(LONGEST))
}

/// The whole history, oldest first; its last step is where the parcel is now. `otherwise` is the time of a tracker that
/// has none. Empty where the tracker has no status, or no time can be told.
pub(super) fn read(tracker: &Value, otherwise: Option<BusinessTime>) -> Vec<Step> {
    let said_at = ["updated_at", "created_at"]
        .into_iter()
        .find_map(|key| text(tracker, key).and_then(moment));
    let (Some(status), Some(said_at)) = (text(tracker, "status"), said_at.or(otherwise)) else {
        return Vec::new();
    };
    let details = in_order(tracker);

    let mut progress = Progress::default();
    let mut steps: Vec<Step> = Vec::new();
    for (place, detail) in details.iter().enumerate() {
        steps.push(Step {
            news: progress.advance(status::news(detail.status, detail.detail)),
            code: code(detail.status, detail.detail),
            at: in_place(detail.at.unwrap_or(said_at), place),
            remark: detail.remark.map(|remark| Pii::new(remark.to_owned())),
        });
    }

    let last = details.last().filter(|last| last.status == status);
    let detail = meaningful(text(tracker, "status_detail")).or_else(|| last.and_then(|last| last.detail));
    let signed_by = text(tracker, "signed_by").map(|name| format!("signed for by {name}"));
    match steps.last_mut() {
        // The newest scan is where it is.
        Some(step) if last.is_some_and(|last| status::news(status, detail) == status::news(status, last.detail)) => {
            step.code = code(status, detail);
            let told = step.remark.take().map(Pii::into_exposed);
            let told: Vec<String> = [told, signed_by].into_iter().flatten().collect();
            step.remark = (!told.is_empty()).then(|| Pii::new(told.join("; ")));
        }
        newest => {
            let newest = newest.map_or(said_at, |step| step.at.max(said_at));
            let news = match status::news(status, detail) {
                // Bought and not yet heard of: EasyPost says `unknown` until the carrier knows the label.
                News::Unchanged
                    if status == "unknown" && details.is_empty() && text(tracker, "shipment_id").is_some() =>
                {
                    News::Moved(Accepted)
                }
                // Without a history nobody can tell a first scan from a later one.
                News::Moved(InTransit) if details.is_empty() => News::Moved(InTransit),
                news => progress.advance(news),
            };
            steps.push(Step {
                news,
                code: code(status, detail),
                at: in_place(newest, steps.len()),
                remark: signed_by.map(Pii::new),
            });
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shipment::TrackingStatus;
    use serde_json::json;

    fn told(status: &str, details: Value) -> Vec<Step> {
        read(
            &json!({"status": status, "status_detail": "unknown", "updated_at": "2026-11-23T12:00:00Z",
                    "shipment_id": "shp_1", "tracking_details": details}),
            None,
        )
    }

    fn scan(status: &str, detail: Option<&str>, at: &str) -> Value {
        json!({"status": status, "status_detail": detail, "datetime": at, "message": status})
    }

    fn moves(steps: &[Step]) -> Vec<Option<TrackingStatus>> {
        let moved = |step: &Step| match step.news {
            News::Moved(status) => Some(status),
            _ => None,
        };
        steps.iter().map(moved).collect()
    }

    #[test]
    fn the_first_scan_is_the_pick_up_and_a_delivery_on_the_way_back_is_a_return() {
        let details = json!([
            scan("pre_transit", None, "2026-11-20T08:00:00Z"),
            scan("in_transit", Some("arrived_at_facility"), "2026-11-20T09:00:00Z"),
            scan("in_transit", Some("departed_facility"), "2026-11-20T10:00:00Z"),
            scan("return_to_sender", None, "2026-11-21T10:00:00Z"),
            scan("out_for_delivery", None, "2026-11-22T09:00:00Z"),
            scan("delivered", None, "2026-11-22T10:00:00Z"),
        ]);
        let steps = told("delivered", details);
        assert_eq!(
            moves(&steps),
            [Accepted, PickedUp, InTransit, Returning, Returning, Returned].map(Some)
        );
    }

    #[test]
    fn a_history_in_disorder_is_told_in_order_and_one_moment_keeps_its_own() {
        let details = json!([
            scan("delivered", None, "2026-11-22T10:00:00Z"),
            scan("in_transit", None, "2026-11-20T09:00:00Z"),
            scan("out_for_delivery", None, "2026-11-22T10:00:00Z"),
        ]);
        let steps = told("delivered", details);
        assert_eq!(moves(&steps).first(), Some(&Some(PickedUp)));
        assert!(steps.is_sorted_by(|one, next| one.at < next.at), "{steps:?}");
        assert_eq!(moves(&steps).last(), Some(&Some(Delivered)));
    }

    #[test]
    fn what_the_tracker_says_now_counts_more_than_its_last_scan() {
        let details = || json!([scan("in_transit", None, "2026-11-20T09:00:00Z")]);
        assert_eq!(moves(&told("delivered", details())), [PickedUp, Delivered].map(Some));
        assert_eq!(moves(&told("error", details())), [Some(PickedUp), None]);
        assert_eq!(moves(&told("teleported", details())), [Some(PickedUp), None]);
    }

    #[test]
    fn a_label_just_bought_is_accepted_and_a_first_word_without_history_is_in_transit() {
        assert_eq!(moves(&told("unknown", json!([]))), [Some(Accepted)]);
        assert_eq!(moves(&told("unknown", json!([scan("unknown", None, "-")]))), [None]);
        assert_eq!(moves(&told("in_transit", json!(null))), [Some(InTransit)]);
        assert!(read(&json!({"status": "delivered"}), None).is_empty());
        assert!(read(&json!("delivered"), None).is_empty());
    }

    #[test]
    fn who_signed_and_what_was_written_are_remarks() {
        let tracker = json!({"status": "delivered", "updated_at": "2026-11-23T12:00:00Z", "signed_by": "J. Doe",
            "tracking_details": [scan("delivered", None, "2026-11-22T10:00:00Z")]});
        let steps = read(&tracker, None);
        let remarks: Vec<_> = steps.iter().filter_map(|step| step.remark.clone()).collect();
        assert_eq!(remarks, [Pii::new("delivered; signed for by J. Doe".to_owned())]);
    }
}
