//! What data subjects ask for: requests and when they are due, what answering them does to orders, what they are shown,
//! and what an old copy that is put back knows of it.

mod export;
mod outcomes;
mod restored;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::answer::{Answer, field_errors};
use crate::harness::app::TestApp;
use crate::harness::fixtures::{self, order_with};
use crate::harness::{planted, rows};

const REQUESTS: &str = "/admin/v1/subject-requests";

fn requester() -> Value {
    json!({"role": "self", "verified_by": planted::REASON})
}

/// A request about these orders.
fn about(kind: &str, orders: &[&String]) -> Value {
    json!({"kind": kind, "order_ids": orders, "requester": requester()})
}

/// A request that was taken in.
async fn asked(app: &TestApp, body: Value) -> Value {
    app.post(&app.keys.privacy, REQUESTS, body).await.is(201)
}

/// Its id.
async fn asked_id(app: &TestApp, kind: &str, orders: &[&String]) -> String {
    asked(app, about(kind, orders)).await["id"].as_str().unwrap().to_owned()
}

async fn complete(app: &TestApp, id: &str) -> Answer {
    app.send(
        Method::POST,
        Some(&app.keys.privacy),
        &format!("{REQUESTS}/{id}/complete"),
        None,
    )
    .await
}

async fn refuse(app: &TestApp, id: &str) -> Answer {
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("{REQUESTS}/{id}/refuse"), reason)
        .await
}

/// Taken in and completed.
async fn done(app: &TestApp, kind: &str, orders: &[&String]) -> Value {
    let id = asked_id(app, kind, orders).await;
    complete(app, &id).await.is(200)
}

async fn read(app: &TestApp, id: &str) -> Value {
    app.get(&app.keys.privacy, &format!("{REQUESTS}/{id}")).await.is(200)
}

/// What became of an order of a request.
fn outcome<'a>(request: &'a Value, order: &str) -> &'a str {
    let orders = request["orders"].as_array().unwrap();
    let found = orders
        .iter()
        .find(|known| known["order_id"] == order)
        .expect("an order of the request");
    found["outcome"].as_str().unwrap()
}

async fn receipt(app: &TestApp, order: &str) -> Value {
    app.get(&app.keys.privacy, &format!("/admin/v1/purges/{order}"))
        .await
        .is(200)
}

