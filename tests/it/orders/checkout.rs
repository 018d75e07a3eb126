//! `POST /v1/orders` and what a client does with its own orders.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::json;

use crate::harness::answer::field_errors;
use crate::harness::app::TestApp;
use crate::harness::fixtures::{self, order_with, set};
use crate::harness::{planted, rows};

#[apply(on_both_engines)]
async fn a_placed_order_is_answered_exactly_as_the_contract_says(app: &TestApp) {
    let body = fixtures::order();
    let answer = app.place(&app.keys.orders, &body).await;
    let location = answer.header("location").map(str::to_owned);
    let order = answer.is(201);
    let id = order["id"].as_str().unwrap();
    assert_eq!(location, Some(format!("/v1/orders/{id}")));
    assert_eq!(
        order,
        json!({
            "id": id, "reference": body["reference"], "status": "placed",
            "recipient": {"name": "司***", "phone": "137******78",
                          "region": "广东省深圳市南山区"},
            "items": [{"photo_size": "cn-1in", "copies": 8, "sheets": 1}],
            "amount": "12.90", "currency": "CNY", "courier": "simulated", "shipment": null, "minor": false,
            "created_at": order["created_at"], "updated_at": order["created_at"], "ended_at": null,
            "purge_due_at": null, "purged_at": null, "held": false,
        })
    );
    assert_eq!(order["created_at"], "2026-11-23T08:00:00Z");
    assert_eq!(app.own(id).await, order, "what is read is what was answered");
}

#[apply(on_both_engines)]
async fn what_may_be_left_out_has_the_defaults_of_the_contract(app: &TestApp) {
    let mut body = fixtures::order();
    for member in ["courier", "confirm"] {
        body.as_object_mut().unwrap().remove(member);
    }
    for member in ["district", "postal_code", "country"] {
        body["recipient"].as_object_mut().unwrap().remove(member);
    }
    body["items"] = json!([{"photo_size": "cn-2in", "copies": 1}]);
    body["consent"] = json!({"policy_version": "1", "accepted_at": "2026-11-23T07:00:00Z", "courier_sharing": true});
    let order = app.place(&app.keys.orders, &body).await.is(201);
    assert_eq!(
        (&order["courier"], &order["status"]),
        (&json!("simulated"), &json!("placed"))
    );
    assert_eq!(
        order["items"],
        json!([{"photo_size": "cn-2in", "copies": 1, "sheets": 1}])
    );
    assert_eq!(order["recipient"]["region"], "广东省深圳市");
}

#[apply(on_both_engines)]
async fn the_same_request_again_is_replayed_with_the_order_as_it_is_now(app: &TestApp) {
    let body = fixtures::order();
    let first = app
        .place_as(&app.keys.orders, "planted-key-replay", &body)
        .await
        .is(201);
    let again = app.place_as(&app.keys.orders, "planted-key-replay", &body).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.is(201), first);
    app.claim(10).await;
    let later = app
        .place_as(&app.keys.orders, "planted-key-replay", &body)
        .await
        .is(201);
    assert_eq!((&later["id"], &later["status"]), (&first["id"], &json!("printing")));
    assert_eq!(rows::count(&mut app.conn(), "orders"), 1);
}

#[apply(on_both_engines)]
async fn a_request_is_replayed_across_midnight(app: &TestApp) {
    let body = fixtures::order();
    let first = app
        .place_as(&app.keys.orders, "planted-key-midnight", &body)
        .await
        .is(201);
    app.advance(TimeDelta::hours(20));
    app.run_upkeep().await;
    let again = app.place_as(&app.keys.orders, "planted-key-midnight", &body).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.is(201)["id"], first["id"]);
}

#[apply(on_both_engines)]
async fn a_key_used_for_another_body_is_refused(app: &TestApp) {
    let body = fixtures::order();
    app.place_as(&app.keys.orders, "planted-key-reuse", &body).await.is(201);
    for (pointer, value) in [
        ("/amount", json!("12.91")),
        ("/reference", json!("another")),
        ("/recipient/phone", json!(planted::OTHER_PHONE)),
        ("/items/0/copies", json!(9)),
        ("/items/0/photo", json!("oss://planted-photos/other.jpg")),
    ] {
        let mut other = body.clone();
        set(&mut other, pointer, value);
        let answer = app.place_as(&app.keys.orders, "planted-key-reuse", &other).await;
        answer.problem(422, "idempotency_key_reused");
    }
}

