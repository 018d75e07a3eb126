//! The service with EasyPost behind it: an imitation that loses its answers, and the events it signs.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::couriers::Configured;
use safelight::couriers::easypost::{Easypost, Settings};
use safelight::privacy::Secret;
use serde_json::json;

use crate::harness::answer::Answer;
use crate::harness::app::{self, Options, SETTLE, TestApp, WINDOW};
use crate::harness::databases::Engine;
use crate::harness::fixtures;
use crate::harness::imitations::easypost::{Imitation, KEY, WEBHOOK_SECRET};

fn options(imitation: &Imitation) -> Options {
    let settings = Settings {
        base_url: format!("{}/v2", imitation.server.base_url()),
        api_key: Some(Secret::new(KEY.to_owned())),
        webhook_secret: Some(Secret::new(WEBHOOK_SECRET.to_owned())),
        carrier: None,
        service: None,
        carrier_account: None,
    };
    let courier = Easypost::new(settings, Duration::from_secs(10));
    Options {
        couriers: vec![Configured {
            courier: Arc::new(courier.unwrap()),
            region: "US".to_owned(),
        }],
        ..Options::default()
    }
}

/// Runs one test body on a fresh service with an imitation of its own behind it.
fn with_easypost(engine: Engine, body: impl AsyncFnOnce(&TestApp, &Imitation)) {
    let imitation = Imitation::start();
    app::run(engine, options(&imitation), async |app: &TestApp| {
        body(app, &imitation).await
    });
}

async fn printed(app: &TestApp) -> String {
    let mut order = fixtures::order_with("/courier", json!("easypost"));
    fixtures::set(&mut order, "/consent/cross_border", json!(true));
    app.printed_as(&order).await
}

/// The carrier scans the parcel, and EasyPost tells it.
async fn scanned(app: &TestApp, imitation: &Imitation, shipment: &str, status: &str, at: &str) -> Answer {
    let (signature, body) = imitation.scan(shipment, status, None, at);
    let request = app
        .request(Method::POST, "/webhooks/easypost")
        .header("X-Hmac-Signature", signature)
        .header("Content-Type", "application/json")
        .body(body);
    Answer::read(request.send().await.unwrap()).await.holds_no_person()
}

fn shipment_id(imitation: &Imitation) -> String {
    imitation.shipments()[0]["id"].as_str().unwrap().to_owned()
}

#[apply(on_both_engines)]
#[by(with_easypost)]
async fn an_order_is_booked_moved_and_delivered(app: &TestApp, imitation: &Imitation) {
    let id = printed(app).await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    let (reference, number) = app.parcel_of(&id).await;
    let bought = &imitation.shipments()[0];
    assert_eq!(
        (bought["reference"].as_str(), bought["tracking_code"].as_str()),
        (Some(&*reference), number.as_deref())
    );
    let shipment = shipment_id(imitation);
    for (status, at, expected) in [
        ("in_transit", "2026-11-23T09:00:00Z", "shipped"),
        ("out_for_delivery", "2026-11-24T09:00:00Z", "shipped"),
        ("delivered", "2026-11-24T10:00:00Z", "delivered"),
        ("in_transit", "2026-11-24T11:00:00Z", "delivered"),
    ] {
        scanned(app, imitation, &shipment, status, at).await.is(200);
        assert_eq!(app.stands(&id).await.0, expected, "{status}");
    }
    assert_eq!(app.personal_rows(&id)[1], 1);
}

#[apply(on_both_engines)]
#[by(with_easypost)]
async fn an_answer_to_the_purchase_that_is_lost_is_found_and_paid_for_once(app: &TestApp, imitation: &Imitation) {
    imitation.lose_answers(1);
    let id = printed(app).await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
    app.advance(TimeDelta::hours(14));
    app.run_jobs().await;
    assert_eq!((imitation.shipments().len(), imitation.purchases()), (1, 1));
    let events = app.detail(&id).await["events"].clone();
    assert!(
        events.to_string().contains("booking_unknown"),
        "what was not known is told"
    );
}

#[apply(on_both_engines)]
#[by(with_easypost)]
async fn a_purchase_that_never_arrived_is_made_once_after_the_settle_time(app: &TestApp, imitation: &Imitation) {
    imitation.lose_requests(1);
    let id = printed(app).await;
    app.run_jobs().await;
    app.clock.advance_wall(TimeDelta::seconds(60));
    app.run_jobs().await;
    assert_eq!(
        (app.stands(&id).await.1, imitation.purchases()),
        ("unknown".into(), 0),
        "it may still arrive"
    );
    app.clock.advance_wall(SETTLE);
    app.run_jobs().await;
    assert_eq!((app.stands(&id).await.1, imitation.purchases()), ("booked".into(), 1));
    assert_eq!(
        imitation.shipments().len(),
        1,
        "the shipment that was prepared is the one that is bought"
    );
}

#[apply(on_both_engines)]
#[by(with_easypost)]
async fn two_orders_are_two_parcels_and_neither_is_ever_the_others(app: &TestApp, imitation: &Imitation) {
    imitation.lose_answers(2);
    let (one, two) = (printed(app).await, printed(app).await);
    app.run_jobs().await;
    let (first, second) = (app.parcel_of(&one).await, app.parcel_of(&two).await);
    for (reference, number) in [&first, &second] {
        let shipments = imitation.shipments();
        let bought = shipments
            .iter()
            .find(|shipment| shipment["reference"] == reference.as_str())
            .unwrap();
        assert_eq!(bought["tracking_code"].as_str(), number.as_deref());
    }
    assert!(first.1.is_some() && first.1 != second.1);
    assert_eq!(imitation.purchases(), 2);
}

#[apply(on_both_engines)]
#[by(with_easypost)]
async fn a_forged_or_changed_event_is_refused_and_moves_nothing(app: &TestApp, imitation: &Imitation) {
    let id = printed(app).await;
    app.run_jobs().await;
    let (signature, mut body) = imitation.scan(&shipment_id(imitation), "delivered", None, "2026-11-24T10:00:00Z");
    body.push(b' ');
    for signature in [signature, "hmac-sha256-hex=00".to_owned(), String::new()] {
        let request = app
            .request(Method::POST, "/webhooks/easypost")
            .header("X-Hmac-Signature", signature);
        let answer = Answer::read(request.body(body.clone()).send().await.unwrap()).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(app.stands(&id).await.0, "printed");
}

#[apply(on_both_engines)]
#[by(with_easypost)]
async fn an_order_that_is_called_off_is_refunded(app: &TestApp, imitation: &Imitation) {
    let id = printed(app).await;
    app.run_jobs().await;
    let path = format!("/v1/orders/{id}/cancel");
    app.post(&app.keys.orders, &path, json!({"reason": "changed my mind"}))
        .await
        .is(200);
    assert_eq!(imitation.shipments()[0]["refund_status"], "submitted");
}

#[apply(on_both_engines)]
#[by(with_easypost)]
async fn an_event_after_the_purge_is_acknowledged_and_leaves_nothing(app: &TestApp, imitation: &Imitation) {
    let id = printed(app).await;
    app.run_jobs().await;
    let shipment = shipment_id(imitation);
    scanned(app, imitation, &shipment, "delivered", "2026-11-23T10:00:00Z")
        .await
        .is(200);
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert!(app.detail(&id).await["purged_at"].is_string());
    scanned(app, imitation, &shipment, "return_to_sender", "2026-11-24T10:00:00Z")
        .await
        .is(200);
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
}
