//! What is asked: where parcels are, to be told of them, and whether the configuration is right.

use std::time::Duration;

use serde_json::json;

use super::imitation::{Fault, Imitation, KEY, SALT, history};
use super::{a_reference, adapter, at, booking, made, number, parcel, secret, settings};
use crate::couriers::{Courier, News, ParcelRef};
use crate::domain::shipment::TrackingStatus::{Accepted, Delivered, InTransit, PickedUp};

const NUMBER: &str = "YT7000000099999";

fn known() -> ParcelRef {
    ParcelRef {
        tracking_no: number(NUMBER),
        ..parcel(&a_reference())
    }
}

#[tokio::test]
async fn a_history_is_read_oldest_first_in_beijing_time() {
    let imitation = Imitation::start();
    let nodes = [
        ("2026-11-23 15:00:00", "已签收，签收人：张三", "0"),
        ("2026-11-23 09:00:00", "到达深圳", "1001"),
        ("2026-11-22 18:30:00", "已揽收", "103"),
    ];
    let answer = history(NUMBER, "3", &nodes);
    imitation.world().histories.insert(NUMBER.to_owned(), answer);
    let parcel = known();
    let events = adapter(&imitation).track(std::slice::from_ref(&parcel)).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.at, event.news, &*event.code))
        .collect();
    assert_eq!(
        told,
        [
            (at("2026-11-22T10:30:00Z"), News::Moved(PickedUp), "103"),
            (at("2026-11-23T01:00:00Z"), News::Moved(InTransit), "1001"),
            // The newest has the state of the whole: its own code is wrong.
            (at("2026-11-23T07:00:00Z"), News::Moved(Delivered), "3"),
        ]
    );
    assert!(
        events
            .iter()
            .all(|event| event.reference.as_ref() == Some(&parcel.reference))
    );
    assert_eq!(events[2].remark.as_ref().unwrap().expose(), "已签收，签收人：张三");
    let (form, param) = imitation.last();
    assert!(!form.contains_key("key"), "the key only signs");
    assert_eq!(
        param,
        json!({"com": "yuantong", "num": NUMBER, "resultv2": "4", "show": "0", "order": "desc", "lang": "zh"})
    );
    let limits = adapter(&imitation).tracking_limits();
    assert_eq!((limits.per_call, limits.between), (1, Duration::from_secs(1800)));
}

#[tokio::test]
async fn only_companies_that_ask_for_it_are_told_the_end_of_the_phone_number() {
    let imitation = Imitation::start();
    for (company, phone) in [("shunfeng", Some("8000")), ("zhongtong", Some("8000")), ("yunda", None)] {
        let mut settings = settings(&imitation);
        settings.courier_code = Some(company.to_owned());
        let courier = made(settings);
        assert_eq!(courier.track(&[known()]).await, Ok(vec![]));
        assert_eq!(imitation.last().1["phone"].as_str(), phone, "{company}");
        courier.watch(&known()).await.unwrap();
        assert_eq!(imitation.last().1["parameters"]["phone"].as_str(), phone, "{company}");
    }
}

#[tokio::test]
async fn what_the_query_refuses_is_said_and_a_number_that_nobody_knows_has_no_news() {
    let imitation = Imitation::start();
    let courier = adapter(&imitation);
    assert_eq!(courier.track(&[known()]).await, Ok(vec![]));
    for (fault, code, unauthorized) in [
        (Fault::code("400", "不支持此快递公司"), "bad_parameter", false),
        (Fault::code("408", "验证码错误"), "phone_check_failed", false),
        (Fault::code("501", "服务器错误"), "courier_error", false),
        (Fault::code("502", "服务器繁忙"), "courier_busy", false),
        (Fault::code("503", "验证签名失败"), "bad_signature", true),
        (Fault::code("601", "POLL:KEY 已过期"), "key_expired", true),
        (Fault::status(429, ""), "rate_limited", false),
        (Fault::says("<html>"), "unreadable_answer", false),
        (Fault::says(vec![b' '; 5 * 1024 * 1024]), "answer_too_long", false),
    ] {
        imitation.next(fault);
        let error = courier.track(&[known()]).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.unauthorized), (code, unauthorized));
    }
}

