//! What completing a request does to its orders, wherever they are in their lives, whatever comes between.

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::app::retention::{prove, purge};
use safelight::app::subject_requests::reconcile;
use safelight::domain::actor::Actor;
use safelight::domain::journal::JournalKind;
use safelight::domain::retention::PurgeReason;
use safelight::store::purges;
use serde_json::json;

use super::{REQUESTS, asked, asked_id, complete, done, outcome, read, receipt, refuse, requester};
use crate::harness::app::TestApp;
use crate::harness::{fixtures, planted, rows};

async fn hold(app: &TestApp, id: &str) {
    let until = app.clock.business_now() + TimeDelta::days(60);
    let body = json!({"reason": planted::REASON, "until": until});
    app.put(&app.keys.privacy, &format!("/admin/v1/orders/{id}/hold"), body)
        .await
        .is(200);
}

async fn lift(app: &TestApp, id: &str) {
    let path = format!("/admin/v1/orders/{id}/hold");
    app.send(Method::DELETE, Some(&app.keys.privacy), &path, None)
        .await
        .is(200);
}

/// Purged for that reason, with nothing left and a receipt that stands.
async fn is_purged(app: &TestApp, id: &str, reason: &str) {
    assert_eq!(app.personal_rows(id), [0, 0, 0], "{id}");
    assert_eq!(receipt(app, id).await["reason"], reason);
    for check in prove::prove(&app.app).await.unwrap() {
        assert!(check.findings.is_empty(), "{}: {:?}", check.what, check.findings);
    }
}

#[apply(on_both_engines)]
async fn a_deletion_purges_what_can_go_restricts_what_moves_names_what_is_held(app: &TestApp) {
    let draft = app.placed_as(&fixtures::draft()).await;
    let delivered = app.delivered().await;
    let shipped = app.shipped().await;
    let printed = app.printed().await;
    let held = app.delivered().await;
    hold(app, &held).await;
    let gone = app.placed().await;
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{gone}/purge"), reason)
        .await
        .is(200);
    let placed = app.placed().await;
    let all = [&draft, &placed, &delivered, &shipped, &printed, &held, &gone];
    let request = done(app, "delete", &all).await;
    assert_eq!(request["orders"].as_array().unwrap().len(), all.len());
    for (id, expected) in [
        (&draft, "purged"),
        (&placed, "purged"),
        (&delivered, "purged"),
        (&gone, "purged"),
        (&shipped, "restricted"),
        (&printed, "restricted"),
        (&held, "held"),
    ] {
        assert_eq!(outcome(&request, id), expected, "{request}");
    }
    for id in [&draft, &placed, &delivered] {
        is_purged(app, id, "request").await;
    }
    is_purged(app, &gone, "operator").await;
    assert_eq!(app.stands(&draft).await.0, "cancelled");
    assert!(app.detail(&shipped).await["restricted_at"].is_string());
    // On their way: they end as always, and go at once.
    app.run_jobs().await;
    for id in [&shipped, &printed] {
        app.hears(id, "delivered").await;
        app.run_upkeep().await;
        is_purged(app, id, "request").await;
    }
    lift(app, &held).await;
    app.run_upkeep().await;
    is_purged(app, &held, "request").await;
    let request = read(app, request["id"].as_str().unwrap()).await;
    assert!(
        request["orders"]
            .as_array()
            .unwrap()
            .iter()
            .all(|order| order["outcome"] == "purged"),
        "{request}"
    );
    assert_eq!(request["orders"][1]["purge_reason"], "request");
}

#[apply(on_both_engines)]
async fn a_restricted_order_is_seen_to_be_and_shown_only_with_a_second_key(app: &TestApp) {
    let id = app.shipped().await;
    done(app, "delete", &[&id]).await;
    let own = app.own(&id).await;
    assert!(own["restricted_at"].is_string() && own["purged_at"].is_null(), "{own}");
    let timeline = app
        .get(&app.keys.orders, &format!("/v1/orders/{id}/events"))
        .await
        .is(200);
    let event = timeline["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["kind"] == "restricted")
        .unwrap();
    assert_eq!(event["code"], "request");
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), reason)
        .await
        .is(202);
    app.hears(&id, "delivered").await;
    let ended = app.detail(&id).await;
    assert_eq!(
        ended["purge_due_at"], ended["ended_at"],
        "no window is waited for: {ended}"
    );
}

#[apply(on_both_engines)]
async fn an_order_back_in_the_queue_is_called_off_and_never_claimed_again(app: &TestApp) {
    let id = app.placed().await;
    while !app.claim(100).await.contains(&id) {}
    let request = done(app, "delete", &[&id]).await;
    assert_eq!(outcome(&request, &id), "restricted", "it is being printed");
    app.advance(crate::harness::app::LEASE + TimeDelta::seconds(1));
    assert!(!app.claim(100).await.contains(&id));
    app.run_upkeep().await;
    assert_eq!(app.stands(&id).await.0, "cancelled");
    is_purged(app, &id, "request").await;
}

