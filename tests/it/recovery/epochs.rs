//! Key epochs: what is sealed under one that was given up is gone, and whoever still lives is sealed anew before.

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use safelight::app::recovery::retire_key_epochs;
use serde_json::{Value, json};

use crate::harness::app::{COPY_HORIZON, STUCK_AFTER, TestApp};
use crate::harness::databases::Engine;
use crate::harness::journey::News;
use crate::harness::{fixtures, planted, rows};

async fn retire_now(app: &TestApp) -> safelight::app::recovery::retire_key_epochs::Retired {
    safelight::app::recovery::retire_key_epochs::now(&app.app, |_| {})
        .await
        .unwrap()
}

async fn reveal(app: &TestApp, id: &str) -> crate::harness::answer::Answer {
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), reason)
        .await
}

async fn found(app: &TestApp, body: Value) -> Vec<String> {
    let page = app.post(&app.keys.ops, "/admin/v1/orders/search", body).await.is(200);
    page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The living keys in the vault.
fn keys(app: &TestApp) -> i64 {
    rows::count(
        &mut app.databases.open_vault(),
        "vault_keys WHERE purpose = 'epoch' AND wrapped IS NOT NULL",
    )
}

/// A sealed person as an old copy of the database has it: as an SQL assignment that puts it back.
fn old_copy(app: &TestApp, id: &str) -> String {
    let (sealed, quoted) = match app.databases.engine {
        Engine::Sqlite => ("hex(sealed)", "X'{}'"),
        Engine::Postgres => ("encode(sealed, 'hex')", "'\\x{}'"),
    };
    let from = format!("order_person WHERE order_id = '{id}'");
    let mut conn = app.conn();
    let sealed = rows::texts(&mut conn, sealed, &from).remove(0);
    let epoch = rows::texts(&mut conn, "CAST(epoch AS text)", &from).remove(0);
    let sealed = quoted.replace("{}", &sealed);
    format!("UPDATE order_person SET sealed = {sealed}, epoch = {epoch} WHERE order_id = '{id}'")
}

#[apply(on_both_engines)]
async fn the_living_survive_a_retirement_whole_and_searchable(app: &TestApp) {
    let (id, placed) = (app.booked().await, app.placed().await);
    let heard = app.news_of(&id, "in_transit").await;
    app.webhook(&heard).await.is(200);
    let parked = News {
        reference: None,
        tracking_no: Some(planted::TRACKING.to_owned()),
        status: "in_transit",
        at: app.clock.business_now(),
        remark: Some(planted::REMARK.to_owned()),
    };
    app.webhook(&parked).await.is(200);
    let (_, tracking_no) = app.parcel_of(&id).await;
    let before = app.detail(&id).await;
    let done = retire_now(app).await;
    assert_eq!(
        (done.closed > 0, done.resealed, done.retired > 0, done.destroyed > 0),
        (true, 2, true, true)
    );

    assert_eq!(app.detail(&id).await, before);
    assert!(reveal(app, &placed).await.is(200).to_string().contains(planted::NAME));
    let mut by_phone = found(app, json!({"phone": planted::PHONE})).await;
    by_phone.sort();
    let mut expected = vec![id.clone(), placed.clone()];
    expected.sort();
    assert_eq!(by_phone, expected);
    assert_eq!(
        found(app, json!({"tracking_no": tracking_no})).await,
        std::slice::from_ref(&id)
    );
    // Remarks are still known by what they say, and the parked event still finds its parcel.
    app.webhook(&heard).await.is(200);
    assert_eq!(rows::count(&mut app.conn(), "courier_remark"), 1);
    assert_eq!(rows::count(&mut app.conn(), "parked_events"), 1);
    let mut conn = app.conn();
    for table in ["order_person", "order_tracking", "courier_remark", "parked_events"] {
        let left = format!("{table} WHERE epoch NOT IN (SELECT id FROM key_epochs WHERE state = 'open')");
        assert_eq!(rows::count(&mut conn, &left), 0, "{table}");
    }
}

#[apply(on_both_engines)]
async fn an_old_copy_of_a_row_is_unreadable_and_a_correction_heals_it(app: &TestApp) {
    let id = app.placed().await;
    let copy = old_copy(app, &id);
    retire_now(app).await;
    app.conn().batch_execute(&copy).unwrap();
    let order = app.own(&id).await;
    assert_eq!(
        (&order["recipient"], &order["status"]),
        (&Value::Null, &json!("placed")),
        "the facts stay"
    );
    reveal(app, &id).await.problem(410, "unreadable");
    let ready = app.send(reqwest::Method::GET, None, "/readyz", None).await;
    assert_eq!(ready.status, 200, "the service is ready all the same");
    let path = format!("/v1/orders/{id}/recipient");
    let healed = app
        .put(&app.keys.orders, &path, fixtures::other_recipient())
        .await
        .is(200);
    assert_eq!(healed["recipient"]["name"], "诸***");
    reveal(app, &id).await.is(200);
}

#[apply(on_both_engines)]
async fn a_parcel_with_an_unreadable_recipient_is_not_booked_until_corrected(app: &TestApp) {
    let id = app.printed().await;
    let copy = old_copy(app, &id);
    retire_now(app).await;
    app.conn().batch_execute(&copy).unwrap();
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "failed".into()));
    assert!(app.all_parcels().await.is_empty());
    app.put(
        &app.keys.orders,
        &format!("/v1/orders/{id}/recipient"),
        fixtures::other_recipient(),
    )
    .await
    .is(200);
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
}

