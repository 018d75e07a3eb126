//! Orders that SF Express carries: the whole service with its adapter, against an imitation of SF's gateway.

#[path = "../../../../src/couriers/sf/tests/imitation.rs"]
mod imitation;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::app::group_commit::BatchSettings;
use safelight::app::parcels::events::inbox::Inbox;
use safelight::app::parcels::events::webhook::{self, Received};
use safelight::clock::Clock;
use safelight::couriers::Configured;
use safelight::couriers::sf::{Settings, Sf};
use safelight::privacy::Secret;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::app::{Options, SETTLE, TestApp};
use crate::harness::databases::Engine;
use crate::harness::{fixtures, planted, rows};
use imitation::{Act, Call, Imitation};

const TOKEN: &str = "SFPLANTED-push-token-0123456789";
const CREATE: &str = "EXP_RECE_CREATE_ORDER";
const SEARCH: &str = "EXP_RECE_SEARCH_ORDER_RESP";

/// How long one call may take.
const TIMEOUT: TimeDelta = TimeDelta::seconds(10);

/// Runs one test body on a fresh service that has an SF which does what the script says.
fn with_sf(engine: Engine, script: fn(&Call) -> Act, body: impl AsyncFnOnce(&TestApp, &Imitation)) {
    let sf = Imitation::start(script);
    let settings = Settings {
        base_url: sf.url(),
        partner_id: Some(imitation::PARTNER.to_owned()),
        checkword: Some(Secret::new(imitation::CHECKWORD.to_owned())),
        monthly_card: Some(Secret::new("7551234567".to_owned())),
        express_type_id: 1,
        push_tokens: vec![Secret::new(TOKEN.to_owned())],
        // Where the tests call from: nothing would be believed if the service did not know who calls.
        push_addresses: vec!["127.0.0.0/8".parse().unwrap()],
    };
    let options = Options {
        couriers: vec![Configured {
            courier: Arc::new(Sf::new(settings, TIMEOUT.to_std().unwrap(), Clock::system()).unwrap()),
            region: "CN".to_owned(),
        }],
        ..Options::default()
    };
    crate::harness::app::run(engine, options, async |app: &TestApp| body(app, &sf).await);
}

fn honest(_: &Call) -> Act {
    Act::honestly()
}

fn losing_the_first(call: &Call) -> Act {
    match call.service.as_str() {
        CREATE if call.nth == 0 => Act::losing_the_answer(),
        _ => Act::honestly(),
    }
}

/// Half of the answers to bookings are lost, and the fifteenth takes long enough to be interrupted.
fn losing_half(call: &Call) -> Act {
    match call.service.as_str() {
        CREATE if call.nth == 14 => Act {
            wait: Duration::from_secs(3),
            ..Act::honestly()
        },
        CREATE if call.nth.is_multiple_of(2) => Act::losing_the_answer(),
        _ => Act::honestly(),
    }
}

fn busy_at_first(call: &Call) -> Act {
    match (call.service.as_str(), call.nth) {
        (CREATE, 0) => Act::saying(
            200,
            "Retry-After: 90\r\n",
            r#"{"apiResultCode":"A1005","apiErrorMsg":"限流"}"#,
        ),
        _ => Act::honestly(),
    }
}

fn order() -> Value {
    fixtures::order_with("/courier", json!("sf"))
}

/// A node of a route, now.
fn node(app: &TestApp, reference: &str, waybill: &str, operation: &str) -> Value {
    let beijing = app.clock.business_now() + TimeDelta::hours(8);
    json!({"mailno": waybill, "acceptAddress": "深圳市", "reasonName": "", "orderid": reference, "reasonCode": "",
        "acceptTime": beijing.format("%Y-%m-%d %H:%M:%S").to_string(), "remark": planted::REMARK, "opCode": operation,
        "id": beijing.timestamp_micros().to_string()})
}

