//! What is not a proper request, and how it is told so: RFC 9457, a stable code, and nothing of what was sent.

use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::domain::ids::OrderId;
use serde_json::{Value, json};

use crate::harness::answer::{Answer, field_errors};
use crate::harness::app::TestApp;
use crate::harness::fixtures::{self, order_with, set};
use crate::harness::{planted, rows};

async fn raw(app: &TestApp, content_type: Option<&str>, body: impl Into<reqwest::Body>) -> Answer {
    let mut request = app
        .request(Method::POST, "/v1/orders")
        .bearer_auth(&app.keys.orders)
        .header("Idempotency-Key", "planted-key-raw")
        .body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    Answer::read(request.send().await.expect("an answer"))
        .await
        .holds_no_person()
}

#[apply(on_both_engines)]
async fn what_is_no_json_of_ours_is_refused_by_its_kind(app: &TestApp) {
    let order = fixtures::order().to_string();
    raw(app, Some("text/plain"), order.clone())
        .await
        .problem(415, "unsupported_media_type");
    raw(app, None, order.clone())
        .await
        .problem(415, "unsupported_media_type");
    raw(app, Some("application/json"), &b"{\"reference\": "[..])
        .await
        .problem(400, "malformed_json");
    raw(app, Some("application/json"), "")
        .await
        .problem(400, "malformed_json");
    raw(app, Some("application/json"), vec![b'"', 0xff, b'"'])
        .await
        .problem(400, "malformed_json");
    let large = order_with("/items/0/photo", json!("p".repeat(64 * 1024))).to_string();
    raw(app, Some("application/json"), large)
        .await
        .problem(413, "payload_too_large");
    raw(app, Some("application/json; charset=utf-8"), order).await.is(201);
}

#[apply(on_both_engines)]
async fn a_wrong_shape_is_named_by_pointer_without_the_value(app: &TestApp) {
    for (pointer, value, named) in [
        ("/amount", json!(12.9), "/amount"),
        ("/items/0/copies", json!("many司马"), "/items/0/copies"),
        ("/items/0/copies", json!(1.5), "/items/0/copies"),
        ("/recipient/phone", json!(13_712_345_678_u64), "/recipient/phone"),
        ("/confirm", json!("yes"), "/confirm"),
        ("/consent/accepted_at", json!("yesterday"), "/consent/accepted_at"),
        ("/recipient/nickname", json!("司马"), "/recipient/nickname"),
        ("/extra", json!(planted::NAME), "/extra"),
    ] {
        let problem = app.place(&app.keys.orders, &order_with(pointer, value)).await;
        assert_eq!(problem.status, 422, "{pointer}: {}", problem.text);
        let pointers: Vec<String> = field_errors(&problem.json)
            .into_iter()
            .map(|(pointer, _)| pointer)
            .collect();
        assert_eq!(pointers, [named], "{}", problem.text);
    }
    for member in ["reference", "recipient", "items", "amount", "currency", "consent"] {
        let mut order = fixtures::order();
        order.as_object_mut().unwrap().remove(member);
        let problem = app.place(&app.keys.orders, &order).await.is(422);
        let expected = [(format!("/{member}"), "required".to_owned())];
        assert_eq!(field_errors(&problem), expected, "{problem}");
    }
}