#[apply(on_both_engines)]
async fn a_withdrawal_calls_off_what_is_not_shipped_and_lets_the_rest_arrive(app: &TestApp) {
    let draft = app.placed_as(&fixtures::draft()).await;
    let (booked, shipped) = (app.booked().await, app.shipped().await);
    let waiting = app.printed().await;
    let printing = app.placed().await;
    while !app.claim(100).await.contains(&printing) {}
    let (reference, _) = app.parcel_of(&booked).await;
    let request = done(
        app,
        "withdraw_consent",
        &[&draft, &booked, &shipped, &waiting, &printing],
    )
    .await;
    for id in [&draft, &booked, &waiting, &printing] {
        assert_eq!(outcome(&request, id), "purged", "{request}");
        assert_eq!(app.stands(id).await.0, "cancelled");
        is_purged(app, id, "consent_withdrawn").await;
    }
    assert_eq!(
        app.parcels(&reference).await[0]["cancelled"],
        true,
        "the courier was told"
    );
    app.print(&printing).await.problem(410, "purged");
    assert_eq!(outcome(&request, &shipped), "restricted");
    app.hears(&shipped, "delivered").await;
    app.run_upkeep().await;
    is_purged(app, &shipped, "consent_withdrawn").await;
}

#[apply(on_both_engines)]
async fn a_courier_that_does_not_answer_is_asked_again_until_it_does(app: &TestApp) {
    let id = app.booked().await;
    app.courier_faults(json!({"down": {"on": ["cancel"]}})).await;
    let request = done(app, "withdraw_consent", &[&id]).await;
    assert_eq!(
        (&request["state"], outcome(&request, &id)),
        (&json!("completed"), "pending")
    );
    app.run_upkeep().await;
    assert_eq!(app.stands(&id).await.0, "printed");
    app.courier_faults(json!({})).await;
    app.run_upkeep().await;
    is_purged(app, &id, "consent_withdrawn").await;
}

#[apply(on_both_engines)]
async fn a_courier_that_no_longer_calls_off_delivers_and_the_order_goes_then(app: &TestApp) {
    let id = app.booked().await;
    app.advance(TimeDelta::days(20));
    let request = done(app, "withdraw_consent", &[&id]).await;
    assert_eq!(outcome(&request, &id), "restricted", "{request}");
    app.run_upkeep().await;
    let refused = format!("order_events WHERE order_id = '{id}' AND kind = 'call_off_refused'");
    assert_eq!(rows::count(&mut app.conn(), &refused), 1, "it is asked once");
    app.hears(&id, "delivered").await;
    app.run_upkeep().await;
    is_purged(app, &id, "consent_withdrawn").await;
}

#[apply(on_both_engines)]
async fn after_a_withdrawal_nothing_is_begun_although_a_hold_keeps_the_order(app: &TestApp) {
    let (printed, draft) = (app.printed().await, app.placed_as(&fixtures::draft()).await);
    hold(app, &printed).await;
    hold(app, &draft).await;
    let request = done(app, "withdraw_consent", &[&printed, &draft]).await;
    assert_eq!(
        (outcome(&request, &printed), outcome(&request, &draft)),
        ("held", "held")
    );
    let confirm = format!("/v1/orders/{draft}/confirm");
    app.send(Method::POST, Some(&app.keys.orders), &confirm, None)
        .await
        .problem(409, "restricted");
    lift(app, &printed).await;
    app.run_jobs().await;
    assert!(app.all_parcels().await.is_empty(), "the courier is told nothing");
    let path = format!("/v1/orders/{printed}/recipient");
    app.put(&app.keys.orders, &path, fixtures::other_recipient())
        .await
        .problem(409, "consent_withdrawn");
    let retry = format!("/admin/v1/orders/{printed}/shipment/retry");
    app.send(Method::POST, Some(&app.keys.ops), &retry, None)
        .await
        .problem(409, "consent_withdrawn");
    app.run_upkeep().await;
    is_purged(app, &printed, "consent_withdrawn").await;
    app.advance(TimeDelta::days(61));
    app.run_upkeep().await;
    is_purged(app, &draft, "consent_withdrawn").await;
}

#[apply(on_both_engines)]
async fn a_hold_before_the_end_keeps_a_restricted_order_until_it_is_lifted(app: &TestApp) {
    let id = app.shipped().await;
    let request = asked_id(app, "delete", &[&id]).await;
    assert_eq!(outcome(&complete(app, &request).await.is(200), &id), "restricted");
    hold(app, &id).await;
    app.hears(&id, "delivered").await;
    app.run_upkeep().await;
    assert_eq!(outcome(&read(app, &request).await, &id), "held");
    assert_eq!(app.personal_rows(&id)[0], 1);
    lift(app, &id).await;
    app.run_upkeep().await;
    is_purged(app, &id, "request").await;
}

