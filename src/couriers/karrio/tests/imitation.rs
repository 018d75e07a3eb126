//! Karrio as its recorded answers show it, made up but for its shapes: drafts, one purchase each, cancellations, trackers
//! and webhooks with the secret in a header. `tests/it` includes it too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::server::{Reply, Request, Server, pass_on};

pub(crate) const TOKEN: &str = "key_planted0001";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_planted-webhook-0001";

#[derive(Default)]
struct State {
    shipments: BTreeMap<String, Value>,
    trackers: BTreeMap<String, Value>,
    purchases: usize,
    /// How many of the next purchases are made without an answer.
    silent: usize,
    /// Who is told of a purchase before it is answered.
    told: Option<SocketAddr>,
}

/// Runs until it is dropped.
pub(crate) struct Imitation {
    pub(crate) server: Server,
    state: Arc<Mutex<State>>,
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::new(status, "application/json", body.to_string())
}

pub(crate) fn error(status: u16, code: &str) -> Reply {
    answer(
        status,
        &json!({"errors": [{"code": code, "level": "error", "message": "made up"}]}),
    )
}

impl State {
    fn create(&mut self, sent: &Value) -> Reply {
        if sent["recipient"]["country_code"].is_null() || !sent["service"].is_null() {
            return error(400, "validation");
        }
        let id = format!("shp_{:032x}", self.shipments.len() + 1);
        let rate = |service: &str, charge: f64| {
            json!({"id": format!("rat_{service}_{id}"), "object_type": "rate", "carrier_name": "ups", "carrier_id": "ups_test",
                   "currency": "USD", "service": service, "total_charge": charge, "meta": {}, "test_mode": false})
        };
        let shipment = json!({
            "id": id, "object_type": "shipment", "shipper": sent["shipper"], "recipient": sent["recipient"],
            "parcels": sent["parcels"], "customs": sent["customs"], "reference": sent["reference"],
            "carrier_ids": sent["carrier_ids"], "rates": [rate("ups_express", 12.5), rate("ups_standard", 4.75)],
            "tracker_id": null, "created_at": "2026-11-23 07:00:00.080308+00:00", "messages": [], "status": "draft",
            "carrier_name": null, "carrier_id": null, "tracking_number": null, "selected_rate": null, "label_type": "PDF",
            "label_url": null, "shipping_documents": [],
        });
        self.shipments.insert(id, shipment.clone());
        answer(201, &shipment)
    }

    fn purchase(&mut self, id: &str, body: &Value) -> Reply {
        let count = self.purchases + 1;
        let Some(shipment) = self.shipments.get_mut(id) else {
            return error(404, "not_found");
        };
        if shipment["status"] != "draft" {
            return error(409, "state_error");
        }
        let offers = shipment["rates"].as_array().unwrap();
        let Some(rate) = offers
            .iter()
            .find(|rate| rate["id"] == body["selected_rate_id"])
            .cloned()
        else {
            return error(400, "invalid_rate");
        };
        let (number, tracker) = (format!("1ZPLANTED{count:09}"), format!("trk_{count:032x}"));
        self.purchases = count;
        for (member, value) in [
            ("selected_rate", rate),
            ("status", json!("created")),
            ("carrier_name", json!("ups")),
            ("carrier_id", json!("ups_test")),
            ("tracking_number", json!(number)),
            ("tracker_id", json!(tracker)),
            ("label_url", json!(format!("/v1/shipments/{id}/label.pdf"))),
        ] {
            shipment[member] = value;
        }
        let bare = json!([{"category": "label", "format": "PDF", "url": null, "base64": null}]);
        shipment["shipping_documents"] = bare;
        let mut bought = shipment.clone();
        bought["shipping_documents"][0]["base64"] = json!("JVBERi0xLjQgbWFkZSB1cA==");
        self.trackers.insert(
            tracker.clone(),
            json!({"id": tracker, "object_type": "tracker", "carrier_name": "ups", "carrier_id": "ups_test",
                   "tracking_number": number, "info": {"signed_by": null}, "events": [], "delivered": false,
                   "test_mode": false, "status": "pending", "meta": {}, "metadata": {}, "messages": []}),
        );
        if let Some(told) = self.told {
            let body = json!({"event": "shipment_purchased", "data": shipment}).to_string();
            let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let webhook = Request {
                method: "POST".to_owned(),
                path: "/webhooks/karrio".to_owned(),
                headers: vec![
                    header("host", "localhost"),
                    header("x-event-id", WEBHOOK_SECRET),
                    header("content-type", "application/json"),
                    header("content-length", &body.len().to_string()),
                ],
                body: body.into_bytes(),
            };
            let answered = pass_on(&webhook, told);
            assert!(answered.starts_with(b"HTTP/1.1 200"), "the webhook was not taken");
        }
        if self.silent > 0 {
            self.silent -= 1;
            return Reply::HangUp;
        }
        answer(200, &bought)
    }

    fn cancel(&mut self, id: &str) -> Reply {
        let Some(shipment) = self.shipments.get_mut(id) else {
            return error(404, "not_found");
        };
        match shipment["status"].as_str() {
            Some("cancelled") => answer(202, shipment),
            Some("draft" | "created") => {
                shipment["status"] = json!("cancelled");
                answer(200, shipment)
            }
            _ => error(409, "state_error"),
        }
    }

    fn handle(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != Some(&format!("Token {TOKEN}")) {
            return error(401, "invalid_token");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let path = request.path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        let found = |found: Option<&Value>| found.map_or_else(|| error(404, "not_found"), |body| answer(200, body));
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["shipments"]) => self.create(&body),
            ("GET", ["shipments"]) => answer(200, &json!({"count": 0, "results": []})),
            ("GET", ["shipments", id]) => found(self.shipments.get(*id)),
            ("POST", ["shipments", id, "purchase"]) => self.purchase(id, &body),
            ("POST", ["shipments", id, "cancel"]) => self.cancel(id),
            ("POST", ["shipments", _, "documents", "label"]) => answer(
                200,
                &json!({"category": "label", "format": "PDF", "base64": "JVBERi0xLjQgbWFkZSB1cA=="}),
            ),
            ("GET", ["trackers", id]) => found(self.trackers.get(*id)),
            ("POST", ["trackers"]) => {
                let number = &body["tracking_number"];
                found(
                    self.trackers
                        .values()
                        .find(|tracker| tracker["tracking_number"] == *number),
                )
            }
            _ => error(404, "not_found"),
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

    /// A webhook about each purchase goes there before its answer, as Karrio's does.
    pub(crate) fn tells(&self, address: SocketAddr) {
        self.state.lock().unwrap().told = Some(address);
    }

    /// Every shipment, as it would be answered.
    pub(crate) fn shipments(&self) -> Vec<Value> {
        self.state.lock().unwrap().shipments.values().cloned().collect()
    }

    /// The carrier reports on the parcel of that shipment; the webhook about it.
    pub(crate) fn report(&self, id: &str, status: &str, time: &str) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        let tracker = state.shipments[id]["tracker_id"].as_str().unwrap().to_owned();
        let tracker = state.trackers.get_mut(&tracker).unwrap();
        let event = json!({"date": "2026-11-23", "time": time, "timestamp": null, "status": status, "code": "X1",
            "reason": null, "description": "植入的备注", "location": "Memphis, TN"});
        tracker["events"].as_array_mut().unwrap().push(event);
        tracker["status"] = json!(status);
        tracker["delivered"] = json!(status == "delivered");
        json!({"event": "tracker_updated", "data": tracker})
            .to_string()
            .into_bytes()
    }
}
