//! The service with Kuaidi100 behind it: an imitation that loses its answers and mixes them up, and the pushes it signs.

use std::sync::Arc;

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::app::group_commit::BatchSettings;
use safelight::app::parcels::events::inbox::Inbox;
use safelight::app::parcels::events::webhook::{self, Received};
use safelight::clock::Clock;
use safelight::couriers::Configured;
use safelight::couriers::kuaidi100::{Kuaidi100, Settings};
use safelight::privacy::Secret;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::app::{self, Options, SETTLE, TestApp, WINDOW};
use crate::harness::databases::Engine;
use crate::harness::{fixtures, planted, rows};

#[path = "../../../../src/couriers/kuaidi100/tests/imitation.rs"]
#[expect(dead_code, reason = "shared with the unit tests, which use the rest")]
mod imitation;

use imitation::{Fault, Imitation, Order, callback, push, tracking_push};

/// How long one call may take.
const TIMEOUT: TimeDelta = TimeDelta::seconds(10);
/// What acknowledges a push.
const ACK: &str = r#"{"result":true,"returnCode":"200","message":"提交成功"}"#;
/// The number of a parcel that another courier took over.
const NEW_NUMBER: &str = "SFPLANTED99999";

fn options(imitation: &Imitation) -> Options {
    let secret = |text: &str| Secret::new(text.to_owned());
    let settings = Settings {
        order_url: imitation.url("order"),
        query_url: imitation.url("query"),
        subscribe_url: imitation.url("poll"),
        key: Some(secret(imitation::KEY)),
        customer: Some(imitation::CUSTOMER.to_owned()),
        secret: Some(secret(imitation::SECRET)),
        salt: Some(secret(imitation::SALT)),
        courier_code: Some("yuantong".to_owned()),
    };
    let (public_url, timeout) = ("https://orders.example.cn", TIMEOUT.to_std().unwrap());
    Options {
        couriers: vec![Configured {
            courier: Arc::new(Kuaidi100::new(settings, public_url, timeout, Clock::system()).unwrap()),
            region: "CN".to_owned(),
        }],
        ..Options::default()
    }
}

/// Runs one test body on a fresh service with an imitation of its own behind it.
fn with_kuaidi100(engine: Engine, body: impl AsyncFnOnce(&TestApp, &Imitation)) {
    let imitation = Imitation::start();
    app::run(engine, options(&imitation), async |app: &TestApp| {
        body(app, &imitation).await
    });
}

fn an_order() -> Value {
    fixtures::order_with("/courier", json!("kuaidi100"))
}

/// A push to the address that Kuaidi100 was given for that reference.
async fn pushed(app: &TestApp, reference: &str, form: String) -> Answer {
    let path = format!("/webhooks/kuaidi100/{reference}");
    let path = path.trim_end_matches('/').to_owned();
    let request = app
        .request(Method::POST, &path)
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .body(form);
    Answer::read(request.send().await.expect("an answer"))
        .await
        .holds_no_person()
}

/// The order desk tells a state of a booking, and is heard.
async fn hears(app: &TestApp, order: &Order, status: &str) {
    let answer = pushed(app, &order.third_order_id, callback(order, status)).await;
    assert_eq!((answer.status, &*answer.text), (200, ACK));
    app.advance(TimeDelta::seconds(1));
}

/// An order whose parcel is booked, and its booking at the desk.
async fn booked(app: &TestApp, imitation: &Imitation) -> (String, Order) {
    let id = app.booked_as(&an_order()).await;
    let (reference, _) = app.parcel_of(&id).await;
    (id, imitation.order(&reference))
}

/// How often a booking was asked for.
fn bookings(imitation: &Imitation) -> usize {
    let world = imitation.world();
    let bookings = world
        .calls
        .iter()
        .filter(|(_, form)| form.get("method").is_some_and(|method| method == "bOrder"));
    bookings.count()
}

