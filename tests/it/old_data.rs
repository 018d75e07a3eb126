//! What a binary from before left behind, on both engines: this one serves it, carries it on, purges it and proves it.
//!
//! `tests/old-data/make` had an old binary live through a shop's days and wrote down what it answered; `README.md` beside
//! it says what is in there. Time stands at the moment when the old binary was stopped, whenever the test runs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::app::audit;
use safelight::app::recovery::retire_key_epochs;
use safelight::app::retention::prove::{self, scan};
use safelight::clock::BusinessTime;
use safelight::domain::order::OrderStatus;
use safelight::domain::shipment::ShipmentState;
use serde_json::{Value, json};

use crate::harness::app::{Keys, TestApp};
use crate::harness::databases::{Databases, Engine};
use crate::harness::{fixtures, planted, rows};
use crate::process::{Installation, bare};

/// What the old binary left, and what it said of it.
struct Left {
    fixture: PathBuf,
    engine: Engine,
    manifest: Value,
}

impl Left {
    fn on(engine: Engine) -> Self {
        let folder = match engine {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        };
        let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/old-data/fixture")
            .join(folder);
        let manifest = std::fs::read_to_string(fixture.join("manifest.json")).unwrap();
        let manifest = serde_json::from_str(&manifest).unwrap();
        Self {
            fixture,
            engine,
            manifest,
        }
    }

    fn databases(&self) -> Databases {
        Databases::left_in(&self.fixture, self.engine, "orders")
    }

    /// When the old binary was stopped.
    fn made_at(&self) -> BusinessTime {
        let text = self.manifest["made_at"].as_str().unwrap();
        text.parse().unwrap()
    }

    /// A key that the old binary made.
    fn key(&self, name: &str) -> &str {
        self.manifest["keys"][name].as_str().expect("a key of that name")
    }

    /// This binary in service on it, at the moment when the old one was stopped.
    async fn in_service(&self) -> TestApp {
        let (app, started) = TestApp::over(self.databases(), self.made_at(), self.keys()).await;
        assert!(!started.restored, "it is nobody's old copy");
        assert_eq!(started.replayed, 0, "the old binary had applied its whole journal");
        app
    }

    /// The same on the copy of the orders that the old binary made before people asked it for anything, with the vault as
    /// it was in the end: all of that stands in the journal alone.
    async fn restored(&self) -> TestApp {
        let databases = Databases::left_in(&self.fixture, self.engine, "orders-before");
        let (app, started) = TestApp::over(databases, self.made_at(), self.keys()).await;
        assert!(started.restored && started.replayed > 0, "{started:?}");
        app
    }

    fn keys(&self) -> Keys {
        let key = |name: &str| self.key(name).to_owned();
        Keys {
            orders: key("orders"),
            floor: key("floor"),
            ops: key("ops"),
            privacy: key("privacy"),
            admin: key("admin"),
        }
    }

    /// What the old binary answered there in the end.
    fn answer(&self, path: &str) -> &Value {
        let mut answers = self.manifest["answers"].as_array().unwrap().iter();
        &answers
            .find(|answer| answer["path"] == path)
            .expect("an answer of that path")["answer"]
    }

    fn orders(&self) -> &[Value] {
        self.manifest["orders"].as_array().unwrap()
    }

    /// Orders whose person was there when the old binary was stopped.
    fn alive(&self) -> impl Iterator<Item = &Value> {
        self.orders().iter().filter(|order| order["purged"] == false)
    }

    fn order(&self, name: &str) -> &Value {
        let mut orders = self.orders().iter();
        orders
            .find(|order| order["name"] == name)
            .expect("an order of that name")
    }

    fn id(&self, name: &str) -> &str {
        id(self.order(name))
    }
}

fn id(order: &Value) -> &str {
    order["id"].as_str().unwrap()
}

/// Whether everything that was answered before is answered now: new members may have joined.
fn is_in(before: &Value, now: &Value) -> bool {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => before
            .iter()
            .all(|(name, value)| now.get(name).is_some_and(|now| is_in(value, now))),
        (Value::Array(before), Value::Array(now)) => {
            before.len() == now.len() && before.iter().zip(now).all(|(before, now)| is_in(before, now))
        }
        _ => before == now,
    }
}

