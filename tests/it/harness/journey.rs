//! An order's life, taken as far as a test needs it, through the doors that everybody uses.

use base64::Engine as _;
use chrono::TimeDelta;
use reqwest::Method;
use safelight::clock::BusinessTime;
use safelight::domain::ids::RowId;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::answer::Answer;
use super::app::TestApp;
use super::{fixtures, planted};

/// News of a parcel, as the simulated courier would send it.
#[derive(Debug, Clone)]
pub(crate) struct News {
    pub(crate) reference: Option<String>,
    pub(crate) tracking_no: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) at: BusinessTime,
    pub(crate) remark: Option<String>,
}

impl TestApp {
    /// A placed order; its id.
    pub(crate) async fn placed(&self) -> String {
        self.placed_as(&fixtures::order()).await
    }

    /// The same with that body.
    pub(crate) async fn placed_as(&self, order: &Value) -> String {
        let answer = self.place(&self.keys.orders, order).await.is(201);
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Claims the oldest waiting orders for `wang`; their ids.
    pub(crate) async fn claim(&self, limit: i64) -> Vec<String> {
        let body = json!({"operator": "wang", "limit": limit});
        let answer = self
            .post(&self.keys.floor, "/admin/v1/print-queue/claim", body)
            .await
            .is(200);
        answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Reports an order as printed by `wang`.
    pub(crate) async fn print(&self, id: &str) -> Answer {
        self.post(
            &self.keys.floor,
            &format!("/admin/v1/orders/{id}/printed"),
            json!({"operator": "wang"}),
        )
        .await
    }

    /// A printed order whose parcel waits to be booked.
    pub(crate) async fn printed(&self) -> String {
        self.printed_as(&fixtures::order()).await
    }

    /// The same with that body. The queue is first emptied of what waits before it.
    pub(crate) async fn printed_as(&self, order: &Value) -> String {
        let id = self.placed_as(order).await;
        while !self.claim(100).await.contains(&id) {}
        self.print(&id).await.is(200);
        id
    }

    /// An order whose parcel is booked.
    pub(crate) async fn booked(&self) -> String {
        self.booked_as(&fixtures::order()).await
    }

    /// The same with that body.
    pub(crate) async fn booked_as(&self, order: &Value) -> String {
        let id = self.printed_as(order).await;
        self.run_jobs().await;
        assert_eq!(self.detail(&id).await["shipment"]["state"], "booked");
        id
    }

    /// An order whose parcel the courier has.
    pub(crate) async fn shipped(&self) -> String {
        let id = self.booked().await;
        self.hears(&id, "picked_up").await;
        id
    }

    /// An order that was handed over.
    pub(crate) async fn delivered(&self) -> String {
        let id = self.shipped().await;
        self.hears(&id, "delivered").await;
        assert_eq!(self.detail(&id).await["status"], "delivered");
        id
    }

    /// An order whose life is over and whose person is gone.
    pub(crate) async fn purged(&self) -> String {
        let id = self.delivered().await;
        self.advance(super::app::WINDOW + TimeDelta::minutes(1));
        self.run_upkeep().await;
        assert!(self.detail(&id).await["purged_at"].is_string());
        id
    }

    /// The order as operators see it.
    pub(crate) async fn detail(&self, id: &str) -> Value {
        self.get(&self.keys.ops, &format!("/admin/v1/orders/{id}"))
            .await
            .is(200)
    }

    /// The order as its client sees it.
    pub(crate) async fn own(&self, id: &str) -> Value {
        self.get(&self.keys.orders, &format!("/v1/orders/{id}")).await.is(200)
    }

    /// `status` and `shipment.state`.
    pub(crate) async fn stands(&self, id: &str) -> (String, String) {
        let order = self.detail(id).await;
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        (text(&order["status"]), text(&order["shipment"]["state"]))
    }

    /// The booking reference and the tracking number of an order's current parcel.
    pub(crate) async fn parcel_of(&self, id: &str) -> (String, Option<String>) {
        let order = self.detail(id).await;
        let reference = order["shipment"]["booking_reference"]
            .as_str()
            .expect("a booking reference")
            .to_owned();
        (reference, order["shipment"]["tracking_no"].as_str().map(str::to_owned))
    }

    /// News of an order's parcel, just now, with a remark.
    pub(crate) async fn news_of(&self, id: &str, status: &'static str) -> News {
        let (reference, tracking_no) = self.parcel_of(id).await;
        let at = self.clock.business_now();
        News {
            reference: Some(reference),
            tracking_no,
            status,
            at,
            remark: Some(planted::REMARK.to_owned()),
        }
    }

    /// The courier reports about an order's parcel, and is believed.
    pub(crate) async fn hears(&self, id: &str, status: &'static str) {
        let news = self.news_of(id, status).await;
        self.webhook(&news).await.is(200);
        self.advance(TimeDelta::seconds(1));
    }

    /// Sends a webhook as the simulated courier would.
    pub(crate) async fn webhook(&self, news: &News) -> Answer {
        self.webhook_signed(news, planted::WEBHOOK_SECRET).await
    }

    /// The same, signed with that secret.
    pub(crate) async fn webhook_signed(&self, news: &News, secret: &str) -> Answer {
        let mut data = json!({"status": news.status, "code": "S00", "occurred_at": news.at});
        for (member, value) in [
            ("reference", &news.reference),
            ("tracking_no", &news.tracking_no),
            ("remark", &news.remark),
        ] {
            if let Some(value) = value {
                data[member] = json!(value);
            }
        }
        let now = self.clock.wall_now();
        let body = json!({"type": "parcel.updated", "timestamp": now, "data": data}).to_string();
        let key = base64::engine::general_purpose::STANDARD
            .decode(secret.trim_start_matches("whsec_"))
            .unwrap();
        let id = RowId::generate().to_string();
        let signature = Webhook::from_bytes(key)
            .unwrap()
            .sign(&id, now.timestamp(), body.as_bytes())
            .unwrap();
        let request = self
            .request(Method::POST, "/webhooks/simulated")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.timestamp().to_string())
            .header("webhook-signature", signature)
            .header("content-type", "application/json")
            .body(body);
        Answer::read(request.send().await.expect("an answer"))
            .await
            .holds_no_person()
    }

    /// Rows that hold anything personal of an order: person, tracking numbers, remarks.
    pub(crate) fn personal_rows(&self, id: &str) -> [i64; 3] {
        let mut conn = self.conn();
        ["order_person", "order_tracking", "courier_remark"]
            .map(|table| super::rows::count(&mut conn, &format!("{table} WHERE order_id = '{id}'")))
    }
}
