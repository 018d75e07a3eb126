//! The end of a person's data: when, how, and what stays.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::domain::actor::Actor;
use serde_json::{Value, json};

use crate::harness::app::{TestApp, WINDOW};
use crate::harness::{fixtures, planted, rows};

async fn run(app: &TestApp, dry_run: bool) -> Value {
    let path = format!("/admin/v1/retention/run?dry_run={dry_run}");
    app.send(Method::POST, Some(&app.keys.privacy), &path, None)
        .await
        .is(200)
}

async fn purge(app: &TestApp, id: &str) -> crate::harness::answer::Answer {
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/purge"), reason)
        .await
}

#[apply(on_both_engines)]
async fn a_person_is_kept_for_the_window_and_not_a_second_longer(app: &TestApp) {
    let id = app.delivered().await;
    // `delivered` moved the clock one second on after the end.
    app.advance(WINDOW - TimeDelta::seconds(2));
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&id)[0], 1);
    app.advance(TimeDelta::seconds(1));
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
}

#[apply(on_both_engines)]
async fn facts_survive_the_purge_and_the_person_does_not(app: &TestApp) {
    let body = fixtures::order();
    let id = app.booked_as(&body).await;
    app.hears(&id, "delivered").await;
    let before = app.own(&id).await;
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    let after = app.own(&id).await;
    for fact in [
        "id",
        "reference",
        "status",
        "items",
        "amount",
        "currency",
        "courier",
        "created_at",
        "ended_at",
    ] {
        assert_eq!(after[fact], before[fact], "{fact}");
    }
    assert_eq!(after["recipient"], Value::Null);
    assert_eq!(after["shipment"]["tracking_no"], Value::Null);
    assert!(after["purged_at"].is_string());
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    let mut conn = app.conn();
    let provider = format!("shipment_attempts WHERE order_id = '{id}' AND provider_ref IS NOT NULL");
    assert_eq!(rows::count(&mut conn, &provider), 0);
    assert_eq!(
        app.place(&app.keys.orders, &body).await.status,
        409,
        "the reference stays taken"
    );
}

#[apply(on_both_engines)]
async fn no_column_holds_anything_of_the_person_after_the_purge(app: &TestApp) {
    let id = app.purged().await;
    let mut conn = app.conn();
    for table in rows::tables(&mut conn, app.databases.engine) {
        for row in rows::dump(&mut conn, app.databases.engine, &table) {
            assert_eq!(planted::find(&planted::UNLOGGED, &row), None, "in {table}");
            for sealed in [
                "order_person",
                "courier_remark",
                "order_label",
                "order_tracking",
                "parked_events",
            ] {
                assert!(table != sealed, "{table} still has a row");
            }
        }
    }
    assert_eq!(app.detail(&id).await["recipient"], Value::Null);
}