/// What a parcel that was delivered has behind it, newest first.
fn nodes() -> [(&'static str, &'static str, &'static str); 2] {
    [
        ("2026-11-23 18:00:00", planted::REMARK, "3"),
        ("2026-11-23 17:00:00", "植入的备注：已揽收", "103"),
    ]
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn an_order_lives_its_whole_life_by_its_pushes(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    assert_eq!(app.parcel_of(&id).await.1.as_deref(), Some(&*order.number));
    for (status, expected, tracking) in [
        ("1", "printed", "accepted"),
        ("15", "printed", "accepted"),
        ("10", "shipped", "picked_up"),
        ("101", "shipped", "in_transit"),
        ("777", "shipped", "in_transit"),
        ("400", "shipped", "out_for_delivery"),
        ("13", "delivered", "delivered"),
        ("101", "delivered", "delivered"),
    ] {
        hears(app, &order, status).await;
        let detail = app.detail(&id).await;
        assert_eq!(
            (&detail["status"], &detail["shipment"]["tracking_status"]),
            (&json!(expected), &json!(tracking))
        );
    }
    assert_eq!(imitation.orders().len(), 1);
    assert_eq!(app.detail(&id).await["disclosures"].as_array().unwrap().len(), 1);
    assert_eq!(app.personal_rows(&id)[2], 0, "who collected it is not kept");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_history_that_is_pushed_again_and_again_is_kept_once(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    for _ in 0..3 {
        let form = tracking_push(&order.number, "shutdown", "3", &nodes());
        assert_eq!(pushed(app, &order.third_order_id, form).await.text, ACK);
    }
    let detail = app.detail(&id).await;
    assert_eq!(detail["status"], "delivered");
    assert_eq!(app.personal_rows(&id), [1, 1, 2]);
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_lost_answer_is_followed_by_the_same_reference_and_books_once(app: &TestApp, imitation: &Imitation) {
    imitation.next(Fault::HangsUp { done: true });
    let id = app.printed_as(&an_order()).await;
    app.run_jobs().await;
    assert_eq!((app.stands(&id).await.1, bookings(imitation)), ("unknown".into(), 1));
    app.clock.advance_wall(TIMEOUT + SETTLE - TimeDelta::seconds(2));
    app.run_jobs().await;
    assert_eq!(bookings(imitation), 1, "the first may still be at work");
    app.clock.advance_wall(TimeDelta::seconds(3));
    app.run_jobs().await;
    assert_eq!((app.stands(&id).await.1, bookings(imitation)), ("booked".into(), 2));
    let (reference, number) = app.parcel_of(&id).await;
    assert_eq!(
        (imitation.orders().len(), number),
        (1, Some(imitation.order(&reference).number))
    );
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_booking_that_may_exist_is_not_sent_again_where_that_would_be_paid_for(app: &TestApp, imitation: &Imitation) {
    imitation.next(Fault::HangsUp { done: true });
    let id = app.printed_as(&an_order()).await;
    app.run_jobs().await;
    // That the repetition surely did not arrive says nothing of the first.
    for fault in [
        Fault::code("502", "服务器繁忙"),
        Fault::code("503", "签名错误"),
        Fault::status(429, ""),
        Fault::status(500, "<html>"),
    ] {
        imitation.next(fault);
        app.advance(TimeDelta::hours(3));
        app.run_jobs().await;
        assert_eq!(app.stands(&id).await.1, "unknown");
    }
    let sent = bookings(imitation);
    assert_eq!(sent, 5, "it was tried again while that was safe");
    app.advance(TimeDelta::hours(48));
    for _ in 0..3 {
        let path = format!("/admin/v1/orders/{id}/shipment/retry");
        app.send(Method::POST, Some(&app.keys.ops), &path, None).await.is(200);
        app.run_jobs().await;
        app.advance(TimeDelta::hours(13));
    }
    assert_eq!((app.stands(&id).await.1, bookings(imitation)), ("unknown".into(), sent));
    assert_eq!(imitation.orders().len(), 1);
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_refusal_of_something_in_front_of_the_desk_never_books_twice(app: &TestApp, imitation: &Imitation) {
    imitation.next(Fault::HangsUp { done: true });
    let id = app.printed_as(&an_order()).await;
    app.run_jobs().await;
    // The first request is booked; what is sent again to find that out meets a firewall.
    imitation.next(Fault::status(400, "<html>blocked</html>"));
    app.advance(TIMEOUT + SETTLE + TimeDelta::seconds(1));
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await.1, "unknown");
    for _ in 0..3 {
        app.advance(TimeDelta::minutes(10));
        app.run_jobs().await;
    }
    let (reference, number) = app.parcel_of(&id).await;
    assert_eq!(number, Some(imitation.order(&reference).number));
    assert_eq!(imitation.orders().len(), 1);
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn while_an_order_is_held_nothing_is_sent_again(app: &TestApp, imitation: &Imitation) {
    imitation.next(Fault::HangsUp { done: false });
    let id = app.printed_as(&an_order()).await;
    app.run_jobs().await;
    let until = app.clock.business_now() + TimeDelta::days(20);
    let hold = json!({"reason": planted::REASON, "until": until});
    app.put(&app.keys.privacy, &format!("/admin/v1/orders/{id}/hold"), hold)
        .await
        .is(200);
    app.advance(TimeDelta::minutes(5));
    app.run_jobs().await;
    assert_eq!((app.stands(&id).await.1, bookings(imitation)), ("unknown".into(), 1));
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_callback_settles_what_nobody_knew(app: &TestApp, imitation: &Imitation) {
    imitation.next(Fault::HangsUp { done: true });
    let id = app.printed_as(&an_order()).await;
    app.run_jobs().await;
    let order = imitation.orders().remove(0);
    hears(app, &order, "0").await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    assert_eq!(app.parcel_of(&id).await.1.as_deref(), Some(&*order.number));
    app.advance(TIMEOUT + SETTLE);
    app.run_jobs().await;
    assert_eq!(bookings(imitation), 1);
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_signed_push_sent_to_another_orders_address_moves_its_own_order(app: &TestApp, imitation: &Imitation) {
    let (first, theirs) = booked(app, imitation).await;
    let (second, ours) = booked(app, imitation).await;
    // One that nobody knows of yet has nothing to hold a push against but what is known of others.
    imitation.next(Fault::HangsUp { done: true });
    let third = app.printed_as(&an_order()).await;
    app.run_jobs().await;
    let unknown = app.parcel_of(&third).await.0;
    for form in [
        callback(&theirs, "10"),
        callback(
            &Order {
                number: String::new(),
                ..theirs.clone()
            },
            "101",
        ),
        tracking_push(&theirs.number, "shutdown", "3", &nodes()),
    ] {
        for reference in [&ours.third_order_id, &unknown] {
            assert_eq!(pushed(app, reference, form.clone()).await.text, ACK);
        }
    }
    assert_eq!(app.stands(&first).await.0, "delivered");
    assert_eq!(app.stands(&second).await, ("printed".into(), "booked".into()));
    assert_eq!(app.stands(&third).await, ("printed".into(), "unknown".into()));
    assert_eq!(app.personal_rows(&second), [1, 1, 0]);
    assert_eq!(app.personal_rows(&third), [1, 0, 0]);
    // A parcel of ours that is forgotten already is nobody's.
    let forgotten = tracking_push("SFPLANTED00000", "shutdown", "3", &nodes());
    pushed(app, &ours.third_order_id, forgotten).await.is(200);
    assert_eq!(app.stands(&second).await.0, "printed");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn another_orders_waybill_is_never_taken(app: &TestApp, imitation: &Imitation) {
    let (_, theirs) = booked(app, imitation).await;
    for foreign in [
        json!({"taskId": "T9", "orderId": "O9", "kuaidinum": theirs.number}),
        json!({"taskId": theirs.task, "orderId": theirs.order, "kuaidinum": null}),
    ] {
        let body = json!({"result": true, "returnCode": "200", "message": "提交成功", "data": foreign});
        imitation.next(Fault::says(body.to_string()));
        let id = app.printed_as(&an_order()).await;
        app.run_jobs().await;
        assert_eq!(app.stands(&id).await.1, "unknown");
        app.advance(TimeDelta::minutes(2));
        app.run_jobs().await;
        let (reference, number) = app.parcel_of(&id).await;
        assert_eq!(number, Some(imitation.order(&reference).number));
    }
    assert_eq!(imitation.orders().len(), 3);
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_push_that_mixes_two_parcels_up_moves_neither(app: &TestApp, imitation: &Imitation) {
    let (first, theirs) = booked(app, imitation).await;
    let (second, ours) = booked(app, imitation).await;
    let mixed = Order {
        number: theirs.number.clone(),
        ..ours.clone()
    };
    for reference in [&*ours.third_order_id, &*theirs.third_order_id, ""] {
        assert_eq!(pushed(app, reference, callback(&mixed, "10")).await.text, ACK);
    }
    for (id, order) in [(&first, &theirs), (&second, &ours)] {
        assert_eq!(app.stands(id).await, ("printed".into(), "booked".into()));
        assert_eq!(
            app.parcel_of(id).await.1.as_deref(),
            Some(&*order.number),
            "its own, and nobody else's"
        );
    }
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn pushes_that_mix_two_parcels_up_move_neither_when_they_come_with_others(app: &TestApp, imitation: &Imitation) {
    let (first, theirs) = booked(app, imitation).await;
    let (second, ours) = booked(app, imitation).await;
    let (third, innocent) = booked(app, imitation).await;
    let mixed = Order {
        number: theirs.number.clone(),
        ..ours.clone()
    };
    let (inbox, _writers) = Inbox::start(
        &app.app,
        BatchSettings {
            queue: 16,
            batch: 16,
            writers: 1,
        },
    )
    .unwrap();
    let push = async |reference: &str, form: String| {
        let token = Some(reference).filter(|reference| !reference.is_empty());
        match webhook::receive(&app.app, &inbox, "kuaidi100", &[], form.as_bytes(), token, None)
            .await
            .unwrap()
        {
            Received::Answer(answer) => assert_eq!(answer.body, ACK),
            other => panic!("{other:?}"),
        }
    };
    // The first is taken alone, and waits; the others are one batch.
    app.while_events_wait(futures_util::future::join_all([
        push(&innocent.third_order_id, callback(&innocent, "1")),
        push(&theirs.third_order_id, callback(&mixed, "10")),
        push(&ours.third_order_id, callback(&mixed, "10")),
        push("", callback(&mixed, "10")),
        push(&innocent.third_order_id, callback(&innocent, "10")),
    ]))
    .await;
    for (id, order) in [(&first, &theirs), (&second, &ours)] {
        assert_eq!(app.stands(id).await, ("printed".into(), "booked".into()));
        assert_eq!(
            app.parcel_of(id).await.1.as_deref(),
            Some(&*order.number),
            "its own, and nobody else's"
        );
    }
    assert_eq!(app.stands(&third).await.0, "shipped", "the others are heard");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_push_with_a_long_history_is_taken_in(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    let beijing = app.clock.business_now() + TimeDelta::hours(8);
    let words = "快件在【深圳南山集散中心】完成分拣，准备发往下一站".repeat(3);
    let times: Vec<String> = (0..130)
        .map(|minute| {
            (beijing - TimeDelta::minutes(minute))
                .format("%Y-%m-%d %H:%M:%S")
                .to_string()
        })
        .collect();
    let nodes: Vec<(&str, &str, &str)> = times.iter().map(|time| (&**time, &*words, "0")).collect();
    let long = tracking_push(&order.number, "polling", "0", &nodes);
    assert!(long.len() > 64 * 1024, "{}", long.len());
    assert_eq!(pushed(app, &order.third_order_id, long).await.text, ACK);
    assert_eq!(app.detail(&id).await["shipment"]["tracking_status"], "in_transit");
    assert_eq!(app.personal_rows(&id)[2], 130, "every remark of it");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_parcel_that_another_courier_takes_goes_on_under_its_new_number(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    let data = json!({"orderId": order.order, "status": "302", "taskId": "NEWTASK", "kuaidiCom": "zhongtong",
                      "kuaidiNum": NEW_NUMBER});
    let param = json!({"kuaidicom": "yuantong", "kuaidinum": order.number, "status": "200", "data": data});
    pushed(app, &order.third_order_id, push(&param, Some(&order.task)))
        .await
        .is(200);
    assert_eq!(app.parcel_of(&id).await.1.as_deref(), Some(NEW_NUMBER));
    let moved = Order {
        task: "NEWTASK".into(),
        number: NEW_NUMBER.into(),
        ..order.clone()
    };
    hears(app, &moved, "10").await;
    let form = tracking_push(NEW_NUMBER, "shutdown", "3", &nodes());
    pushed(app, &order.third_order_id, form).await.is(200);
    assert_eq!(app.stands(&id).await.0, "delivered");
    assert_eq!(app.personal_rows(&id)[1], 2);
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_late_repeat_of_signed_for_is_no_return_and_a_later_one_of_its_own_is(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    hears(app, &order, "13").await;
    app.advance(TimeDelta::minutes(40));
    let beijing = (app.clock.business_now() + TimeDelta::hours(8))
        .format("%Y-%m-%d %H:%M:%S")
        .to_string();
    let back = tracking_push(&order.number, "polling", "6", &[(&*beijing, planted::REMARK, "6")]);
    pushed(app, &order.third_order_id, back).await.is(200);
    assert_eq!(app.detail(&id).await["shipment"]["tracking_status"], "returning");
    // The third and last time that the desk tells it.
    app.advance(TimeDelta::minutes(60));
    hears(app, &order, "13").await;
    assert_eq!(app.detail(&id).await["shipment"]["tracking_status"], "returning");
    app.advance(TimeDelta::days(2));
    hears(app, &order, "13").await;
    assert_eq!(app.stands(&id).await.0, "returned");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_number_that_comes_later_brings_the_news_that_waited_for_it(app: &TestApp, imitation: &Imitation) {
    imitation.world().numbers_later = true;
    let (id, order) = booked(app, imitation).await;
    assert_eq!(app.parcel_of(&id).await.1, None);
    // Under the number alone, before it is known whose it is.
    let early = tracking_push("SFPLANTED70001", "polling", "1", &nodes()[1..]);
    pushed(app, "", early).await.is(200);
    assert_eq!(rows::count(&mut app.conn(), "parked_events"), 1);
    let numbered = Order {
        number: "SFPLANTED70001".into(),
        ..order
    };
    hears(app, &numbered, "0").await;
    let detail = app.detail(&id).await;
    assert_eq!(detail["shipment"]["tracking_no"], "SFPLANTED70001");
    assert_eq!(detail["status"], "shipped");
    assert_eq!(rows::count(&mut app.conn(), "parked_events"), 0);
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_booking_the_desk_calls_off_waits_for_a_person_and_may_live_again(app: &TestApp, imitation: &Imitation) {
    for status in ["610", "9", "99"] {
        let (id, order) = booked(app, imitation).await;
        hears(app, &order, status).await;
        assert_eq!(app.stands(&id).await, ("printed".into(), "failed".into()), "{status}");
        hears(app, &order, "166").await;
        assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    }
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_parcel_nobody_could_collect_is_an_exception_and_has_not_left(app: &TestApp, imitation: &Imitation) {
    let stands = async |id: &str| {
        let detail = app.detail(id).await;
        let of = |pointer: &str| {
            detail
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        [of("/status"), of("/shipment/state"), of("/shipment/tracking_status")]
    };
    let (id, order) = booked(app, imitation).await;
    for status in ["1", "11"] {
        hears(app, &order, status).await;
    }
    assert_eq!(stands(&id).await, ["printed", "booked", "exception"]);
    // It is collected after all; what is told late of the first time changes nothing more.
    for (status, tracking) in [("10", "picked_up"), ("11", "picked_up")] {
        hears(app, &order, status).await;
        assert_eq!(stands(&id).await, ["shipped", "booked", tracking], "{status}");
    }
    // One that stays where it is can be called off like any other, and only one parcel was ever booked for it.
    let (id, order) = booked(app, imitation).await;
    hears(app, &order, "11").await;
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.orders, &format!("/v1/orders/{id}/cancel"), reason)
        .await
        .is(200);
    assert_eq!(imitation.order(&order.third_order_id).status, "99");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_callback_with_a_picture_and_a_push_of_a_long_history_are_taken_in(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    let picture = "/9j/4AAQ".repeat(25_000);
    let data = json!({"orderId": order.order, "status": "10", "imgBase64": [picture]});
    let param = json!({"kuaidicom": "yuantong", "kuaidinum": order.number, "status": "200", "data": data});
    assert_eq!(
        pushed(app, &order.third_order_id, push(&param, Some(&order.task)))
            .await
            .text,
        ACK
    );
    assert_eq!(app.stands(&id).await.0, "shipped");
    let beijing = (app.clock.business_now() + TimeDelta::hours(8))
        .format("%Y-%m-%d %H:%M:%S")
        .to_string();
    let nodes = vec![(&*beijing, planted::REMARK, "0"); 400];
    let long = tracking_push(&order.number, "polling", "0", &nodes);
    assert!(long.len() > 64 * 1024);
    assert_eq!(pushed(app, &order.third_order_id, long).await.status, 200);
    assert_eq!(app.detail(&id).await["shipment"]["tracking_status"], "in_transit");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_booked_order_is_called_off_at_the_desk_first(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.orders, &format!("/v1/orders/{id}/cancel"), reason.clone())
        .await
        .is(200);
    assert_eq!(imitation.order(&order.third_order_id).status, "99");
    let (id, order) = booked(app, imitation).await;
    let last = imitation.orders().len() - 1;
    imitation.world().orders[last].status = "10".to_owned();
    app.post(&app.keys.orders, &format!("/v1/orders/{id}/cancel"), reason)
        .await
        .problem(409, "not_cancellable");
    assert_eq!(imitation.order(&order.third_order_id).status, "10");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn after_the_purge_a_push_is_acknowledged_and_nothing_is_stored(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    hears(app, &order, "13").await;
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert!(app.detail(&id).await["purged_at"].is_string());
    for form in [
        callback(&order, "12"),
        tracking_push(&order.number, "updateall", "4", &nodes()),
    ] {
        let answer = pushed(app, &order.third_order_id, form).await;
        assert_eq!((answer.status, &*answer.text), (200, ACK));
    }
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    assert_eq!(rows::count(&mut app.conn(), "parked_events"), 0);
    assert_eq!(app.stands(&id).await.0, "delivered");
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_push_that_is_not_signed_with_our_salt_changes_nothing(app: &TestApp, imitation: &Imitation) {
    let (id, order) = booked(app, imitation).await;
    let forged = callback(&order, "13").replace("sign=", "sign=0");
    pushed(app, &order.third_order_id, forged)
        .await
        .problem(401, "unauthorized");
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
}

#[apply(on_both_engines)]
#[by(with_kuaidi100)]
async fn a_refusal_and_an_account_in_trouble_are_told_apart(app: &TestApp, imitation: &Imitation) {
    imitation.next(Fault::code("500", "目的网点停派"));
    let refused = app.printed_as(&an_order()).await;
    app.run_jobs().await;
    assert_eq!(app.stands(&refused).await.1, "failed");
    imitation.next(Fault::code("600", "无单量"));
    let waits = app.printed_as(&an_order()).await;
    app.run_jobs().await;
    assert_eq!(app.stands(&waits).await.1, "pending");
    app.advance(TimeDelta::minutes(10));
    app.run_jobs().await;
    assert_eq!(app.stands(&waits).await.1, "booked");
    assert_eq!(imitation.orders().len(), 1);
}
