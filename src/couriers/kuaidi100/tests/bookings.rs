//! Booking, and whatever may come of it: what each answer means for the next step.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use super::imitation::{Fault, Imitation};
use super::{PUBLIC_URL, a_recipient, a_reference, adapter, at, booking, clock, made, number, parcel, settings};
use crate::couriers::kuaidi100::Kuaidi100;
use crate::couriers::{BookError, Booked, CancelAnswer, Courier, ParcelRef, Reconciled};

async fn book(imitation: &Imitation) -> Result<Booked, BookError> {
    adapter(imitation).commit(&booking(&a_reference()), None).await
}

#[tokio::test]
async fn a_parcel_is_booked_with_what_is_needed_and_nothing_more() {
    let imitation = Imitation::start();
    let (courier, reference) = (adapter(&imitation), a_reference());
    let booked = courier.commit(&booking(&reference), None).await.unwrap();
    let order = imitation.order(reference.as_str());
    assert_eq!(booked.tracking_no, number(&order.number));
    assert_eq!(booked.provider_ref, Some(format!("{}/{}", order.task, order.order)));
    let callback = format!("https://orders.example.cn/webhooks/kuaidi100/{reference}");
    let expected = json!({
        "kuaidicom": "yuantong", "recManName": "张三", "recManMobile": "13800138000",
        "recManPrintAddr": "广东省深圳市南山区科技中二路软件园一期7-305", "sendManName": "照相馆",
        "sendManMobile": "075586013388", "sendManPrintAddr": "广东省深圳市南山区红灯路1号", "cargo": "照片",
        "weight": "0.05", "payment": "SHIPPER", "thirdOrderId": reference.as_str(), "callBackUrl": callback,
        "salt": super::SALT, "op": "1", "pollCallBackUrl": callback, "resultv2": "1",
    });
    assert_eq!(order.param, expected);
    let (form, _) = imitation.last();
    assert_eq!((&*form["method"], &*form["t"]), ("bOrder", "1795420800000"));
}

#[tokio::test]
async fn sf_is_told_when_to_collect() {
    let imitation = Imitation::start();
    let mut settings = settings(&imitation);
    settings.courier_code = Some("shunfeng".to_owned());
    let courier = made(settings);
    courier.commit(&booking(&a_reference()), None).await.unwrap();
    let (_, param) = imitation.last();
    assert_eq!(
        (&param["dayType"], &param["pickupStartTime"], &param["pickupEndTime"]),
        (&json!("今天"), &json!("17:00"), &json!("19:00"))
    );
}