#[apply(on_both_engines)]
async fn the_receipt_says_when_why_and_what_and_its_chain_holds(app: &TestApp) {
    let id = app.purged().await;
    let receipt = app
        .get(&app.keys.privacy, &format!("/admin/v1/purges/{id}"))
        .await
        .is(200);
    assert_eq!(
        (&receipt["order_id"], &receipt["reason"]),
        (&json!(id), &json!("retention"))
    );
    assert!(receipt["purged_at"].is_string() && receipt["hash"].as_str().is_some_and(|hash| hash.len() == 64));
    let page = app.get(&app.keys.privacy, "/admin/v1/purges").await.is(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    let verified = app.get(&app.keys.admin, "/admin/v1/audit/verify").await.is(200);
    assert_eq!(verified["ok"], true);
    assert!(
        verified["entries"].as_i64().unwrap() >= 6,
        "five keys and a purge: {verified}"
    );
    let living = app.placed().await;
    let none = app.get(&app.keys.privacy, &format!("/admin/v1/purges/{living}")).await;
    none.problem(404, "not_found");
}

#[apply(on_both_engines)]
async fn a_changed_audit_entry_breaks_the_chain(app: &TestApp) {
    app.purged().await;
    {
        use diesel::connection::SimpleConnection;
        app.conn()
            .batch_execute("UPDATE audit_log SET actor = 'nobody' WHERE seq = 2")
            .unwrap();
    }
    let verified = app.get(&app.keys.admin, "/admin/v1/audit/verify").await.is(200);
    assert_eq!(verified["ok"], false, "{verified}");
}

#[apply(on_both_engines)]
async fn a_dry_run_tells_what_would_go_and_touches_nothing(app: &TestApp) {
    let ids = [app.delivered().await, app.delivered().await];
    app.placed().await;
    assert_eq!(run(app, true).await, json!({"due": 0, "purged": 0, "held": 0}));
    app.advance(WINDOW + TimeDelta::minutes(1));
    assert_eq!(run(app, true).await, json!({"due": 2, "purged": 0, "held": 0}));
    for id in &ids {
        assert_eq!(app.personal_rows(id)[0], 1);
    }
    assert_eq!(run(app, false).await, json!({"due": 2, "purged": 2, "held": 0}));
    assert_eq!(run(app, false).await, json!({"due": 0, "purged": 0, "held": 0}));
    assert_eq!(
        rows::count(&mut app.conn(), "order_person"),
        1,
        "only what was due went"
    );
}

#[apply(on_both_engines)]
async fn a_purge_on_request_waits_for_what_is_under_way(app: &TestApp) {
    let (draft, placed) = (app.placed_as(&fixtures::draft()).await, app.placed().await);
    let delivered = app.delivered().await;
    let printing = app.placed().await;
    while !app.claim(100).await.contains(&printing) {}
    purge(app, &printing).await.problem(409, "in_fulfilment");
    let (printed, shipped) = (app.booked().await, app.shipped().await);
    for id in [&printed, &shipped] {
        purge(app, id).await.problem(409, "in_fulfilment");
        assert_eq!(app.personal_rows(id)[0], 1);
    }
    // `placed` was claimed with the others when the floor emptied the queue.
    let release = json!({"operator": "wang"});
    app.post(&app.keys.floor, &format!("/admin/v1/orders/{placed}/release"), release)
        .await
        .is(200);
    for (id, status) in [(&draft, "cancelled"), (&placed, "cancelled"), (&delivered, "delivered")] {
        let receipt = purge(app, id).await.is(200);
        assert_eq!(
            (&receipt["order_id"], &receipt["reason"]),
            (&json!(id), &json!("operator"))
        );
        assert_eq!(app.personal_rows(id), [0, 0, 0]);
        assert_eq!(app.own(id).await["status"], status);
    }
}

#[apply(on_both_engines)]
async fn a_purge_that_was_decided_is_finished_by_whoever_comes_next(app: &TestApp) {
    let id = app.delivered().await;
    let order = id.parse().unwrap();
    let now = app.clock.business_now();
    app.app
        .orders
        .write_blocking(|conn| {
            use safelight::domain::retention::PurgeReason;
            safelight::store::purges::decide_in_tx(conn, &[order], PurgeReason::Request, now)
        })
        .unwrap();
    assert_eq!(
        app.own(&id).await["recipient"],
        Value::Null,
        "decided is gone, for everybody"
    );
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    let receipt = app
        .get(&app.keys.privacy, &format!("/admin/v1/purges/{id}"))
        .await
        .is(200);
    assert_eq!(receipt["reason"], "request");
}

#[apply(on_both_engines)]
async fn two_sweeps_at_once_purge_every_order_once(app: &TestApp) {
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(app.delivered().await);
    }
    app.advance(WINDOW + TimeDelta::minutes(1));
    let sweeps = (0..4).map(|_| safelight::app::retention::purge::sweep(&app.app, &Actor::System));
    let purged: i64 = futures_util::future::join_all(sweeps)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    assert_eq!(purged, 6);
    assert_eq!(rows::count(&mut app.conn(), "purge_receipts"), 6);
    let verified = app.get(&app.keys.admin, "/admin/v1/audit/verify").await.is(200);
    assert_eq!(verified["ok"], true);
}

#[apply(on_both_engines)]
async fn an_order_is_replayed_by_its_key_after_its_purge_without_its_person(app: &TestApp) {
    let body = fixtures::order();
    let id = app
        .place_as(&app.keys.orders, "planted-key-purged", &body)
        .await
        .is(201)["id"]
        .clone();
    purge(app, id.as_str().unwrap()).await.is(200);
    let again = app
        .place_as(&app.keys.orders, "planted-key-purged", &body)
        .await
        .is(201);
    assert_eq!((&again["id"], &again["recipient"]), (&id, &Value::Null));
    assert_eq!(rows::count(&mut app.conn(), "order_person"), 0);
}
