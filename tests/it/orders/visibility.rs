//! Who sees which orders, and how much of them; lists and their cursors.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::domain::ids::OrderId;
use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::fixtures::{self, order_with};
use crate::harness::planted;

fn ids(page: &Value) -> Vec<String> {
    page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Follows the cursors to the end; every page but the last is full.
async fn all_pages(app: &TestApp, key: &str, path: &str, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = app
            .get(key, &format!("{path}{separator}limit={limit}{cursor}"))
            .await
            .is(200);
        let found = ids(&page);
        all.extend(found.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(found.len(), limit);
                cursor = format!("&cursor={next}");
            }
            None => return all,
        }
    }
}

#[apply(on_both_engines)]
async fn another_clients_orders_do_not_exist(app: &TestApp) {
    let id = app.placed().await;
    let other = app.key_of("other", "orders");
    let reason = json!({"reason": planted::REASON});
    app.get(&other, &format!("/v1/orders/{id}"))
        .await
        .problem(404, "not_found");
    app.get(&other, &format!("/v1/orders/{id}/events"))
        .await
        .problem(404, "not_found");
    app.post(&other, &format!("/v1/orders/{id}/cancel"), reason)
        .await
        .problem(404, "not_found");
    let path = format!("/v1/orders/{id}/recipient");
    app.put(&other, &path, fixtures::other_recipient())
        .await
        .problem(404, "not_found");
    let confirm = format!("/v1/orders/{id}/confirm");
    app.send(Method::POST, Some(&other), &confirm, None)
        .await
        .problem(404, "not_found");
    assert_eq!(
        app.get(&other, "/v1/orders").await.is(200),
        json!({"data": [], "next_cursor": null})
    );
    assert_eq!(app.own(&id).await["status"], "placed", "and nothing happened to it");
    let unknown = app.get(&other, &format!("/v1/orders/{}", OrderId::generate())).await;
    unknown.problem(404, "not_found");
}

#[apply(on_both_engines)]
async fn a_purged_order_of_another_client_is_as_unknown_as_any_other(app: &TestApp) {
    let id = app.purged().await;
    let other = app.key_of("other", "orders");
    app.get(&other, &format!("/v1/orders/{id}"))
        .await
        .problem(404, "not_found");
    let reason = json!({"reason": planted::REASON});
    app.post(&other, &format!("/v1/orders/{id}/cancel"), reason)
        .await
        .problem(404, "not_found");
    let path = format!("/v1/orders/{id}/recipient");
    app.put(&other, &path, fixtures::other_recipient())
        .await
        .problem(404, "not_found");
}

#[apply(on_both_engines)]
async fn a_rotated_key_of_the_same_client_sees_the_same_orders(app: &TestApp) {
    let id = app.placed().await;
    let rotated = app.key_of("shop", "orders");
    assert_eq!(app.get(&rotated, &format!("/v1/orders/{id}")).await.is(200)["id"], *id);
}

#[apply(on_both_engines)]
async fn pages_are_newest_first_and_lose_and_repeat_nothing(app: &TestApp) {
    let mut placed = Vec::new();
    for _ in 0..7 {
        placed.push(app.placed().await);
    }
    placed.reverse();
    for limit in [1, 2, 3, 6, 7, 200] {
        assert_eq!(
            all_pages(app, &app.keys.orders, "/v1/orders", limit).await,
            placed,
            "limit {limit}"
        );
        assert_eq!(
            all_pages(app, &app.keys.ops, "/admin/v1/orders", limit).await,
            placed,
            "limit {limit}"
        );
    }
}

#[apply(on_both_engines)]
async fn an_order_placed_between_two_pages_shifts_neither(app: &TestApp) {
    let first = [app.placed().await, app.placed().await, app.placed().await];
    let page = app.get(&app.keys.orders, "/v1/orders?limit=2").await.is(200);
    app.placed().await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = app
        .get(&app.keys.orders, &format!("/v1/orders?limit=2&cursor={cursor}"))
        .await
        .is(200);
    assert_eq!(
        (ids(&rest), &rest["next_cursor"]),
        (vec![first[0].clone()], &Value::Null)
    );
}

