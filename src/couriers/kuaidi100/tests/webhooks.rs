//! Pushes: what is believed, what it means, and how it is answered.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::imitation::{Imitation, Order, callback, push, tracking_push};
use super::{a_reference, adapter, at, made, number, read, secret, settings};
use crate::couriers::{Courier, CourierEvent, News, WebhookError, WebhookOutcome, WebhookRequest};
use crate::domain::shipment::TrackingStatus::{self, *};

const NUMBER: &str = "YT7000000000001";

fn an_order() -> Order {
    Order {
        third_order_id: String::new(),
        task: "9FC293CA417E431F33046E64F4C4EC20".to_owned(),
        order: "20066771".to_owned(),
        number: NUMBER.to_owned(),
        status: "0".to_owned(),
        param: Value::Null,
    }
}

fn one(body: &str) -> CourierEvent {
    let events = read(&adapter(&Imitation::start()), body, Some(&a_reference())).unwrap();
    assert_eq!(events.len(), 1);
    events.into_iter().next().unwrap()
}

#[test]
fn the_order_desk_tells_a_state_and_both_ids_and_nobodys_name() {
    let (courier, reference) = (adapter(&Imitation::start()), a_reference());
    let events = read(&courier, callback(&an_order(), "10"), Some(&reference)).unwrap();
    let expected = CourierEvent {
        reference: Some(reference),
        provider_ref: Some("9FC293CA417E431F33046E64F4C4EC20/20066771".to_owned()),
        tracking_no: number(NUMBER),
        new_tracking_no: None,
        new_provider_ref: None,
        news: News::Moved(PickedUp),
        code: "10".to_owned(),
        at: at("2026-11-23T08:00:00Z"),
        remark: None,
    };
    assert_eq!(events, [expected]);
}

#[test]
fn every_state_of_the_order_desk_is_read_as_documented() {
    for (code, news) in [
        ("0", News::Moved(Accepted)),
        ("1", News::Moved(Accepted)),
        ("2", News::Moved(Accepted)),
        ("10", News::Moved(PickedUp)),
        ("101", News::Moved(InTransit)),
        ("400", News::Moved(OutForDelivery)),
        ("13", News::Moved(Delivered)),
        ("14", News::Moved(Exception)),
        ("12", News::Moved(Returned)),
        ("11", News::NotCollected),
        ("610", News::CalledOff),
        ("9", News::CalledOff),
        ("99", News::CalledOff),
        ("166", News::Revived),
        ("15", News::Unchanged),
        ("155", News::Unchanged),
        ("200", News::Unchanged),
        ("201", News::Unchanged),
        ("777", News::Unchanged),
    ] {
        let event = one(&callback(&an_order(), code));
        assert_eq!((event.news, &*event.code), (news, code));
    }
}

#[test]
fn a_change_of_courier_brings_a_new_number_and_new_ids() {
    let data = json!({"orderId": "20066771", "status": "302", "taskId": "NEWTASK1", "kuaidiCom": "zhongtong",
                      "kuaidiNum": "ZT7000000000009"});
    let new_ids = Some("NEWTASK1/20066771/zhongtong".to_owned());
    for (outside, old) in [
        (json!(NUMBER), number(NUMBER)),
        (json!("ZT7000000000009"), None),
        (json!(""), None),
        (Value::Null, None),
    ] {
        let param = json!({"kuaidicom": "yuantong", "kuaidinum": outside, "status": "200", "data": data});
        let event = one(&push(&param, Some("OLDTASK")));
        assert_eq!((&event.tracking_no, event.news), (&old, News::Unchanged));
        assert_eq!(event.new_tracking_no, number("ZT7000000000009"));
        assert_eq!(event.new_provider_ref, new_ids);
        assert!(event.reference.is_some());
    }
    // A change that only says the number, outside, and a number that is none.
    let param = json!({"kuaidicom": "yunda", "kuaidinum": "YD7000000000009", "status": "200",
                       "data": {"orderId": 20066771, "status": 302}});
    let event = one(&push(&param, Some("OLDTASK")));
    assert_eq!(event.new_tracking_no, number("YD7000000000009"));
    assert_eq!(event.new_provider_ref.as_deref(), Some("OLDTASK/20066771/yunda"));
}

#[test]
fn numbers_may_come_as_text_and_text_as_numbers_and_what_is_missing_as_null() {
    let param = json!({"kuaidicom": null, "kuaidinum": 773_061_155_005_903_u64, "status": 200, "message": null,
                       "data": {"orderId": 20066771, "status": 13, "courierName": null, "feeDetails": null}});
    let event = one(&push(&param, Some(" T1 ")));
    assert_eq!(
        (event.tracking_no, event.news),
        (number("773061155005903"), News::Moved(Delivered))
    );
    assert_eq!(event.provider_ref.as_deref(), Some("T1/20066771"));
}

