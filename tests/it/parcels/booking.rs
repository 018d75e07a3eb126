//! Booking a parcel: once, whatever goes wrong on the way.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::app::{Options, SETTLE, TestApp};
use crate::harness::fixtures;
use crate::harness::{planted, rows};

/// Long enough for any retry in the schedule.
const NEXT_RETRY: TimeDelta = TimeDelta::hours(13);

async fn retry(app: &TestApp, id: &str) -> crate::harness::answer::Answer {
    let path = format!("/admin/v1/orders/{id}/shipment/retry");
    app.send(Method::POST, Some(&app.keys.ops), &path, None).await
}

async fn resolve(app: &TestApp, id: &str, body: Value) -> crate::harness::answer::Answer {
    app.post(&app.keys.ops, &format!("/admin/v1/orders/{id}/shipment/resolve"), body)
        .await
}

#[apply(on_both_engines)]
async fn a_printed_order_is_booked_under_our_reference_and_disclosed_once(app: &TestApp) {
    let id = app.booked().await;
    let order = app.detail(&id).await;
    let (reference, tracking_no) = app.parcel_of(&id).await;
    let parcels = app.parcels(&reference).await;
    assert_eq!(parcels.len(), 1);
    assert_eq!(parcels[0]["tracking_no"].as_str(), tracking_no.as_deref());
    assert_eq!(order["shipment"]["attempts"], 1);
    assert_eq!(order["disclosures"].as_array().unwrap().len(), 1);
    assert_eq!(app.run_jobs().await, 0, "the job is done and gone");
    assert_eq!(rows::count(&mut app.conn(), "jobs"), 0);
}

#[apply(on_both_engines)]
async fn a_dropped_answer_is_reconciled_and_the_parcel_is_booked_once(app: &TestApp) {
    app.courier_faults(json!({"drop_after_booking": {"times": 1}})).await;
    let id = app.booked().await;
    assert_eq!(app.all_parcels().await.len(), 1);
    let events = app.detail(&id).await["events"].clone();
    let kinds: Vec<&str> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"booking_unknown"),
        "what was not known is told: {kinds:?}"
    );
}

#[apply(on_both_engines)]
async fn a_request_lost_on_the_way_is_sent_again_only_after_the_settle_time(app: &TestApp) {
    app.courier_faults(json!({"drop_before_booking": {"times": 1}})).await;
    let id = app.printed().await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "unknown");
    assert!(app.all_parcels().await.is_empty());
    app.clock.advance_wall(TimeDelta::seconds(20));
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "unknown", "a slow courier may still book");
    app.clock.advance_wall(SETTLE + TimeDelta::seconds(1));
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
    assert_eq!(app.all_parcels().await.len(), 1);
}

#[apply(on_both_engines)]
async fn requests_that_never_arrive_are_spaced_and_fail_the_parcel_in_the_end(app: &TestApp) {
    app.courier_faults(json!({"drop_before_booking": true})).await;
    let id = app.printed().await;
    let mut rounds = 0;
    while app.stands(&id).await.1 != "failed" {
        app.run_jobs().await;
        app.clock
            .advance_wall(TimeDelta::seconds(20) + SETTLE + TimeDelta::seconds(1));
        app.advance(NEXT_RETRY);
        rounds += 1;
        assert!(rounds < 40, "it goes on for ever");
    }
    assert!(app.all_parcels().await.is_empty());
    app.courier_faults(json!({})).await;
    retry(app, &id).await.is(200);
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
}

#[apply(on_both_engines)]
#[with(Options { courier_timeout: std::time::Duration::from_millis(500), ..Options::default() })]
async fn a_courier_that_books_after_we_gave_up_has_booked_once(app: &TestApp) {
    let id = app.printed().await;
    app.courier_faults(json!({"slow": {"times": 1, "delay": 2, "on": ["book"]}}))
        .await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "unknown");
    app.until("the slow courier has booked", async || {
        app.all_parcels().await.len() == 1
    })
    .await;
    app.clock.advance_wall(SETTLE + TimeDelta::seconds(2));
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
    assert_eq!(app.all_parcels().await.len(), 1);
}

