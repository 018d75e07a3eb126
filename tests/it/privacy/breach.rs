//! What a breach touched: by the time in which people were held, by client, key and recipient; without any of them.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::answer::field_errors;
use crate::harness::app::TestApp;
use crate::harness::{fixtures, planted};

const BREACH: &str = "/admin/v1/breach";

fn ids(found: &Value) -> Vec<String> {
    let orders = found["data"].as_array().unwrap();
    orders
        .iter()
        .map(|order| order["order_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn list(app: &TestApp, query: &str) -> Value {
    app.get(&app.keys.privacy, &format!("{BREACH}{query}")).await.is(200)
}

fn key_id(bearer: &str) -> &str {
    bearer.split('_').nth(1).unwrap()
}

#[apply(on_both_engines)]
async fn a_breach_lists_who_was_held_in_its_time_and_what_is_gone_since(app: &TestApp) {
    let purged = app.purged().await;
    let between = app.clock.business_now();
    app.advance(TimeDelta::hours(1));
    let minor = {
        let mut order = fixtures::order();
        fixtures::set(&mut order, "/consent/minor", json!(true));
        fixtures::set(&mut order, "/consent/guardian_consent", json!(true));
        app.placed_as(&order).await
    };
    let booked = app.booked().await;
    app.advance(TimeDelta::hours(1));

    let all = list(app, "").await;
    assert_eq!(ids(&all), [booked.clone(), minor.clone(), purged.clone()]);
    assert_eq!(
        all["counts"],
        json!({"orders": 3, "held": 2, "purged": 1, "unreadable": 0, "minors": 1})
    );
    let [first, second, third] = [0, 1, 2].map(|place| &all["data"][place]);
    assert_eq!(
        (&first["person"], &second["person"], &third["person"]),
        (&json!("held"), &json!("held"), &json!("purged"))
    );
    let fields = |order: &Value, name: &str| order["fields"].as_array().unwrap().contains(&json!(name));
    assert!(fields(first, "tracking_no") && !fields(second, "tracking_no") && fields(third, "courier_remarks"));
    assert!(fields(second, "name") && fields(second, "phone") && fields(second, "address"));
    assert!(third["purged_at"].is_string() && second["minor"] == true);
    // PIPL 57: kinds, cause, harm; measures of both sides; whom to call.
    let telling = &all["telling"];
    for part in ["kinds", "possible_harm", "measures_taken", "measures_for_people"] {
        assert!(
            telling[part]["zh"].as_str().is_some_and(|text| !text.is_empty()),
            "{part}: {telling}"
        );
        assert!(
            telling[part]["en"].as_str().is_some_and(|text| !text.is_empty()),
            "{part}: {telling}"
        );
    }
    assert_eq!(
        (&telling["contact"]["name"], &telling["cause"]),
        (&json!("照相馆"), &Value::Null)
    );

    let moment = between.format("%Y-%m-%dT%H:%M:%S%.6fZ");
    assert_eq!(
        ids(&list(app, &format!("?to={moment}")).await),
        std::slice::from_ref(&purged)
    );
    let later = (between + TimeDelta::minutes(1)).format("%Y-%m-%dT%H:%M:%S%.6fZ");
    assert_eq!(
        ids(&list(app, &format!("?from={later}")).await),
        [booked.clone(), minor.clone()]
    );

    let page = list(app, "?limit=2").await;
    assert_eq!(page["counts"]["orders"], 3, "counts are of all pages");
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&list(app, &format!("?limit=2&cursor={cursor}")).await), [purged]);
    let audit = app.get(&app.keys.admin, "/admin/v1/audit").await.is(200);
    let entry = &audit["data"][0];
    assert_eq!(entry["action"], "breach_export");
    assert!(entry["detail"].as_str().unwrap().contains("orders=3"), "{entry}");
}

#[apply(on_both_engines)]
async fn a_breach_is_looked_up_by_client_by_key_and_by_recipient(app: &TestApp) {
    let mine = app.placed().await;
    let other_key = app.key_of("other", "orders");
    let mut theirs = fixtures::order();
    fixtures::set(&mut theirs, "/recipient/phone", json!(planted::OTHER_PHONE));
    let theirs = app.place(&other_key, &theirs).await.is(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{mine}/reveal"), reason)
        .await
        .is(200);
    app.advance(TimeDelta::minutes(1));

    assert_eq!(ids(&list(app, "?client=other").await), std::slice::from_ref(&theirs));
    let by_key = list(app, &format!("?key_id={}", key_id(&other_key))).await;
    assert_eq!(
        ids(&by_key),
        std::slice::from_ref(&theirs),
        "it saw its own client's alone"
    );
    assert_eq!(by_key["data"][0]["seen_by_key"], false);
    let by_desk = list(app, &format!("?key_id={}", key_id(&app.keys.privacy))).await;
    assert_eq!(ids(&by_desk), [theirs.clone(), mine.clone()]);
    assert_eq!(
        (&by_desk["data"][0]["seen_by_key"], &by_desk["data"][1]["seen_by_key"]),
        (&json!(false), &json!(true))
    );
    let both = list(app, &format!("?key_id={}&client=shop", key_id(&other_key))).await;
    assert_eq!(ids(&both), Vec::<String>::new());
    app.get(&app.keys.privacy, &format!("{BREACH}?key_id=nonsense"))
        .await
        .problem(404, "not_found");

    let search = async |body: Value| app.post(&app.keys.privacy, &format!("{BREACH}/search"), body).await;
    let found = search(json!({"phone": planted::OTHER_PHONE})).await.is(200);
    assert_eq!(
        (ids(&found), &found["counts"]["orders"]),
        (vec![theirs.clone()], &json!(1))
    );
    assert_eq!(
        ids(&search(json!({"phone": planted::PHONE, "client": "other"}))
            .await
            .is(200)),
        Vec::<String>::new()
    );
    let phone = format!("{BREACH}?phone={}", planted::PHONE);
    app.get(&app.keys.privacy, &phone).await.problem(400, "invalid_query");
    for query in [
        "?from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z",
        "?client=",
        "?limit=0",
    ] {
        app.get(&app.keys.privacy, &format!("{BREACH}{query}"))
            .await
            .problem(400, "invalid_query");
    }
    let problem = search(json!({"phone": "1", "limit": 0, "key_id": "", "to": "0001-01-01T00:00:00Z"}))
        .await
        .problem(422, "invalid_body");
    let pointers: Vec<String> = field_errors(&problem).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/key_id", "/limit", "/phone", "/to"]);
}
