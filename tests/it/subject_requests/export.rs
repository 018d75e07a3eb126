//! What a person is shown of what is held on them: everything, and who looked is on record.

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::privacy::classes::{classes, exported_at};
use serde_json::{Value, json};

use super::{REQUESTS, asked_id, complete, done, requester};
use crate::harness::answer::Answer;
use crate::harness::app::TestApp;
use crate::harness::{fixtures, planted, rows};

async fn export(app: &TestApp, key: &str, id: &str) -> Answer {
    app.get(key, &format!("{REQUESTS}/{id}/export")).await
}

/// A second key approves everything that an export waits for.
async fn approve(app: &TestApp, waiting: &Value) {
    assert_eq!(waiting["status"], "approval_required", "{waiting}");
    let second = app.key("privacy");
    for approval in waiting["approvals"].as_array().unwrap() {
        let path = format!("/admin/v1/reveals/{}/approve", approval["reveal_id"].as_str().unwrap());
        app.send(Method::POST, Some(&app.keys.privacy), &path, None)
            .await
            .problem(409, "same_key");
        app.send(Method::POST, Some(&second), &path, None).await.is(200);
    }
}

/// A minor's order with everything that can happen to one.
async fn a_full_life(app: &TestApp) -> String {
    let mut order = fixtures::order();
    fixtures::set(&mut order, "/consent/minor", json!(true));
    fixtures::set(&mut order, "/consent/guardian_consent", json!(true));
    let id = app.printed_as(&order).await;
    app.run_jobs().await;
    let reprint = json!({"operator": "wang", "reason": planted::REASON});
    app.post(&app.keys.floor, &format!("/admin/v1/orders/{id}/reprint"), reprint)
        .await
        .is(200);
    for status in ["picked_up", "delivered"] {
        app.hears(&id, status).await;
    }
    // The simulated courier has no id of its own for a booking; others do.
    let provider = format!("UPDATE shipment_attempts SET provider_ref = 'shp_1' WHERE order_id = '{id}'");
    app.conn().batch_execute(&provider).unwrap();
    id
}

