//! The pages for machines and for whoever runs the service.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::planted;

async fn open(app: &TestApp, path: &str) -> crate::harness::answer::Answer {
    app.send(Method::GET, None, path, None).await
}

on_both_engines! {
    async fn a_healthy_service_is_alive_and_ready(app: &TestApp) {
        assert_eq!(open(app, "/livez").await.status, 200);
        let ready = open(app, "/readyz").await;
        assert_eq!(ready.status, 200, "{}", ready.text);
    }

    async fn metrics_count_requests_by_route_pattern_and_name_nobody(app: &TestApp) {
        let id = app.delivered().await;
        app.own(&id).await;
        app.get(&app.keys.orders, &format!("/v1/orders/{}", planted::PHONE)).await.is(404);
        let metrics = open(app, "/metrics").await;
        assert_eq!(metrics.status, 200);
        assert!(metrics.text.contains("/v1/orders/{id}"), "{}", metrics.text);
        assert!(!metrics.text.contains(&id), "an id would make a series an order");
        assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    }

    async fn the_contract_is_served_and_names_every_route(app: &TestApp) {
        let document = open(app, "/openapi.json").await.is(200);
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
        for (path, method) in [
            ("/v1/orders", "post"), ("/v1/orders", "get"), ("/v1/orders/{id}", "get"),
            ("/v1/orders/{id}/events", "get"), ("/v1/orders/{id}/confirm", "post"),
            ("/v1/orders/{id}/cancel", "post"), ("/v1/orders/{id}/recipient", "put"), ("/v1/photo-sizes", "get"),
            ("/admin/v1/print-queue/claim", "post"), ("/admin/v1/orders/{id}/printed", "post"),
            ("/admin/v1/orders/{id}/reveal", "post"), ("/admin/v1/retention/run", "post"),
        ] {
            let operation = &document["paths"][path][method];
            assert!(operation.is_object(), "{method} {path} is not in the document");
            assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()));
        }
        assert_ne!(document["components"]["securitySchemes"], Value::Null);
    }

    async fn statistics_count_what_is_there(app: &TestApp) {
        app.purged().await;
        app.placed().await;
        let stats = app.get(&app.keys.ops, "/admin/v1/stats").await.is(200);
        assert_eq!(stats["by_status"]["placed"], json!(1), "{stats}");
        assert_eq!(stats["by_status"]["delivered"], json!(1), "{stats}");
    }
}
