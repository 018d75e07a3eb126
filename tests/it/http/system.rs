//! The pages for machines and for whoever runs the service.

use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::planted;

async fn open(app: &TestApp, path: &str) -> crate::harness::answer::Answer {
    app.send(Method::GET, None, path, None).await
}

#[apply(on_both_engines)]
async fn a_healthy_service_is_alive_and_ready(app: &TestApp) {
    assert_eq!(open(app, "/livez").await.status, 200);
    let ready = open(app, "/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
}

#[apply(on_both_engines)]
async fn metrics_count_requests_by_route_pattern_and_name_nobody(app: &TestApp) {
    let id = app.delivered().await;
    app.own(&id).await;
    app.get(&app.keys.orders, &format!("/v1/orders/{}", planted::PHONE))
        .await
        .is(404);
    let metrics = open(app, "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text.contains("/v1/orders/{id}"), "{}", metrics.text);
    assert!(!metrics.text.contains(&id), "an id would make a series an order");
    assert!(
        metrics
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
}

#[apply(on_both_engines)]
async fn the_contract_is_served_and_names_every_route(app: &TestApp) {
    let document = open(app, "/openapi.json").await.is(200);
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    for (path, method) in [
        ("/v1/orders", "post"),
        ("/v1/orders", "get"),
        ("/v1/orders/{id}", "get"),
        ("/v1/orders/{id}/events", "get"),
        ("/v1/orders/{id}/confirm", "post"),
        ("/v1/orders/{id}/cancel", "post"),
        ("/v1/orders/{id}/recipient", "put"),
        ("/v1/photo-sizes", "get"),
        ("/admin/v1/print-queue/claim", "post"),
        ("/admin/v1/orders/{id}/printed", "post"),
        ("/admin/v1/orders/{id}/reveal", "post"),
        ("/admin/v1/retention/run", "post"),
    ] {
        let operation = &document["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is not in the document");
        assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()));
    }
    assert_ne!(document["components"]["securitySchemes"], Value::Null);
}

#[apply(on_both_engines)]
async fn statistics_count_what_is_there(app: &TestApp) {
    app.purged().await;
    app.placed().await;
    let stats = app.get(&app.keys.ops, "/admin/v1/stats").await.is(200);
    assert_eq!(stats["by_status"]["placed"], json!(1), "{stats}");
    assert_eq!(stats["by_status"]["delivered"], json!(1), "{stats}");
}

#[apply(on_both_engines)]
async fn the_privacy_notice_says_what_this_service_does_and_needs_no_key(app: &TestApp) {
    let notice = open(app, "/privacy-notice").await.is(200);
    let days = |days: i64| json!(days * 86_400);
    let periods = &notice["periods"];
    assert_eq!((&periods["after_end"], &periods["stuck"]), (&days(30), &days(90)));
    assert_eq!((&periods["draft"], &periods["copies"]), (&days(1), &days(45)));
    assert_eq!(
        notice["recipients"],
        json!([{
            "courier": "simulated", "region": "CN", "fields": ["name", "phone", "address"], "purpose": "delivery",
        }])
    );
    assert_eq!(notice["controller"]["name"], "照相馆");
    let stored: Vec<&str> = notice["stored"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| kept["column"].as_str().unwrap())
        .collect();
    assert!(
        stored.contains(&"order_person.sealed") && !stored.contains(&"orders.reference"),
        "{stored:?}"
    );

    let page = app
        .request(Method::GET, "/privacy-notice")
        .header("accept", "text/html,*/*;q=0.8")
        .send()
        .await
        .unwrap();
    let page = crate::harness::answer::Answer::read(page).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(
        page.header("content-security-policy")
            .is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    for said in [
        "30 天",
        "30 days",
        "simulated",
        "order_tracking.tracking_print",
        "7 个工作日",
    ] {
        assert!(page.text.contains(said), "{said}");
    }
}
