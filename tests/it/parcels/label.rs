//! Labels: fetched once, kept sealed, gone with the order.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::couriers::{CallError, Label};
use safelight::privacy::Pii;
use serde_json::json;

use crate::harness::app::{Options, TestApp, WINDOW};
use crate::harness::{fixtures, planted, rows};

fn fake() -> Options {
    Options {
        fakes: &[("second", "CN", true)],
        ..Options::default()
    }
}

fn document() -> Vec<u8> {
    [b"%PDF-1.4 ".as_slice(), planted::NAME.as_bytes(), b"\xff\x00\xfe"].concat()
}

fn gives_one(app: &TestApp) {
    app.fakes[0].script().label = Some(Label {
        content_type: "application/pdf".to_owned(),
        document: Pii::new(document()),
    });
}

async fn booked(app: &TestApp) -> String {
    app.booked_as(&fixtures::order_with("/courier", json!("second"))).await
}

/// The answer as it is: the one place where an answer may hold the person.
async fn fetch(app: &TestApp, key: &str, id: &str) -> (u16, String, Option<String>, Vec<u8>) {
    let request = app
        .request(Method::GET, &format!("/admin/v1/orders/{id}/label"))
        .bearer_auth(key);
    let answer = request.send().await.unwrap();
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let (status, kind, cache) = (
        answer.status().as_u16(),
        header("content-type").unwrap(),
        header("cache-control"),
    );
    (status, kind, cache, answer.bytes().await.unwrap().to_vec())
}

async fn refused(app: &TestApp, id: &str, status: u16, code: &str) {
    app.get(&app.keys.floor, &format!("/admin/v1/orders/{id}/label"))
        .await
        .problem(status, code);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn the_couriers_label_is_fetched_once_kept_sealed_and_shown_to_the_floor(app: &TestApp) {
    gives_one(app);
    let id = booked(app).await;
    for key in [&app.keys.floor, &app.keys.ops, &app.keys.floor] {
        let (status, kind, cache, body) = fetch(app, key, &id).await;
        assert_eq!(
            (status, kind.as_str(), cache.as_deref()),
            (200, "application/pdf", Some("no-store"))
        );
        assert_eq!(body, document());
    }
    assert_eq!(app.fakes[0].script().labels_asked, 1);
    assert_eq!(rows::count(&mut app.conn(), "order_label"), 1);
    for key in [&app.keys.orders, &app.keys.privacy] {
        app.get(key, &format!("/admin/v1/orders/{id}/label"))
            .await
            .problem(403, "forbidden");
    }
    let dumped = rows::dump(&mut app.conn(), app.databases.engine, "order_label").concat();
    let plain = data_encoding::HEXLOWER.encode(&document());
    assert!(!dumped.to_lowercase().contains(&plain[..40]), "it lies there sealed");
}

#[apply(on_both_engines)]
#[with(fake())]
async fn a_retirement_seals_labels_anew(app: &TestApp) {
    gives_one(app);
    let id = booked(app).await;
    fetch(app, &app.keys.floor, &id).await;
    safelight::app::recovery::retire_key_epochs::now(&app.app, |_| {})
        .await
        .unwrap();
    let left = "order_label WHERE epoch NOT IN (SELECT id FROM key_epochs WHERE state = 'open')";
    assert_eq!(rows::count(&mut app.conn(), left), 0);
    assert_eq!(fetch(app, &app.keys.floor, &id).await.3, document());
    assert_eq!(app.fakes[0].script().labels_asked, 1);
}

#[apply(on_both_engines)]
#[with(fake())]
async fn the_purge_destroys_the_label(app: &TestApp) {
    gives_one(app);
    let id = booked(app).await;
    fetch(app, &app.keys.floor, &id).await;
    let mark = json!({"status": "delivered", "reason": planted::REASON});
    app.post(&app.keys.ops, &format!("/admin/v1/orders/{id}/mark"), mark)
        .await
        .is(200);
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert_eq!(rows::count(&mut app.conn(), "order_label"), 0);
    refused(app, &id, 410, "purged").await;
    let receipt = app
        .get(&app.keys.privacy, &format!("/admin/v1/purges/{id}"))
        .await
        .is(200);
    assert!(receipt.to_string().contains("order_label.sealed"), "{receipt}");
}

#[apply(on_both_engines)]
#[with(fake())]
async fn without_a_label_the_answer_says_why(app: &TestApp) {
    let printed = app.printed().await;
    refused(app, &printed, 409, "not_booked").await;
    let id = booked(app).await;
    refused(app, &id, 404, "no_label").await;
    app.fakes[0].script().mute = Some(CallError::new("down"));
    refused(app, &id, 503, "unavailable").await;
    app.fakes[0].script().mute = None;
    app.fakes[0].script().label = Some(Label {
        content_type: "application/pdf".to_owned(),
        document: Pii::new(vec![0; 10 * 1024 * 1024 + 1]),
    });
    refused(app, &id, 503, "unavailable").await;
    assert_eq!(rows::count(&mut app.conn(), "order_label"), 0);
    refused(app, "0193a000-0000-7000-8000-000000000000", 404, "not_found").await;
}