async fn pushed(app: &TestApp, token: &str, body: String) -> Answer {
    let request = app.request(Method::POST, &format!("/webhooks/sf/{token}")).body(body);
    Answer::read(request.send().await.unwrap()).await.holds_no_person()
}

/// Something happens to an order's parcel: SF knows it, and pushes it.
async fn hears(app: &TestApp, sf: &Imitation, id: &str, operation: &str) {
    let (reference, waybill) = app.parcel_of(id).await;
    let node = node(app, &reference, &waybill.unwrap(), operation);
    sf.moves(
        &reference,
        operation,
        node["acceptTime"].as_str().unwrap(),
        planted::REMARK,
    );
    let answer = pushed(app, TOKEN, json!({"Body": {"WaybillRoute": [node]}}).to_string()).await;
    assert_eq!(answer.is(200), json!({"return_code": "0000", "return_msg": "成功"}));
    app.run_jobs().await;
    app.advance(TimeDelta::seconds(1));
}

/// SF pushes a state of an order, as it does: unsigned.
async fn hears_of_order(app: &TestApp, id: &str, state: &str) {
    let (reference, waybill) = app.parcel_of(id).await;
    let state = json!({"requestId": "1", "timestamp": app.clock.business_now().timestamp_millis(), "orderState": [
        {"orderNo": reference, "waybillNo": waybill, "orderStateCode": state, "orderStateDesc": planted::REMARK,
         "empPhone": planted::PHONE}]});
    let answer = pushed(app, TOKEN, state.to_string()).await.is(200);
    assert_eq!(answer["return_code"], "0000");
}

async fn retry(app: &TestApp, id: &str) {
    let path = format!("/admin/v1/orders/{id}/shipment/retry");
    app.send(Method::POST, Some(&app.keys.ops), &path, None).await.is(200);
    app.run_jobs().await;
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn an_order_is_booked_moved_and_delivered(app: &TestApp, sf: &Imitation) {
    let id = app.booked_as(&order()).await;
    let (reference, waybill) = app.parcel_of(&id).await;
    assert_eq!(sf.order(&reference).unwrap().waybill, waybill);
    for (operation, status) in [
        ("647", "printed"),
        ("54", "shipped"),
        ("31", "shipped"),
        ("204", "shipped"),
        ("80", "delivered"),
    ] {
        hears(app, sf, &id, operation).await;
        assert_eq!(app.detail(&id).await["status"], status, "{operation}");
    }
    // Late, twice: nothing moves back.
    hears(app, sf, &id, "31").await;
    assert_eq!(app.detail(&id).await["status"], "delivered");
    // What SF was told has nothing of the client's.
    let told = sf.calls(CREATE)[0].data.to_string();
    assert!(!told.contains("KD2026") && told.contains(planted::PHONE));
}

#[apply(on_both_engines)]
#[by(with_sf, losing_the_first)]
async fn a_lost_answer_is_reconciled_and_the_parcel_is_booked_once(app: &TestApp, sf: &Imitation) {
    let id = app.booked_as(&order()).await;
    let (reference, waybill) = app.parcel_of(&id).await;
    assert_eq!((sf.parcels(), sf.order(&reference).unwrap().waybill), (1, waybill));
    assert_eq!(sf.calls(CREATE).len(), 1, "asked, and not sent again");
}

#[apply(on_both_engines)]
#[by(with_sf, busy_at_first)]
async fn an_sf_that_is_asked_too_often_is_given_the_time_it_wants(app: &TestApp, sf: &Imitation) {
    let id = app.printed_as(&order()).await;
    app.run_jobs().await;
    assert_eq!((app.stands(&id).await.1, sf.parcels()), ("pending".to_owned(), 0));
    app.advance(TimeDelta::seconds(91));
    app.run_jobs().await;
    assert_eq!((app.stands(&id).await.1, sf.parcels()), ("booked".to_owned(), 1));
}

#[apply(on_both_engines)]
#[by(with_sf, losing_half)]
async fn forty_parcels_are_booked_once_through_lost_answers_and_a_killed_worker(app: &TestApp, sf: &Imitation) {
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(app.placed_as(&order()).await);
    }
    app.claim(100).await;
    for id in &ids {
        app.print(id).await.is(200);
    }
    {
        let working = std::pin::pin!(app.run_jobs());
        let killed = std::pin::pin!(app.until("SF has the fifteenth", async || sf.parcels() >= 15));
        let first = futures_util::future::select(working, killed).await;
        assert!(
            matches!(first, futures_util::future::Either::Right(_)),
            "the worker was killed at work"
        );
    }
    // What it held is free when its leases are over; another worker goes on with the same database.
    for _ in 0..6 {
        app.advance(TIMEOUT + SETTLE + TimeDelta::minutes(1));
        app.run_jobs().await;
    }
    assert_eq!(sf.parcels(), 40, "one parcel an order, and no other");
    let mut sent: Vec<String> = sf
        .calls(CREATE)
        .iter()
        .map(|call| call.data["orderId"].as_str().unwrap().to_owned())
        .collect();
    let calls = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(
        (sent.len(), calls),
        (40, 40),
        "nothing that may have arrived was sent again"
    );
    for id in &ids {
        let (reference, waybill) = app.parcel_of(id).await;
        assert_eq!(app.stands(id).await.1, "booked");
        assert_eq!(
            sf.order(&reference).unwrap().waybill,
            waybill,
            "its own, and nobody else's"
        );
    }
}

