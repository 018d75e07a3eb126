//! EasyPost as its recorded answers show it, made up but for its shapes: shipments, one purchase each, refunds, trackers
//! and signed events. `tests/it` includes it too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::server::{Reply, Request, Server};

pub(crate) const KEY: &str = "EZTKplantedkey0001";
pub(crate) const WEBHOOK_SECRET: &str = "planted-webhook-sécret";

#[derive(Default)]
struct State {
    shipments: BTreeMap<String, Value>,
    purchases: usize,
    /// How many of the next purchases are made without an answer.
    silent: usize,
    /// How many of the next purchases never arrive.
    deaf: usize,
    scans: BTreeMap<String, Vec<Value>>,
}

/// Runs until it is dropped.
pub(crate) struct Imitation {
    pub(crate) server: Server,
    state: Arc<Mutex<State>>,
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::new(status, "application/json; charset=utf-8", body.to_string())
}

pub(crate) fn error(status: u16, code: &str) -> Reply {
    answer(
        status,
        &json!({"error": {"code": code, "message": "made up", "errors": []}}),
    )
}

fn rates(id: &str) -> Value {
    let rate = |name: &str, carrier: &str, service: &str, price: &str| {
        json!({"id": format!("rate_{name}_{id}"), "object": "Rate", "carrier": carrier, "service": service,
               "carrier_account_id": format!("ca_{carrier}"), "rate": price, "currency": "USD", "shipment_id": id})
    };
    json!([
        rate("express", "USPS", "Express", "33.10"),
        rate("ground", "USPS", "GroundAdvantage", "5.93"),
        rate("dhl", "DhlEcs", "Parcel", "10.05"),
    ])
}

impl State {
    fn create(&mut self, body: &Value) -> Reply {
        let id = format!("shp_{:032x}", self.shipments.len() + 1);
        let sent = &body["shipment"];
        let shipment = json!({
            "id": id, "object": "Shipment", "mode": "test", "reference": sent["reference"], "status": "unknown",
            "created_at": "2026-11-23T07:00:00Z", "updated_at": "2026-11-23T07:00:00Z", "to_address": sent["to_address"],
            "from_address": sent["from_address"], "parcel": sent["parcel"], "customs_info": sent["customs_info"],
            "options": sent["options"], "rates": rates(&id), "selected_rate": null, "tracking_code": null,
            "tracker": null, "postage_label": null, "refund_status": null, "fees": [],
            "messages": [{"carrier": "UPS", "type": "rate_error", "message": "made up"}],
        });
        self.shipments.insert(id, shipment.clone());
        answer(201, &shipment)
    }

    fn buy(&mut self, id: &str, body: &Value, base_url: &str) -> Reply {
        if self.deaf > 0 {
            self.deaf -= 1;
            return Reply::HangUp;
        }
        let count = self.purchases + 1;
        let Some(shipment) = self.shipments.get_mut(id) else {
            return error(404, "NOT_FOUND");
        };
        if !shipment["selected_rate"].is_null() {
            return error(422, "SHIPMENT.POSTAGE.EXISTS");
        }
        let offers = shipment["rates"].as_array().unwrap();
        let Some(rate) = offers.iter().find(|rate| rate["id"] == body["rate"]["id"]).cloned() else {
            return error(422, "SHIPMENT.POSTAGE.FAILURE");
        };
        let number = format!("94001PLANTED{count:010}");
        self.purchases = count;
        shipment["selected_rate"] = rate;
        shipment["tracking_code"] = json!(number);
        shipment["postage_label"] = json!({"id": "pl_1", "object": "PostageLabel", "label_file_type": "application/pdf",
            "label_url": format!("{base_url}/labels/{id}.pdf"), "label_pdf_url": null});
        self.track(id, "unknown", &json!("unknown"), "2026-11-23T07:00:01Z");
        if self.silent > 0 {
            self.silent -= 1;
            return Reply::HangUp;
        }
        answer(200, &self.shipments[id])
    }

    fn track(&mut self, id: &str, status: &str, detail: &Value, updated_at: &str) {
        let details = self.scans.get(id).cloned().unwrap_or_default();
        let shipment = self.shipments.get_mut(id).unwrap();
        shipment["tracker"] = json!({
            "id": format!("trk_{id}"), "object": "Tracker", "mode": "test", "tracking_code": shipment["tracking_code"],
            "status": status, "status_detail": detail, "created_at": "2026-11-23T07:00:01Z", "updated_at": updated_at,
            "signed_by": if status == "delivered" { json!("司马植入") } else { Value::Null }, "weight": 1.8,
            "shipment_id": id, "carrier": "USPS", "tracking_details": details, "carrier_detail": null, "fees": [],
        });
    }