#[apply(on_both_engines)]
async fn lists_are_filtered_by_what_is_asked_for(app: &TestApp) {
    let body = fixtures::order();
    let placed = app.placed_as(&body).await;
    let draft = app.placed_as(&fixtures::draft()).await;
    app.clock.advance_business(TimeDelta::hours(1));
    let booked = app.booked().await;
    let reference = body["reference"].as_str().unwrap();
    for (query, expected) in [
        (format!("reference={reference}"), vec![&placed]),
        ("status=draft".to_owned(), vec![&draft]),
        ("status=delivered".to_owned(), vec![]),
    ] {
        for (key, path) in [(&app.keys.orders, "/v1/orders"), (&app.keys.ops, "/admin/v1/orders")] {
            let page = app.get(key, &format!("{path}?{query}")).await.is(200);
            assert_eq!(ids(&page).iter().collect::<Vec<_>>(), expected, "{path}?{query}");
        }
    }
    for (query, expected) in [
        ("shipment_state=booked", vec![&booked]),
        ("shipment_state=failed", vec![]),
        ("courier=simulated&status=printed", vec![&booked]),
        ("created_after=2026-11-23T08:30:00Z", vec![&booked]),
        ("created_before=2026-11-23T08:30:00Z&status=draft", vec![&draft]),
    ] {
        let page = app
            .get(&app.keys.ops, &format!("/admin/v1/orders?{query}"))
            .await
            .is(200);
        assert_eq!(ids(&page).iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[apply(on_both_engines)]
async fn each_scope_sees_of_a_parcel_what_it_may(app: &TestApp) {
    let id = app.booked().await;
    let own = app.own(&id).await;
    let ops = app.detail(&id).await;
    let whole = ops["shipment"]["tracking_no"].as_str().unwrap();
    let masked = own["shipment"]["tracking_no"].as_str().unwrap();
    assert!(masked.contains("****") && !masked.contains(whole), "{masked}");
    assert!(
        own["shipment"].get("booking_reference").is_none_or(Value::is_null),
        "{own}"
    );
    assert!(
        ops["shipment"]["booking_reference"]
            .as_str()
            .is_some_and(|text| text.starts_with("SL"))
    );
    for order in [&own, &ops] {
        assert_eq!(order["recipient"]["name"], "司***");
        assert_eq!(order["recipient"]["phone"], "137******78");
        assert!(
            order["items"][0].get("photo").is_none(),
            "the photo is the floor's: {order}"
        );
    }
    assert!(ops["events"].is_array() && ops["prints"].is_array());
    let disclosures = ops["disclosures"].as_array().unwrap();
    assert_eq!(disclosures.len(), 1, "{ops}");
}

#[apply(on_both_engines)]
async fn ends_of_the_page_size_are_held(app: &TestApp) {
    for limit in ["0", "201", "-1", "x", "99999999999999999999"] {
        let answer = app.get(&app.keys.orders, &format!("/v1/orders?limit={limit}")).await;
        assert!((400..=422).contains(&answer.status), "{limit}: {}", answer.text);
    }
    app.get(&app.keys.orders, "/v1/orders?limit=200").await.is(200);
    app.get(&app.keys.orders, "/v1/orders?cursor=nonsense")
        .await
        .problem(400, "invalid_cursor");
    let unknown = app.get(&app.keys.orders, "/v1/orders?stauts=placed").await;
    assert_eq!(
        unknown.status, 400,
        "a misspelt filter must not list everything: {}",
        unknown.text
    );
}

#[apply(on_both_engines)]
async fn orders_are_searched_by_phone_and_tracking_number_and_never_in_a_url(app: &TestApp) {
    let mine = app.booked().await;
    let other = order_with("/recipient/phone", json!(planted::OTHER_PHONE));
    let theirs = app.placed_as(&other).await;
    app.advance(TimeDelta::days(3));
    app.run_upkeep().await;
    let later = app.placed().await;
    let (_, tracking_no) = app.parcel_of(&mine).await;
    let search = async |body: Value| {
        let page = app.post(&app.keys.ops, "/admin/v1/orders/search", body).await.is(200);
        ids(&page).into_iter().collect::<BTreeSet<_>>()
    };
    let set = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect::<BTreeSet<_>>();
    assert_eq!(
        search(json!({"phone": planted::PHONE})).await,
        set(&[&mine, &later]),
        "across key epochs"
    );
    assert_eq!(
        search(json!({"phone": "+86 137-1234-5678"})).await,
        set(&[&mine, &later]),
        "however it is written"
    );
    assert_eq!(search(json!({"phone": planted::OTHER_PHONE})).await, set(&[&theirs]));
    assert_eq!(search(json!({"tracking_no": tracking_no})).await, set(&[&mine]));
    assert_eq!(
        search(json!({"phone": planted::OTHER_PHONE, "tracking_no": tracking_no})).await,
        set(&[])
    );
    assert_eq!(
        search(json!({"phone": planted::PHONE, "status": "placed"})).await,
        set(&[&later])
    );
    assert_eq!(search(json!({"tracking_no": "SFPLANTED7070"})).await, set(&[]));
    for query in [
        format!("phone={}", planted::PHONE),
        format!("tracking_no={}", planted::TRACKING),
    ] {
        let answer = app.get(&app.keys.ops, &format!("/admin/v1/orders?{query}")).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
}
