//! What operators settle by hand: shipped without a booking, ended, given to another courier, sent again.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::domain::shipment::TrackingStatus;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::app::{Options, TestApp, WINDOW};
use crate::harness::fixtures;
use crate::harness::{planted, rows};

fn fake() -> Options {
    Options {
        fakes: &[("second", "CN", true)],
        ..Options::default()
    }
}

async fn act(app: &TestApp, id: &str, verb: &str, body: Value) -> Answer {
    app.post(&app.keys.ops, &format!("/admin/v1/orders/{id}/{verb}"), body)
        .await
}

async fn ship(app: &TestApp, id: &str, courier: &str) -> Answer {
    act(
        app,
        id,
        "shipment",
        json!({"courier": courier, "tracking_no": planted::TRACKING}),
    )
    .await
}

async fn mark(app: &TestApp, id: &str, status: &str) -> Answer {
    act(app, id, "mark", json!({"status": status, "reason": planted::REASON})).await
}

async fn reship(app: &TestApp, id: &str) -> Answer {
    let path = format!("/admin/v1/orders/{id}/reship");
    app.send(Method::POST, Some(&app.keys.ops), &path, None).await
}

async fn hold(app: &TestApp, id: &str) {
    let until = app.clock.business_now() + TimeDelta::days(5);
    let body = json!({"reason": planted::REASON, "until": until});
    app.put(&app.keys.privacy, &format!("/admin/v1/orders/{id}/hold"), body)
        .await
        .is(200);
}

async fn kinds(app: &TestApp, id: &str) -> Vec<String> {
    let events = app.detail(id).await["events"].clone();
    events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[apply(on_both_engines)]
async fn a_parcel_of_an_unconfigured_courier_cannot_be_called_off_and_says_so(app: &TestApp) {
    let id = app.printed().await;
    ship(app, &id, "sf").await.is(200);
    let reason = json!({"reason": planted::REASON});
    let cancel = format!("/v1/orders/{id}/cancel");
    app.post(&app.keys.orders, &cancel, reason)
        .await
        .problem(409, "not_cancellable");
    mark(app, &id, "delivered").await.is(200);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn an_order_shipped_by_hand_is_booked_under_its_number_and_watched(app: &TestApp) {
    let id = app.printed().await;
    let answer = ship(app, &id, "second").await.is(200);
    assert_eq!(
        (&answer["courier"], &answer["shipment"]["state"]),
        (&json!("second"), &json!("booked"))
    );
    assert_eq!(app.parcel_of(&id).await.1.as_deref(), Some(planted::TRACKING));
    app.run_jobs().await;
    assert!(
        app.all_parcels().await.is_empty(),
        "the booking that waited is not sent"
    );
    assert_eq!(app.fakes[0].script().watched, [planted::TRACKING]);
    assert!(kinds(app, &id).await.contains(&"shipped_by_hand".to_owned()));
    let told: Vec<(Value, Value)> = app.detail(&id).await["disclosures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["recipient"].clone(), row["purpose"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("second"), json!("delivery")),
            (json!("second"), json!("tracking"))
        ]
    );
    // The same again changes nothing; another parcel is refused.
    let before = app.detail(&id).await;
    ship(app, &id, "second").await.is(200);
    assert_eq!(app.detail(&id).await, before);
    ship(app, &id, "simulated").await.problem(409, "already_booked");
    // Its news is news of any parcel.
    app.fakes[0].script().status = Some(TrackingStatus::Delivered);
    app.advance(TimeDelta::hours(13));
    app.run_polls().await;
    assert_eq!(app.detail(&id).await["status"], "delivered");
}

#[apply(on_both_engines)]
#[with(fake())]
async fn only_a_printed_order_is_shipped_by_hand_and_never_over_a_booking(app: &TestApp) {
    let placed = app.placed().await;
    ship(app, &placed, "second").await.problem(409, "not_printed");
    app.courier_faults(json!({"drop_before_booking": {"times": 1}})).await;
    let unknown = app.printed().await;
    app.run_jobs().await;
    ship(app, &unknown, "second").await.problem(409, "booking_in_progress");
    let shipped = app.shipped().await;
    ship(app, &shipped, "second").await.problem(409, "already_booked");
    let held = app.printed().await;
    hold(app, &held).await;
    ship(app, &held, "second").await.problem(409, "held");
    ship(app, &held, "pigeon").await.problem(422, "unknown_courier");
    let wrong = act(app, &held, "shipment", json!({"courier": "second", "tracking_no": ""})).await;
    assert_eq!(wrong.status, 422);
    let client = app
        .post(
            &app.keys.orders,
            &format!("/admin/v1/orders/{held}/shipment"),
            json!({}),
        )
        .await;
    client.problem(403, "forbidden");
}

#[apply(on_both_engines)]
async fn a_failed_booking_is_shipped_by_hand(app: &TestApp) {
    app.courier_faults(json!({"refuse": {"times": 1}})).await;
    let id = app.printed().await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "failed");
    ship(app, &id, "simulated").await.is(200);
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
}

