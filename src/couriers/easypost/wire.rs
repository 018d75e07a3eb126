//! What EasyPost's API speaks, translated to and from this service's words. What comes in is not believed: shapes are
//! read member by member, so that one odd member spoils no booking, and a shipment counts only under its own id.

use serde_json::{Value, json};

use super::tracking_history;
use crate::clock::BusinessTime;
use crate::couriers::rates::{Rate, cheapest};
use crate::couriers::rest::{self, is_id, is_tracking_no, items, text};
use crate::couriers::{
    BookError, Booked, BookingRequest, CallError, CourierEvent, ParcelRef, as_happened, customs_declaration,
};
use crate::domain::contact::Address;
use crate::domain::ids::BookingReference;
use crate::privacy::Pii;

/// Body of `POST /shipments`. Holds a person: made for one request.
pub(super) fn shipment_body(request: &BookingRequest) -> Value {
    let (sender, consignee, parcel) = (&request.sender, &request.consignee, &request.parcel);
    let (length, width, height) = parcel.size_mm;
    let mut shipment = json!({
        "reference": request.reference.as_str(),
        "to_address": address(consignee.name.expose(), None, consignee.phone.e164(), &consignee.address),
        "from_address": address(&sender.name, sender.company.as_deref(), sender.phone.e164(), &sender.address),
        "parcel": {
            "length": customs_declaration::inches(length), "width": customs_declaration::inches(width), "height": customs_declaration::inches(height),
            "weight": customs_declaration::ounces(parcel.weight_g),
        },
        "options": {"label_format": "PDF", "content_description": parcel.contents},
    });
    let home = sender.address.country();
    if consignee.address.country() != home
        && let Some(members) = shipment.as_object_mut()
    {
        let customs = json!({
            "contents_type": "merchandise",
            "contents_explanation": customs_declaration::DESCRIPTION,
            "customs_certify": true,
            "customs_signer": sender.name,
            "non_delivery_option": "return",
            "restriction_type": "none",
            // Below the value from which the United States want an export declaration.
            "eel_pfc": "NOEEI 30.37(a)",
            "customs_items": [{
                "description": customs_declaration::DESCRIPTION, "quantity": 1, "value": customs_declaration::VALUE_USD, "currency": "USD",
                "weight": customs_declaration::ounces(parcel.weight_g), "hs_tariff_number": customs_declaration::HS_CODE,
                "origin_country": home.as_str(),
            }],
        });
        members.insert("customs_info".to_owned(), customs);
    }
    json!({"shipment": shipment})
}

fn address(name: &str, company: Option<&str>, phone: &str, address: &Address) -> Value {
    json!({
        "name": name, "company": company, "phone": phone,
        "street1": address.street(), "street2": address.district(), "city": address.city(),
        "state": address.province(), "zip": address.postal_code(), "country": address.country().as_str(),
    })
}

/// What may be bought.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) carrier: Option<String>,
    pub(super) service: Option<String>,
    pub(super) carrier_account: Option<String>,
}

impl Wanted {
    fn takes(&self, offer: &Value) -> bool {
        let same = |wanted: &Option<String>, key: &str| {
            wanted
                .as_deref()
                .is_none_or(|wanted| text(offer, key).is_some_and(|had| had.eq_ignore_ascii_case(wanted.trim())))
        };
        same(&self.carrier, "carrier")
            && same(&self.service, "service")
            && same(&self.carrier_account, "carrier_account_id")
    }
}

/// The id of a shipment that was just created for this reference.
pub(super) fn created(body: &Value, reference: &BookingReference) -> Option<String> {
    let id = text(body, "id").filter(|id| is_id(id))?;
    is_for(body, reference).then(|| id.to_owned())
}

/// A reference is echoed as it was sent; one that is another's is another's shipment.
fn is_for(body: &Value, reference: &BookingReference) -> bool {
    text(body, "reference").is_none_or(|echoed| echoed == reference.as_str())
}

/// Whether a shipment's postage was bought.
pub(super) enum Purchase {
    /// It was not.
    None,
    /// It was, and counts.
    Live(Booked),
    /// It was, and was given back or is about to be.
    Refunded,
}

/// A shipment that is the one that was asked for.
pub(super) struct Shipment {
    id: String,
    body: Value,
}

