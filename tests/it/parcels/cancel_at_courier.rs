//! A booked parcel is called off at its courier first; the courier's answer decides, and an interruption is finished.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use safelight::couriers::{CallError, CancelAnswer};
use safelight::domain::job::Job;
use safelight::domain::shipment::CallingOff;
use safelight::store::shipments::{self, Change};
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::app::{Options, TestApp};
use crate::harness::{fixtures, planted, rows};

fn fake() -> Options {
    Options {
        fakes: &[("second", "CN", true)],
        ..Options::default()
    }
}

async fn booked(app: &TestApp) -> String {
    app.booked_as(&fixtures::order_with("/courier", json!("second"))).await
}

async fn cancel(app: &TestApp, id: &str) -> Answer {
    app.post(
        &app.keys.orders,
        &format!("/v1/orders/{id}/cancel"),
        json!({"reason": planted::REASON}),
    )
    .await
}

async fn correct(app: &TestApp, id: &str) -> Answer {
    app.put(
        &app.keys.orders,
        &format!("/v1/orders/{id}/recipient"),
        fixtures::other_recipient(),
    )
    .await
}

/// What a process leaves that was killed after the courier said yes and before its own second transaction.
fn interrupted(app: &TestApp, id: &str, why: CallingOff) {
    let (order, now, wall) = (id.parse().unwrap(), app.clock.business_now(), app.clock.wall_now());
    app.app
        .orders
        .write_blocking(|conn| {
            let attempt = shipments::of_order(conn, order, 1)?.unwrap();
            shipments::change_in_tx(conn, attempt.id, &Change::at(now).calling_off(Some(why)))?;
            safelight::store::jobs::enqueue_in_tx(conn, Job::CallOff(attempt.id), now, wall)
        })
        .unwrap();
}

#[apply(on_both_engines)]
#[with(fake())]
async fn what_the_courier_refuses_stays_booked(app: &TestApp) {
    let id = booked(app).await;
    let refused = || {
        Ok(CancelAnswer::Refused {
            code: "too_late".to_owned(),
        })
    };
    app.fakes[0].script().cancel.extend([refused(), refused()]);
    cancel(app, &id).await.problem(409, "not_cancellable");
    correct(app, &id).await.problem(409, "not_cancellable");
    app.advance(TimeDelta::hours(2));
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    assert_eq!(app.fakes[0].script().cancelled, 2, "its word is taken");
    assert_eq!(rows::count(&mut app.conn(), "jobs"), 0);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn where_the_courier_gives_no_answer_a_job_goes_on_asking(app: &TestApp) {
    let (cancelled, corrected) = (booked(app).await, booked(app).await);
    app.fakes[0].script().mute = Some(CallError::new("timeout"));
    assert_eq!(cancel(app, &cancelled).await.status, 503);
    assert_eq!(correct(app, &corrected).await.status, 503);
    app.run_jobs().await;
    assert_eq!(app.stands(&cancelled).await, ("printed".into(), "booked".into()));
    app.fakes[0].script().mute = None;
    app.advance(TimeDelta::minutes(10));
    app.run_jobs().await;
    assert_eq!(app.stands(&cancelled).await, ("cancelled".into(), "cancelled".into()));
    let order = app.detail(&corrected).await;
    assert_eq!(
        (&order["shipment"]["state"], &order["shipment"]["last_error"]),
        (&json!("failed"), &json!("correction_interrupted"))
    );
    // Whoever wanted it corrects again, and it is booked anew.
    correct(app, &corrected).await.is(200);
    app.run_jobs().await;
    assert_eq!(app.stands(&corrected).await, ("printed".into(), "booked".into()));
    assert_eq!(app.detail(&corrected).await["shipment"]["attempts"], 2);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_process_killed_between_the_courier_and_its_own_books_is_finished(app: &TestApp) {
    let (cancelled, corrected) = (booked(app).await, booked(app).await);
    interrupted(app, &cancelled, CallingOff::Cancel);
    interrupted(app, &corrected, CallingOff::Correct);
    app.run_jobs().await;
    assert_eq!(app.stands(&cancelled).await, ("cancelled".into(), "cancelled".into()));
    assert_eq!(app.stands(&corrected).await, ("printed".into(), "failed".into()));
    assert_eq!(
        app.get(&app.keys.ops, "/admin/v1/stats").await.is(200)["shipments_failed"],
        1
    );
    assert_eq!(rows::count(&mut app.conn(), "jobs"), 0);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_verb_that_ends_as_it_should_leaves_its_job_nothing_to_do(app: &TestApp) {
    let (cancelled, corrected) = (booked(app).await, booked(app).await);
    cancel(app, &cancelled).await.is(200);
    correct(app, &corrected).await.is(200);
    app.advance(TimeDelta::hours(1));
    app.run_jobs().await;
    assert_eq!(app.fakes[0].script().cancelled, 2);
    assert_eq!(app.stands(&corrected).await, ("printed".into(), "booked".into()));
    assert_eq!(app.detail(&corrected).await["shipment"]["attempts"], 2);
    assert_eq!(
        rows::count(&mut app.conn(), "shipment_attempts WHERE calling_off IS NOT NULL"),
        0
    );
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_parcel_that_left_while_a_job_called_it_off_goes_its_way(app: &TestApp) {
    let id = booked(app).await;
    interrupted(app, &id, CallingOff::Cancel);
    app.fakes[0].script().cancel.push_back(Ok(CancelAnswer::Refused {
        code: "too_late".to_owned(),
    }));
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    let events: Value = app.detail(&id).await["events"].clone();
    assert!(!events.to_string().contains("cancelled"), "{events}");
}