#[tokio::test]
async fn the_same_reference_is_answered_with_the_first_order() {
    let imitation = Imitation::start();
    let (courier, reference) = (adapter(&imitation), a_reference());
    let first = courier.commit(&booking(&reference), None).await.unwrap();
    let second = courier.commit(&booking(&reference), None).await.unwrap();
    assert_eq!((first, imitation.orders().len()), (second, 1));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_never_sent() {
    let imitation = Imitation::start();
    let courier = adapter(&imitation);
    let mut request = booking(&a_reference());
    // Characters of four bytes: 91 of them and the 27 bytes of the region are too much by 91.
    request.consignee = a_recipient("张三", "13800138000", &"𠮷".repeat(91));
    assert_eq!(
        courier.commit(&request, None).await,
        Err(BookError::fail("address_too_long"))
    );
    request.consignee = a_recipient("张三", "13800138000", &"路".repeat(91));
    assert!(courier.commit(&request, None).await.is_ok(), "300 bytes fit");
    assert_eq!(imitation.orders().len(), 1);
}

#[tokio::test]
async fn every_answer_says_what_may_be_done_next() {
    let imitation = Imitation::start();
    let wait = |code: &str| BookError::Retry {
        code: code.to_owned(),
        after: Some(Duration::from_secs(120)),
    };
    let busy = json!({"result": false, "returnCode": "502", "message": "服务器繁忙"}).to_string();
    let asks_to_wait = |status: u16, body: &str| Fault::Says {
        done: false,
        status,
        headers: "Retry-After: 120\r\n",
        body: body.into(),
    };
    for (fault, expected) in [
        (Fault::code("400", "参数错误"), BookError::fail("bad_parameter")),
        (Fault::code("500", "目的网点停派"), BookError::fail("not_served")),
        (Fault::code("500", "该区域暂时不开放"), BookError::fail("not_served")),
        (
            Fault::code("500", "承运快递在当前订单的寄收地因风控暂不支持下单，请更换其他快递"),
            BookError::fail("not_served"),
        ),
        (
            Fault::code("500", "账户余额不足"),
            BookError::unauthorized("no_balance"),
        ),
        (Fault::code("500", "服务器错误"), BookError::unknown("courier_error")),
        (Fault::code("501", "重复提交"), BookError::unknown("submitted_twice")),
        (Fault::code("502", "服务器繁忙"), BookError::retry("courier_busy")),
        (asks_to_wait(200, &busy), wait("courier_busy")),
        (Fault::code("503", "签名错误"), BookError::unauthorized("bad_signature")),
        (Fault::code("600", "非法用户"), BookError::unauthorized("key_or_quota")),
        (Fault::code("601", "KEY已过期"), BookError::unauthorized("key_expired")),
        (Fault::code("700", "回调地址不合法"), BookError::fail("bad_callback")),
        (Fault::code("张三13800138000", ""), BookError::unknown("unknown_code")),
        (Fault::code("200", "没有成功"), BookError::unknown("kuaidi100_200")),
        (Fault::status(429, ""), BookError::retry("rate_limited")),
        (asks_to_wait(429, "slow down"), wait("rate_limited")),
        (Fault::status(500, "{}"), BookError::unknown("http_500")),
        (asks_to_wait(503, &busy), BookError::unknown("http_503")),
        (Fault::status(504, "<html>"), BookError::unknown("http_504")),
        (Fault::status(302, ""), BookError::unknown("http_302")),
        (Fault::status(401, ""), BookError::unauthorized("http_401")),
        (Fault::status(404, "<html>"), BookError::retry("http_404")),
        // Of something in front of Kuaidi100, which knows nothing of what was sent before: no refusal.
        (Fault::status(413, ""), BookError::unknown("http_413")),
        (Fault::status(400, "<html>"), BookError::unknown("http_400")),
        (
            Fault::status(
                400,
                json!({"result": false, "returnCode": "400", "message": "参数错误"}).to_string(),
            ),
            BookError::fail("bad_parameter"),
        ),
        (
            Fault::says("<html>维护中</html>"),
            BookError::unknown("unreadable_answer"),
        ),
        (Fault::says(""), BookError::unknown("unreadable_answer")),
        (Fault::says("[]"), BookError::unknown("unreadable_answer")),
        (
            Fault::says(r#"{"result":true,"returnCode":"200","#),
            BookError::unknown("unreadable_answer"),
        ),
        (
            Fault::says(vec![b' '; 5 * 1024 * 1024]),
            BookError::unknown("answer_too_long"),
        ),
    ] {
        imitation.next(fault.clone());
        assert_eq!(book(&imitation).await, Err(expected), "{fault:?}");
    }
    assert_eq!(imitation.orders().len(), 0, "none of them booked anything");
}

#[tokio::test]
async fn an_answer_that_is_lost_or_late_leaves_it_unknown_and_nobody_there_is_no_booking() {
    let imitation = Imitation::start();
    for done in [true, false] {
        imitation.next(Fault::HangsUp { done });
        assert_eq!(book(&imitation).await, Err(BookError::unknown("connection_lost")));
    }
    imitation.next(Fault::Slow(Duration::from_millis(900)));
    let courier = Kuaidi100::new(settings(&imitation), PUBLIC_URL, Duration::from_millis(300), clock()).unwrap();
    let given_up = courier.commit(&booking(&a_reference()), None).await;
    assert_eq!(given_up, Err(BookError::unknown("timeout")));
    let mut nobody = settings(&imitation);
    nobody.order_url = "http://127.0.0.1:1/order".to_owned();
    let courier = made(nobody);
    let refused = courier.commit(&booking(&a_reference()), None).await;
    assert_eq!(refused, Err(BookError::retry("unreachable")));
}

#[tokio::test]
async fn a_booking_of_unknown_outcome_is_safe_to_send_again_for_less_than_two_days() {
    let imitation = Imitation::start();
    let (courier, reference) = (adapter(&imitation), a_reference());
    let sent = at("2026-11-20T08:00:00Z");
    let attempt = ParcelRef {
        first_sent_at: Some(sent),
        ..parcel(&reference)
    };
    let until = Reconciled::SafeToResendUntil(sent + TimeDelta::hours(47));
    assert_eq!(courier.reconcile(&attempt).await, Ok(until));
    assert_eq!(courier.reconcile(&parcel(&reference)).await, Ok(Reconciled::CannotTell));
    assert!(imitation.world().calls.is_empty(), "there is no question to ask");
}

#[tokio::test]
async fn with_its_task_a_booking_is_asked_for() {
    let imitation = Imitation::start();
    let (courier, reference) = (adapter(&imitation), a_reference());
    let booked = courier.commit(&booking(&reference), None).await.unwrap();
    let attempt = ParcelRef {
        provider_ref: booked.provider_ref.clone(),
        ..parcel(&reference)
    };
    assert_eq!(courier.reconcile(&attempt).await, Ok(Reconciled::Booked(booked)));
    imitation.world().orders[0].status = "610".to_owned();
    let refused = Reconciled::Refused {
        code: "called_off".into(),
    };
    assert_eq!(courier.reconcile(&attempt).await, Ok(refused));
    let another =
        json!({"result": true, "returnCode": "200", "data": {"taskId": "T9", "orderId": "O9", "status": "0"}});
    imitation.next(Fault::says(another.to_string()));
    let error = courier.reconcile(&attempt).await.unwrap_err();
    assert_eq!(error.code, "unreadable_answer", "an answer about another order is none");
}

#[tokio::test]
async fn a_parcel_is_called_off_until_it_is_collected() {
    let imitation = Imitation::start();
    let courier = adapter(&imitation);
    for (status, expected) in [
        ("0", CancelAnswer::Cancelled),
        // Called off before, which the desk answers with words of its own.
        ("99", CancelAnswer::Cancelled),
        (
            "10",
            CancelAnswer::Refused {
                code: "too_late".into(),
            },
        ),
    ] {
        let reference = a_reference();
        let booked = courier.commit(&booking(&reference), None).await.unwrap();
        let attempt = ParcelRef {
            provider_ref: booked.provider_ref,
            ..parcel(&reference)
        };
        let last = imitation.orders().len() - 1;
        imitation.world().orders[last].status = status.to_owned();
        assert_eq!(courier.cancel(&attempt).await, Ok(expected), "{status}");
    }
    let by_hand = courier.cancel(&parcel(&a_reference())).await.unwrap();
    assert_eq!(
        by_hand,
        CancelAnswer::Refused {
            code: "not_booked_here".into()
        }
    );
}

#[tokio::test]
async fn a_cancellation_without_a_clear_answer_is_asked_again() {
    let imitation = Imitation::start();
    let courier = adapter(&imitation);
    let reference = a_reference();
    let booked = courier.commit(&booking(&reference), None).await.unwrap();
    let attempt = ParcelRef {
        provider_ref: booked.provider_ref,
        ..parcel(&reference)
    };
    for (fault, code, unauthorized) in [
        (Fault::HangsUp { done: false }, "connection_lost", false),
        (Fault::says("<html>"), "unreadable_answer", false),
        (Fault::status(502, ""), "http_502", false),
        (Fault::code("503", ""), "bad_signature", true),
        (Fault::code("500", "服务器错误"), "courier_error", false),
    ] {
        imitation.next(fault);
        let error = courier.cancel(&attempt).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.unauthorized), (code, unauthorized));
    }
    imitation.next(Fault::code("500", "订单已取件，不能取消"));
    let refused = courier.cancel(&attempt).await.unwrap();
    assert_eq!(
        refused,
        CancelAnswer::Refused {
            code: "too_late".into()
        }
    );
}
