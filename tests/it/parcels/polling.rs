//! Parcels without news are asked for, by any number of replicas, within what their courier allows.

use std::time::Duration;

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use safelight::couriers::{Booked, CallError};
use safelight::domain::shipment::TrackingStatus;
use safelight::privacy::Pii;
use serde_json::json;

use crate::harness::app::{Options, TestApp};
use crate::harness::fixtures;
use crate::harness::{planted, rows};

fn fake() -> Options {
    Options {
        fakes: &[("second", "CN", true)],
        ..Options::default()
    }
}

async fn with_second(app: &TestApp) -> String {
    app.booked_as(&fixtures::order_with("/courier", json!("second"))).await
}

#[apply(on_both_engines)]
async fn a_parcel_without_news_is_asked_for_until_it_ends(app: &TestApp) {
    let id = app.booked().await;
    assert_eq!(app.run_polls().await, 0);
    app.advance(TimeDelta::hours(11));
    assert_eq!(app.run_polls().await, 0, "not yet quiet for long");
    app.advance(TimeDelta::hours(2));
    assert_eq!(app.run_polls().await, 1);
    assert_eq!(app.detail(&id).await["status"], "shipped");
    assert_eq!(app.run_polls().await, 0);
    app.advance(TimeDelta::hours(20));
    assert_eq!(app.run_polls().await, 1);
    assert_eq!(app.detail(&id).await["status"], "delivered");
    app.advance(TimeDelta::days(3));
    assert_eq!(app.run_polls().await, 0);
    assert_eq!(
        rows::count(&mut app.conn(), "shipment_attempts WHERE poll_at IS NOT NULL"),
        0
    );
}

#[apply(on_both_engines)]
async fn news_puts_the_question_off(app: &TestApp) {
    let id = app.booked().await;
    app.advance(TimeDelta::hours(11));
    app.hears(&id, "picked_up").await;
    app.advance(TimeDelta::hours(11));
    assert_eq!(app.run_polls().await, 0);
    app.advance(TimeDelta::hours(2));
    assert_eq!(app.run_polls().await, 1);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn an_order_that_ended_otherwise_is_not_asked_for(app: &TestApp) {
    let id = with_second(app).await;
    let mark = json!({"status": "lost", "reason": planted::REASON});
    app.post(&app.keys.ops, &format!("/admin/v1/orders/{id}/mark"), mark)
        .await
        .is(200);
    let cancelled = with_second(app).await;
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.ops, &format!("/admin/v1/orders/{cancelled}/cancel"), reason)
        .await
        .is(200);
    app.advance(TimeDelta::days(2));
    assert_eq!(app.run_polls().await, 0);
    assert!(app.fakes[0].script().tracked.is_empty());
}

#[apply(on_both_engines)]
#[with(fake())]
async fn many_replicas_ask_for_each_parcel_once_in_batches_of_the_couriers_size(app: &TestApp) {
    for _ in 0..7 {
        with_second(app).await;
    }
    app.advance(TimeDelta::hours(13));
    let asked = futures_util::future::join_all((0..4).map(|_| app.run_polls())).await;
    assert_eq!(asked.iter().sum::<usize>(), 7, "{asked:?}");
    let tracked = app.fakes[0].script().tracked.clone();
    assert_eq!(tracked.iter().sum::<usize>(), 7);
    assert!(tracked.iter().all(|count| *count <= 2), "{tracked:?}");
    // Business time may run fast; how often a parcel is asked for is real time.
    app.clock.advance_business(TimeDelta::days(1));
    assert_eq!(app.run_polls().await, 0);
    app.clock.advance_wall(TimeDelta::seconds(61));
    assert_eq!(app.run_polls().await, 7);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_courier_that_does_not_answer_is_asked_again_later(app: &TestApp) {
    let id = with_second(app).await;
    app.advance(TimeDelta::hours(13));
    app.fakes[0].script().mute = Some(CallError::new("down"));
    app.run_polls().await;
    assert_eq!(app.fakes[0].script().tracked, [1]);
    app.run_polls().await;
    assert_eq!(app.fakes[0].script().tracked, [1], "not at once");
    app.fakes[0].script().mute = None;
    app.fakes[0].script().status = Some(TrackingStatus::Delivered);
    app.advance(TimeDelta::hours(13));
    app.run_polls().await;
    assert_eq!(app.detail(&id).await["status"], "delivered");
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_parcel_its_courier_will_not_speak_of_keeps_no_other_from_being_asked(app: &TestApp) {
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(with_second(app).await);
    }
    let (reference, _) = app.parcel_of(&ids[2]).await;
    app.fakes[0].script().unspoken.push(reference);
    app.fakes[0].script().status = Some(TrackingStatus::Delivered);
    app.advance(TimeDelta::hours(13));
    app.run_polls().await;
    for (index, id) in ids.iter().enumerate() {
        let status = if index == 2 { "printed" } else { "delivered" };
        assert_eq!(app.detail(id).await["status"], status, "{index}");
    }
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_courier_that_is_down_is_not_asked_for_every_parcel(app: &TestApp) {
    for _ in 0..9 {
        with_second(app).await;
    }
    app.advance(TimeDelta::hours(13));
    app.fakes[0].script().mute = Some(CallError::new("down"));
    app.run_polls().await;
    assert_eq!(app.fakes[0].script().tracked, [2, 1, 1]);
    app.fakes[0].script().mute = Some(CallError {
        after: Some(Duration::from_secs(60)),
        ..CallError::new("busy")
    });
    app.run_polls().await;
    assert_eq!(app.fakes[0].script().tracked, [2, 1, 1, 2], "a wish is heard at once");
}

#[apply(on_both_engines)]
#[with(fake())]
async fn refused_credentials_stop_the_questions_until_a_probe(app: &TestApp) {
    with_second(app).await;
    with_second(app).await;
    with_second(app).await;
    app.advance(TimeDelta::hours(13));
    app.fakes[0].script().mute = Some(CallError::unauthorized("bad_key"));
    app.run_polls().await;
    app.run_polls().await;
    assert_eq!(app.fakes[0].script().tracked.len(), 1, "one refusal is enough");
    app.fakes[0].script().mute = None;
    app.advance(TimeDelta::minutes(6));
    assert_eq!(app.run_polls().await, 1, "what was not asked for yet");
    app.advance(TimeDelta::hours(13));
    assert_eq!(app.run_polls().await, 3);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_booking_accepted_without_a_number_gets_it_later(app: &TestApp) {
    app.fakes[0].script().book.push_back(Ok(Booked::under(None)));
    let id = with_second(app).await;
    assert_eq!(app.parcel_of(&id).await.1, None);
    app.advance(TimeDelta::minutes(31));
    app.run_polls().await;
    assert_eq!(app.parcel_of(&id).await.1, None, "the courier has none yet");
    app.fakes[0].script().found = Some(Booked::under(Some(Pii::new(planted::TRACKING.to_owned()))));
    app.advance(TimeDelta::minutes(31));
    app.run_polls().await;
    assert_eq!(app.parcel_of(&id).await.1.as_deref(), Some(planted::TRACKING));
    let found = app
        .post(
            &app.keys.ops,
            "/admin/v1/orders/search",
            json!({"tracking_no": planted::TRACKING}),
        )
        .await
        .is(200);
    assert_eq!(found["data"][0]["id"], json!(id));
}