#[apply(on_both_engines)]
#[by(with_sf, losing_half)]
async fn two_clients_with_one_reference_never_see_each_others_waybills(app: &TestApp, sf: &Imitation) {
    let (one, other) = (app.key_of("one", "orders"), app.key_of("other", "orders"));
    let order = order();
    let mut ids = Vec::new();
    for key in [&one, &other] {
        ids.push(app.place(key, &order).await.is(201)["id"].as_str().unwrap().to_owned());
    }
    app.claim(100).await;
    for id in &ids {
        app.print(id).await.is(200);
    }
    app.run_jobs().await;
    let mut waybills = Vec::new();
    for (id, key) in ids.iter().zip([&one, &other]) {
        let (reference, waybill) = app.parcel_of(id).await;
        assert_eq!(sf.order(&reference).unwrap().waybill, waybill);
        waybills.push(waybill.unwrap());
        let others = ids.iter().find(|other| *other != id).unwrap();
        app.get(key, &format!("/v1/orders/{others}"))
            .await
            .problem(404, "not_found");
    }
    assert_ne!(waybills[0], waybills[1]);
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn an_address_sf_does_not_serve_fails_and_the_next_attempt_has_another_id(app: &TestApp, sf: &Imitation) {
    let mut far = order();
    fixtures::set(&mut far, "/recipient/street", json!("超区村1号"));
    let id = app.printed_as(&far).await;
    app.run_jobs().await;
    let detail = app.detail(&id).await;
    assert_eq!(
        (&detail["shipment"]["state"], &detail["shipment"]["last_error"]),
        (&json!("failed"), &json!("out_of_range_delivery"))
    );
    let path = format!("/v1/orders/{id}/recipient");
    app.put(&app.keys.orders, &path, fixtures::recipient()).await.is(200);
    app.run_jobs().await;
    assert_eq!((app.stands(&id).await.1, sf.parcels()), ("booked".to_owned(), 1));
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn a_code_that_nobody_knows_keeps_the_state_and_is_counted(app: &TestApp, sf: &Imitation) {
    let id = app.booked_as(&order()).await;
    hears(app, sf, &id, "54").await;
    for _ in 0..2 {
        hears(app, sf, &id, "4711").await;
    }
    assert_eq!(app.detail(&id).await["shipment"]["tracking_status"], "picked_up");
    // However many there are, and whoever sends them, they are a bounded number of series.
    (0..300).for_each(|code| app.app.couriers.count_unmapped("sf", &format!("X{code}")));
    app.app.couriers.count_unmapped("kuaidi100", "4711");
    let metrics = app.send(Method::GET, None, "/metrics", None).await.text;
    assert!(
        metrics.contains(r#"safelight_courier_codes_unmapped_total{code="4711",courier="sf"} 2"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"safelight_courier_codes_unmapped_total{code="4711",courier="kuaidi100"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"safelight_courier_codes_unmapped_total{code="other",courier="sf"} 201"#),
        "{metrics}"
    );
    assert_eq!(
        metrics.matches("safelight_courier_codes_unmapped_total{").count(),
        102,
        "{metrics}"
    );
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn what_a_person_at_sf_decides_of_an_address_is_learned(app: &TestApp, sf: &Imitation) {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut strange = order();
        fixtures::set(&mut strange, "/recipient/street", json!("人工村1号"));
        let id = app.booked_as(&strange).await;
        let (reference, waybill) = app.parcel_of(&id).await;
        assert_eq!(waybill, None);
        ids.push((id, reference));
    }
    sf.decides(&ids[0].1, Some("SF7000000000001"));
    sf.decides(&ids[1].1, None);
    app.advance(TimeDelta::minutes(31));
    app.run_polls().await;
    assert_eq!(app.parcel_of(&ids[0].0).await.1.as_deref(), Some("SF7000000000001"));
    assert_eq!(app.stands(&ids[0].0).await, ("printed".into(), "booked".into()));
    assert_eq!(
        app.stands(&ids[1].0).await,
        ("printed".into(), "failed".into()),
        "it goes nowhere"
    );
}

#[apply(on_both_engines)]
#[by(with_sf, losing_the_first)]
async fn a_refusal_whose_answer_was_lost_is_a_refusal_all_the_same(app: &TestApp, sf: &Imitation) {
    let mut far = order();
    fixtures::set(&mut far, "/recipient/street", json!("超区村1号"));
    let id = app.printed_as(&far).await;
    app.run_jobs().await;
    assert_eq!(app.detail(&id).await["shipment"]["last_error"], "out_of_range_delivery");
    assert_eq!(
        (app.stands(&id).await.1, sf.calls(CREATE).len()),
        ("failed".to_owned(), 1)
    );
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn a_parcel_that_sf_calls_off_fails_and_is_booked_anew_under_the_next_id(app: &TestApp, sf: &Imitation) {
    let id = app.booked_as(&order()).await;
    let (first, _) = app.parcel_of(&id).await;
    sf.calls_off(&first);
    hears_of_order(app, &id, "00-2000").await;
    assert_eq!(
        app.stands(&id).await,
        ("printed".into(), "booked".into()),
        "nobody signed it"
    );
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "failed".into()));
    // That it was taken on, told late or once more, brings nothing back: a person decides.
    hears_of_order(app, &id, "04-40037").await;
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "failed".into()));
    retry(app, &id).await;
    let (second, _) = app.parcel_of(&id).await;
    assert!(first != second && sf.order(&second).is_some());
    assert_eq!((app.stands(&id).await.1, sf.parcels()), ("booked".to_owned(), 1));
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn a_new_waybill_that_is_another_orders_is_not_believed(app: &TestApp, sf: &Imitation) {
    let (first, second) = (app.booked_as(&order()).await, app.booked_as(&order()).await);
    let [(reference, waybill), (_, others)] = [app.parcel_of(&first).await, app.parcel_of(&second).await];
    let (waybill, others) = (waybill.unwrap(), others.unwrap());
    let mut changed = node(app, &reference, &waybill, "648");
    changed["remark"] = json!(format!("快件已退回/转寄,新单号为: {others}"));
    pushed(app, TOKEN, json!({"Body": {"WaybillRoute": [changed]}}).to_string())
        .await
        .is(200);
    assert_eq!(app.parcel_of(&first).await.1, Some(waybill));
    let by_number = json!({"tracking_no": others});
    let found = app
        .post(&app.keys.ops, "/admin/v1/orders/search", by_number)
        .await
        .is(200);
    assert_eq!(
        (&found["data"][0]["id"], found["data"].as_array().unwrap().len()),
        (&json!(second), 1)
    );
    for operation in ["54", "80"] {
        hears(app, sf, &second, operation).await;
    }
    assert_eq!(
        [app.stands(&first).await.0, app.stands(&second).await.0],
        ["shipped", "delivered"]
    );
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn a_call_off_sf_does_not_confirm_leads_to_no_second_parcel_and_is_shown(app: &TestApp, sf: &Imitation) {
    let id = app.booked_as(&order()).await;
    let (reference, _) = app.parcel_of(&id).await;
    for _ in 0..3 {
        // SF pushes everything several times; it is asked no more often for that.
        hears_of_order(app, &id, "00").await;
        app.run_jobs().await;
    }
    assert_eq!(sf.calls(SEARCH).len(), 1);
    let path = format!("/admin/v1/orders/{id}/shipment/retry");
    app.send(Method::POST, Some(&app.keys.ops), &path, None).await;
    for _ in 0..80 {
        app.advance(TimeDelta::minutes(31));
        app.run_jobs().await;
    }
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    assert_eq!(
        (sf.calls(CREATE).len(), sf.parcels()),
        (1, 1),
        "it is neither booked again nor called off"
    );
    let dead = app.get(&app.keys.ops, "/admin/v1/jobs?state=dead").await.is(200);
    assert_eq!(dead["data"][0]["kind"], "confirm_call_off", "{dead}");
    assert!((4..12).contains(&sf.calls(SEARCH).len()), "{}", sf.calls(SEARCH).len());
    // It goes on as what it is: the parcel that was booked.
    hears(app, sf, &id, "54").await;
    assert_eq!(
        (app.stands(&id).await.0, app.parcel_of(&id).await.0),
        ("shipped".to_owned(), reference)
    );
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn what_sf_called_off_is_booked_anew_by_a_correction_without_a_query(app: &TestApp, sf: &Imitation) {
    let placed = order();
    let id = app.booked_as(&placed).await;
    let (first, _) = app.parcel_of(&id).await;
    sf.calls_off(&first);
    hears_of_order(app, &id, "00").await;
    let path = format!("/v1/orders/{id}/recipient");
    app.send(Method::PUT, Some(&app.keys.orders), &path, Some(&placed["recipient"]))
        .await
        .is(200);
    app.run_jobs().await;
    assert_ne!(app.parcel_of(&id).await.0, first);
    assert_eq!(
        (app.stands(&id).await.1, sf.parcels(), sf.calls(CREATE).len()),
        ("booked".to_owned(), 1, 2)
    );
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn an_order_that_is_called_off_is_called_off_at_sf(app: &TestApp, sf: &Imitation) {
    let id = app.booked_as(&order()).await;
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.orders, &format!("/v1/orders/{id}/cancel"), reason)
        .await
        .is(200);
    assert_eq!(
        (app.detail(&id).await["status"].clone(), sf.parcels()),
        (json!("cancelled"), 0)
    );
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn a_push_without_the_token_changes_nothing_and_xml_is_answered_in_xml(app: &TestApp, sf: &Imitation) {
    let id = app.booked_as(&order()).await;
    let (reference, waybill) = app.parcel_of(&id).await;
    let waybill = waybill.unwrap();
    let push = json!({"Body": {"WaybillRoute": [node(app, &reference, &waybill, "80")]}}).to_string();
    pushed(app, "guessed-token-guessed-token", push.clone())
        .await
        .problem(401, "unauthorized");
    let bare = app
        .request(Method::POST, "/webhooks/sf")
        .body(push)
        .send()
        .await
        .unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    let xml = format!(
        "<Request service=\"RoutePushService\" lang=\"zh-CN\"><Body><WaybillRoute id=\"1\" mailno=\"{waybill}\" \
         orderid=\"{reference}\" acceptTime=\"2026-11-23 17:00:00\" acceptAddress=\"深圳市\" remark=\"\" opCode=\"50\"/>\
         </Body></Request>"
    );
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("content", &xml)
        .finish();
    let answer = pushed(app, TOKEN, form).await;
    assert_eq!(
        answer.text,
        r#"<Response service="RoutePushService"><Head>OK</Head></Response>"#
    );
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/xml"))
    );
    assert_eq!(
        (app.detail(&id).await["status"].clone(), sf.parcels()),
        (json!("shipped"), 1)
    );
    assert!(!app.logged().contains("push-token"), "a token was logged");
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn when_too_much_waits_sf_is_told_to_send_it_again_and_nothing_is_lost(app: &TestApp, _sf: &Imitation) {
    let mut pushes = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..12 {
        let id = app.booked_as(&order()).await;
        let (reference, waybill) = app.parcel_of(&id).await;
        let nodes = ["54", "31"].map(|operation| node(app, &reference, waybill.as_deref().unwrap(), operation));
        pushes.push(json!({"Body": {"WaybillRoute": nodes}}).to_string());
        ids.push(id);
    }
    let (inbox, _writers) = Inbox::start(
        &app.app,
        BatchSettings {
            queue: 4,
            batch: 2,
            writers: 1,
        },
    )
    .unwrap();
    let push = async |body: &str| {
        let peer = Some("127.0.0.1".parse().unwrap());
        match webhook::receive(&app.app, &inbox, "sf", &[], body.as_bytes(), Some(TOKEN), peer)
            .await
            .unwrap()
        {
            Received::Answer(answer) => (answer.status, answer.body),
            other => panic!("{other:?}"),
        }
    };
    let (taken, again) = (
        (200, r#"{"return_code":"0000","return_msg":"成功"}"#.to_owned()),
        (200, r#"{"return_code":"1000","return_msg":"系统异常"}"#.to_owned()),
    );
    let sent = futures_util::future::join_all(pushes.iter().map(|body| push(body)));
    let answers = app.while_events_wait(sent).await;
    assert!(
        answers.iter().all(|answer| *answer == taken || *answer == again),
        "{answers:?}"
    );
    let full = answers.iter().filter(|answer| **answer == again).count();
    assert!((1..12).contains(&full), "{full}: the queue holds four");
    for (answer, id) in answers.iter().zip(&ids) {
        let moved = app.detail(id).await["shipment"]["tracking_status"] == "in_transit";
        assert!(moved || *answer == again, "what was acknowledged is stored");
    }
    for body in &pushes {
        assert_eq!(push(body).await, taken, "SF sends all of a push once more");
    }
    for id in &ids {
        assert_eq!(app.detail(id).await["shipment"]["tracking_status"], "in_transit");
        assert_eq!(app.personal_rows(id)[2], 1, "a remark a moment, once");
    }
}

#[apply(on_both_engines)]
#[by(with_sf, honest)]
async fn a_push_after_the_purge_is_acknowledged_and_nothing_is_stored(app: &TestApp, sf: &Imitation) {
    let id = app.booked_as(&order()).await;
    let (reference, waybill) = app.parcel_of(&id).await;
    hears(app, sf, &id, "54").await;
    hears(app, sf, &id, "80").await;
    app.advance(crate::harness::app::WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert!(app.detail(&id).await["purged_at"].is_string());
    let node = node(app, &reference, &waybill.unwrap(), "80");
    let answer = pushed(app, TOKEN, json!({"Body": {"WaybillRoute": [node]}}).to_string()).await;
    assert_eq!(answer.is(200)["return_code"], "0000");
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    assert_eq!(rows::count(&mut app.conn(), "parked_events"), 0);
}