#[apply(on_both_engines)]
async fn a_refused_parcel_fails_until_it_is_tried_under_the_next_reference(app: &TestApp) {
    app.courier_faults(json!({"refuse": {"times": 1, "code": "address_not_served"}}))
        .await;
    let id = app.printed().await;
    app.run_jobs().await;
    let order = app.detail(&id).await;
    assert_eq!(
        (&order["shipment"]["state"], &order["shipment"]["last_error"]),
        (&json!("failed"), &json!("address_not_served"))
    );
    assert_eq!(
        app.get(&app.keys.ops, "/admin/v1/stats").await.is(200)["shipments_failed"],
        1
    );
    let first = app.parcel_of(&id).await.0;
    retry(app, &id).await.is(200);
    app.run_jobs().await;
    let (second, _) = app.parcel_of(&id).await;
    assert_ne!(first, second);
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    assert_eq!(app.all_parcels().await.len(), 1);
    retry(app, &id).await.problem(409, "already_booked");
}

#[apply(on_both_engines)]
async fn a_courier_that_is_down_is_tried_again_under_the_same_reference(app: &TestApp) {
    app.courier_faults(json!({"down": {"times": 2, "on": ["book"]}})).await;
    let id = app.printed().await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "pending");
    let reference = app.parcel_of(&id).await.0;
    assert_eq!(app.run_jobs().await, 0, "not before its time");
    for _ in 0..3 {
        app.advance(NEXT_RETRY);
        app.run_jobs().await;
    }
    assert_eq!(app.stands(&id).await.1, "booked");
    assert_eq!(
        (app.parcel_of(&id).await.0, app.all_parcels().await.len()),
        (reference, 1)
    );
}

#[apply(on_both_engines)]
async fn a_courier_that_stays_down_fails_the_parcel_in_the_end(app: &TestApp) {
    app.courier_faults(json!({"down": {"on": ["book"]}})).await;
    let id = app.printed().await;
    for _ in 0..9 {
        app.run_jobs().await;
        app.advance(NEXT_RETRY);
    }
    assert_eq!(app.stands(&id).await, ("printed".into(), "failed".into()));
    assert_eq!(app.run_jobs().await, 0);
    app.courier_faults(json!({})).await;
    retry(app, &id).await.is(200);
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
}

#[apply(on_both_engines)]
async fn a_courier_that_asks_to_wait_is_given_the_time(app: &TestApp) {
    app.courier_faults(json!({"rate_limit": {"times": 1, "delay": 120, "on": ["book"]}}))
        .await;
    let id = app.printed().await;
    app.run_jobs().await;
    app.advance(TimeDelta::seconds(119));
    assert_eq!(app.run_jobs().await, 0);
    app.advance(TimeDelta::seconds(2));
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
}

#[apply(on_both_engines)]
#[with(Options { courier_reports: true, ..Options::default() })]
async fn a_webhook_that_comes_before_the_answer_books_the_parcel(app: &TestApp) {
    app.courier_faults(json!({"webhook_before_answer": true})).await;
    let id = app.printed().await;
    app.run_jobs().await;
    let order = app.detail(&id).await;
    assert_eq!(
        (&order["shipment"]["state"], &order["shipment"]["tracking_status"]),
        (&json!("booked"), &json!("accepted"))
    );
    assert_eq!(app.all_parcels().await.len(), 1);
    assert_eq!(
        app.personal_rows(&id)[1],
        1,
        "one tracking number, however often it was heard"
    );
}

#[apply(on_both_engines)]
async fn while_nobody_knows_nothing_is_changed_or_called_off(app: &TestApp) {
    app.courier_faults(json!({"drop_before_booking": {"times": 1}})).await;
    let id = app.printed().await;
    app.run_jobs().await;
    let reason = json!({"reason": planted::REASON});
    let cancel = app
        .post(&app.keys.orders, &format!("/v1/orders/{id}/cancel"), reason)
        .await;
    cancel.problem(409, "booking_in_progress");
    let path = format!("/v1/orders/{id}/recipient");
    let correct = app.put(&app.keys.orders, &path, fixtures::other_recipient()).await;
    correct.problem(409, "booking_in_progress");
    // A retry asks, and never sends blindly.
    retry(app, &id).await.is(200);
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "unknown");
    assert!(app.all_parcels().await.is_empty());
}

