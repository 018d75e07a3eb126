//! The service with Karrio behind it: an imitation that loses its answers, and the webhooks it sends.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::couriers::Configured;
use safelight::couriers::karrio::{Karrio, Settings};
use safelight::privacy::Secret;
use serde_json::json;

use crate::harness::answer::Answer;
use crate::harness::app::{self, Options, TestApp, WINDOW};
use crate::harness::databases::Engine;
use crate::harness::fixtures;
use crate::harness::imitations::karrio::{Imitation, TOKEN, WEBHOOK_SECRET};

mod real;

/// A service with a Karrio at that address.
fn options(base_url: String, token: &str, webhook_secret: &str) -> Options {
    let settings = Settings {
        base_url: Some(base_url),
        token: Some(Secret::new(token.to_owned())),
        webhook_secret: Some(Secret::new(webhook_secret.to_owned())),
        service: None,
        carrier_ids: Vec::new(),
    };
    let courier = Karrio::new(settings, Duration::from_secs(10));
    Options {
        couriers: vec![Configured {
            courier: Arc::new(courier.unwrap()),
            region: "CN".to_owned(),
        }],
        ..Options::default()
    }
}

/// Runs one test body on a fresh service with an imitation of its own behind it.
fn with_karrio(engine: Engine, body: impl AsyncFnOnce(&TestApp, &Imitation)) {
    let imitation = Imitation::start();
    let options = options(imitation.server.base_url(), TOKEN, WEBHOOK_SECRET);
    app::run(engine, options, async |app: &TestApp| body(app, &imitation).await);
}

async fn printed(app: &TestApp) -> String {
    app.printed_as(&fixtures::order_with("/courier", json!("karrio"))).await
}

async fn posted(app: &TestApp, secret: &str, body: Vec<u8>) -> Answer {
    let request = app
        .request(Method::POST, "/webhooks/karrio")
        .header("X-Event-Id", secret)
        .header("Content-Type", "application/json")
        .body(body);
    Answer::read(request.send().await.unwrap()).await.holds_no_person()
}

fn shipment_id(imitation: &Imitation) -> String {
    imitation.shipments()[0]["id"].as_str().unwrap().to_owned()
}

#[apply(on_both_engines)]
#[by(with_karrio)]
async fn an_order_is_booked_moved_and_delivered_within_one_carrier_minute(app: &TestApp, imitation: &Imitation) {
    let id = printed(app).await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    let shipment = shipment_id(imitation);
    for (status, expected) in [
        ("picked_up", "shipped"),
        ("in_transit", "shipped"),
        ("delivery_failed", "shipped"),
        ("return_to_sender", "shipped"),
        ("delivered", "returned"),
    ] {
        let body = imitation.report(&shipment, status, "10:00 AM");
        posted(app, WEBHOOK_SECRET, body).await.is(200);
        assert_eq!(app.stands(&id).await.0, expected, "{status}");
    }
}

#[apply(on_both_engines)]
#[by(with_karrio)]
async fn an_answer_to_the_purchase_that_is_lost_is_found_and_paid_for_once(app: &TestApp, imitation: &Imitation) {
    imitation.lose_answers(1);
    let id = printed(app).await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
    app.advance(TimeDelta::hours(14));
    app.run_jobs().await;
    assert_eq!((imitation.shipments().len(), imitation.purchases()), (1, 1));
}

#[apply(on_both_engines)]
#[by(with_karrio)]
async fn a_webhook_before_the_answer_books_and_the_answer_says_what_was_bought(app: &TestApp, imitation: &Imitation) {
    imitation.tells(app.address);
    let id = printed(app).await;
    app.run_jobs().await;
    let order = app.detail(&id).await;
    assert_eq!(
        (&order["shipment"]["state"], &order["shipment"]["tracking_status"]),
        (&json!("booked"), &json!("accepted"))
    );
    assert_eq!(order["shipment"]["service"], "ups ups_standard 4.75 USD");
    assert_eq!((imitation.purchases(), app.personal_rows(&id)[1]), (1, 1));
}

#[apply(on_both_engines)]
#[by(with_karrio)]
async fn without_the_secret_nothing_moves_and_after_the_purge_nothing_is_kept(app: &TestApp, imitation: &Imitation) {
    let id = printed(app).await;
    app.run_jobs().await;
    let body = imitation.report(&shipment_id(imitation), "delivered", "10:00 AM");
    assert_eq!(posted(app, "whsec_other", body.clone()).await.status, 401);
    assert_eq!(app.stands(&id).await.0, "printed");
    posted(app, WEBHOOK_SECRET, body.clone()).await.is(200);
    assert_eq!(app.stands(&id).await.0, "delivered");
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    posted(app, WEBHOOK_SECRET, body).await.is(200);
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
}