#[apply(on_both_engines)]
async fn an_export_holds_everything_that_privacy_toml_says_is_kept(app: &TestApp) {
    let id = a_full_life(app).await;
    let request = asked_id(app, "copy", &[&id]).await;
    let waiting = export(app, &app.keys.privacy, &request).await.is(202);
    assert_eq!(waiting["approvals"][0]["order_id"], *id);
    assert_eq!(
        export(app, &app.keys.privacy, &request).await.is(202),
        waiting,
        "asked for once"
    );
    approve(app, &waiting).await;
    let answer = export(app, &app.keys.privacy, &request).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(
        answer
            .header("content-disposition")
            .is_some_and(|how| how.contains(&request))
    );
    let before = answer.is(200);
    complete(app, &request).await.is(200);
    done(app, "delete", &[&id]).await;
    let after = export(app, &app.keys.privacy, &request).await.is(200);

    let there = |place: &str| {
        [&before, &after]
            .iter()
            .any(|export| export.pointer(place).is_some_and(|value| !value.is_null()))
    };
    let mut looked_at = 0;
    for (name, table) in &classes().orders {
        let columns = table
            .columns
            .iter()
            .map(|(column, classed)| (format!("{name}.{column}"), &classed.export));
        for (what, said) in columns.chain([(name.clone(), &table.export)]) {
            for place in exported_at(said.as_deref().unwrap_or("no: a fact")) {
                assert!(there(place), "{what} should stand at {place}: {before}");
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 20, "{looked_at}");

    let order = &before["orders"][0];
    assert_eq!(order["recipient"]["name"], planted::NAME);
    assert_eq!(order["recipient"]["phone"], format!("+86{}", planted::PHONE));
    assert_eq!(order["recipient"]["street"], planted::STREET);
    assert_eq!(order["items"][0]["photo"], planted::PHOTO);
    assert_eq!(order["courier_remarks"][0]["text"], planted::REMARK);
    assert_eq!(
        order["notes"],
        json!([{"kind": "reprint_reason", "text": planted::REASON}])
    );
    assert_eq!(
        order["consent"],
        json!({"policy_version": "2024-06", "accepted_at": "2026-11-23T07:59:00Z",
        "legal_basis": "contract", "courier_sharing": true, "cross_border": false, "minor": true,
        "guardian_consent": true})
    );
    assert_eq!(order["disclosures"][0]["fields"], json!(["name", "phone", "address"]));
    assert_eq!(before["request"]["requester"], requester());
    assert_eq!((&order["person"], &order["receipt"]), (&json!("held"), &Value::Null));

    let gone = &after["orders"][0];
    assert_eq!((&gone["person"], &gone["recipient"]), (&json!("purged"), &Value::Null));
    assert_eq!(gone["receipt"]["reason"], "request");
    assert_eq!(
        (&gone["reference"], &gone["items"][0]["photo"]),
        (&order["reference"], &Value::Null)
    );
    assert_eq!((&gone["notes"], &gone["courier_remarks"]), (&json!([]), &json!([])));
    assert_eq!(planted::find(&planted::PERSON, &after.to_string()), None);
}

#[apply(on_both_engines)]
async fn every_export_is_recorded_before_it_is_shown(app: &TestApp) {
    let (first, second) = (app.delivered().await, app.placed().await);
    let request = asked_id(app, "access", &[&first, &second]).await;
    let exported = export(app, &app.keys.privacy, &request).await.is(200);
    assert_eq!(exported["orders"].as_array().unwrap().len(), 2);
    let audit = app.get(&app.keys.admin, "/admin/v1/audit").await.is(200);
    for (action, subject) in [
        ("subject_request_export", &request),
        ("export", &first),
        ("export", &second),
    ] {
        let entry = audit["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["action"] == action && entry["subject"] == *subject);
        assert!(
            entry.is_some_and(|entry| entry["actor"].as_str().unwrap().starts_with("key:")),
            "{action}: {audit}"
        );
    }
    assert_eq!(
        app.get(&app.keys.admin, "/admin/v1/audit/verify").await.is(200)["ok"],
        true
    );
}

#[apply(on_both_engines)]
async fn exporting_held_or_restricted_orders_takes_a_second_key_each_time(app: &TestApp) {
    let (held, restricted, free) = (app.placed().await, app.shipped().await, app.placed().await);
    let until = app.clock.business_now() + TimeDelta::days(9);
    let body = json!({"reason": planted::REASON, "until": until});
    app.put(&app.keys.privacy, &format!("/admin/v1/orders/{held}/hold"), body)
        .await
        .is(200);
    done(app, "delete", &[&restricted]).await;
    let request = asked_id(app, "access", &[&held, &restricted, &free]).await;
    let waiting = export(app, &app.keys.privacy, &request).await.is(202);
    let named: Vec<&Value> = waiting["approvals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["order_id"])
        .collect();
    assert_eq!(named, [&json!(held), &json!(restricted)]);
    let exports = "audit_log WHERE action = 'export'";
    assert_eq!(rows::count(&mut app.conn(), exports), 0, "nothing is shown by halves");
    approve(app, &waiting).await;
    let exported = export(app, &app.keys.privacy, &request).await.is(200);
    assert_eq!(exported["orders"][0]["hold_until"], json!(until));
    assert!(exported["orders"][1]["restricted_at"].is_string());
    assert_eq!(rows::count(&mut app.conn(), exports), 3);
    assert_eq!(
        export(app, &app.keys.privacy, &request).await.status,
        202,
        "one approval, one look"
    );
}

#[apply(on_both_engines)]
async fn what_nobody_can_read_is_said_to_be_unreadable(app: &TestApp) {
    let id = app.delivered().await;
    let request = asked_id(app, "access", &[&id]).await;
    // As after an old copy was put back: its epoch's key is gone.
    let lost = "UPDATE order_person SET epoch = -1; UPDATE courier_remark SET epoch = -1; \
        INSERT INTO key_epochs (id, state, starts_at) VALUES (-1, 'retired', '2026-01-01 00:00:00')";
    app.conn().batch_execute(lost).unwrap();
    let exported = export(app, &app.keys.privacy, &request).await.is(200);
    let order = &exported["orders"][0];
    assert_eq!(
        (&order["person"], &order["recipient"]),
        (&json!("unreadable"), &Value::Null)
    );
    assert_eq!(order["courier_remarks"], json!([]));
    assert!(order["timeline"].as_array().unwrap().len() > 3, "the facts are there");
}