#[apply(on_both_engines)]
async fn a_refused_request_leaves_its_key_free(app: &TestApp) {
    let mut body = order_with("/amount", json!("-1"));
    app.place_as(&app.keys.orders, "planted-key-free", &body).await.is(422);
    let taken = fixtures::order();
    app.place(&app.keys.orders, &taken).await.is(201);
    app.place_as(&app.keys.orders, "planted-key-free", &taken)
        .await
        .problem(409, "reference_taken");
    body["amount"] = json!("1.00");
    app.place_as(&app.keys.orders, "planted-key-free", &body).await.is(201);
}

#[apply(on_both_engines)]
async fn one_clients_key_means_nothing_to_another(app: &TestApp) {
    let other = app.key_of("other", "orders");
    let body = fixtures::order();
    let mine = app
        .place_as(&app.keys.orders, "planted-key-shared", &body)
        .await
        .is(201);
    let theirs = app.place_as(&other, "planted-key-shared", &body).await;
    assert_eq!(theirs.header("idempotent-replayed"), None);
    assert_ne!(theirs.is(201)["id"], mine["id"], "references and keys are per client");
}

#[apply(on_both_engines)]
async fn a_taken_reference_names_the_order_that_has_it(app: &TestApp) {
    let body = fixtures::order();
    let first = app.place(&app.keys.orders, &body).await.is(201);
    let problem = app.place(&app.keys.orders, &body).await.problem(409, "reference_taken");
    assert_eq!(problem["order_id"], first["id"]);
}

#[apply(on_both_engines)]
async fn a_draft_is_confirmed_once_and_a_placed_order_never(app: &TestApp) {
    let id = app.placed_as(&fixtures::draft()).await;
    assert_eq!(app.own(&id).await["status"], "draft");
    assert!(app.claim(10).await.is_empty(), "a draft is not for the floor");
    let confirm = format!("/v1/orders/{id}/confirm");
    let answer = app.send(Method::POST, Some(&app.keys.orders), &confirm, None).await;
    assert_eq!(answer.is(200)["status"], "placed");
    let again = app.send(Method::POST, Some(&app.keys.orders), &confirm, None).await;
    again.problem(409, "not_a_draft");
    assert_eq!(app.claim(10).await, [id]);
}

#[apply(on_both_engines)]
async fn a_cancelled_draft_frees_its_reference_and_a_cancelled_order_does_not(app: &TestApp) {
    for (body, freed) in [(fixtures::draft(), true), (fixtures::order(), false)] {
        let id = app.placed_as(&body).await;
        let reason = json!({"reason": planted::REASON});
        let answer = app
            .post(&app.keys.orders, &format!("/v1/orders/{id}/cancel"), reason)
            .await
            .is(200);
        assert_eq!(answer["status"], "cancelled");
        assert!(
            answer["ended_at"].is_string() && answer["purge_due_at"].is_string(),
            "{answer}"
        );
        let again = app.place(&app.keys.orders, &body).await;
        if freed {
            again.is(201);
        } else {
            again.problem(409, "reference_taken");
        }
    }
}