#[apply(on_both_engines)]
async fn a_request_finds_orders_across_clients_and_epochs_and_says_when_it_is_due(app: &TestApp) {
    let first = app.placed().await;
    app.placed_as(&order_with("/recipient/phone", json!(planted::OTHER_PHONE)))
        .await;
    app.advance(TimeDelta::days(3));
    app.run_upkeep().await;
    let other = app.key_of("other", "orders");
    let second = app.place(&other, &fixtures::order()).await.is(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = json!({"kind": "access", "phone": "+86 137-1234-5678", "requester": requester(),
        "received_at": "2026-11-23T08:00:00Z"});
    let answer = app.post(&app.keys.privacy, REQUESTS, body).await;
    let location = answer.header("location").unwrap().to_owned();
    let request = answer.is(201);
    assert_eq!(location, format!("{REQUESTS}/{}", request["id"].as_str().unwrap()));
    assert_eq!(request["order_ids"], json!([first, second]));
    assert_eq!(
        (&request["state"], &request["kind"]),
        (&json!("open"), &json!("access"))
    );
    // Monday the 23rd; today is Thursday the 26th.
    assert_eq!(
        (&request["due_on"], &request["days_left"]),
        (&json!("2026-12-02"), &json!(4))
    );
    assert_eq!(request["due_official"], true);
    assert_eq!(
        (&request["completed_at"], &request["refusal_reason"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(request["requester"], requester(), "the desk reads back what it wrote");
    assert_eq!(outcome(&request, &first), "unchanged");
    assert_eq!(app.get(&app.keys.privacy, &location).await.is(200), request);
    let nobody = json!({"kind": "access", "phone": "13500001111", "requester": requester()});
    assert_eq!(
        asked(app, nobody).await["order_ids"],
        json!([]),
        "nothing is held on them: that is an answer too"
    );
}

#[apply(on_both_engines)]
async fn a_phone_with_more_orders_than_one_statement_may_name_is_found_whole(app: &TestApp) {
    const ORDERS: usize = 1010;
    const ASKED: usize = 33;
    let draft = app.placed_as(&order_with("/confirm", json!(false))).await;
    let placed = stream::iter(1..ORDERS)
        .map(|_| app.placed())
        .buffer_unordered(32)
        .count()
        .await;
    assert_eq!(placed + 1, ORDERS);
    let (mut found, mut cursor) = (BTreeSet::new(), Value::Null);
    loop {
        let mut body = json!({"phone": planted::PHONE, "limit": 200});
        if cursor.is_string() {
            body["cursor"] = cursor;
        }
        let page = app.post(&app.keys.ops, "/admin/v1/orders/search", body).await.is(200);
        let ids = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["id"].to_string());
        let before = found.len();
        found.extend(ids);
        assert!(found.len() > before, "no page is empty or comes twice");
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(found.len(), ORDERS);
    let filtered = json!({"phone": planted::PHONE, "status": "draft"});
    let page = app
        .post(&app.keys.ops, "/admin/v1/orders/search", filtered)
        .await
        .is(200);
    assert_eq!(
        (&page["data"][0]["id"], page["data"].as_array().unwrap().len()),
        (&json!(draft), 1)
    );
    app.advance(TimeDelta::minutes(1));
    let breach = json!({"phone": planted::PHONE, "limit": 200});
    let touched = app
        .post(&app.keys.privacy, "/admin/v1/breach/search", breach)
        .await
        .is(200);
    assert_eq!(touched["counts"]["orders"], json!(ORDERS), "{}", touched["counts"]);
    assert_eq!(touched["data"].as_array().unwrap().len(), 200);
    for _ in 0..ASKED {
        let body = json!({"kind": "access", "phone": planted::PHONE, "requester": requester()});
        assert_eq!(asked(app, body).await["orders"].as_array().unwrap().len(), ORDERS);
    }
    let page = app
        .get(&app.keys.privacy, &format!("{REQUESTS}?limit=200"))
        .await
        .is(200);
    assert_eq!(page["data"].as_array().unwrap().len(), ASKED);
}

#[apply(on_both_engines)]
async fn the_due_day_passes_over_holidays_and_counts_working_weekends(app: &TestApp) {
    let order = app.placed().await;
    for (received, due, official) in [
        ("2026-09-30T09:00:00+08:00", "2026-10-15", true),
        ("2026-02-13T09:00:00+08:00", "2026-03-02", true),
        ("2026-11-22T16:00:00Z", "2026-12-02", true),
    ] {
        let mut body = about("copy", &[&order]);
        body["received_at"] = json!(received);
        let request = asked(app, body).await;
        assert_eq!(
            (&request["due_on"], &request["due_official"]),
            (&json!(due), &json!(official))
        );
    }
    app.advance(TimeDelta::days(34));
    let request = asked(app, about("copy", &[&order])).await;
    assert_eq!(
        request["due_official"], false,
        "the calendar of 2027 is not out yet: {request}"
    );
}

#[apply(on_both_engines)]
async fn requests_are_the_privacy_desks_alone(app: &TestApp) {
    let order = app.placed().await;
    let id = asked_id(app, "access", &[&order]).await;
    let one = format!("{REQUESTS}/{id}");
    let calls = [
        (Method::GET, REQUESTS.to_owned()),
        (Method::GET, one.clone()),
        (Method::GET, format!("{one}/export")),
        (Method::POST, format!("{one}/complete")),
        (Method::GET, "/admin/v1/breach".to_owned()),
    ];
    for key in [&app.keys.orders, &app.keys.floor, &app.keys.ops] {
        for (method, path) in &calls {
            app.send(method.clone(), Some(key), path, None)
                .await
                .problem(403, "forbidden");
        }
        app.post(key, REQUESTS, about("access", &[&order]))
            .await
            .problem(403, "forbidden");
        app.post(key, &format!("{one}/refuse"), json!({"reason": "x"}))
            .await
            .problem(403, "forbidden");
        app.post(key, "/admin/v1/breach/search", json!({}))
            .await
            .problem(403, "forbidden");
    }
    app.send(Method::GET, None, &one, None)
        .await
        .problem(401, "unauthorized");
    app.get(&app.keys.admin, &one).await.is(200);
    for unknown in [order.as_str(), "1"] {
        let path = format!("{REQUESTS}/{unknown}");
        app.get(&app.keys.privacy, &path).await.problem(404, "not_found");
        app.get(&app.keys.privacy, &format!("{path}/export"))
            .await
            .problem(404, "not_found");
        complete(app, unknown).await.problem(404, "not_found");
        refuse(app, unknown).await.problem(404, "not_found");
    }
}

#[apply(on_both_engines)]
async fn every_wrong_value_of_a_request_is_named_and_none_is_repeated(app: &TestApp) {
    let order = app.placed().await;
    let missing = safelight::domain::ids::OrderId::generate().to_string();
    let good = about("delete", &[&order]);
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        fixtures::set(&mut body, pointer, value);
        body
    };
    let mut neither = good.clone();
    neither.as_object_mut().unwrap().remove("order_ids");
    let tomorrow = app.clock.business_now() + TimeDelta::seconds(1);
    for (body, pointer, code) in [
        (with("/kind", json!("forget")), "/kind", "unknown_value"),
        (neither, "/phone", "required"),
        (with("/phone", json!(planted::PHONE)), "/order_ids", "not_both"),
        (with("/order_ids", json!([])), "/order_ids", "out_of_range"),
        (
            with("/order_ids", json!(vec![&order; 201])),
            "/order_ids",
            "out_of_range",
        ),
        (with("/order_ids", json!([order, "x"])), "/order_ids/1", "invalid_id"),
        (with("/order_ids", json!([missing])), "/order_ids/0", "unknown_order"),
        (
            with("/requester/role", json!("friend")),
            "/requester/role",
            "unknown_value",
        ),
        (
            with("/requester/verified_by", json!(" ")),
            "/requester/verified_by",
            "required",
        ),
        (
            with("/requester/verified_by", json!("a\u{0}b")),
            "/requester/verified_by",
            "control_character",
        ),
        (with("/received_at", json!(tomorrow)), "/received_at", "out_of_range"),
        (
            with("/received_at", json!("1970-01-01T00:00:00Z")),
            "/received_at",
            "out_of_range",
        ),
    ] {
        let problem = app
            .post(&app.keys.privacy, REQUESTS, body)
            .await
            .problem(422, "invalid_body");
        assert_eq!(field_errors(&problem), [(pointer.to_owned(), code.to_owned())]);
        assert!(!problem.to_string().contains(&missing), "{problem}");
    }
    let bad_phone = json!({"kind": "x", "phone": "1", "requester": {"role": "x", "verified_by": ""}});
    let problem = app
        .post(&app.keys.privacy, REQUESTS, bad_phone)
        .await
        .problem(422, "invalid_body");
    assert_eq!(field_errors(&problem).len(), 4, "all at once: {problem}");
    for shape in [
        with("/requester", json!({"role": "self"})),
        with("/name", json!("x")),
        json!({"kind": "access"}),
    ] {
        app.post(&app.keys.privacy, REQUESTS, shape)
            .await
            .problem(422, "invalid_body");
    }
    let list = app.get(&app.keys.privacy, REQUESTS).await.is(200);
    assert_eq!(list["data"], json!([]), "nothing was taken in");
    app.get(&app.keys.privacy, &format!("{REQUESTS}?state=late"))
        .await
        .problem(400, "invalid_query");
}

#[apply(on_both_engines)]
async fn requests_are_listed_newest_first_by_state_without_their_texts(app: &TestApp) {
    let order = app.placed().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(asked_id(app, "access", &[&order]).await);
    }
    complete(app, &made[1]).await.is(200);
    refuse(app, &made[3]).await.is(200);
    made.reverse();
    let ids = |page: &Value| {
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let list = async |query: &str| app.get(&app.keys.privacy, &format!("{REQUESTS}{query}")).await.is(200);
    let all = list("").await;
    assert_eq!(ids(&all), made);
    assert_eq!(all["data"][0]["requester"]["verified_by"], Value::Null);
    let page = list("?limit=2").await;
    assert_eq!(ids(&page), made[..2]);
    let rest = list(&format!("?limit=200&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((ids(&rest), &rest["next_cursor"]), (made[2..].to_vec(), &Value::Null));
    assert_eq!(
        ids(&list("?state=open").await),
        [made[0].clone(), made[2].clone(), made[4].clone()]
    );
    assert_eq!(ids(&list("?state=completed").await), [made[3].clone()]);
    let refused = list("?state=refused").await;
    assert_eq!(ids(&refused), [made[1].clone()]);
    assert_eq!(refused["data"][0]["days_left"], Value::Null, "answered");
}

#[apply(on_both_engines)]
async fn an_answer_said_again_is_the_same_and_the_opposite_is_a_conflict(app: &TestApp) {
    let order = app.placed().await;
    let (first, second) = (
        asked_id(app, "access", &[&order]).await,
        asked_id(app, "correct", &[&order]).await,
    );
    let completed = complete(app, &first).await.is(200);
    assert_eq!(
        (&completed["state"], &completed["days_left"]),
        (&json!("completed"), &Value::Null)
    );
    assert!(completed["completed_at"].is_string() && completed["refused_at"].is_null());
    app.advance(TimeDelta::hours(1));
    assert_eq!(complete(app, &first).await.is(200), completed);
    refuse(app, &first).await.problem(409, "already_completed");

    let path = format!("{REQUESTS}/{second}/refuse");
    app.post(&app.keys.privacy, &path, json!({}))
        .await
        .problem(422, "invalid_body");
    let empty = app
        .post(&app.keys.privacy, &path, json!({"reason": "  "}))
        .await
        .problem(422, "invalid_body");
    assert_eq!(field_errors(&empty)[0].0, "/reason");
    let refused = refuse(app, &second).await.is(200);
    assert_eq!(
        (&refused["state"], &refused["refusal_reason"]),
        (&json!("refused"), &json!(planted::REASON))
    );
    assert_eq!(
        refused["requester"],
        requester(),
        "what was written before is still there"
    );
    let again = app
        .post(&app.keys.privacy, &path, json!({"reason": "another"}))
        .await
        .is(200);
    assert_eq!(again, refused, "the first reason counts");
    complete(app, &second).await.problem(409, "already_refused");
    app.get(&app.keys.privacy, &format!("{REQUESTS}/{second}/export"))
        .await
        .problem(409, "already_refused");
    assert!(app.detail(&order).await["restricted_at"].is_null());

    let audit = app.get(&app.keys.admin, "/admin/v1/audit").await.is(200);
    let acts: Vec<_> = audit["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|act| act["action"].as_str().unwrap().starts_with("subject_request"))
        .collect();
    assert_eq!(acts.len(), 4, "two taken in, one completed, one refused: {audit}");
    assert!(acts[0]["action"] == "subject_request_refuse" && acts[0]["reason_hash"].is_string());
}

#[apply(on_both_engines)]
async fn the_texts_of_a_request_lie_sealed_and_go_with_the_last_order(app: &TestApp) {
    let (first, second) = (app.delivered().await, app.delivered().await);
    let refused = asked_id(app, "access", &[&first, &second]).await;
    refuse(app, &refused).await.is(200);
    let nobody = json!({"kind": "access", "phone": "13500001111", "requester": requester()});
    let nobodys = asked(app, nobody).await["id"].as_str().unwrap().to_owned();
    complete(app, &nobodys).await.is(200);
    let mut conn = app.conn();
    for table in rows::tables(&mut conn, app.databases.engine) {
        for row in rows::dump(&mut conn, app.databases.engine, &table) {
            assert!(planted::find(&planted::PERSON, &row).is_none(), "a row of {table}");
        }
    }
    assert_eq!(rows::count(&mut conn, "subject_request_texts"), 2);
    done(app, "delete", &[&first]).await;
    assert_eq!(
        read(app, &refused).await["refusal_reason"],
        planted::REASON,
        "an order of it lives"
    );
    done(app, "delete", &[&second]).await;
    let gone = read(app, &refused).await;
    assert_eq!(
        (&gone["refusal_reason"], &gone["requester"]["verified_by"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(gone["state"], "refused", "the fact stays");
    assert_eq!(
        read(app, &nobodys).await["requester"],
        requester(),
        "a window after the answer"
    );
    app.advance(crate::harness::app::WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert_eq!(rows::count(&mut conn, "subject_request_texts"), 0);
}

#[apply(on_both_engines)]
async fn what_was_written_survives_the_retirement_of_its_key(app: &TestApp) {
    let order = app.placed().await;
    let id = asked_id(app, "access", &[&order]).await;
    refuse(app, &id).await.is(200);
    let mut conn = app.conn();
    let before = rows::texts(&mut conn, "CAST(epoch AS TEXT)", "subject_request_texts");
    safelight::app::recovery::retire_key_epochs::now(&app.app, |_| {})
        .await
        .unwrap();
    let after = rows::texts(&mut conn, "CAST(epoch AS TEXT)", "subject_request_texts");
    assert_ne!(before, after);
    let read = read(app, &id).await;
    assert_eq!(
        (&read["refusal_reason"], &read["requester"]),
        (&json!(planted::REASON), &requester())
    );
}

#[apply(on_both_engines)]
async fn what_is_late_is_counted_and_said_by_its_id_alone(app: &TestApp) {
    let order = app.placed().await;
    let received = |text: &str| {
        let mut body = about("access", &[&order]);
        body["received_at"] = json!(text);
        body
    };
    asked(app, received("2026-11-23T00:00:00Z")).await;
    let soon = asked(app, received("2026-11-13T00:00:00Z")).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let late = asked(app, received("2026-09-30T00:00:00Z")).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let stats = async || app.get(&app.keys.ops, "/admin/v1/stats").await.is(200);
    let counted = stats().await;
    let of = |stats: &Value| {
        ["open", "due_soon", "overdue"].map(|name| stats[format!("subject_requests_{name}")].as_i64().unwrap())
    };
    assert_eq!(of(&counted), [3, 1, 1], "{counted}");
    let metrics = app.send(Method::GET, None, "/metrics", None).await.text;
    assert!(
        metrics.contains("\nsafelight_subject_requests_overdue 1\n"),
        "{metrics}"
    );
    assert_eq!(
        safelight::app::subject_requests::remind::remind(&app.app)
            .await
            .unwrap(),
        2
    );
    let logged = app.logged();
    assert!(logged.contains(&late) && logged.contains(&soon));
    complete(app, &late).await.is(200);
    assert_eq!(of(&stats().await), [2, 1, 0]);
}

#[apply(on_both_engines)]
async fn a_purge_says_for_which_cause_it_was(app: &TestApp) {
    for (cause, reason) in [
        (None, "operator"),
        (Some("operator"), "operator"),
        (Some("request"), "request"),
        (Some("minor_without_guardian"), "minor_without_guardian"),
    ] {
        let id = app.placed().await;
        let mut body = json!({"reason": planted::REASON});
        if let Some(cause) = cause {
            body["cause"] = json!(cause);
        }
        let purged = app
            .post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/purge"), body)
            .await
            .is(200);
        assert_eq!(purged["reason"], reason);
        assert_eq!(receipt(app, &id).await["reason"], reason);
    }
    let id = app.placed().await;
    let body = json!({"reason": " ", "cause": "retention"});
    let problem = app
        .post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/purge"), body)
        .await
        .problem(422, "invalid_body");
    let errors = [("/cause", "unknown_value"), ("/reason", "required")];
    assert_eq!(
        field_errors(&problem),
        errors.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
    );
}
