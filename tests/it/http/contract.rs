//! Whole bodies of the contract, as clients see them: a member that comes, goes or changes its form is seen here.
//!
//! The bodies lie in `snapshots/`, one file for both engines. Where a change is meant, CONTRIBUTING says how it is
//! accepted.

use std::path::{Path, PathBuf};

use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::fixtures::{self, set};
use crate::harness::planted;

/// A text as it lies in the file, where it is another one each time or must not lie there. Times stay: the clock stands
/// still. So does `null`.
fn as_kept(member: &str, text: &str) -> String {
    let cut_after = |mark: &str| text.find(mark).map_or(text, |at| &text[..at + mark.len()]).to_owned();
    match member {
        "id" | "order_id" | "order_ids" | "request_id" => "[id]".to_owned(),
        "hash" | "prev_hash" | "reason_hash" => "[hash]".to_owned(),
        "booking_reference" | "next_cursor" | "photo" | "subject" => format!("[{member}]"),
        "tracking_no" => text.replace(|c: char| c != '*', "0"),
        "actor" => cut_after("key:"),
        "detail" => cut_after("sha256="),
        _ => text.to_owned(),
    }
}

/// The whole body so; `member` is what it stands under.
fn body_as_kept(member: &str, body: &Value) -> Value {
    match body {
        Value::String(text) => json!(as_kept(member, text)),
        Value::Array(items) => items.iter().map(|item| body_as_kept(member, item)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(member, value)| (member.clone(), body_as_kept(member, value)))
            .collect(),
        other => other.clone(),
    }
}

/// Fails where the body is not the one in `snapshots/` under this name.
#[track_caller]
fn is_as_agreed(name: &str, body: &Value) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_sort_maps(true);
    settings.bind(|| insta::assert_json_snapshot!(name, body_as_kept("", body)));
}

/// The contract's example under a reference that is the same in every run.
fn order() -> Value {
    fixtures::order_with("/reference", json!("KD20261123777001"))
}

#[apply(on_both_engines)]
async fn an_order_is_answered_to_each_as_agreed(app: &TestApp) {
    let placed = app.place(&app.keys.orders, &order()).await.is(201);
    is_as_agreed("order_placed", &placed);
    let claim = json!({"operator": "wang", "limit": 1});
    let claimed = app.post(&app.keys.floor, "/admin/v1/print-queue/claim", claim).await;
    is_as_agreed("order_to_the_floor", &claimed.is(200));
    let id = placed["id"].as_str().unwrap();
    app.print(id).await.is(200);
    app.run_jobs().await;
    app.hears(id, "picked_up").await;
    app.hears(id, "delivered").await;
    is_as_agreed("order_to_its_client", &app.own(id).await);
    is_as_agreed("order_to_operators", &app.detail(id).await);
    let timeline = app.get(&app.keys.orders, &format!("/v1/orders/{id}/events")).await;
    is_as_agreed("timeline", &timeline.is(200));
}

#[apply(on_both_engines)]
async fn a_page_of_orders_is_answered_as_agreed(app: &TestApp) {
    for number in 1..=2 {
        app.placed_as(&fixtures::order_with(
            "/reference",
            json!(format!("KD2026112377700{number}")),
        ))
        .await;
    }
    let page = app.get(&app.keys.orders, "/v1/orders?limit=1").await.is(200);
    is_as_agreed("orders", &page);
}

#[apply(on_both_engines)]
async fn a_refused_shipment_is_answered_as_agreed(app: &TestApp) {
    app.courier_faults(json!({"refuse": true})).await;
    let id = app.printed_as(&order()).await;
    app.run_jobs().await;
    is_as_agreed("shipment_refused", &app.detail(&id).await["shipment"]);
    is_as_agreed("stats", &app.get(&app.keys.ops, "/admin/v1/stats").await.is(200));
}

#[apply(on_both_engines)]
async fn problems_are_answered_as_agreed(app: &TestApp) {
    let mut wrong = order();
    set(&mut wrong, "/recipient/phone", json!("137"));
    set(&mut wrong, "/items/0/copies", json!(0));
    set(&mut wrong, "/amount", json!("12.901"));
    let refused = app.place(&app.keys.orders, &wrong).await.problem(422, "invalid_body");
    is_as_agreed("problem_with_fields", &refused);
    app.placed_as(&order()).await;
    let taken = app.place(&app.keys.orders, &order()).await;
    is_as_agreed("problem_of_a_conflict", &taken.problem(409, "reference_taken"));
    let keyless = app.send(Method::GET, None, "/v1/orders", None).await;
    is_as_agreed("problem_without_a_key", &keyless.problem(401, "unauthorized"));
}

#[apply(on_both_engines)]
async fn a_receipt_and_the_audit_log_are_answered_as_agreed(app: &TestApp) {
    let id = app.delivered().await;
    let reason = json!({"reason": planted::REASON});
    let purge = format!("/admin/v1/orders/{id}/purge");
    app.post(&app.keys.privacy, &purge, reason).await.is(200);
    let receipt = app.get(&app.keys.privacy, &format!("/admin/v1/purges/{id}")).await;
    is_as_agreed("receipt", &receipt.is(200));
    is_as_agreed("audit", &app.get(&app.keys.admin, "/admin/v1/audit").await.is(200));
}

#[apply(on_both_engines)]
async fn a_subject_request_is_answered_as_agreed(app: &TestApp) {
    let id = app.placed_as(&order()).await;
    let requester = json!({"role": "self", "verified_by": "called back"});
    let body = json!({"kind": "access", "order_ids": [id], "requester": requester});
    let asked = app.post(&app.keys.privacy, "/admin/v1/subject-requests", body).await;
    is_as_agreed("subject_request", &asked.is(201));
}

#[apply(on_both_engines)]
async fn the_open_pages_are_answered_as_agreed(app: &TestApp) {
    for (name, path) in [("readyz", "/readyz"), ("privacy_notice", "/privacy-notice")] {
        is_as_agreed(name, &app.send(Method::GET, None, path, None).await.is(200));
    }
}

#[test]
fn no_snapshot_holds_a_planted_value() {
    fn search(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                search(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "snap") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    for folder in ["src", "tests/it"] {
        search(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    assert!(files.len() >= 10, "snapshots were not found");
    // A district is no secret: masked orders show it.
    let unlogged = planted::UNLOGGED.iter().filter(|value| **value != "南山区");
    let needles: Vec<&str> = planted::PERSON.iter().chain(unlogged).copied().collect();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(planted::find(&needles, &text), None, "{}", file.display());
    }
}