#[apply(on_both_engines)]
async fn forty_racers_on_one_key_make_one_order(app: &TestApp) {
    let body = fixtures::order();
    let racers = (0..40).map(|_| app.place_as(&app.keys.orders, "planted-key-race", &body));
    let answers = futures_util::future::join_all(racers).await;
    let mut ids: Vec<String> = Vec::new();
    let mut fresh = 0;
    for answer in answers {
        if answer.status == 409 {
            answer.problem(409, "idempotency_in_progress");
            continue;
        }
        fresh += usize::from(answer.header("idempotent-replayed").is_none());
        ids.push(answer.is(201)["id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!((ids.len(), fresh), (1, 1), "one order, and one who made it");
    for table in [
        "orders",
        "order_person",
        "order_items",
        "order_events",
        "idempotency_keys",
    ] {
        assert_eq!(rows::count(&mut app.conn(), table), 1, "{table}");
    }
}

#[apply(on_both_engines)]
async fn forty_racers_on_one_reference_make_one_order(app: &TestApp) {
    let body = fixtures::order();
    let answers = futures_util::future::join_all((0..40).map(|_| app.place(&app.keys.orders, &body))).await;
    let mut placed = 0;
    for answer in answers {
        if answer.status == 201 {
            placed += 1;
        } else {
            answer.problem(409, "reference_taken");
        }
    }
    assert_eq!(placed, 1);
    for table in ["orders", "order_person", "idempotency_keys"] {
        assert_eq!(rows::count(&mut app.conn(), table), 1, "{table}");
    }
}

#[apply(on_both_engines)]
async fn nobody_ships_without_consent(app: &TestApp) {
    let sharing = order_with("/consent/courier_sharing", json!(false));
    let minor = order_with("/consent/minor", json!(true));
    for (body, pointer, code) in [
        (sharing, "/consent/courier_sharing", "consent_required"),
        (minor, "/consent/guardian_consent", "guardian_consent_required"),
    ] {
        let problem = app.place(&app.keys.orders, &body).await.problem(422, code);
        assert_eq!(field_errors(&problem), [(pointer.to_owned(), code.to_owned())]);
    }
    let mut guarded = order_with("/consent/minor", json!(true));
    set(&mut guarded, "/consent/guardian_consent", json!(true));
    assert_eq!(app.place(&app.keys.orders, &guarded).await.is(201)["minor"], true);
    assert_eq!(rows::count(&mut app.conn(), "orders"), 1);
}

#[apply(on_both_engines)]
async fn unknown_sizes_and_couriers_are_named_as_such(app: &TestApp) {
    let size = order_with("/items/0/photo_size", json!("xx-9in"));
    let courier = order_with("/courier", json!("pigeon"));
    for (body, code) in [(size, "unknown_photo_size"), (courier, "unknown_courier")] {
        app.place(&app.keys.orders, &body).await.problem(422, code);
    }
}

#[apply(on_both_engines)]
async fn every_wrong_value_is_named_at_once_and_none_is_repeated(app: &TestApp) {
    let mut body = fixtures::order();
    for (pointer, value) in [
        ("/reference", json!("司马植入 has spaces")),
        ("/recipient/name", json!("")),
        ("/recipient/phone", json!("137123456789999")),
        ("/recipient/street", json!("绝密".repeat(60))),
        ("/items/0/copies", json!(1000)),
        ("/items/0/sheets", json!(0)),
        ("/items/0/photo", json!("")),
        ("/amount", json!("12.901")),
        ("/consent/accepted_at", json!("2026-11-23T08:06:00Z")),
    ] {
        set(&mut body, pointer, value);
    }
    let problem = app.place(&app.keys.orders, &body).await.problem(422, "invalid_body");
    let pointers: Vec<String> = field_errors(&problem).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(
        pointers,
        [
            "/amount",
            "/consent/accepted_at",
            "/items/0/copies",
            "/items/0/photo",
            "/items/0/sheets",
            "/recipient/name",
            "/recipient/phone",
            "/recipient/street",
            "/reference",
        ]
    );
}

#[apply(on_both_engines)]
async fn limits_hold_on_both_sides_of_their_edges(app: &TestApp) {
    let twenty = json!(vec![json!({"photo_size": "cn-1in", "copies": 1}); 20]);
    let many = json!(vec![json!({"photo_size": "cn-1in", "copies": 1}); 21]);
    let name_50: String = "张".repeat(50);
    let name_51: String = "张".repeat(51);
    for (pointer, value, fits) in [
        ("/reference", json!("A".repeat(64)), true),
        ("/reference", json!("A".repeat(65)), false),
        ("/items/0/copies", json!(999), true),
        ("/items/0/copies", json!(0), false),
        ("/items/0/sheets", json!(99), true),
        ("/items/0/sheets", json!(100), false),
        ("/items/0/photo", json!("p".repeat(512)), true),
        ("/items/0/photo", json!("p".repeat(513)), false),
        ("/items", twenty, true),
        ("/items", many, false),
        ("/items", json!([]), false),
        ("/recipient/name", json!(name_50), true),
        ("/recipient/name", json!(name_51), false),
        ("/recipient/street", json!("路\u{0}1号"), false),
        ("/amount", json!("0"), true),
        ("/amount", json!("0.00"), true),
        ("/amount", json!("99999999999999999999"), false),
        ("/currency", json!("XXQ"), false),
        ("/consent/accepted_at", json!("2026-11-23T08:05:00Z"), true),
        ("/consent/accepted_at", json!("2026-11-23T08:05:01Z"), false),
    ] {
        let answer = app.place(&app.keys.orders, &order_with(pointer, value)).await;
        assert_eq!(
            answer.status,
            if fits { 201 } else { 422 },
            "{pointer}: {}",
            answer.text
        );
    }
}

#[apply(on_both_engines)]
async fn the_recipient_is_corrected_until_the_parcel_is_on_its_way(app: &TestApp) {
    let id = app.placed().await;
    let path = format!("/v1/orders/{id}/recipient");
    let corrected = app
        .put(&app.keys.orders, &path, fixtures::other_recipient())
        .await
        .is(200);
    assert_eq!(
        corrected["recipient"],
        json!({"name": "诸***", "phone": "137******99", "region": "浙江省杭州市西湖区"})
    );
    let wrong = app
        .put(&app.keys.orders, &path, json!({"name": "", "phone": "1"}))
        .await;
    assert_eq!(wrong.status, 422);
    let shipped = app.shipped().await;
    let late = app
        .put(
            &app.keys.orders,
            &format!("/v1/orders/{shipped}/recipient"),
            fixtures::recipient(),
        )
        .await;
    late.problem(409, "already_shipped");
}

#[apply(on_both_engines)]
async fn correcting_a_booked_parcel_calls_it_off_and_books_another(app: &TestApp) {
    let id = app.booked().await;
    let (first, _) = app.parcel_of(&id).await;
    app.put(
        &app.keys.orders,
        &format!("/v1/orders/{id}/recipient"),
        fixtures::other_recipient(),
    )
    .await
    .is(200);
    app.run_jobs().await;
    let (second, _) = app.parcel_of(&id).await;
    assert_ne!(first, second, "a reference is never used again");
    assert_eq!(app.parcels(&first).await[0]["cancelled"], true);
    assert_eq!(app.parcels(&second).await[0]["cancelled"], false);
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
}

#[apply(on_both_engines)]
async fn cancelling_a_booked_parcel_asks_the_courier_and_its_answer_decides(app: &TestApp) {
    let reason = || json!({"reason": planted::REASON});
    let id = app.booked().await;
    let (reference, _) = app.parcel_of(&id).await;
    app.post(&app.keys.orders, &format!("/v1/orders/{id}/cancel"), reason())
        .await
        .is(200);
    assert_eq!(app.parcels(&reference).await[0]["cancelled"], true);
    assert_eq!(app.stands(&id).await, ("cancelled".into(), "cancelled".into()));

    let late = app.booked().await;
    // The courier picked it up, and we have not heard of it yet.
    app.advance(TimeDelta::hours(3));
    let answer = app
        .post(&app.keys.orders, &format!("/v1/orders/{late}/cancel"), reason())
        .await;
    answer.problem(409, "not_cancellable");
    assert_eq!(app.stands(&late).await, ("printed".into(), "booked".into()));

    let shipped = app.shipped().await;
    let answer = app
        .post(&app.keys.orders, &format!("/v1/orders/{shipped}/cancel"), reason())
        .await;
    answer.problem(409, "not_cancellable");
}

#[apply(on_both_engines)]
async fn the_timeline_tells_every_step_and_no_text(app: &TestApp) {
    let id = app.delivered().await;
    let events = app
        .get(&app.keys.orders, &format!("/v1/orders/{id}/events"))
        .await
        .is(200);
    let kinds: Vec<&str> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    let steps: Vec<&str> = kinds.into_iter().filter(|kind| *kind != "tracking").collect();
    assert_eq!(
        steps,
        ["placed", "claimed", "printed", "booked", "shipped", "delivered"]
    );
}

#[apply(on_both_engines)]
async fn the_catalogue_lists_sizes_with_their_millimetres(app: &TestApp) {
    let sizes = app.get(&app.keys.orders, "/v1/photo-sizes").await.is(200);
    let all = sizes["data"].as_array().unwrap();
    let one = all.iter().find(|size| size["code"] == "cn-1in").unwrap();
    assert_eq!(
        (&one["name"], &one["width_mm"], &one["height_mm"]),
        (&json!("一寸"), &json!(25), &json!(35))
    );
    assert!(all.len() > 5);
}
