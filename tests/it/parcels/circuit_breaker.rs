//! A courier in trouble: its queue pauses and probes for everybody, recovers by itself, and orders go on to fallbacks.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::couriers::BookError;
use serde_json::{Value, json};

use crate::harness::app::{Options, TestApp};
use crate::harness::fixtures;
use crate::harness::rows;

fn fake() -> Options {
    Options {
        fakes: &[("second", "CN", true), ("third", "US", true)],
        fallbacks: &["third", "second"],
        ..Options::default()
    }
}

async fn courier(app: &TestApp, name: &str) -> Value {
    let all = app.get(&app.keys.ops, "/admin/v1/couriers").await.is(200);
    let all = all["data"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["name"] == name).unwrap()
}

async fn resume(app: &TestApp, name: &str) -> crate::harness::answer::Answer {
    let path = format!("/admin/v1/couriers/{name}/resume");
    app.send(Method::POST, Some(&app.keys.ops), &path, None).await
}

/// Printed orders whose parcels wait.
async fn printed(app: &TestApp, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(app.printed().await);
    }
    ids
}

async fn booked(app: &TestApp, ids: &[String]) -> usize {
    let mut booked = 0;
    for id in ids {
        booked += usize::from(app.stands(id).await.1 == "booked");
    }
    booked
}

/// Real time only: the schedules of tries, which are business time, stand still.
fn wait(app: &TestApp, seconds: i64) {
    app.clock.advance_wall(TimeDelta::seconds(seconds));
}