#[test]
fn a_reference_that_nothing_signed_stands_beside_is_not_believed() {
    let param = json!({"status": "200", "data": {"status": "610"}});
    assert_eq!(one(&push(&param, Some("T1"))).reference, None);
    let param = json!({"status": "200", "data": {"status": "610", "orderId": "O1"}});
    assert!(one(&push(&param, None)).reference.is_some());
    let param = json!({"status": "abort", "message": "3天查询无记录", "lastResult": {"data": []}});
    let event = one(&push(&param, None));
    assert_eq!(
        (event.reference, event.news, &*event.code),
        (None, News::Unchanged, "abort")
    );
}

#[test]
fn a_tracking_push_is_its_whole_history_oldest_first() {
    let nodes = [
        ("2026-11-23 14:00:00", "正在派送，派件员：李四 13712345678", "0"),
        ("2026-11-23 09:00:00", "在途", "在途"),
        ("not a time", "?", "0"),
        ("2026-11-22 18:30:00", "什么", "4711"),
    ];
    let reference = a_reference();
    let body = tracking_push(NUMBER, "polling", "5", &nodes);
    let events = read(&adapter(&Imitation::start()), body, Some(&reference)).unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.at, event.news, &*event.code))
        .collect();
    assert_eq!(
        told,
        [
            (at("2026-11-22T10:30:00Z"), News::Unchanged, "4711"),
            (at("2026-11-23T01:00:00Z"), News::Moved(InTransit), "0"),
            (at("2026-11-23T06:00:00Z"), News::Moved(OutForDelivery), "5"),
        ]
    );
    for event in &events {
        assert_eq!(
            (&event.reference, &event.tracking_no),
            (&Some(reference.clone()), &number(NUMBER))
        );
        assert_eq!(event.provider_ref, None);
    }
}

#[test]
fn the_state_of_the_whole_counts_for_its_newest_node() {
    let newest = |status: &str, state: &str| {
        let nodes = [("2026-11-23 14:00:00", "…", "0"), ("2026-11-22 14:00:00", "…", "103")];
        let body = tracking_push(NUMBER, status, state, &nodes);
        let events = read(&adapter(&Imitation::start()), body, None).unwrap();
        events.last().unwrap().news
    };
    let moved = |status: TrackingStatus| News::Moved(status);
    for (status, state, news) in [
        ("shutdown", "3", moved(Delivered)),
        ("shutdown", "304", moved(Delivered)),
        ("polling", "2", moved(Exception)),
        ("polling", "203", moved(Rejected)),
        ("polling", "14", moved(Rejected)),
        ("polling", "6", moved(Returning)),
        ("updateall", "4", moved(Returned)),
        ("polling", "210", News::CalledOff),
        ("polling", "501", moved(OutForDelivery)),
        ("polling", "13", moved(Exception)),
        ("abort", "0", moved(InTransit)),
        ("polling", "98765", News::Unchanged),
        ("polling", "", moved(InTransit)),
    ] {
        assert_eq!(newest(status, state), news, "{status} {state}");
    }
}

#[test]
fn a_node_that_says_more_than_the_basic_state_is_heard_and_one_that_says_another_thing_is_not() {
    for (state, node, news, code) in [
        ("2", "203", News::Moved(Rejected), "203"),
        ("2", "210", News::CalledOff, "210"),
        ("1", "102", News::Moved(Accepted), "102"),
        ("8", "13", News::Moved(Exception), "13"),
        ("3", "204", News::Moved(Delivered), "3"),
        ("5", "0", News::Moved(OutForDelivery), "5"),
        ("304", "203", News::Moved(Delivered), "304"),
    ] {
        let nodes = [("2026-11-23 14:00:00", "…", node)];
        let event = one(&tracking_push(NUMBER, "polling", state, &nodes));
        assert_eq!((event.news, &*event.code), (news, code), "{state} {node}");
    }
}

#[test]
fn a_callbacks_data_may_be_json_in_a_text_and_signed_for_happened_when_it_was_first_told() {
    let data = json!({"orderId": "20066771", "status": "13"});
    let param = json!({"kuaidicom": "yuantong", "kuaidinum": NUMBER, "status": "200", "data": data.to_string()});
    let event = one(&push(&param, Some("T1")));
    assert_eq!(
        (event.news, event.at),
        (News::Moved(Delivered), at("2026-11-23T06:00:00Z"))
    );
}

#[test]
fn a_result_without_nodes_moves_nothing_whatever_its_state_says() {
    let body = tracking_push(NUMBER, "polling", "0", &[]);
    assert_eq!(read(&adapter(&Imitation::start()), body, None), Ok(vec![]));
}

#[test]
fn a_time_from_far_ahead_is_not_believed() {
    let nodes = [("2099-01-01 00:00:00", "…", "3")];
    let event = one(&tracking_push(NUMBER, "shutdown", "3", &nodes));
    assert_eq!(event.at, at("2026-11-24T08:00:00Z"));
}