#[apply(on_both_engines)]
async fn an_order_without_an_idempotency_key_is_not_taken(app: &TestApp) {
    let send = async |key: Option<&[u8]>| {
        let mut request = app.request(Method::POST, "/v1/orders").bearer_auth(&app.keys.orders);
        if let Some(key) = key {
            request = request.header(
                "Idempotency-Key",
                reqwest::header::HeaderValue::from_bytes(key).unwrap(),
            );
        }
        Answer::read(request.json(&fixtures::order()).send().await.unwrap()).await
    };
    send(None).await.problem(400, "idempotency_key_missing");
    for wrong in [&b""[..], b"has space inside", "植入".as_bytes(), &[b'k'; 256]] {
        let answer = send(Some(wrong)).await.holds_no_person();
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    send(Some(&[b'k'; 255])).await.is(201);
    assert_eq!(rows::count(&mut app.conn(), "orders"), 1);
}

#[apply(on_both_engines)]
async fn unknown_routes_methods_and_ids_are_problems_too(app: &TestApp) {
    let keys = &app.keys;
    for path in [
        "/",
        "/v1",
        "/v1/nothing",
        "/v2/orders",
        "/admin/v1/orders/x/y/z",
        "/v1/orders/%E5%BC%A0",
    ] {
        app.get(&keys.admin, path).await.problem(404, "not_found");
    }
    for (method, path) in [
        (Method::DELETE, "/v1/orders"),
        (Method::PUT, "/v1/orders"),
        (Method::GET, "/admin/v1/print-queue/claim"),
        (Method::POST, "/readyz"),
    ] {
        let answer = app.send(method, Some(&keys.admin), path, None).await;
        answer.problem(405, "method_not_allowed");
    }
    let upper = OrderId::generate().to_string().to_uppercase();
    for id in [
        "1",
        "not-an-id",
        planted::PHONE,
        &upper,
        "00000000-0000-0000-0000-00000000000g",
    ] {
        app.get(&keys.orders, &format!("/v1/orders/{id}"))
            .await
            .problem(404, "not_found");
        app.get(&keys.ops, &format!("/admin/v1/orders/{id}"))
            .await
            .problem(404, "not_found");
    }
}

#[apply(on_both_engines)]
async fn every_answer_carries_a_request_id_the_callers_if_it_is_well_formed(app: &TestApp) {
    let ask = async |id: &str| {
        let request = app.request(Method::GET, "/v1/orders").bearer_auth(&app.keys.orders);
        Answer::read(request.header("X-Request-Id", id).send().await.unwrap()).await
    };
    assert_eq!(ask("KD-42.a_b").await.header("x-request-id"), Some("KD-42.a_b"));
    for wrong in ["has space", "a/b", &"x".repeat(65)] {
        let answer = ask(wrong).await;
        let made = answer.header("x-request-id").unwrap();
        assert!(made != wrong && !made.is_empty());
    }
    let problem = app.get(&app.keys.orders, "/nothing").await;
    assert_eq!(problem.header("x-request-id"), problem.json["request_id"].as_str());
}

#[apply(on_both_engines)]
async fn no_answer_repeats_what_was_sent_wherever_it_stood(app: &TestApp) {
    // `send` and `place` fail on any answer with a planted value; here the values stand where they least belong.
    let mut order = fixtures::order();
    for pointer in [
        "/reference",
        "/amount",
        "/currency",
        "/courier",
        "/items/0/photo_size",
        "/recipient/country",
        "/recipient/postal_code",
        "/consent/policy_version",
        "/consent/legal_basis",
    ] {
        set(&mut order, pointer, json!(planted::NAME));
    }
    app.place(&app.keys.orders, &order).await.is(422);
    for path in [
        format!("/v1/orders?reference={}", planted::NAME),
        format!("/v1/orders?status={}", planted::NAME),
        format!("/v1/orders?{}=1", planted::NAME),
        format!("/v1/orders?cursor={}", planted::PHONE),
        format!("/{}", planted::NAME),
        format!("/v1/orders/{}", planted::NAME),
        format!("/admin/v1/orders?created_after={}", planted::PHONE),
    ] {
        let answer = app.get(&app.keys.admin, &path).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.text);
    }
    let header = app
        .request(Method::GET, "/v1/orders")
        .header("x-request-id", "13712345678 x")
        .bearer_auth("司马植入");
    Answer::read(header.send().await.unwrap()).await.holds_no_person();
}

#[apply(on_both_engines)]
async fn answers_are_not_for_caches_or_for_guessing_types(app: &TestApp) {
    let answer = app.get(&app.keys.orders, "/v1/orders").await;
    assert!(
        answer
            .header("cache-control")
            .is_some_and(|value| value.contains("no-store")),
        "{:?}",
        answer.headers
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(
        answer
            .header("content-type")
            .is_some_and(|value| value.starts_with("application/json"))
    );
    assert_eq!(answer.is(200)["next_cursor"], Value::Null);
}