    fn refund(&mut self, id: &str) -> Reply {
        match self.shipments.get_mut(id) {
            None => error(404, "NOT_FOUND"),
            Some(shipment) if shipment["selected_rate"].is_null() => error(422, "SHIPMENT.REFUND.NOT_PURCHASED"),
            Some(shipment) if !shipment["refund_status"].is_null() => error(422, "SHIPMENT.REFUND.SUBMITTED"),
            Some(shipment) if shipment["tracker"]["status"] != "unknown" => error(422, "SHIPMENT.REFUND.UNAVAILABLE"),
            Some(shipment) => {
                shipment["refund_status"] = json!("submitted");
                answer(200, shipment)
            }
        }
    }

    fn handle(&mut self, request: &Request) -> Reply {
        let base_url = format!("http://{}", request.header("host").unwrap_or_default());
        if let Some(name) = request.path.strip_prefix("/labels/") {
            assert!(request.header("authorization").is_none(), "the key was sent to {name}");
            return Reply::new(200, "binary/octet-stream", *b"%PDF-1.4 made up");
        }
        let key = base64::engine::general_purpose::STANDARD.encode(format!("{KEY}:"));
        if request.header("authorization") != Some(&format!("Basic {key}")) {
            return error(403, "APIKEY.INACTIVE");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let path = request.path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches("/v2/").split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["shipments"]) => self.create(&body),
            ("GET", ["shipments"]) => answer(200, &json!({"shipments": [], "has_more": false})),
            ("GET", ["shipments", id]) => match self.shipments.get(*id) {
                Some(shipment) => answer(200, shipment),
                None => error(404, "NOT_FOUND"),
            },
            ("POST", ["shipments", id, "buy"]) => self.buy(id, &body, &base_url),
            ("POST", ["shipments", id, "refund"]) => self.refund(id),
            ("POST", ["trackers"]) => {
                let code = &body["tracker"]["tracking_code"];
                let known = self
                    .shipments
                    .values()
                    .find(|shipment| shipment["tracking_code"] == *code);
                let unknown = json!({"id": "trk_x", "object": "Tracker", "tracking_code": code, "status": "unknown",
                    "status_detail": "unknown", "updated_at": "2026-11-23T07:00:01Z", "tracking_details": [],
                    "shipment_id": null});
                answer(201, known.map_or(&unknown, |shipment| &shipment["tracker"]))
            }
            _ => error(404, "NOT_FOUND"),
        }
    }
}

impl Imitation {
    pub(crate) fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let handled = state.clone();
        let server = Server::start(move |request| handled.lock().unwrap().handle(request));
        Self { server, state }
    }

    /// Parcels paid for.
    pub(crate) fn purchases(&self) -> usize {
        self.state.lock().unwrap().purchases
    }

    /// The next purchases are made, and nobody hears of them.
    pub(crate) fn lose_answers(&self, count: usize) {
        self.state.lock().unwrap().silent = count;
    }

    /// The next purchases never arrive.
    pub(crate) fn lose_requests(&self, count: usize) {
        self.state.lock().unwrap().deaf = count;
    }

    /// Every shipment, as it would be answered.
    pub(crate) fn shipments(&self) -> Vec<Value> {
        self.state.lock().unwrap().shipments.values().cloned().collect()
    }

    /// The carrier scans the parcel of that shipment; the event about it, with its signature.
    pub(crate) fn scan(&self, id: &str, status: &str, detail: Option<&str>, at: &str) -> (String, Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        let scan = json!({"object": "TrackingDetail", "message": "植入的备注", "description": null, "status": status,
            "status_detail": detail, "datetime": at, "source": "USPS", "carrier_code": "",
            "tracking_location": {"object": "TrackingLocation", "city": null, "state": null, "country": null, "zip": null}});
        state.scans.entry(id.to_owned()).or_default().push(scan);
        state.track(id, status, &json!(detail), at);
        let event = json!({
            "id": "evt_1", "object": "Event", "mode": "test", "description": "tracker.updated", "status": "pending",
            "previous_attributes": {}, "created_at": at, "updated_at": at, "pending_urls": [], "completed_urls": [],
            "user_id": "user_1", "result": state.shipments[id]["tracker"],
        });
        sign(event.to_string().into_bytes())
    }
}

/// The signature header over such a body, and the body.
pub(crate) fn sign(body: Vec<u8>) -> (String, Vec<u8>) {
    use unicode_normalization::UnicodeNormalization;
    let key: String = WEBHOOK_SECRET.nfkd().collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(&body);
    let digest = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    (format!("hmac-sha256-hex={digest}"), body)
}
