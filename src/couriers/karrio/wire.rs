//! What Karrio's API speaks, translated to and from this service's words. What comes in is not believed: shapes are read
//! member by member, so that one odd member spoils no booking, and a shipment counts only under its own id.

use serde_json::{Value, json};

use super::status;
use super::tracking_history::{self, Step};
use crate::clock::BusinessTime;
use crate::couriers::client::safe_code;
use crate::couriers::rates::{Rate, cheapest};
use crate::couriers::rest::{self, is_id, is_tracking_no, items, moment, text};
use crate::couriers::{
    Booked, BookingRequest, CallError, CourierEvent, News, ParcelRef, as_happened, customs_declaration,
};
use crate::domain::contact::Address;
use crate::domain::ids::BookingReference;
use crate::privacy::Pii;

/// Body of `POST /v1/shipments`. It names no service, for Karrio buys at once where one is named. Holds a person: made for
/// one request.
pub(super) fn shipment_body(request: &BookingRequest, wanted: &Wanted) -> Value {
    let (sender, consignee, parcel) = (&request.sender, &request.consignee, &request.parcel);
    let (length, width, height) = parcel.size_mm;
    let contents: String = parcel.contents.chars().take(100).collect();
    let mut shipment = json!({
        "reference": request.reference.as_str(),
        "recipient": address(consignee.name.expose(), None, consignee.phone.e164(), &consignee.address),
        "shipper": address(&sender.name, sender.company.as_deref(), sender.phone.e164(), &sender.address),
        "parcels": [{
            "weight": customs_declaration::kilograms(parcel.weight_g), "weight_unit": "KG",
            "length": customs_declaration::centimetres(length), "width": customs_declaration::centimetres(width),
            "height": customs_declaration::centimetres(height), "dimension_unit": "CM",
            "content": contents, "description": contents,
        }],
        "label_type": "PDF",
    });
    let Some(members) = shipment.as_object_mut() else {
        return shipment;
    };
    if !wanted.carrier_ids.is_empty() {
        members.insert("carrier_ids".to_owned(), json!(wanted.carrier_ids));
    }
    let home = sender.address.country();
    if consignee.address.country() != home {
        let signer: String = sender.name.chars().take(50).collect();
        let customs = json!({
            "content_type": "merchandise",
            "content_description": customs_declaration::DESCRIPTION,
            "certify": true,
            "signer": signer,
            "commodities": [{
                "title": customs_declaration::DESCRIPTION, "description": customs_declaration::DESCRIPTION, "quantity": 1,
                "value_amount": customs_declaration::VALUE_USD, "value_currency": "USD",
                "weight": customs_declaration::kilograms(parcel.weight_g), "weight_unit": "KG",
                "hs_code": customs_declaration::HS_CODE, "origin_country": home.as_str(),
            }],
        });
        members.insert("customs".to_owned(), customs);
    }
    shipment
}

fn address(name: &str, company: Option<&str>, phone: &str, address: &Address) -> Value {
    json!({
        "person_name": name, "company_name": company, "phone_number": phone,
        "address_line1": address.street(), "address_line2": address.district(), "city": address.city(),
        "state_code": address.province(), "postal_code": address.postal_code(),
        "country_code": address.country().as_str(),
    })
}

/// What may be bought.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) service: Option<String>,
    pub(super) carrier_ids: Vec<String>,
}