#[apply(on_both_engines)]
async fn the_transition_table_decides_what_a_person_may_mark(app: &TestApp) {
    let (printed, shipped, placed) = (app.booked().await, app.shipped().await, app.placed().await);
    mark(app, &placed, "delivered").await.problem(409, "illegal_transition");
    let lost = mark(app, &printed, "lost").await.is(200);
    assert!(lost["purge_due_at"].is_string() && lost["status"] == "lost");
    mark(app, &printed, "delivered").await.is(200);
    mark(app, &printed, "lost").await.problem(409, "illegal_transition");
    let events = app.detail(&shipped).await["events"].as_array().unwrap().len();
    mark(app, &shipped, "delivered").await.is(200);
    mark(app, &shipped, "delivered").await.is(200);
    assert_eq!(
        app.detail(&shipped).await["events"].as_array().unwrap().len(),
        events + 1,
        "once"
    );
    for wrong in ["printed", "in_transit", "beamed_up"] {
        assert_eq!(mark(app, &shipped, wrong).await.status, 422);
    }
    // The courier's later truth corrects it.
    app.hears(&shipped, "returned").await;
    assert_eq!(app.detail(&shipped).await["status"], "returned");
    app.courier_faults(json!({"drop_before_booking": {"times": 1}})).await;
    let unknown = app.printed().await;
    app.run_jobs().await;
    mark(app, &unknown, "delivered")
        .await
        .problem(409, "booking_in_progress");
    let waiting = app.printed().await;
    mark(app, &waiting, "delivered").await.is(200);
    app.run_jobs().await;
    assert_eq!(
        app.stands(&waiting).await,
        ("delivered".into(), "cancelled".into()),
        "it is not booked any more"
    );
}

#[apply(on_both_engines)]
#[with(fake())]
async fn an_order_goes_to_another_courier_until_it_is_booked(app: &TestApp) {
    let (placed, printed) = (app.placed().await, app.printed().await);
    let to_second = json!({"courier": "second"});
    assert_eq!(
        act(app, &placed, "courier", to_second.clone()).await.is(200)["courier"],
        "second"
    );
    let answer = act(app, &printed, "courier", to_second.clone()).await.is(200);
    assert_eq!(
        (&answer["courier"], &answer["shipment"]["attempts"]),
        (&json!("second"), &json!(2))
    );
    act(app, &printed, "courier", to_second.clone()).await.is(200);
    app.run_jobs().await;
    assert_eq!(
        (app.stands(&printed).await.1, app.all_parcels().await.len()),
        ("booked".into(), 0)
    );
    assert_eq!(app.fakes[0].script().sent.len(), 1);
    act(app, &printed, "courier", json!({"courier": "simulated"}))
        .await
        .problem(409, "already_booked");
    act(app, &placed, "courier", json!({"courier": "pigeon"}))
        .await
        .problem(422, "unknown_courier");
    let shipped = app.shipped().await;
    act(app, &shipped, "courier", to_second.clone())
        .await
        .problem(409, "already_shipped");
    app.courier_faults(json!({"drop_before_booking": {"times": 1}})).await;
    let unknown = app.printed().await;
    app.run_jobs().await;
    act(app, &unknown, "courier", to_second.clone())
        .await
        .problem(409, "booking_in_progress");
    hold(app, &placed).await;
    act(app, &placed, "courier", json!({"courier": "simulated"}))
        .await
        .problem(409, "held");
}