/// What the proof finds, in one text.
async fn findings(app: &TestApp) -> String {
    audit::note_head(&app.app).await.unwrap();
    let checks = prove::prove(&app.app).await.unwrap();
    let all: Vec<String> = checks.into_iter().flat_map(|check| check.findings).collect();
    all.join("\n")
}

/// What stands of the persons in rows and files.
async fn persons_found(app: &TestApp) -> String {
    let values = [
        planted::NAME,
        planted::OTHER_NAME,
        planted::PHONE,
        planted::OTHER_PHONE,
        planted::STREET,
        planted::OTHER_STREET,
        planted::PHOTO,
        planted::REASON,
        planted::REMARK,
        planted::TRACKING,
    ];
    let (needles, too_short) = scan::needles(&values.join("\n"));
    assert!(too_short.is_empty());
    let checks = prove::scan(&app.app, needles, Vec::new()).await.unwrap();
    let all: Vec<String> = checks.into_iter().flat_map(|check| check.findings).collect();
    all.join("\n")
}

async fn found(app: &TestApp, body: Value) -> BTreeSet<String> {
    let page = app.post(&app.keys.ops, "/admin/v1/orders/search", body).await.is(200);
    let orders = page["data"].as_array().unwrap();
    orders.iter().map(|order| id(order).to_owned()).collect()
}

/// Labels are kept sealed: nobody has to ask their courier, which is not configured here.
async fn labels_open(app: &TestApp, left: &Left) {
    for name in ["labelled", "labelled_since"] {
        let path = format!("/admin/v1/orders/{}/label", left.id(name));
        let label = app.get(&app.keys.floor, &path).await;
        assert_eq!((label.status, label.text.as_str()), (200, "%PDF-1.4 made up"), "{name}");
    }
}

/// Everything that waits for a moment in the next hours gets it: tries, leases, settle times, the courier's pause.
async fn some_hours_pass(app: &TestApp) {
    for _ in 0..18 {
        app.advance(TimeDelta::minutes(10));
        app.run_jobs().await;
        app.run_upkeep().await;
    }
}

/// Days as the worker's loops see them.
async fn days_pass(app: &TestApp, days: i64) {
    for _ in 0..days {
        app.advance(TimeDelta::days(1));
        app.run_jobs().await;
        app.run_polls().await;
        app.run_upkeep().await;
        retire_key_epochs::nightly(&app.app).await.unwrap();
    }
}

#[test]
fn the_fixtures_hold_orders_and_parcels_in_every_state() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let left = Left::on(engine);
        let states = |member: &str| -> BTreeSet<String> {
            let states = left.orders().iter().filter_map(|order| order[member].as_str());
            states.map(str::to_owned).collect()
        };
        let all = OrderStatus::ALL.map(|status| status.as_str().to_owned());
        assert_eq!(states("status"), BTreeSet::from(all));
        let all = ShipmentState::ALL.map(|state| state.as_str().to_owned());
        assert_eq!(states("shipment"), BTreeSet::from(all));
    }
}