#[tokio::test]
async fn an_answer_about_another_number_is_not_taken_for_ours() {
    let imitation = Imitation::start();
    let another = history("YT7000000011111", "3", &[("2026-11-23 15:00:00", "已签收", "3")]);
    imitation.world().histories.insert(NUMBER.to_owned(), another);
    assert_eq!(adapter(&imitation).track(&[known()]).await, Ok(vec![]));
}

#[tokio::test]
async fn a_number_that_comes_later_is_found_by_the_task() {
    let imitation = Imitation::start();
    imitation.world().numbers_later = true;
    let (courier, reference) = (adapter(&imitation), a_reference());
    let booked = courier.commit(&booking(&reference), None).await.unwrap();
    assert_eq!(booked.tracking_no, None);
    let attempt = ParcelRef {
        provider_ref: booked.provider_ref,
        ..parcel(&reference)
    };
    imitation.world().orders[0].number = NUMBER.to_owned();
    let events = courier.track(&[attempt]).await.unwrap();
    assert_eq!(
        (&events[0].tracking_no, events[0].news),
        (&number(NUMBER), News::Moved(Accepted))
    );
    assert_eq!(
        courier.track(&[parcel(&reference)]).await,
        Ok(vec![]),
        "nothing to ask by"
    );
}

#[tokio::test]
async fn a_number_is_watched_once_and_again_is_as_good() {
    let imitation = Imitation::start();
    let (courier, parcel) = (adapter(&imitation), known());
    courier.watch(&parcel).await.unwrap();
    let callback = format!("https://orders.example.cn/webhooks/kuaidi100/{}", parcel.reference);
    let expected = json!({
        "company": "yuantong", "number": NUMBER, "key": KEY,
        "parameters": {"callbackurl": callback, "salt": SALT, "resultv2": "4"},
    });
    assert_eq!(imitation.last().1, expected);
    courier.watch(&parcel).await.unwrap();
    for (code, expected, unauthorized) in [
        ("500", "courier_error", false),
        ("600", "key_or_quota", true),
        ("601", "key_expired", true),
        ("700", "bad_callback", false),
        ("701", "company_refused", false),
        ("702", "number_not_recognised", false),
    ] {
        imitation.next(Fault::code(code, ""));
        let error = courier.watch(&parcel).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.unauthorized), (expected, unauthorized));
    }
    // After a change of courier by that one's name.
    let changed = ParcelRef {
        provider_ref: Some("T1/O1/zhongtong".to_owned()),
        tracking_no: number("ZT7000000011111"),
        ..known()
    };
    courier.watch(&changed).await.unwrap();
    assert_eq!(imitation.last().1["company"], "zhongtong");
}

#[tokio::test]
async fn a_check_says_in_words_what_is_wrong_and_books_nothing() {
    let imitation = Imitation::start();
    let good = adapter(&imitation).check().await;
    assert!(good.iter().all(|finding| finding.good), "{good:?}");
    assert!(imitation.orders().is_empty());
    let mut wrong = settings(&imitation);
    wrong.secret = Some(secret("another"));
    wrong.customer = Some("ANOTHER".to_owned());
    wrong.salt = Some(secret(""));
    let findings = made(wrong).check().await;
    for (finding, named) in findings.iter().zip([".secret", ".customer", ".salt"]) {
        assert!(!finding.good && finding.what.contains(named), "{finding:?}");
    }
    assert_eq!(findings.len(), 3);
    let mut nowhere = settings(&imitation);
    nowhere.order_url = "http://127.0.0.1:1/".to_owned();
    let findings = made(nowhere).check().await;
    assert!(!findings[0].good && findings[0].what.contains("order_url") && findings[1].good);
}
