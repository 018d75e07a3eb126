//! A real Karrio on this machine, as `tests/karrio` runs it: booked, tracked to the end by the webhooks that it really
//! sends, killed and back again. Not part of `tests/run`.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::Method;
use safelight::couriers::{ParcelRef, client};
use safelight::domain::ids::BookingReference;
use serde_json::{Value, json};

use super::{options, printed};
use crate::harness::app::{self, TestApp};
use crate::harness::databases::Engine;

/// What `tests/karrio` tells: where Karrio is, its credentials, and the program that runs it.
struct Given {
    base_url: String,
    token: String,
    program: String,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the opt-in test's own variables, set by tests/karrio"
)]
fn given() -> Given {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/karrio"));
    Given {
        base_url: variable("SAFELIGHT_TEST_KARRIO"),
        token: variable("SAFELIGHT_TEST_KARRIO_TOKEN"),
        program: variable("SAFELIGHT_TEST_KARRIO_SERVE"),
    }
}

/// Karrio's process; killed with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Given {
    fn serve(&self) -> Running {
        let quiet = Command::new(&self.program)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Running(quiet.unwrap())
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let client = client::build(Duration::from_secs(60)).unwrap();
        let request = client
            .request(method, format!("{}{path}", self.base_url))
            .header("Authorization", format!("Token {}", self.token));
        match request.json(&body).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null)),
            Err(_) => (0, Value::Null),
        }
    }

    async fn until_it_answers(&self, app: &TestApp) {
        app.until("Karrio answers", async || {
            self.call(Method::GET, "/v1/shipments", json!({})).await.0 == 200
        })
        .await;
    }
}

fn as_asked(reference: &str, shipment: &str) -> ParcelRef {
    ParcelRef {
        reference: BookingReference::parse(reference).unwrap(),
        provider_ref: Some(shipment.to_owned()),
        tracking_no: None,
        consignee_phone: None,
        first_sent_at: None,
    }
}

#[test]
#[ignore = "needs a real Karrio: tests/karrio installs one and runs this"]
fn karrio_real() {
    let given = given();
    // The secret is Karrio's to make up, and is known only once there is a webhook; so the webhook comes first, with the
    // address of a service that does not listen yet, and is changed to the real one afterwards.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let karrio = given.serve();
    let made = runtime.block_on(async {
        for _ in 0..600 {
            let webhook = json!({"url": "http://127.0.0.1:9/", "enabled_events": ["all"]});
            let (status, made) = given.call(Method::POST, "/v1/webhooks", webhook).await;
            if status == 201 {
                return made;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("Karrio does not start");
    });
    let (webhook, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let options = options(given.base_url.clone(), &given.token, secret);
    app::run(Engine::Sqlite, options, async |app: &TestApp| {
        let url = json!({"url": format!("http://{}/webhooks/karrio", app.address)});
        let changed = given.call(Method::PATCH, &format!("/v1/webhooks/{webhook}"), url).await;
        assert_eq!(changed.0, 200, "{changed:?}");

        // Booked, once.
        let id = printed(app).await;
        app.run_jobs().await;
        let order = app.detail(&id).await;
        assert_eq!(order["shipment"]["state"], "booked", "{}", order["shipment"]);
        let (reference, number) = app.parcel_of(&id).await;
        let number = number.expect("a tracking number");
        let (_, list) = given
            .call(Method::GET, &format!("/v1/shipments?reference={reference}"), json!({}))
            .await;
        let shipments: Vec<&Value> = list["results"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|shipment| shipment["reference"] == reference.as_str())
            .collect();
        assert_eq!(shipments.len(), 1);
        assert_eq!(
            (&shipments[0]["tracking_number"], &shipments[0]["status"]),
            (&json!(number), &json!("created"))
        );
        let shipment = shipments[0]["id"].as_str().unwrap();
        let courier = app.app.couriers.get("karrio").unwrap();
        let parcel = as_asked(&reference, shipment);
        let label = courier.label(&parcel).await.unwrap().expect("a label");
        assert!(label.document.expose().len() > 100, "{}", label.content_type);

        // A second order that is called off, there too.
        let other = printed(app).await;
        app.run_jobs().await;
        let path = format!("/v1/orders/{other}/cancel");
        app.post(&app.keys.orders, &path, json!({"reason": "changed my mind"}))
            .await
            .is(200);
        let called_off = app.parcel_of(&other).await.0;
        let (_, list) = given
            .call(Method::GET, &format!("/v1/shipments?reference={called_off}"), json!({}))
            .await;
        assert_eq!(list["results"][0]["status"], "cancelled");

        // To the end, by the webhooks that Karrio sends.
        let tracker = seeded(&given, &number);
        for (status, expected) in [
            ("picked_up", "shipped"),
            ("in_transit", "shipped"),
            ("out_for_delivery", "shipped"),
            ("delivered", "delivered"),
        ] {
            let event = json!({"date": "2026-11-23", "time": "10:00 AM", "code": status.to_uppercase(),
                "description": status, "location": "Shenzhen"});
            let news = json!({"status": status, "delivered": status == "delivered", "events": [event]});
            let path = format!("/v1/trackers/{tracker}/inject-events");
            let (answered, _) = given.call(Method::POST, &path, news).await;
            assert_eq!(answered, 200);
            app.until(status, async || app.stands(&id).await.0 == expected).await;
            if status != "picked_up" {
                app.until(status, async || {
                    app.detail(&id).await["shipment"]["tracking_status"] == status
                })
                .await;
            }
        }
        let told = courier.track(&[parcel]).await.unwrap();
        assert!(!told.is_empty());

        // Killed: trouble, and no parcel; back again: the parcel.
        drop(karrio);
        assert!(courier.check().await.iter().any(|finding| !finding.good));
        let mut late = Vec::new();
        for _ in 0..6 {
            late.push(printed(app).await);
        }
        app.run_jobs().await;
        assert_eq!(app.detail(&late[0]).await["shipment"]["last_error"], "unreachable");
        assert_eq!(standing(app).await, "paused");
        let again = given.serve();
        given.until_it_answers(app).await;
        assert!(courier.check().await.iter().all(|finding| finding.good));
        // Probes first, one at a time; then what waited.
        for _ in 0..3 {
            app.advance(TimeDelta::hours(1));
            app.run_jobs().await;
        }
        assert_eq!(standing(app).await, "ok");
        for id in &late {
            assert_eq!(app.stands(id).await.1, "booked");
        }
        drop(again);
    });
}

/// How Karrio's queue stands.
async fn standing(app: &TestApp) -> String {
    let couriers = app.get(&app.keys.ops, "/admin/v1/couriers").await.is(200);
    let karrio = couriers["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|courier| courier["name"] == "karrio");
    karrio.unwrap()["state"].as_str().unwrap().to_owned()
}

/// The tracker that Karrio would make for a carrier with tracking: its connectors for real carriers cannot be asked
/// without the carrier, so the program beside Karrio puts one into its database.
fn seeded(given: &Given, number: &str) -> String {
    let output = Command::new(&given.program).args(["tracker", number]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let tracker = text
        .lines()
        .find_map(|line| line.strip_prefix("tracker "))
        .map(str::to_owned);
    tracker.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}
