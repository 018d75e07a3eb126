//! A shop at work: several checkouts that place orders, an idempotency key each, and a print floor that prints them, all
//! through HTTP, while what they speak to comes and goes. They remember what was acknowledged, and ask again under the
//! same key for what was not.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant as Stopwatch};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::courier::Courier;
use crate::harness::fixtures::set;
use crate::harness::planted;
use crate::process::{PATIENCE, Served, order, pause};

const CHECKOUTS: u32 = 6;
const PRINTERS: usize = 2;

/// How long one of them waits for an answer before it asks again.
const GIVES_UP: Duration = Duration::from_secs(8);

/// An order that was sent at least once.
struct Sent {
    key: String,
    name: String,
    body: Value,
    /// Known once it is acknowledged.
    id: Option<String>,
}

/// What the shop remembers, whatever becomes of the service.
pub(super) struct Shop {
    bearer: String,
    made: Cell<u32>,
    unanswered: RefCell<Vec<Sent>>,
    acknowledged: RefCell<Vec<Sent>>,
}

impl Shop {
    pub(super) fn new(bearer: String) -> Self {
        Self {
            bearer,
            made: Cell::new(0),
            unanswered: RefCell::default(),
            acknowledged: RefCell::default(),
        }
    }

    /// How many orders were acknowledged.
    pub(super) fn placed(&self) -> usize {
        self.acknowledged.borrow().len()
    }

    /// Works until `orders` more are acknowledged and `prints` more are printed; then does `end`, in the middle of it.
    pub(super) async fn works(&self, served: &Served, orders: usize, prints: usize, end: impl AsyncFnOnce()) {
        let (over, printed) = (Cell::new(false), Cell::new(0));
        let enough = self.placed() + orders;
        let started = Stopwatch::now();
        let end = async {
            while self.placed() < enough || printed.get() < prints {
                assert!(started.elapsed() < PATIENCE, "{}", served.said());
                pause().await;
            }
            end().await;
            over.set(true);
        };
        let checkouts = join_all((0..CHECKOUTS).map(|_| async {
            while !over.get() {
                // Well past what is needed they wait: what is placed must be printed and booked in the end.
                if self.placed() < enough + orders {
                    self.places_one(served).await;
                }
                pause().await;
            }
        }));
        let printers = join_all((0..PRINTERS).map(|number| {
            let (over, printed) = (&over, &printed);
            async move {
                while !over.get() {
                    printed.set(printed.get() + self.prints_some(served, number).await);
                    pause().await;
                }
            }
        }));
        tokio::join!(end, checkouts, printers);
    }

    /// Places what was not answered, or a new order.
    async fn places_one(&self, served: &Served) {
        let waiting = self.unanswered.borrow_mut().pop();
        let mut sent = waiting.unwrap_or_else(|| self.new_order());
        let request = served
            .request(Method::POST, &self.bearer, "/v1/orders")
            .header("Idempotency-Key", &sent.key)
            .json(&sent.body);
        match answer(request).await {
            Some((201, placed)) => {
                assert_eq!(placed["reference"], sent.body["reference"]);
                sent.id = placed["id"].as_str().map(str::to_owned);
                self.acknowledged.borrow_mut().push(sent);
            }
            None | Some((500.., _)) => {
                self.unanswered.borrow_mut().push(sent);
                pause().await;
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    /// Somebody whom no other order is for.
    fn new_order(&self) -> Sent {
        let number = self.made.replace(self.made.get() + 1);
        let own = char::from_u32(u32::from('\u{4e00}') + number).unwrap();
        let name = format!("{}{own}", planted::NAME);
        let mut body = order();
        set(&mut body, "/recipient/name", json!(name));
        let key = format!("{}crash-{number}", planted::IDEMPOTENCY);
        let id = None;
        Sent { key, name, body, id }
    }

    /// One hand of a printer: claims a few, prints them. Says how many it knows to be printed.
    async fn prints_some(&self, served: &Served, printer: usize) -> usize {
        let station = json!({"operator": "wang", "station": format!("printer-{printer}")});
        let mut claim = station.clone();
        claim["limit"] = json!(4);
        let post = |path: &str, body: &Value| answer(served.request(Method::POST, &self.bearer, path).json(body));
        let claimed = match post("/admin/v1/print-queue/claim", &claim).await {
            Some((200, claimed)) => claimed,
            None | Some((500.., _)) => return 0,
            Some(other) => panic!("{other:?}"),
        };
        let mut printed = 0;
        for order in claimed["data"].as_array().unwrap() {
            let path = format!("/admin/v1/orders/{}/printed", order["id"].as_str().unwrap());
            match post(&path, &station).await {
                Some((200, _)) => printed += 1,
                // 409: the lease lapsed, and the other one has it.
                None | Some((409 | 500.., _)) => {}
                Some(other) => panic!("{other:?}"),
            }
        }
        printed
    }

    /// Gets an answer for everything, prints it all, and waits until every parcel is booked.
    pub(super) async fn finishes(&self, served: &Served) {
        let started = Stopwatch::now();
        while !self.unanswered.borrow().is_empty() {
            assert!(started.elapsed() < PATIENCE, "{}", served.said());
            self.places_one(served).await;
        }
        loop {
            self.prints_some(served, 0).await;
            let stats = served.get(&self.bearer, "/admin/v1/stats").await;
            let left = ["draft", "placed", "printing"].map(|status| stats["by_status"][status].as_u64().unwrap());
            let jobs = ["jobs_ready", "jobs_leased"].map(|state| stats[state].as_u64().unwrap());
            assert_eq!(
                (&stats["jobs_dead"], &stats["shipments_failed"]),
                (&json!(0), &json!(0)),
                "{stats}"
            );
            if left == [0; 3] && jobs == [0; 2] {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{stats} {}", served.said());
            pause().await;
        }
    }

    /// Every acknowledged order is there once, opens to its own recipient, and has the one parcel that the courier knows
    /// under its booking reference; there are no other orders and no other parcels.
    pub(super) async fn has_lost_nothing(self, served: &Served, courier: &Courier) {
        let mut parcels = courier.parcels().await;
        let mut ids = BTreeSet::new();
        for sent in &self.acknowledged.take() {
            let id = sent.id.as_deref().unwrap();
            assert!(ids.insert(id.to_owned()), "two keys, one order");
            let order = served.get(&self.bearer, &format!("/admin/v1/orders/{id}")).await;
            assert_eq!(
                (&order["reference"], &order["status"]),
                (&sent.body["reference"], &json!("printed"))
            );
            let shipment = &order["shipment"];
            assert_eq!(shipment["state"], "booked", "{shipment}");
            let parcel = parcels.remove(shipment["booking_reference"].as_str().unwrap());
            assert_eq!(parcel.as_deref(), shipment["tracking_no"].as_str(), "{shipment}");
            let reason = json!({"reason": planted::REASON});
            let revealed = served
                .post(&self.bearer, &format!("/admin/v1/orders/{id}/reveal"), reason)
                .await;
            assert!(
                revealed.to_string().contains(&format!("\"{}\"", sent.name)),
                "another's name"
            );
        }
        assert_eq!(parcels.len(), 0, "parcels that no order knows");
        let stats = served.get(&self.bearer, "/admin/v1/stats").await;
        let orders: u64 = stats["by_status"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_u64)
            .sum();
        assert_eq!(orders, u64::try_from(ids.len()).unwrap(), "{stats}");
    }
}

/// A whole answer, or none: the connection was refused, or cut, or nothing came.
pub(super) async fn answer(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.timeout(GIVES_UP).send().await.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    Some((status, serde_json::from_str(&text).ok()?))
}