#[apply(on_both_engines)]
#[by(bare)]
async fn what_the_old_binary_answered_is_answered_again(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    for reading in left.manifest["answers"].as_array().unwrap() {
        let (key, path) = (
            left.key(reading["key"].as_str().unwrap()),
            reading["path"].as_str().unwrap(),
        );
        let now = app.get(key, path).await.is(200);
        assert!(
            is_in(&reading["answer"], &now),
            "{path}\nbefore: {}\nnow: {now}",
            reading["answer"]
        );
    }
    assert_eq!(findings(&app).await, "");
    assert_eq!(persons_found(&app).await, "");
    // Everything that is held on a person, which is everything that is sealed. Last, for it is written down.
    let export = &left.manifest["export"];
    let path = export["path"].as_str().unwrap();
    for approval in app.get(&app.keys.privacy, path).await.is(202)["approvals"]
        .as_array()
        .unwrap()
    {
        let path = format!("/admin/v1/reveals/{}/approve", approval["reveal_id"].as_str().unwrap());
        let approved = app.send(Method::POST, Some(left.key("privacy2")), &path, None).await;
        assert!((200..300).contains(&approved.status), "{}", approved.text);
    }
    let now = app.get(&app.keys.privacy, path).await.is(200);
    assert!(
        is_in(&export["answer"], &now),
        "before: {}\nnow: {now}",
        export["answer"]
    );
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn its_rows_hold_what_the_tests_below_are_about(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    let (mut orders, mut vault) = (app.conn(), app.databases.open_vault());
    for (at_least, rows_of) in [
        (2, "order_label"),
        (2, "shipment_attempts WHERE provider_ref IS NOT NULL"),
        (1, "jobs WHERE state = 'dead'"),
        (1, "jobs WHERE state = 'leased'"),
        (8, "jobs WHERE state = 'ready'"),
        (2, "parked_events"),
        (1, "courier_state WHERE state <> 'ok' AND paused_until IS NOT NULL"),
        (8, "purge_receipts"),
        (8, "key_epochs WHERE state = 'retired'"),
        (2, "(SELECT DISTINCT epoch FROM order_person) AS living"),
        (2, "orders WHERE restricted_at IS NOT NULL AND purged_at IS NULL"),
        (2, "orders WHERE hold_until IS NOT NULL"),
        (2, "reveals"),
        (2, "api_keys WHERE revoked_at IS NOT NULL"),
        (1, "subject_requests WHERE state = 'open'"),
        (1, "subject_requests WHERE state = 'refused'"),
        (4, "subject_requests WHERE state = 'completed'"),
        (10, "(SELECT DISTINCT action FROM audit_log) AS actions"),
        (20, "idempotency_keys"),
    ] {
        let count = rows::count(&mut orders, rows_of);
        assert!(count >= at_least, "{count} {rows_of}");
    }
    for (at_least, rows_of) in [
        (5, "(SELECT DISTINCT kind FROM journal) AS kinds"),
        (8, "vault_keys WHERE purpose = 'epoch' AND wrapped IS NULL"),
    ] {
        let count = rows::count(&mut vault, rows_of);
        assert!(count >= at_least, "{count} {rows_of}");
    }
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn its_persons_open_and_are_found(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    for order in left.alive() {
        let recipient = app.detail(id(order)).await["recipient"].clone();
        assert!(
            recipient["name"].as_str().unwrap().ends_with('*'),
            "{}: {recipient}",
            order["name"]
        );
    }
    for name in ["placed", "corrected", "shipped", "delivered", "draft"] {
        let reason = json!({"reason": planted::REASON});
        let path = format!("/admin/v1/orders/{}/reveal", left.id(name));
        let shown = app.post(&app.keys.privacy, &path, reason).await.is(200);
        let sent = match name {
            "corrected" => fixtures::other_recipient(),
            _ => left.order(name)["body"]["recipient"].clone(),
        };
        let recipient = if shown["recipient"].is_object() {
            &shown["recipient"]
        } else {
            &shown
        };
        for member in [
            "name",
            "province",
            "city",
            "district",
            "street",
            "postal_code",
            "country",
        ] {
            assert_eq!(recipient[member], sent[member], "{name}");
        }
        let phone = recipient["phone"].as_str().unwrap();
        assert_eq!(phone.trim_start_matches("+86"), sent["phone"], "{name}");
    }
    let of = |phone: &str| -> BTreeSet<String> {
        let theirs = left.alive().filter(|order| {
            let corrected = order["name"] == "corrected";
            let sent = order["body"]["recipient"]["phone"].as_str().unwrap();
            phone == if corrected { planted::OTHER_PHONE } else { sent }
        });
        theirs.map(|order| id(order).to_owned()).collect()
    };
    for phone in [planted::PHONE, planted::OTHER_PHONE] {
        assert_eq!(found(&app, json!({"phone": phone, "limit": 200})).await, of(phone));
    }
    labels_open(&app, &left).await;
    let by_hand = found(&app, json!({"tracking_no": planted::TRACKING})).await;
    assert_eq!(by_hand, BTreeSet::from([left.id("shipped_by_hand").to_owned()]));
    let (_, number) = app.parcel_of(left.id("in_transit")).await;
    let in_transit = found(&app, json!({"tracking_no": number})).await;
    assert_eq!(in_transit, BTreeSet::from([left.id("in_transit").to_owned()]));
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn its_keys_open_what_they_opened_and_revoked_ones_nothing(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    for (name, path) in [
        ("orders", "/v1/orders"),
        ("other", "/v1/orders"),
        ("ops", "/admin/v1/stats"),
        ("privacy", "/admin/v1/purges"),
        ("privacy2", "/admin/v1/purges"),
        ("admin", "/admin/v1/keys"),
    ] {
        app.get(left.key(name), path).await.is(200);
    }
    let claim = json!({"operator": "wang", "limit": 1});
    app.post(left.key("floor"), "/admin/v1/print-queue/claim", claim)
        .await
        .is(200);
    app.get(left.key("floor"), "/admin/v1/keys")
        .await
        .problem(403, "forbidden");
    for name in ["revoked", "revoked_over_http"] {
        assert_eq!(app.get(left.key(name), "/v1/orders").await.status, 401, "{name}");
    }
    let mut wrong = left.key("orders").to_owned();
    wrong.truncate(wrong.len() - 4);
    wrong.push_str("AAAA");
    assert_eq!(app.get(&wrong, "/v1/orders").await.status, 401);
    // What one client placed is no other's.
    let of_another = format!("/v1/orders/{}", left.id("of_another_client"));
    app.get(left.key("other"), &of_another).await.is(200);
    app.get(left.key("orders"), &of_another).await.problem(404, "not_found");
    // A key that was in use can be taken out of it, and new ones are made beside the old.
    let key_id = left.key("other").split('_').nth(1).unwrap();
    let path = format!("/admin/v1/keys/{key_id}");
    let revoked = app.send(Method::DELETE, Some(&app.keys.admin), &path, None).await;
    assert!((200..300).contains(&revoked.status), "{}", revoked.text);
    app.get(&app.key("ops"), "/admin/v1/stats").await.is(200);
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn an_order_sent_to_the_old_binary_and_again_to_this_one_is_one_order(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    let before = rows::count(&mut app.conn(), "orders");
    // The courier is looked up first, and no other than the simulated one is configured here.
    for order in left.alive().filter(|order| order["body"]["courier"] == "simulated") {
        let (key, idempotency) = (
            left.key(order["key"].as_str().unwrap()),
            order["idempotency"].as_str().unwrap(),
        );
        let again = app.place_as(key, idempotency, &order["body"]).await.is(201);
        assert_eq!(again["id"], order["id"]);
        let mut other = order["body"].clone();
        fixtures::set(&mut other, "/amount", json!("1.00"));
        app.place_as(key, idempotency, &other)
            .await
            .problem(422, "idempotency_key_reused");
    }
    assert_eq!(rows::count(&mut app.conn(), "orders"), before);
    let mut taken = left.order("placed")["body"].clone();
    app.place(&app.keys.orders, &taken)
        .await
        .problem(409, "reference_taken");
    fixtures::set(&mut taken, "/reference", json!("NEW-1"));
    app.place(&app.keys.orders, &taken).await.is(201);
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn bookings_in_flight_are_carried_on_and_no_parcel_is_booked_twice(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    app.courier_faults(json!({})).await;
    let sent_before: Vec<Value> = app.all_parcels().await;
    some_hours_pass(&app).await;
    let waited = left.alive().filter(|order| {
        let name = order["name"].as_str().unwrap();
        ["pending", "booking", "unknown"].contains(&order["shipment"].as_str().unwrap_or("-"))
            && name != "unknown_withdrawn"
    });
    let mut count = 0;
    for order in waited {
        assert_eq!(app.stands(id(order)).await.1, "booked", "{}", order["name"]);
        let (reference, number) = app.parcel_of(id(order)).await;
        let parcels = app.parcels(&reference).await;
        assert_eq!(parcels.len(), 1, "{}", order["name"]);
        assert_eq!(parcels[0]["tracking_no"].as_str(), number.as_deref());
        count += 1;
    }
    assert!(count >= 10, "{count}");
    // Of those whose answer was lost, the courier had some, and they are the same parcels.
    for name in ["unknown_booked", "unknown_picked_up"] {
        let (reference, number) = app.parcel_of(left.id(name)).await;
        let before: Vec<_> = sent_before
            .iter()
            .filter(|parcel| parcel["reference"] == *reference)
            .collect();
        assert_eq!(
            (before.len(), before[0]["tracking_no"].as_str()),
            (1, number.as_deref()),
            "{name}"
        );
    }
    // The one whose recipient took back the consent meanwhile is called off at the courier, and gone.
    let withdrawn = app.detail(left.id("unknown_withdrawn")).await;
    assert_eq!(
        (&withdrawn["status"], withdrawn["purged_at"].is_string()),
        (&json!("cancelled"), true)
    );
    // News that came before its booking was known was kept for it.
    assert_eq!(app.stands(left.id("unknown_picked_up")).await.0, "shipped");
    assert_eq!(
        rows::count(&mut app.conn(), "parked_events"),
        1,
        "the other one matches nothing"
    );
    assert_eq!(rows::count(&mut app.conn(), "courier_state WHERE state <> 'ok'"), 0);
    // What nobody can book by itself waits for a person.
    let dead = app.get(&app.keys.ops, "/admin/v1/jobs?state=dead").await.is(200);
    let subjects: Vec<&Value> = dead["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["subject"])
        .collect();
    assert!(subjects.contains(&&left.order("not_configured")["id"]), "{dead}");
    let path = format!("/admin/v1/orders/{}/courier", left.id("not_configured"));
    app.post(&app.keys.ops, &path, json!({"courier": "simulated"}))
        .await
        .is(200);
    let path = format!("/admin/v1/orders/{}/shipment/retry", left.id("refused"));
    let retried = app.send(Method::POST, Some(&app.keys.ops), &path, None).await;
    assert!((200..300).contains(&retried.status), "{}", retried.text);
    app.run_jobs().await;
    for name in ["not_configured", "refused"] {
        assert_eq!(app.stands(left.id(name)).await.1, "booked", "{name}");
    }
    assert_eq!(findings(&app).await, "");
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn orders_go_on_where_they_were(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    app.courier_faults(json!({})).await;
    // Claimed from the old binary, printed at this one.
    let li = json!({"operator": "li"});
    let path = format!("/admin/v1/orders/{}/printed", left.id("printing"));
    app.post(&app.keys.floor, &path, li).await.is(200);
    let draft = format!("/v1/orders/{}/confirm", left.id("draft"));
    app.send(Method::POST, Some(&app.keys.orders), &draft, None)
        .await
        .is(200);
    app.hears(left.id("shipped"), "delivered").await;
    assert_eq!(app.stands(left.id("shipped")).await.0, "delivered");
    app.hears(left.id("restricted"), "delivered").await;
    app.run_upkeep().await;
    assert!(
        app.detail(left.id("restricted")).await["purged_at"].is_string(),
        "it was only waiting for its end"
    );
    let reason = json!({"reason": planted::REASON});
    let path = format!("/v1/orders/{}/cancel", left.id("confirmed"));
    app.post(&app.keys.orders, &path, reason.clone()).await.is(200);
    // An approval that was given at the old binary is used here.
    let path = format!("/admin/v1/orders/{}/reveal", left.id("minor_approved"));
    app.post(&app.keys.privacy, &path, reason).await.is(200);
    let open = app
        .get(&app.keys.privacy, "/admin/v1/subject-requests?state=open")
        .await
        .is(200);
    let request = format!("/admin/v1/subject-requests/{}", id(&open["data"][0]));
    let completed = app
        .send(
            Method::POST,
            Some(&app.keys.privacy),
            &format!("{request}/complete"),
            None,
        )
        .await;
    assert_eq!(completed.is(200)["state"], "completed");
    // What had no news for long is asked for, and the courier knows of it.
    some_hours_pass(&app).await;
    for _ in 0..4 {
        app.advance(TimeDelta::hours(13));
        app.run_jobs().await;
        app.run_polls().await;
    }
    for (name, status) in [
        ("printing", "delivered"),
        ("in_transit", "delivered"),
        ("out_for_delivery", "delivered"),
        ("exception", "delivered"),
        ("reshipped", "delivered"),
        ("rejected", "returned"),
        ("confirmed", "cancelled"),
        ("unknown_booked", "delivered"),
        ("pending", "delivered"),
        ("booking", "delivered"),
    ] {
        assert_eq!(app.stands(left.id(name)).await.0, status, "{name}");
    }
    assert_eq!(findings(&app).await, "");
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn its_epochs_are_given_up_and_what_lives_is_sealed_anew(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    let persons = rows::count(&mut app.conn(), "order_person");
    let epochs = "(SELECT DISTINCT epoch FROM order_person) AS living";
    assert!(rows::count(&mut app.conn(), epochs) > 1);
    let newest = rows::count(&mut app.conn(), "key_epochs");
    let done = retire_key_epochs::now(&app.app, |_| {}).await.unwrap();
    assert_eq!(done.resealed, persons.unsigned_abs());
    assert_eq!(rows::count(&mut app.conn(), epochs), 1);
    let old = format!("key_epochs WHERE id <= {newest} AND state <> 'retired'");
    assert_eq!(rows::count(&mut app.conn(), &old), 0);
    let old = format!("vault_keys WHERE purpose = 'epoch' AND id <= {newest} AND wrapped IS NOT NULL");
    assert_eq!(rows::count(&mut app.databases.open_vault(), &old), 0);
    for order in left.alive() {
        assert!(
            app.detail(id(order)).await["recipient"].is_object(),
            "{}",
            order["name"]
        );
    }
    labels_open(&app, &left).await;
    let theirs = found(&app, json!({"phone": planted::OTHER_PHONE, "limit": 200})).await;
    assert!(theirs.contains(left.id("placed")) && theirs.contains(left.id("corrected")));
    assert_eq!(findings(&app).await, "");
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn everything_goes_in_its_time_and_the_proof_is_clean(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    app.courier_faults(json!({})).await;
    let receipts = rows::count(&mut app.conn(), "purge_receipts");
    some_hours_pass(&app).await;
    days_pass(&app, 50).await;
    for (name, is_gone) in [
        ("delivered", true),
        ("delivered_once_held", true),
        ("delivered_held", false),
    ] {
        let purged_at = &app.detail(left.id(name)).await["purged_at"];
        assert_eq!(purged_at.is_string(), is_gone, "{name}");
    }
    let old = format!(
        "key_epochs WHERE starts_at < '{}' AND state <> 'retired'",
        left.made_at().format("%F %T")
    );
    assert_eq!(rows::count(&mut app.conn(), &old), 0);
    assert_eq!(findings(&app).await, "");
    // Past the holds, and past the ninety days after which what nobody moves is ended.
    days_pass(&app, 60).await;
    for order in left.orders() {
        let seen = app.detail(id(order)).await;
        assert_eq!(
            (&seen["recipient"], seen["purged_at"].is_string()),
            (&Value::Null, true),
            "{}",
            order["name"]
        );
        app.get(&app.keys.privacy, &format!("/admin/v1/purges/{}", id(order)))
            .await
            .is(200);
    }
    let orders = i64::try_from(left.orders().len()).unwrap();
    assert!(receipts < orders);
    assert_eq!(rows::count(&mut app.conn(), "purge_receipts"), orders);
    for table in [
        "order_person",
        "order_tracking",
        "order_label",
        "courier_remark",
        "parked_events",
        "idempotency_keys",
    ] {
        assert_eq!(rows::count(&mut app.conn(), table), 0, "{table}");
    }
    assert_eq!(findings(&app).await, "");
    assert_eq!(persons_found(&app).await, "");
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn an_old_copy_of_it_is_known_for_one_and_catches_up_with_what_was_done(engine: Engine) {
    let left = Left::on(engine);
    let app = left.in_service().await;
    let copy = app.databases.with_copied_orders();
    let reason = json!({"reason": planted::REASON});
    for name in ["lost", "placed"] {
        let path = format!("/admin/v1/orders/{}/purge", left.id(name));
        app.post(&app.keys.privacy, &path, reason.clone()).await.is(200);
    }
    audit::note_head(&app.app).await.unwrap();
    let restored = app.started_on(copy).await.unwrap();
    for name in ["lost", "placed"] {
        assert_eq!(restored.personal_rows(left.id(name)), [0, 0, 0], "{name}");
    }
    assert_eq!(
        restored.stands(left.id("pending")).await.1,
        "unknown",
        "its courier is asked first"
    );
    assert!(restored.detail(left.id("delivered")).await["recipient"].is_object());
    assert_eq!(findings(&restored).await, "");
    restored.finish().await;
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn what_stands_in_its_journal_is_done_again_on_its_own_old_copy(engine: Engine) {
    let left = Left::on(engine);
    let app = left.restored().await;
    for name in ["deleted", "withdrawn_booked", "purged_by_operator"] {
        assert_eq!(app.personal_rows(left.id(name)), [0, 0, 0], "{name}");
        let receipt = app
            .get(&app.keys.privacy, &format!("/admin/v1/purges/{}", left.id(name)))
            .await
            .is(200);
        let path = format!("/admin/v1/purges/{}", left.id(name));
        assert_eq!(receipt["reason"], left.answer(&path)["reason"], "{name}");
    }
    for (name, held) in [
        ("delivered_held", true),
        ("draft_held", true),
        ("delivered_once_held", false),
    ] {
        assert_eq!(app.detail(left.id(name)).await["held"], held, "{name}");
    }
    assert!(app.detail(left.id("restricted")).await["restricted_at"].is_string());
    for name in ["revoked", "revoked_over_http"] {
        assert_eq!(app.get(left.key(name), "/v1/orders").await.status, 401, "{name}");
    }
    let path = "/admin/v1/subject-requests?limit=200";
    let (before, now) = (left.answer(path), app.get(&app.keys.privacy, path).await.is(200));
    let states = |page: &Value| -> BTreeSet<[String; 4]> {
        let requests = page["data"].as_array().unwrap().iter();
        requests
            .map(|request| ["id", "kind", "state", "due_on"].map(|name| request[name].to_string()))
            .collect()
    };
    assert_eq!(states(&now), states(before));
    for name in ["shipped", "delivered", "labelled", "draft"] {
        assert!(app.detail(left.id(name)).await["recipient"].is_object(), "{name}");
    }
    let verified = app.get(&app.keys.admin, "/admin/v1/audit/verify").await.is(200);
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(findings(&app).await, "");
    app.finish().await;
}

#[apply(on_both_engines)]
#[by(bare)]
async fn the_program_starts_on_it_whatever_the_date_is(engine: Engine) {
    let left = Left::on(engine);
    let mut installation = Installation::on(left.databases());
    // Nothing of today is purged in the middle of this test, whatever was due.
    installation.settings.push(("SAFELIGHT__JOBS__POLL", "1h".to_owned()));
    let (status, said, failed) = installation.run(&["prove", "--json"]);
    assert!(status.success(), "{said}{failed}");
    let (status, said, failed) = installation.run(&["vault", "status"]);
    assert!(status.success() && said.contains("open"), "{said}{failed}");
    let served = installation.serve().await;
    let gone = left.id("purged_delivered");
    let receipt = served
        .get(left.key("privacy"), &format!("/admin/v1/purges/{gone}"))
        .await;
    assert!(
        is_in(left.answer(&format!("/admin/v1/purges/{gone}")), &receipt),
        "{receipt}"
    );
    served.said_nothing_personal();
}