#[apply(on_both_engines)]
async fn a_courier_down_for_an_hour_recovers_and_everything_is_booked_once(app: &TestApp) {
    app.courier_faults(json!({"down": {"on": ["book"]}})).await;
    let ids = printed(app, 12).await;
    for _ in 0..61 {
        app.run_jobs().await;
        app.advance(TimeDelta::minutes(1));
    }
    let seen = courier(app, "simulated").await;
    assert_eq!(
        (&seen["state"], &seen["last_error"], &seen["region"]),
        (&json!("paused"), &json!("down"), &json!("CN"))
    );
    assert!(
        seen["next_probe_at"].is_string() && seen["since"].is_string() && seen["last_success_at"].is_null(),
        "{seen}"
    );
    assert_eq!(
        seen["queue"]["ready"].as_i64().unwrap() + seen["queue"]["waiting"].as_i64().unwrap(),
        12
    );
    assert_eq!(
        app.get(&app.keys.ops, "/admin/v1/stats").await.is(200)["couriers_paused"],
        1
    );
    assert_eq!(rows::count(&mut app.conn(), "jobs WHERE state = 'dead'"), 0);
    // No order used up more than a few tries, and most none: five to pause it, then one a probe.
    let tries = rows::texts(&mut app.conn(), "CAST(sum(tries) AS text)", "shipment_attempts").remove(0);
    assert!(tries.parse::<i64>().unwrap() <= 5 + 12, "{tries}");
    app.courier_faults(json!({})).await;
    app.advance(TimeDelta::minutes(15));
    app.run_jobs().await;
    assert_eq!(booked(app, &ids).await, 12);
    assert_eq!(app.all_parcels().await.len(), 12, "each of them once");
    let seen = courier(app, "simulated").await;
    assert_eq!((&seen["state"], &seen["next_probe_at"]), (&json!("ok"), &Value::Null));
    assert_eq!(seen["queue"], json!({"ready": 0, "waiting": 0, "unknown": 0}));
    let metrics = app.send(Method::GET, None, "/metrics", None).await.text;
    assert!(
        metrics.contains(r#"safelight_courier_state{courier="simulated",state="ok"} 1"#),
        "{metrics}"
    );
}

#[apply(on_both_engines)]
async fn while_it_is_paused_one_probe_goes_at_a_time_whoever_asks(app: &TestApp) {
    app.courier_faults(json!({"down": {"on": ["book"]}})).await;
    let ids = printed(app, 9).await;
    app.run_jobs().await;
    let sent = || rows::texts(&mut app.conn(), "CAST(sum(tries) AS text)", "shipment_attempts").remove(0);
    assert_eq!(sent(), "5", "the fifth failure pauses it");
    wait(app, 29);
    app.run_jobs().await;
    assert_eq!(sent(), "5");
    wait(app, 2);
    // Two replicas at once.
    futures_util::future::join(app.run_jobs(), app.run_jobs()).await;
    assert_eq!(sent(), "6");
    app.courier_faults(json!({})).await;
    resume(app, "simulated").await.is(200);
    app.run_jobs().await;
    assert_eq!(
        booked(app, &ids).await,
        9,
        "an operator need not wait for the next probe"
    );
    resume(app, "pigeon").await.problem(404, "not_found");
    let floor = app.get(&app.keys.floor, "/admin/v1/couriers").await;
    floor.problem(403, "forbidden");
}

#[apply(on_both_engines)]
async fn refused_credentials_pause_it_at_once_and_no_job_dies_of_them(app: &TestApp) {
    app.courier_faults(json!({"unauthorized": {"on": ["book", "query", "cancel"]}}))
        .await;
    let ids = printed(app, 3).await;
    app.run_jobs().await;
    let sent = || rows::texts(&mut app.conn(), "CAST(sum(tries) AS text)", "shipment_attempts").remove(0);
    assert_eq!(sent(), "1", "the first answer says it all");
    let seen = courier(app, "simulated").await;
    assert_eq!(
        (&seen["state"], &seen["last_error"]),
        (&json!("unauthorized"), &json!("bad_credentials"))
    );
    assert_eq!(
        app.get(&app.keys.ops, "/admin/v1/stats").await.is(200)["couriers_unauthorized"],
        1
    );
    // A day, in which it is asked once an hour at most.
    for _ in 0..48 {
        app.advance(TimeDelta::minutes(30));
        app.run_jobs().await;
    }
    assert!(sent().parse::<i64>().unwrap() <= 28, "{}", sent());
    assert_eq!(rows::count(&mut app.conn(), "jobs WHERE state = 'dead'"), 0);
    app.courier_faults(json!({})).await;
    app.advance(TimeDelta::hours(1));
    app.run_jobs().await;
    assert_eq!((booked(app, &ids).await, app.all_parcels().await.len()), (3, 3));
}

#[apply(on_both_engines)]
async fn refused_credentials_are_noticed_when_a_parcel_is_called_off(app: &TestApp) {
    let id = app.booked().await;
    app.courier_faults(json!({"unauthorized": {"on": ["cancel"]}})).await;
    let path = format!("/admin/v1/orders/{id}/cancel");
    for _ in 0..2 {
        let answer = app.post(&app.keys.ops, &path, json!({"reason": "x"})).await;
        assert_eq!(answer.status, 503);
    }
    assert_eq!(courier(app, "simulated").await["state"], "unauthorized");
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    app.courier_faults(json!({})).await;
    resume(app, "simulated").await.is(200);
    app.post(&app.keys.ops, &path, json!({"reason": "x"})).await.is(200);
    assert_eq!(courier(app, "simulated").await["state"], "ok");
}

#[apply(on_both_engines)]
async fn an_unknown_outcome_is_asked_after_while_the_queue_is_paused(app: &TestApp) {
    app.courier_faults(json!({"drop_after_booking": {"times": 1}, "down": {"times": 1, "on": ["query"]}}))
        .await;
    let unknown = app.printed().await;
    app.run_jobs().await;
    app.courier_faults(json!({"down": {"on": ["book"]}})).await;
    printed(app, 6).await;
    app.run_jobs().await;
    assert_eq!(courier(app, "simulated").await["state"], "paused");
    app.advance(TimeDelta::minutes(6));
    app.run_jobs().await;
    assert_eq!(app.stands(&unknown).await.1, "booked");
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_refused_order_goes_to_the_next_fallback_that_may_carry_it(app: &TestApp) {
    app.courier_faults(json!({"refuse": {"times": 2, "code": "not_served"}}))
        .await;
    let id = app.booked().await;
    let order = app.detail(&id).await;
    // The third is abroad, and nobody consented to that.
    assert_eq!(
        (&order["courier"], &order["shipment"]["attempts"]),
        (&json!("second"), &json!(2))
    );
    let said: Vec<(Value, Value)> = order["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["kind"].clone(), event["code"].clone()))
        .collect();
    assert!(
        said.contains(&(json!("booking_failed"), json!("not_served"))),
        "{said:?}"
    );
    assert!(said.contains(&(json!("fallback"), json!("second"))), "{said:?}");
    let told: Vec<Value> = order["disclosures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["recipient"].clone())
        .collect();
    assert_eq!(told, [json!("simulated"), json!("second")]);
    let consented = fixtures::order_with("/consent/cross_border", json!(true));
    let id = app.booked_as(&consented).await;
    assert_eq!(app.detail(&id).await["courier"], "third");
}

#[apply(on_both_engines)]
#[with(fake())]
async fn when_every_fallback_refuses_too_the_order_waits_for_a_person(app: &TestApp) {
    app.courier_faults(json!({"refuse": {"times": 1}})).await;
    app.fakes[0].script().always = Some(BookError::fail("not_served"));
    let id = app.printed().await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "failed");
    let order = app.detail(&id).await;
    assert_eq!(
        (&order["courier"], &order["shipment"]["attempts"]),
        (&json!("second"), &json!(2))
    );
    assert_eq!(app.run_jobs().await, 0);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn an_unknown_outcome_never_falls_back(app: &TestApp) {
    app.courier_faults(json!({"drop_after_booking": {"times": 1}, "down": {"on": ["query"]}}))
        .await;
    let id = app.printed().await;
    for _ in 0..9 {
        app.run_jobs().await;
        app.advance(TimeDelta::hours(13));
    }
    assert_eq!(app.detail(&id).await["courier"], "simulated");
    assert_eq!(app.stands(&id).await.1, "unknown");
    assert!(app.fakes.iter().all(|fake| fake.script().sent.is_empty()));
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_queue_that_is_paused_for_half_an_hour_hands_its_orders_on(app: &TestApp) {
    app.courier_faults(json!({"down": {"on": ["book"]}})).await;
    let ids = printed(app, 7).await;
    for _ in 0..29 {
        app.run_jobs().await;
        wait(app, 60);
    }
    assert_eq!(booked(app, &ids).await, 0, "it may still come back");
    // Those that probe in vain go on too; those that wait for their next try go on when it comes.
    app.advance(TimeDelta::hours(3));
    app.run_jobs().await;
    assert_eq!(booked(app, &ids).await, 7);
    assert!(app.all_parcels().await.is_empty());
    for id in &ids {
        assert_eq!(app.detail(id).await["courier"], "second");
    }
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_lone_order_that_probes_in_vain_goes_on_too(app: &TestApp) {
    app.courier_faults(json!({"down": {"on": ["book"]}})).await;
    let id = app.printed().await;
    for _ in 0..5 {
        app.run_jobs().await;
        app.advance(TimeDelta::hours(13));
    }
    assert_eq!(courier(app, "simulated").await["state"], "paused");
    app.run_jobs().await;
    assert_eq!(
        (app.detail(&id).await["courier"].clone(), app.stands(&id).await.1),
        (json!("second"), "booked".into())
    );
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_courier_abroad_carries_parcels_to_china_only_with_consent(app: &TestApp) {
    let abroad = fixtures::order_with("/courier", json!("third"));
    let refused = app
        .place(&app.keys.orders, &abroad)
        .await
        .problem(422, "cross_border_consent_required");
    assert_eq!(refused["errors"][0]["pointer"], "/courier");
    let mut consented = fixtures::order_with("/courier", json!("third"));
    fixtures::set(&mut consented, "/consent/cross_border", json!(true));
    let consented = app.placed_as(&consented).await;
    let id = app.placed().await;
    let path = |id: &str| format!("/admin/v1/orders/{id}/courier");
    let answer = app.post(&app.keys.ops, &path(&id), json!({"courier": "third"})).await;
    answer.problem(422, "cross_border_consent_required");
    app.post(&app.keys.ops, &path(&consented), json!({"courier": "second"}))
        .await
        .is(200);
    app.post(&app.keys.ops, &path(&consented), json!({"courier": "third"}))
        .await
        .is(200);
    let mut elsewhere = fixtures::order_with("/courier", json!("third"));
    for (member, value) in [("country", "SG"), ("phone", "+6591234567"), ("postal_code", "123456")] {
        fixtures::set(&mut elsewhere, &format!("/recipient/{member}"), json!(value));
    }
    let elsewhere = app.placed_as(&elsewhere).await;
    let corrected = app
        .put(
            &app.keys.orders,
            &format!("/v1/orders/{elsewhere}/recipient"),
            fixtures::other_recipient(),
        )
        .await;
    corrected.problem(422, "cross_border_consent_required");
}