#[apply(on_both_engines)]
async fn keys_past_the_copy_horizon_go_every_night_and_younger_ones_stay(app: &TestApp) {
    let id = app.placed().await;
    app.advance(COPY_HORIZON - TimeDelta::days(1));
    app.run_upkeep().await;
    let before = safelight::app::recovery::retire_key_epochs::nightly(&app.app)
        .await
        .unwrap();
    assert_eq!((before.retired, before.destroyed), (0, 0), "not yet");
    let keys_before = keys(app);
    app.advance(TimeDelta::days(3));
    app.run_upkeep().await;
    let done = safelight::app::recovery::retire_key_epochs::nightly(&app.app)
        .await
        .unwrap();
    assert!(done.retired >= 1 && done.destroyed >= 1, "{done:?}");
    assert!(keys(app) < keys_before + 10);
    assert!(COPY_HORIZON < STUCK_AFTER, "the order is still there");
    assert_eq!(app.own(&id).await["recipient"]["name"], "司***");
    let again = safelight::app::recovery::retire_key_epochs::nightly(&app.app)
        .await
        .unwrap();
    assert_eq!((again.retired, again.destroyed), (0, 0), "once");
}

#[apply(on_both_engines)]
async fn no_copy_older_than_the_horizon_is_readable_whenever_it_was_made(app: &TestApp) {
    let part = TimeDelta::days(1) / retire_key_epochs::RUNS_AN_EPOCH;
    let id = app.placed().await;
    let epoch: i64 = rows::texts(&mut app.conn(), "CAST(epoch AS text)", "order_person")
        .remove(0)
        .parse()
        .unwrap();
    // A copy made in the epoch's very first moment, and the last run before it is as old as the horizon.
    app.advance(COPY_HORIZON - part);
    app.run_upkeep().await;
    retire_key_epochs::nightly(&app.app).await.unwrap();
    assert!(
        !app.app.vault.ring().unwrap().knows(epoch),
        "the copy's key is gone before it is that old"
    );
    assert_eq!(app.own(&id).await["recipient"]["name"], "司***", "the living go on");
    // The epoch that is current is never given up, however short the horizon.
    let begun = "key_epochs WHERE state = 'open' AND starts_at <= '2027-01-07 07:00:00'";
    assert!(rows::count(&mut app.conn(), begun) > 0);
    app.placed().await;
}

#[apply(on_both_engines)]
async fn orders_that_nobody_can_read_are_purged_for_that_reason(app: &TestApp) {
    let (ended, stuck, readable) = (app.delivered().await, app.placed().await, app.delivered().await);
    let copies = [old_copy(app, &ended), old_copy(app, &stuck)];
    retire_now(app).await;
    for copy in copies {
        app.conn().batch_execute(&copy).unwrap();
    }
    app.advance(STUCK_AFTER + TimeDelta::days(1));
    app.run_upkeep().await;
    for (id, reason) in [
        (&ended, "key_destroyed"),
        (&stuck, "key_destroyed"),
        (&readable, "retention"),
    ] {
        let receipt = app
            .get(&app.keys.privacy, &format!("/admin/v1/purges/{id}"))
            .await
            .is(200);
        assert_eq!(receipt["reason"], reason);
    }
}

#[apply(on_both_engines)]
async fn orders_placed_while_keys_are_given_up_are_all_readable(app: &TestApp) {
    let orders: Vec<Value> = (0..60).map(|_| fixtures::order()).collect();
    let placing = futures_util::future::join_all(orders.iter().map(|order| app.place(&app.keys.orders, order)));
    let retiring = async {
        for _ in 0..4 {
            retire_now(app).await;
        }
    };
    let (answers, ()) = futures_util::future::join(placing, retiring).await;
    for answer in answers {
        let id = answer.is(201)["id"].as_str().unwrap().to_owned();
        assert_eq!(app.own(&id).await["recipient"]["name"], "司***");
    }
    retire_now(app).await;
    let mut conn = app.conn();
    let left = "order_person WHERE epoch NOT IN (SELECT id FROM key_epochs WHERE state = 'open')";
    assert_eq!(rows::count(&mut conn, left), 0);
}

#[apply(on_both_engines)]
async fn a_value_moved_to_another_row_does_not_open(app: &TestApp) {
    let (one, two) = (app.placed().await, app.placed().await);
    let moved = old_copy(app, &one).replace(&format!("order_id = '{one}'"), &format!("order_id = '{two}'"));
    app.conn().batch_execute(&moved).unwrap();
    assert_eq!(app.own(&two).await["recipient"], Value::Null);
    assert_eq!(app.own(&one).await["recipient"]["name"], "司***");
}