#[apply(on_both_engines)]
async fn a_returned_order_is_sent_again_and_its_clock_begins_anew(app: &TestApp) {
    let id = app.shipped().await;
    reship(app, &id).await.problem(409, "not_returned");
    app.hears(&id, "returned").await;
    let first = app.parcel_of(&id).await.0;
    app.advance(WINDOW - TimeDelta::days(1));
    let again = reship(app, &id).await.is(200);
    assert_eq!(
        (&again["status"], &again["shipment"]["attempts"]),
        (&json!("printed"), &json!(2))
    );
    assert_eq!(
        (&again["ended_at"], &again["purge_due_at"]),
        (&Value::Null, &Value::Null)
    );
    app.advance(TimeDelta::days(2));
    app.run_upkeep().await;
    assert!(
        app.detail(&id).await["purged_at"].is_null(),
        "its clock does not run any more"
    );
    app.run_jobs().await;
    let (second, _) = app.parcel_of(&id).await;
    assert_ne!(first, second);
    assert_eq!(app.all_parcels().await.len(), 2);
    // Late news of the first parcel move nothing.
    let mut late = app.news_of(&id, "delivered").await;
    (late.reference, late.tracking_no) = (Some(first), None);
    app.webhook(&late).await.is(200);
    assert_eq!(app.stands(&id).await.0, "printed");
    app.hears(&id, "delivered").await;
    let order = app.detail(&id).await;
    assert_eq!(order["status"], "delivered");
    app.advance(WINDOW - TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert!(
        app.detail(&id).await["purged_at"].is_null(),
        "a whole window from its new end"
    );
    app.advance(TimeDelta::minutes(2));
    app.run_upkeep().await;
    assert!(app.detail(&id).await["purged_at"].is_string());
}

#[apply(on_both_engines)]
async fn a_held_or_purged_order_is_not_sent_again(app: &TestApp) {
    let id = app.shipped().await;
    app.hears(&id, "returned").await;
    hold(app, &id).await;
    reship(app, &id).await.problem(409, "held");
    app.send(
        Method::DELETE,
        Some(&app.keys.privacy),
        &format!("/admin/v1/orders/{id}/hold"),
        None,
    )
    .await
    .is(200);
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    reship(app, &id).await.problem(410, "purged");
    assert_eq!(
        rows::count(&mut app.conn(), &format!("shipment_attempts WHERE order_id = '{id}'")),
        1
    );
}

#[apply(on_both_engines)]
async fn a_parcel_of_an_unconfigured_courier_is_shipped_by_hand_all_the_same(app: &TestApp) {
    let id = app.printed().await;
    ship(app, &id, "simulated").await.is(200);
    app.run_jobs().await;
    assert_eq!(rows::count(&mut app.conn(), "jobs"), 0);
    // What was heard of the number before is applied now.
    let other = app.printed_as(&fixtures::order()).await;
    let early = crate::harness::journey::News {
        reference: None,
        tracking_no: Some("SFPLANTED8080".to_owned()),
        status: "in_transit",
        at: app.clock.business_now(),
        remark: None,
    };
    app.webhook(&early).await.is(200);
    let body = json!({"courier": "simulated", "tracking_no": "SFPLANTED8080"});
    assert_eq!(act(app, &other, "shipment", body).await.is(200)["status"], "shipped");
}