impl Shipment {
    /// Reads an answer about shipment `id`.
    pub(super) fn read(body: Value, id: &str, reference: &BookingReference) -> Option<Self> {
        let is_it = text(&body, "id") == Some(id) && is_for(&body, reference);
        is_it.then(|| Self {
            id: id.to_owned(),
            body,
        })
    }

    pub(super) fn purchase(&self) -> Purchase {
        let holds = |key: &str| self.body.get(key).is_some_and(Value::is_object);
        let number = text(&self.body, "tracking_code").or_else(|| {
            self.body
                .get("tracker")
                .and_then(|tracker| text(tracker, "tracking_code"))
        });
        if number.is_none() && !holds("selected_rate") && !holds("postage_label") {
            return Purchase::None;
        }
        if matches!(text(&self.body, "refund_status"), Some("submitted" | "refunded")) {
            return Purchase::Refunded;
        }
        let rate = self
            .body
            .get("selected_rate")
            .and_then(|rate| Rate::read(rate, "carrier", "rate"));
        Purchase::Live(Booked {
            tracking_no: number
                .filter(|number| is_tracking_no(number))
                .map(|number| Pii::new(number.to_owned())),
            provider_ref: Some(self.id.clone()),
            service: rate.map(|rate| rate.describe()),
        })
    }

    pub(super) fn best_rate(&self, wanted: &Wanted) -> Option<Rate> {
        let offers = items(&self.body, "rates").iter().filter(|offer| wanted.takes(offer));
        cheapest(offers.filter_map(|offer| Rate::read(offer, "carrier", "rate")))
    }

    pub(super) fn label_address(&self) -> Option<&str> {
        let label = self.body.get("postage_label")?;
        text(label, "label_url").or_else(|| text(label, "label_pdf_url"))
    }

    pub(super) fn into_tracker(mut self) -> Option<Value> {
        let tracker = self.body.get_mut("tracker")?.take();
        tracker.is_object().then_some(tracker)
    }
}

/// EasyPost's own code, where this is an error of its own: its `errors` may be objects or text, and the whole may be.
pub(super) fn own_code(body: &Value) -> Option<String> {
    match body.get("error")? {
        Value::Null => None,
        error => Some(rest::own_code(error.get("code")).unwrap_or_else(|| "refused".to_owned())),
    }
}

/// A shipment that EasyPost does not know (any more): no try will find it.
pub(super) fn lost_shipment(error: &CallError) -> Option<BookError> {
    (error.code == "NOT_FOUND").then(|| BookError::fail("shipment_not_found"))
}

/// All that a tracker tells of a parcel that was asked for.
pub(super) fn events_of(tracker: &Value, parcel: &ParcelRef) -> Vec<CourierEvent> {
    let tracking_no = tracking_no(tracker);
    let steps = tracking_history::read(tracker, parcel.first_sent_at.map(as_happened)).into_iter();
    steps
        .map(|step| CourierEvent {
            reference: Some(parcel.reference.clone()),
            provider_ref: parcel.provider_ref.clone(),
            tracking_no: tracking_no.clone(),
            new_tracking_no: None,
            new_provider_ref: None,
            news: step.news,
            code: step.code,
            at: step.at,
            remark: step.remark,
        })
        .collect()
}

/// Reads an event: where the parcel is now, of news about a tracker; nothing of any other. `None`: not an event.
pub(super) fn read_event(body: &Value, now: BusinessTime) -> Option<Vec<CourierEvent>> {
    let result = body.get("result")?;
    let is_tracker = match text(body, "description") {
        Some(kind) => kind.starts_with("tracker."),
        None => text(result, "object") == Some("Tracker"),
    };
    if !is_tracker {
        return Some(Vec::new());
    }
    // Every event carries the whole history again: its last step is the news.
    let step = tracking_history::read(result, Some(now)).pop()?;
    Some(vec![CourierEvent {
        reference: None,
        provider_ref: text(result, "shipment_id").filter(|id| is_id(id)).map(str::to_owned),
        tracking_no: tracking_no(result),
        new_tracking_no: None,
        new_provider_ref: None,
        news: step.news,
        code: step.code,
        at: step.at,
        remark: step.remark,
    }])
}

fn tracking_no(tracker: &Value) -> Option<Pii<String>> {
    text(tracker, "tracking_code")
        .filter(|number| is_tracking_no(number))
        .map(|number| Pii::new(number.to_owned()))
}
