//! Ends that only an unsigned push reports: the order moves when the courier, asked, says the same.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use safelight::domain::shipment::TrackingStatus;
use serde_json::{Value, json};

use crate::harness::app::{Options, TestApp};
use crate::harness::fixtures;
use crate::harness::rows;

fn unsigned() -> Options {
    Options {
        fakes: &[("second", "CN", false)],
        ..Options::default()
    }
}

async fn booked(app: &TestApp) -> String {
    app.booked_as(&fixtures::order_with("/courier", json!("second"))).await
}

async fn pushed(app: &TestApp, id: &str, status: &str) {
    let (reference, _) = app.parcel_of(id).await;
    let push = app
        .request(reqwest::Method::POST, "/webhooks/second/token")
        .body(format!("{reference} {status}"));
    assert_eq!(push.send().await.unwrap().status(), 200);
}

async fn troubled(app: &TestApp) -> Value {
    app.get(&app.keys.ops, "/admin/v1/orders?trouble=end_unconfirmed")
        .await
        .is(200)["data"]
        .clone()
}

#[apply(on_both_engines)]
#[with(unsigned())]
async fn an_end_from_an_unsigned_push_counts_once_the_courier_confirms_it(app: &TestApp) {
    for (status, end) in [
        ("delivered", TrackingStatus::Delivered),
        ("returned", TrackingStatus::Returned),
        ("lost", TrackingStatus::Lost),
    ] {
        app.fakes[0].script().status = None;
        let id = booked(app).await;
        pushed(app, &id, "in_transit").await;
        assert_eq!(app.detail(&id).await["status"], "shipped", "what is no end is believed");
        pushed(app, &id, status).await;
        pushed(app, &id, status).await;
        let order = app.detail(&id).await;
        assert_eq!(
            (&order["status"], &order["shipment"]["tracking_status"]),
            (&json!("shipped"), &json!("in_transit"))
        );
        assert_eq!(order["shipment"]["end_reported"]["status"], status);
        assert!(app.own(&id).await["shipment"].get("end_reported").is_none());
        app.run_jobs().await;
        assert_eq!(
            app.detail(&id).await["status"],
            "shipped",
            "the courier knows nothing of it yet"
        );
        app.fakes[0].script().status = Some(end);
        app.advance(TimeDelta::minutes(11));
        app.run_jobs().await;
        let order = app.detail(&id).await;
        assert_eq!(
            (&order["status"], &order["shipment"]["tracking_status"]),
            (&json!(status), &json!(status))
        );
        assert!(order["shipment"].get("end_reported").is_none());
        assert_eq!(app.run_jobs().await, 0);
    }
}

#[apply(on_both_engines)]
#[with(unsigned())]
async fn an_end_that_nobody_confirms_within_seven_days_is_trouble(app: &TestApp) {
    let id = booked(app).await;
    pushed(app, &id, "delivered").await;
    for _ in 0..(6 * 24) {
        app.run_jobs().await;
        app.advance(TimeDelta::hours(1));
    }
    assert_eq!(troubled(app).await, json!([]));
    let asked = app.fakes[0].script().tracked.len();
    assert!((15..60).contains(&asked), "asked {asked} times in six days");
    app.advance(TimeDelta::days(2));
    app.run_jobs().await;
    assert_eq!(
        app.get(&app.keys.ops, "/admin/v1/stats").await.is(200)["ends_unconfirmed"],
        1
    );
    assert_eq!(troubled(app).await[0]["id"], json!(id));
    assert_eq!(app.detail(&id).await["status"], "printed");
    let wrong = app.get(&app.keys.ops, "/admin/v1/orders?trouble=much").await;
    wrong.problem(400, "invalid_query");
    // The sweep goes on asking, and what it hears ends the trouble.
    app.fakes[0].script().status = Some(TrackingStatus::Delivered);
    app.advance(TimeDelta::minutes(2));
    app.run_polls().await;
    assert_eq!(app.detail(&id).await["status"], "delivered");
    assert_eq!(
        app.get(&app.keys.ops, "/admin/v1/stats").await.is(200)["ends_unconfirmed"],
        0
    );
    assert_eq!(troubled(app).await, json!([]));
}

#[apply(on_both_engines)]
#[with(unsigned())]
async fn an_unsigned_correction_of_an_end_is_confirmed_too(app: &TestApp) {
    let id = booked(app).await;
    pushed(app, &id, "delivered").await;
    app.fakes[0].script().status = Some(TrackingStatus::Delivered);
    app.run_jobs().await;
    app.advance(TimeDelta::hours(1));
    pushed(app, &id, "returned").await;
    assert_eq!(app.detail(&id).await["status"], "delivered");
    app.fakes[0].script().status = Some(TrackingStatus::Returned);
    app.advance(TimeDelta::hours(1));
    app.run_jobs().await;
    assert_eq!(app.detail(&id).await["status"], "returned");
}

#[apply(on_both_engines)]
async fn a_signed_end_moves_the_order_at_once(app: &TestApp) {
    let id = app.delivered().await;
    assert_eq!(
        rows::count(&mut app.conn(), "shipment_attempts WHERE end_reported IS NOT NULL"),
        0
    );
    assert_eq!(app.detail(&id).await["status"], "delivered");
}

#[apply(on_both_engines)]
#[with(unsigned())]
async fn an_end_reported_for_a_purged_order_is_acknowledged_and_forgotten(app: &TestApp) {
    let id = booked(app).await;
    pushed(app, &id, "delivered").await;
    let mark = json!({"status": "lost", "reason": "x"});
    app.post(&app.keys.ops, &format!("/admin/v1/orders/{id}/mark"), mark)
        .await
        .is(200);
    app.advance(crate::harness::app::WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    pushed(app, &id, "returned").await;
    app.run_jobs().await;
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    assert_eq!(rows::count(&mut app.conn(), "jobs"), 0);
}