#[test]
fn what_is_not_signed_with_our_salt_is_not_believed() {
    let imitation = Imitation::start();
    let courier = adapter(&imitation);
    let good = callback(&an_order(), "13");
    let refused = Err(WebhookError::NotAuthentic);
    for body in [
        good.replace("sign=", "sign=0"),
        good.replace("%22status%22%3A%2213%22", "%22status%22%3A%2210%22"),
        good.replace("sign=", "signature="),
        good.replace("param=", "params="),
        format!("param=%7B%7D&{good}"),
        String::new(),
        "{}".to_owned(),
    ] {
        assert_eq!(read(&courier, &body, None), refused, "{body}");
    }
    let mut unsalted = settings(&imitation);
    unsalted.salt = Some(secret(""));
    let unsalted = made(unsalted);
    assert_eq!(read(&unsalted, &good, None), refused);
    // The token in the path makes nothing authentic, and one that is none harms nothing.
    let foreign = WebhookRequest {
        headers: &[],
        body: good.as_bytes(),
        token: Some("../../etc"),
        peer: None,
        now: at("2026-11-23T08:00:00Z"),
        received_at: at("2026-11-23T08:00:00Z"),
    };
    assert_eq!(courier.read_webhook(&foreign).unwrap()[0].reference, None);
}

#[test]
fn what_is_signed_and_not_understood_is_malformed() {
    let courier = adapter(&Imitation::start());
    for param in [
        json!({}),
        json!([]),
        json!("polling"),
        json!({"data": {}}),
        json!({"data": {"status": null}}),
        json!({"data": "13"}),
        json!({"status": "polling"}),
    ] {
        assert_eq!(
            read(&courier, push(&param, None), None),
            Err(WebhookError::Malformed),
            "{param}"
        );
    }
    let quiet = json!({"status": "polling", "lastResult": null});
    assert_eq!(read(&courier, push(&quiet, None), None), Ok(vec![]));
}

#[test]
fn only_the_exact_words_acknowledge() {
    let courier = adapter(&Imitation::start());
    let request = WebhookRequest {
        headers: &[],
        body: b"",
        token: None,
        peer: None,
        now: at("2026-11-23T08:00:00Z"),
        received_at: at("2026-11-23T08:00:00Z"),
    };
    let accepted = courier.acknowledge(&request, WebhookOutcome::Accepted);
    assert_eq!(
        (accepted.status, &*accepted.body),
        (200, r#"{"result":true,"returnCode":"200","message":"提交成功"}"#)
    );
    let failed = courier.acknowledge(&request, WebhookOutcome::Failed);
    assert!(failed.body.contains(r#""result":false"#));
}

#[test]
fn the_orders_id_decides_whether_two_bookings_are_the_same() {
    let courier = adapter(&Imitation::start());
    assert!(courier.same_booking("T1/O1", "T2/O1/zhongtong"));
    assert!(!courier.same_booking("T1/O1", "T1/O2"));
}

fn some_push() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(callback(&an_order(), "13")),
        Just(tracking_push(
            NUMBER,
            "polling",
            "3",
            &[("2026-11-23 14:00:00", "签收", "3")]
        )),
    ]
}

/// JSON of any shape, with names that the adapter looks for.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[0-9]{1,4}".prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let names = prop_oneof![
            Just("data"),
            Just("status"),
            Just("lastResult"),
            Just("state"),
            Just("nu"),
            Just("orderId"),
            Just("taskId"),
            Just("kuaidinum"),
            Just("kuaidiNum"),
            Just("time"),
            Just("context"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn random_bytes_are_never_believed(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let courier = adapter(idle());
        prop_assert_eq!(read(&courier, body, Some(&a_reference())), Err(WebhookError::NotAuthentic));
    }

    #[test]
    fn a_push_that_was_cut_or_changed_is_believed_only_where_its_param_is_whole(
        body in some_push(), cut in any::<prop::sample::Index>(), byte in any::<u8>(), cuts in any::<bool>(),
    ) {
        let courier = adapter(idle());
        let whole = read(&courier, &body, None);
        let mut bytes = body.clone().into_bytes();
        let at = cut.index(bytes.len());
        if cuts { bytes.truncate(at); } else { bytes[at] = byte; }
        let events = read(&courier, &bytes, None);
        // Only what is not signed may differ: the task's id.
        let unsigned = |read: Result<Vec<CourierEvent>, WebhookError>| read.map(|events| {
            events.into_iter().map(|event| CourierEvent { provider_ref: None, ..event }).collect::<Vec<_>>()
        });
        prop_assert!(events == Err(WebhookError::NotAuthentic) || unsigned(events) == unsigned(whole));
    }

    #[test]
    fn whatever_is_signed_is_read_without_a_panic(param in any_json(), task in "\\PC{0,40}") {
        let courier = adapter(idle());
        if let Ok(events) = read(&courier, push(&param, Some(&task)), Some(&a_reference())) {
            for event in events {
                prop_assert!(event.code.len() <= 40 && event.code.is_ascii());
            }
        }
    }
}

/// One imitation for all the cases of a property: none of them speaks to it.
fn idle() -> &'static Imitation {
    static IDLE: std::sync::LazyLock<Imitation> = std::sync::LazyLock::new(Imitation::start);
    &IDLE
}