#[apply(on_both_engines)]
async fn an_unknown_booking_is_resolved_by_hand(app: &TestApp) {
    app.courier_faults(json!({"drop_before_booking": {"times": 2}})).await;
    let (booked, not_booked) = (app.printed().await, app.printed().await);
    app.run_jobs().await;
    let reason = planted::REASON;
    let answer = resolve(
        app,
        &booked,
        json!({"tracking_no": planted::TRACKING, "reason": reason}),
    )
    .await
    .is(200);
    assert_eq!(answer["shipment"]["state"], "booked");
    assert_eq!(app.parcel_of(&booked).await.1.as_deref(), Some(planted::TRACKING));
    let first = app.parcel_of(&not_booked).await.0;
    resolve(app, &not_booked, json!({"not_booked": true, "reason": reason}))
        .await
        .is(200);
    app.run_jobs().await;
    let (second, _) = app.parcel_of(&not_booked).await;
    assert_ne!(first, second);
    assert_eq!(app.stands(&not_booked).await.1, "booked");
    let again = resolve(app, &booked, json!({"not_booked": true, "reason": reason})).await;
    again.problem(409, "not_unknown");
    for wrong in [
        json!({"reason": reason}),
        json!({"tracking_no": "X1", "not_booked": true, "reason": reason}),
        json!({"not_booked": true}),
    ] {
        assert_eq!(resolve(app, &booked, wrong).await.status, 422);
    }
}

#[apply(on_both_engines)]
async fn a_worker_that_died_while_sending_leaves_a_parcel_that_is_asked_for(app: &TestApp) {
    let id = app.printed().await;
    // What a worker leaves behind that was killed between its request and its answer.
    let order = id.parse().unwrap();
    let (now, wall) = (app.clock.business_now(), app.clock.wall_now());
    app.app
        .orders
        .write_blocking(|conn| {
            use safelight::store::shipments;
            let attempt = shipments::of_order(conn, order, 1)?.unwrap();
            let deadline = wall + TimeDelta::seconds(20);
            shipments::change_in_tx(
                conn,
                attempt.id,
                &shipments::Change::at(now).sending(&attempt, wall, deadline),
            )
        })
        .unwrap();
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "unknown");
    assert!(
        app.all_parcels().await.is_empty(),
        "nothing is sent while it may have been sent"
    );
    app.advance(TimeDelta::seconds(20) + SETTLE + TimeDelta::seconds(1));
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "booked");
    assert_eq!(app.all_parcels().await.len(), 1);
}

#[apply(on_both_engines)]
async fn a_dead_job_is_listed_and_requeued(app: &TestApp) {
    let listed = app.get(&app.keys.ops, "/admin/v1/jobs?state=dead").await.is(200);
    assert_eq!(listed, json!({"data": [], "next_cursor": null}));
    let answer = app
        .send(
            Method::POST,
            Some(&app.keys.ops),
            &format!("/admin/v1/jobs/{}/requeue", uuid()),
            None,
        )
        .await;
    answer.problem(404, "not_found");
}

#[apply(on_both_engines)]
async fn many_orders_are_booked_once_each_whatever_the_courier_does(app: &TestApp) {
    app.courier_faults(json!({
        "drop_after_booking": 0.3, "drop_before_booking": 0.2, "down": {"probability": 0.2, "on": ["book", "query"]},
    }))
    .await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(app.placed().await);
    }
    app.claim(100).await;
    for id in &ids {
        app.print(id).await.is(200);
    }
    for _ in 0..6 {
        app.run_jobs().await;
        app.advance(TimeDelta::minutes(40));
    }
    app.courier_faults(json!({})).await;
    for _ in 0..8 {
        app.run_jobs().await;
        app.advance(NEXT_RETRY);
    }
    for id in &ids {
        if app.stands(id).await.1 == "failed" {
            retry(app, id).await.is(200);
            app.run_jobs().await;
        }
        assert_eq!(app.stands(id).await.1, "booked");
    }
    assert_eq!(
        app.all_parcels().await.len(),
        ids.len(),
        "one parcel an order, and no other"
    );
}

fn uuid() -> String {
    safelight::domain::ids::JobId::generate().to_string()
}
