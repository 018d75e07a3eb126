//! Karrio's statuses and incident reasons, each with what it means here.

use crate::couriers::News;
use crate::domain::shipment::TrackingStatus::{
    Accepted, Delivered, Exception, InTransit, Lost, OutForDelivery, PickedUp, Rejected, Returning,
};

/// A tracker's `status`, as on the wire (its OpenAPI document leaves `picked_up` out).
const STATUSES: &[(&str, News)] = &[
    // A label exists; the carrier waits for the parcel.
    ("pending", News::Moved(Accepted)),
    // The carrier has it.
    ("picked_up", News::Moved(PickedUp)),
    ("in_transit", News::Moved(InTransit)),
    // Late, and still moving.
    ("delivery_delayed", News::Moved(InTransit)),
    // On the last mile.
    ("out_for_delivery", News::Moved(OutForDelivery)),
    // Waits for the recipient at a counter.
    ("ready_for_pickup", News::Moved(OutForDelivery)),
    // Handed over; of a parcel on its way back, to the sender.
    ("delivered", News::Moved(Delivered)),
    // Nobody took it, or something keeps it.
    ("delivery_failed", News::Moved(Exception)),
    ("on_hold", News::Moved(Exception)),
    // On its way back. There is no status for "is back": a later `delivered` says so.
    ("return_to_sender", News::Moved(Returning)),
    // The label was called off.
    ("cancelled", News::CalledOff),
    // The carrier says nothing.
    ("unknown", News::Unchanged),
];

/// A shipment's `status` once its label is bought.
const SHIPMENT_STATUSES: &[(&str, News)] = &[
    // `created` on the wire, `purchased` in the OpenAPI document.
    ("created", News::Moved(Accepted)),
    ("purchased", News::Moved(Accepted)),
    ("shipped", News::Moved(PickedUp)),
    ("in_transit", News::Moved(InTransit)),
    ("out_for_delivery", News::Moved(OutForDelivery)),
    ("delivered", News::Moved(Delivered)),
    ("delivery_failed", News::Moved(Exception)),
    ("needs_attention", News::Moved(Exception)),
];

/// An event's `reason`, where it says more than the status of a parcel that is still under way.
const REASONS: &[(&str, News)] = &[
    // Nobody can find it.
    ("carrier_parcel_lost", News::Moved(Lost)),
    // The recipient does not want it.
    ("consignee_refused", News::Moved(Rejected)),
    // In trouble, and not at an end.
    ("carrier_damaged_parcel", News::Moved(Exception)),
    ("carrier_address_not_found", News::Moved(Exception)),
];

fn find(table: &[(&str, News)], code: &str) -> Option<News> {
    table.iter().find(|(known, _)| *known == code).map(|(_, news)| *news)
}

/// What a tracker's status means, refined by why.
pub(super) fn news(status: &str, reason: Option<&str>) -> News {
    let news = find(STATUSES, status).unwrap_or(News::Unchanged);
    match news {
        // An end and a way back are the status's to say.
        News::Moved(Delivered | Returning) | News::CalledOff => news,
        News::Unchanged if status != "unknown" => news,
        _ => reason.and_then(|reason| find(REASONS, reason)).unwrap_or(news),
    }
}

/// Where a bought shipment is; `None` of one that is not bought, and of a status that is not known.
pub(super) fn bought(status: &str) -> Option<News> {
    find(SHIPMENT_STATUSES, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_refines_what_is_under_way_and_never_an_end() {
        assert_eq!(news("picked_up", None), News::Moved(PickedUp));
        assert_eq!(news("on_hold", Some("carrier_parcel_lost")), News::Moved(Lost));
        assert_eq!(
            news("delivery_failed", Some("consignee_refused")),
            News::Moved(Rejected)
        );
        assert_eq!(
            news("delivery_failed", Some("consignee_not_home")),
            News::Moved(Exception)
        );
        assert_eq!(news("unknown", Some("carrier_parcel_lost")), News::Moved(Lost));
        assert_eq!(news("delivered", Some("consignee_refused")), News::Moved(Delivered));
        assert_eq!(
            news("return_to_sender", Some("consignee_refused")),
            News::Moved(Returning)
        );
        assert_eq!(news("beamed_up", Some("carrier_parcel_lost")), News::Unchanged);
        assert_eq!((bought("draft"), bought("cancelled"), bought("")), (None, None, None));
    }
}