impl Wanted {
    fn takes(&self, offer: &Value) -> bool {
        let service = self
            .service
            .as_deref()
            .is_none_or(|wanted| text(offer, "service").is_some_and(|had| had.eq_ignore_ascii_case(wanted.trim())));
        let carrier = self.carrier_ids.is_empty()
            || text(offer, "carrier_id").is_some_and(|had| self.carrier_ids.iter().any(|wanted| wanted == had));
        service && carrier
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

/// Whether a shipment's label was bought.
pub(super) enum Purchase {
    /// It was not.
    None,
    /// It was, and counts.
    Live(Booked),
    /// The shipment is cancelled; nothing will be carried under it.
    Cancelled,
    /// Nothing that can be told.
    Odd,
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

    fn tracking_no(&self) -> Option<Pii<String>> {
        tracking_no(&self.body)
    }

    pub(super) fn purchase(&self) -> Purchase {
        let has_number = text(&self.body, "tracking_number").is_some();
        match text(&self.body, "status") {
            Some("cancelled") => return Purchase::Cancelled,
            Some(known) if status::bought(known).is_some() => {}
            _ if has_number => {}
            Some("draft") => return Purchase::None,
            _ => return Purchase::Odd,
        }
        let rate = self.body.get("selected_rate").and_then(read_rate);
        Purchase::Live(Booked {
            tracking_no: self.tracking_no(),
            provider_ref: Some(self.id.clone()),
            service: rate.map(|rate| rate.describe()),
        })
    }

    pub(super) fn best_rate(&self, wanted: &Wanted) -> Option<Rate> {
        let offers = items(&self.body, "rates").iter().filter(|offer| wanted.takes(offer));
        cheapest(offers.filter_map(read_rate))
    }

    pub(super) fn tracker_id(&self) -> Option<&str> {
        text(&self.body, "tracker_id").filter(|id| is_id(id))
    }

    /// Number and carrier, as a tracker is asked for.
    pub(super) fn tracked_as(&self) -> Option<(Pii<String>, String)> {
        Some((self.tracking_no()?, text(&self.body, "carrier_name")?.to_owned()))
    }

    /// Where the shipment itself says that it is.
    pub(super) fn own_events(&self, parcel: &ParcelRef) -> Vec<CourierEvent> {
        let said = text(&self.body, "status").unwrap_or_default();
        let news = match said {
            "cancelled" => Some(News::CalledOff),
            said => status::bought(said),
        };
        let at = text(&self.body, "created_at")
            .and_then(moment)
            .or(parcel.first_sent_at.map(as_happened));
        let (Some(news), Some(at)) = (news, at) else {
            return Vec::new();
        };
        let step = Step {
            news,
            code: safe_code(said).unwrap_or("unknown").to_owned(),
            at,
            remark: None,
        };
        vec![event(step, parcel, self.tracking_no())]
    }

    fn label_document(&self) -> Option<&Value> {
        let documents = items(&self.body, "shipping_documents");
        documents
            .iter()
            .find(|document| text(document, "category") == Some("label"))
    }

    /// In base64.
    pub(super) fn label(&self) -> Option<&str> {
        text(self.label_document()?, "base64")
    }

    pub(super) fn has_label(&self) -> bool {
        self.label_document().is_some() || text(&self.body, "label_url").is_some()
    }

    /// `pdf`, `png` or `zpl`.
    pub(super) fn label_format(&self) -> &'static str {
        let said = self
            .label_document()
            .and_then(|document| text(document, "format"))
            .or_else(|| text(&self.body, "label_type"))
            .unwrap_or_default();
        let known = ["pdf", "png", "zpl"]
            .into_iter()
            .find(|known| said.eq_ignore_ascii_case(known));
        known.unwrap_or("pdf")
    }
}

fn read_rate(offer: &Value) -> Option<Rate> {
    Rate::read(offer, "carrier_name", "total_charge")
}

/// Karrio's own code, or its carrier's: the first of either list.
pub(super) fn own_code(body: &Value) -> Option<String> {
    let first = ["errors", "messages"]
        .into_iter()
        .find_map(|list| items(body, list).first())?;
    Some(rest::own_code(first.get("code")).unwrap_or_else(|| "refused".to_owned()))
}

/// Whether a carrier's code says that it was in trouble itself, and not that it refuses the parcel.
pub(super) fn may_pass(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    let server_error = code.len() == 3 && code.starts_with('5') || code == "429" || code == "408";
    server_error
        || [
            "timeout",
            "timed_out",
            "unavailable",
            "internal",
            "connection",
            "throttl",
            "rate_limit",
            "try_again",
        ]
        .into_iter()
        .any(|sign| code.contains(sign))
}

/// Whether an answer says that the carrier cannot be asked, or has nothing: a carrier without tracking, or an account
/// that is gone. Our own trouble with Karrio is none of it.
pub(super) fn has_no_tracker(error: &CallError) -> bool {
    !error.unauthorized
        && error.after.is_none()
        && !may_pass(&error.code)
        && !error.code.starts_with("http_")
        && !matches!(
            error.code.as_str(),
            "throttled" | "unreachable" | "connection_lost" | "unreadable_answer" | "answer_too_long"
        )
}

/// Whether a tracker is this shipment's.
pub(super) fn is_about(tracker: &Value, shipment: &Shipment) -> bool {
    match (tracking_no(tracker), shipment.tracking_no()) {
        (Some(told), Some(known)) => told.expose().eq_ignore_ascii_case(known.expose()),
        _ => false,
    }
}

/// All that a tracker tells of a parcel that was asked for.
pub(super) fn events_of(tracker: &Value, parcel: &ParcelRef) -> Vec<CourierEvent> {
    let tracking_no = tracking_no(tracker);
    let steps = tracking_history::read(tracker, parcel.first_sent_at.map(as_happened)).into_iter();
    steps.map(|step| event(step, parcel, tracking_no.clone())).collect()
}

fn event(step: Step, parcel: &ParcelRef, tracking_no: Option<Pii<String>>) -> CourierEvent {
    CourierEvent {
        reference: Some(parcel.reference.clone()),
        provider_ref: parcel.provider_ref.clone(),
        tracking_no,
        new_tracking_no: None,
        new_provider_ref: None,
        news: step.news,
        code: step.code,
        at: step.at,
        remark: step.remark,
    }
}

/// Reads a webhook: where the parcel is now, of news about a tracker; a purchase and a cancellation, of news about a
/// shipment; nothing of any other. `None`: not a webhook of Karrio's.
pub(super) fn read_event(body: &Value, now: BusinessTime) -> Option<Vec<CourierEvent>> {
    let (kind, data) = (text(body, "event")?, body.get("data")?);
    let (step, provider_ref, reference) = match kind {
        "tracker_created" | "tracker_updated" => (tracking_history::read(data, Some(now)).pop()?, None, None),
        "shipment_purchased" | "shipment_cancelled" => {
            let id = text(data, "id").filter(|id| is_id(id))?;
            let reference = text(data, "reference").and_then(BookingReference::parse);
            let step = Step {
                news: if kind == "shipment_purchased" {
                    News::Moved(crate::domain::shipment::TrackingStatus::Accepted)
                } else {
                    News::CalledOff
                },
                code: kind.to_owned(),
                at: now,
                remark: None,
            };
            (step, Some(id.to_owned()), reference)
        }
        // What a shipment goes through later, its tracker tells.
        _ => return Some(Vec::new()),
    };
    Some(vec![CourierEvent {
        reference,
        provider_ref,
        tracking_no: tracking_no(data),
        new_tracking_no: None,
        new_provider_ref: None,
        news: step.news,
        code: step.code,
        at: step.at,
        remark: step.remark,
    }])
}

fn tracking_no(body: &Value) -> Option<Pii<String>> {
    text(body, "tracking_number")
        .filter(|number| is_tracking_no(number))
        .map(|number| Pii::new(number.to_owned()))
}
