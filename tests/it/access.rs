//! Keys and scopes: who gets in, and how far.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::app::access::api_keys;
use safelight::domain::actor::Actor;
use safelight::domain::ids::OrderId;
use safelight::domain::scope::{Scope, Scopes};
use safelight::store::keys::{self, ApiKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::app::TestApp;
use crate::harness::fixtures;

/// Every door, and the scope that opens it. `{id}` is an order that nobody has.
fn doors() -> Vec<(Method, &'static str, &'static str)> {
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    vec![
        (post.clone(), "/v1/orders", "orders"),
        (get.clone(), "/v1/orders", "orders"),
        (get.clone(), "/v1/orders/{id}", "orders"),
        (get.clone(), "/v1/orders/{id}/events", "orders"),
        (post.clone(), "/v1/orders/{id}/confirm", "orders"),
        (post.clone(), "/v1/orders/{id}/cancel", "orders"),
        (put.clone(), "/v1/orders/{id}/recipient", "orders"),
        (put, "/admin/v1/orders/{id}/hold", "privacy"),
        (Method::DELETE, "/admin/v1/orders/{id}/hold", "privacy"),
        (post.clone(), "/admin/v1/print-queue/claim", "floor"),
        (post.clone(), "/admin/v1/orders/{id}/printed", "floor"),
        (post.clone(), "/admin/v1/orders/{id}/reprint", "floor"),
        (post.clone(), "/admin/v1/orders/{id}/release", "floor"),
        (get.clone(), "/admin/v1/orders", "ops"),
        (post.clone(), "/admin/v1/orders/search", "ops"),
        (get.clone(), "/admin/v1/orders/{id}", "ops"),
        (post.clone(), "/admin/v1/orders/{id}/cancel", "ops"),
        (post.clone(), "/admin/v1/orders/{id}/shipment/retry", "ops"),
        (post.clone(), "/admin/v1/orders/{id}/shipment/resolve", "ops"),
        (get.clone(), "/admin/v1/stats", "ops"),
        (get.clone(), "/admin/v1/jobs", "ops"),
        (post.clone(), "/admin/v1/jobs/{id}/requeue", "ops"),
        (post.clone(), "/admin/v1/orders/{id}/reveal", "privacy"),
        (post.clone(), "/admin/v1/reveals/{id}/approve", "privacy"),
        (post.clone(), "/admin/v1/orders/{id}/purge", "privacy"),
        (get.clone(), "/admin/v1/purges", "privacy"),
        (get.clone(), "/admin/v1/purges/{id}", "privacy"),
        (post, "/admin/v1/retention/run?dry_run=true", "privacy"),
        (get.clone(), "/admin/v1/audit", "admin"),
        (get, "/admin/v1/audit/verify", "admin"),
    ]
}

async fn knock(app: &TestApp, key: Option<&str>, door: &(Method, &str, &str)) -> crate::harness::answer::Answer {
    let path = door.1.replace("{id}", &OrderId::generate().to_string());
    let body = json!({"reason": "x"});
    let body = (door.0 != Method::GET).then_some(&body);
    app.send(door.0.clone(), key, &path, body).await
}

#[apply(on_both_engines)]
async fn every_door_wants_a_key_and_the_right_one(app: &TestApp) {
    let keys = [
        ("orders", &app.keys.orders),
        ("floor", &app.keys.floor),
        ("ops", &app.keys.ops),
        ("privacy", &app.keys.privacy),
        ("admin", &app.keys.admin),
    ];
    for door in doors() {
        let what = format!("{} {}", door.0, door.1);
        let answer = knock(app, None, &door).await;
        assert!(answer.header("www-authenticate").is_some(), "{what}");
        answer.problem(401, "unauthorized");
        for (scope, key) in keys {
            let answer = knock(app, Some(key), &door).await;
            if scope == door.2 || scope == "admin" {
                assert!(
                    ![401, 403, 405].contains(&answer.status),
                    "{scope} at {what}: {}",
                    answer.text
                );
                assert!(answer.status < 500, "{scope} at {what}: {}", answer.text);
            } else {
                assert_eq!(answer.status, 403, "{scope} at {what}: {}", answer.text);
                answer.problem(403, "forbidden");
            }
        }
    }
}

#[apply(on_both_engines)]
async fn what_is_almost_a_key_is_none(app: &TestApp) {
    let key = &app.keys.orders;
    let (id, secret) = key.trim_start_matches("sl_").split_once('_').unwrap();
    let other_secret = app.keys.ops.rsplit_once('_').unwrap().1;
    let swapped = |at: usize| {
        format!(
            "{}{}{}{}",
            &key[..at],
            &key[at + 1..at + 2],
            &key[at..=at],
            &key[at + 2..]
        )
    };
    let uneven = (20..key.len() - 2)
        .find(|at| key[*at..=*at] != key[at + 1..at + 2])
        .unwrap();
    for wrong in [
        "sl_".to_owned(),
        key[..key.len() - 1].to_owned(),
        key[1..].to_owned(),
        format!("{key}x"),
        format!("\"{key}\""),
        format!("sl_{id}_{other_secret}"),
        format!("sl_{}_{secret}", "0".repeat(12)),
        format!("SL_{id}_{secret}"),
        swapped(uneven),
        "x".repeat(4096),
    ] {
        let problem = app.get(&wrong, "/v1/orders").await.problem(401, "malformed_api_key");
        assert!(!problem.to_string().contains(&secret[..8]), "{problem}");
    }
    // What has a right checksum, or none, may be anybody's: the answer does not say what is wrong with it.
    for wrong in [
        String::new(),
        "sl_0123456789AB_23456789ABCDEFGHIJKLMNOPQRSTUVWXY40We7N".to_owned(),
        format!("sl_{}_{}", "0".repeat(18), "x".repeat(43)),
    ] {
        app.get(&wrong, "/v1/orders").await.problem(401, "unauthorized");
    }
    assert!(!app.logged().contains(&secret[..8]));
    let basic = app.request(Method::GET, "/v1/orders").basic_auth("司马植入", Some(key));
    assert_eq!(basic.send().await.unwrap().status(), 401);
    app.get(key, "/v1/orders").await.is(200);
}

#[apply(on_both_engines)]
async fn a_key_of_the_form_before_opens_the_same_doors(app: &TestApp) {
    let (id, secret) = ("00112233445566778a", "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-.abcde");
    let row = ApiKey {
        id: id.to_owned(),
        client: "shop".to_owned(),
        name: "from before".to_owned(),
        scopes: Scopes::new([Scope::Orders]),
        secret_hash: Sha256::digest(secret).to_vec(),
        created_at: app.clock.business_now(),
        revoked_at: None,
    };
    keys::add_in_tx(&mut app.conn(), &row).unwrap();
    let key = format!("sl_{id}_{secret}");
    app.get(&key, "/v1/orders").await.is(200);
    app.get(&key, "/admin/v1/audit").await.problem(403, "forbidden");
    let other = key.replace("AbCd", "aBcD");
    app.get(&other, "/v1/orders").await.problem(401, "unauthorized");
    app.get(&key[..key.len() - 1], "/v1/orders")
        .await
        .problem(401, "malformed_api_key");
    assert!(api_keys::revoke(&app.app, id, &Actor::CommandLine).await.unwrap());
    app.clock.advance_wall(TimeDelta::milliseconds(1001));
    app.get(&key, "/v1/orders").await.problem(401, "unauthorized");
}

#[apply(on_both_engines)]
async fn a_revoked_key_is_out_within_a_second(app: &TestApp) {
    let key = app.key("orders");
    app.get(&key, "/v1/orders").await.is(200);
    let id = key.trim_start_matches("sl_").split_once('_').unwrap().0.to_owned();
    let done = api_keys::revoke(&app.app, &id, &Actor::CommandLine).await.unwrap();
    assert!(done);
    app.clock.advance_wall(TimeDelta::milliseconds(1001));
    app.get(&key, "/v1/orders").await.problem(401, "unauthorized");
}

#[apply(on_both_engines)]
async fn a_key_with_two_scopes_opens_both_doors(app: &TestApp) {
    let key = app.key("orders,ops");
    let id = app.place(&key, &fixtures::order()).await.is(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    app.get(&key, &format!("/admin/v1/orders/{id}")).await.is(200);
    app.get(&key, "/admin/v1/audit").await.problem(403, "forbidden");
}

#[apply(on_both_engines)]
async fn the_audit_log_tells_who_made_and_revoked_keys(app: &TestApp) {
    let page = app.get(&app.keys.admin, "/admin/v1/audit?limit=200").await.is(200);
    let actions: Vec<&Value> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["action"])
        .collect();
    assert_eq!(actions, vec!["key_create"; 5]);
}
