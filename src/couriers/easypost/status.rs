//! EasyPost's statuses and their details, each with what it means here. The reading is ours, not EasyPost's.

use crate::couriers::News;
use crate::domain::shipment::TrackingStatus::{
    Accepted, Delivered, Exception, InTransit, Lost, OutForDelivery, PickedUp, Rejected, Returning,
};

/// `status`: where the parcel is.
const STATUSES: &[(&str, News)] = &[
    // A label exists; the carrier waits for the parcel.
    ("pre_transit", News::Moved(Accepted)),
    // The carrier has it; one failed delivery that is tried again included.
    ("in_transit", News::Moved(InTransit)),
    // On the last mile.
    ("out_for_delivery", News::Moved(OutForDelivery)),
    // Waits for the recipient at a counter.
    ("available_for_pickup", News::Moved(OutForDelivery)),
    // Handed over; of a parcel on its way back, to the sender.
    ("delivered", News::Moved(Delivered)),
    // On its way back. There is no status for "is back": a later `delivered` says so.
    ("return_to_sender", News::Moved(Returning)),
    // The carrier has given up on it, without saying where it is.
    ("failure", News::Moved(Exception)),
    // The label was called off.
    ("cancelled", News::CalledOff),
    // The carrier has said nothing (yet).
    ("unknown", News::Unchanged),
    // EasyPost could not ask the carrier: no news of the parcel.
    ("error", News::Unchanged),
];

/// `status_detail`, where it says more than the status of a parcel that is still under way.
const DETAILS: &[(&str, News)] = &[
    // Nobody can find it.
    ("lost", News::Moved(Lost)),
    // The recipient does not want it.
    ("refused", News::Moved(Rejected)),
    // It goes back.
    ("return", News::Moved(Returning)),
    // The label was called off.
    ("cancelled", News::CalledOff),
    // The carrier got it from the shop.
    ("received_at_origin_facility", News::Moved(PickedUp)),
    // In trouble, and not at an end.
    ("damaged", News::Moved(Exception)),
    ("delivery_exception", News::Moved(Exception)),
    ("transit_exception", News::Moved(Exception)),
    ("held", News::Moved(Exception)),
    ("address_correction", News::Moved(Exception)),
    ("delayed", News::Moved(Exception)),
    ("weather_delay", News::Moved(Exception)),
    ("missorted", News::Moved(Exception)),
];

fn find(table: &[(&str, News)], code: &str) -> Option<News> {
    table.iter().find(|(known, _)| *known == code).map(|(_, news)| *news)
}

/// What a status with its detail means, by itself.
pub(super) fn news(status: &str, detail: Option<&str>) -> News {
    let news = find(STATUSES, status).unwrap_or(News::Unchanged);
    match news {
        // An end, a way back and a failed look-up are the status's to say.
        News::Moved(Delivered | Returning) | News::CalledOff => news,
        News::Unchanged if status != "unknown" => news,
        _ => detail.and_then(|detail| find(DETAILS, detail)).unwrap_or(news),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_refines_what_is_under_way_and_never_an_end() {
        let moved = |status, detail| news(status, Some(detail));
        assert_eq!(moved("in_transit", "lost"), News::Moved(Lost));
        assert_eq!(moved("failure", "refused"), News::Moved(Rejected));
        assert_eq!(moved("unknown", "cancelled"), News::CalledOff);
        assert_eq!(moved("in_transit", "weather_delay"), News::Moved(Exception));
        assert_eq!(moved("in_transit", "arrived_at_facility"), News::Moved(InTransit));
        assert_eq!(moved("delivered", "delivery_exception"), News::Moved(Delivered));
        assert_eq!(moved("return_to_sender", "refused"), News::Moved(Returning));
        assert_eq!(moved("error", "lost"), News::Unchanged);
        assert_eq!(moved("abducted", "lost"), News::Unchanged);
        assert_eq!(news("available_for_pickup", None), News::Moved(OutForDelivery));
    }
}