#[apply(on_both_engines)]
async fn a_withdrawal_after_a_deletion_also_calls_off_what_is_printed(app: &TestApp) {
    let id = app.booked().await;
    assert_eq!(outcome(&done(app, "delete", &[&id]).await, &id), "restricted");
    assert_eq!(outcome(&done(app, "withdraw_consent", &[&id]).await, &id), "purged");
    is_purged(app, &id, "consent_withdrawn").await;
}

#[apply(on_both_engines)]
async fn what_a_crash_cut_off_is_finished_from_wherever_it_was(app: &TestApp) {
    let (after_journal, after_answer, after_decision) = (app.delivered().await, app.placed().await, app.placed().await);
    // Killed after the request was completed, before anything was journalled.
    let id = asked_id(app, "delete", &[&after_answer]).await;
    let complete = format!(
        "UPDATE subject_requests SET state = 'completed', closed_at = created_at, closed_by = created_by, journal = NULL \
         WHERE id = '{id}'"
    );
    app.conn().batch_execute(&complete).unwrap();
    // Killed after the journal, before the order was marked.
    let entry = safelight::store::vault::journal::NewEntry {
        kind: JournalKind::Restrict,
        subject: after_journal.clone(),
        detail: "consent_withdrawn".to_owned(),
    };
    let vault = app.app.vault.clone();
    actix_web::rt::task::spawn_blocking(move || vault.journal(vec![entry]).unwrap())
        .await
        .unwrap();
    // Killed after the decision, before the destruction.
    let (decided, now) = (after_decision.parse().unwrap(), app.clock.business_now());
    app.app
        .orders
        .write_blocking(|conn| purges::decide_in_tx(conn, &[decided], PurgeReason::Request, now))
        .unwrap();

    safelight::app::recovery::restore::catch_up(&app.app).await.unwrap();
    app.run_upkeep().await;
    is_purged(app, &after_answer, "request").await;
    is_purged(app, &after_journal, "consent_withdrawn").await;
    is_purged(app, &after_decision, "request").await;
    let unsettled = "subject_requests WHERE journal IS NULL";
    assert_eq!(rows::count(&mut app.conn(), unsettled), 0);
    let journalled = format!("journal WHERE kind = 'restrict' AND subject = '{after_answer}'");
    assert_eq!(rows::count(&mut app.databases.open_vault(), &journalled), 1);
}

#[apply(on_both_engines)]
async fn two_desks_that_answer_at_once_leave_one_answer(app: &TestApp) {
    for _ in 0..3 {
        let order = app.delivered().await;
        let id = asked_id(app, "delete", &[&order]).await;
        let (done, refused) = futures_util::future::join(complete(app, &id), refuse(app, &id)).await;
        let state = read(app, &id).await["state"].clone();
        match (done.status, refused.status) {
            (200, 409) => {
                assert_eq!(state, "completed");
                is_purged(app, &order, "request").await;
            }
            (409, 200) => {
                assert_eq!(state, "refused");
                app.run_upkeep().await;
                assert_eq!(app.personal_rows(&order)[0], 1, "a refused request destroys nothing");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[apply(on_both_engines)]
async fn after_a_full_life_and_a_deletion_no_row_holds_anything_of_the_person(app: &TestApp) {
    let id = app.delivered().await;
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), reason)
        .await
        .is(200);
    let body = json!({"kind": "delete", "phone": planted::PHONE, "requester": requester()});
    let request = asked(app, body).await["id"].as_str().unwrap().to_owned();
    let exported = app
        .get(&app.keys.privacy, &format!("{}/{request}/export", REQUESTS))
        .await;
    assert!(exported.text.contains(planted::NAME));
    complete(app, &request).await.is(200);
    is_purged(app, &id, "request").await;
    assert_eq!(rows::count(&mut app.conn(), "subject_request_texts"), 0);
    let databases = [(app.conn(), "orders"), (app.databases.open_vault(), "vault")];
    for (mut conn, name) in databases {
        for table in rows::tables(&mut conn, app.databases.engine) {
            for row in rows::dump(&mut conn, app.databases.engine, &table) {
                let leaked = planted::find(&planted::UNLOGGED, &row);
                assert_eq!(leaked, None, "a row of {name}.{table}");
            }
        }
    }
}

#[apply(on_both_engines)]
async fn other_kinds_change_no_order(app: &TestApp) {
    let id = app.delivered().await;
    for kind in ["access", "copy", "correct"] {
        let request = done(app, kind, &[&id]).await;
        assert_eq!(
            (&request["state"], outcome(&request, &id)),
            (&json!("completed"), "unchanged")
        );
    }
    assert!(app.detail(&id).await["restricted_at"].is_null());
    assert_eq!(reconcile::pursue_all(&app.app).await.unwrap(), 0);
    purge::sweep(&app.app, &Actor::System).await.unwrap();
    assert_eq!(app.personal_rows(&id)[0], 1);
    let guardian = json!({"kind": "delete", "order_ids": [id], "requester": {"role": "guardian", "verified_by": "x"}});
    assert_eq!(asked(app, guardian).await["requester"]["role"], "guardian");
}
