//! What answers mean, those of a stranger included.

use std::time::Duration;

use serde_json::{Value, json};

use super::imitation::{Act, Reply, http};
use super::{a_reference, attempt, booking, first_booking, world};
use crate::couriers::{BookError, Booked, Courier, Reconciled};
use crate::privacy::Pii;

fn gateway(code: &str) -> String {
    json!({"apiResultCode": code, "apiErrorMsg": "张三 13800138000", "apiResponseID": "1", "apiResultData": "{***}"})
        .to_string()
}

fn inside(inner: &Value) -> String {
    json!({"apiResultCode": "A1000", "apiErrorMsg": "", "apiResponseID": "1", "apiResultData": inner.to_string()})
        .to_string()
}

fn refused(code: &Value) -> String {
    inside(&json!({"success": false, "errorCode": code, "errorMsg": "张三", "msgData": null}))
}

async fn booked_when(status: u16, headers: &'static str, body: &str) -> Result<Booked, BookError> {
    let body = body.to_owned();
    let (_sf, courier) = first_booking(move || Act::saying(status, headers, &body));
    courier.commit(&booking(&a_reference()), None).await
}

#[tokio::test]
async fn every_answer_to_a_booking_means_one_thing() {
    let text = |code: &str| refused(&json!(code));
    for (status, body, meaning) in [
        (200, gateway("A1001"), BookError::fail("A1001")),
        (200, gateway("A1002"), BookError::unauthorized("A1002")),
        (200, gateway("A1003"), BookError::unauthorized("A1003")),
        (200, gateway("A1004"), BookError::unauthorized("A1004")),
        (200, gateway("A1005"), BookError::retry("rate_limited")),
        (200, gateway("A1006"), BookError::unauthorized("A1006")),
        (200, gateway("A1007"), BookError::unknown("A1007")),
        (200, gateway("A1008"), BookError::fail("A1008")),
        (200, gateway("A1009"), BookError::unknown("A1009")),
        (200, gateway("A1011"), BookError::unauthorized("A1011")),
        (200, gateway("A1099"), BookError::unknown("A1099")),
        (200, text("8016"), BookError::unknown("8016")),
        (200, text("S0003"), BookError::unknown("S0003")),
        (200, refused(&json!(4001)), BookError::unknown("4001")),
        (200, text("1014"), BookError::fail("1014")),
        (200, text("8196"), BookError::fail("8196")),
        (200, text("20035"), BookError::fail("20035")),
        (200, text("8114"), BookError::unauthorized("8114")),
        (200, refused(&json!(20052)), BookError::unauthorized("20052")),
        (200, text("8177"), BookError::retry("8177")),
        (200, text("8253"), BookError::fail("8253")),
        // No code of SF's list: it is asked at once, and has nothing.
        (200, text("9999"), BookError::fail("9999")),
        (200, text("张三"), BookError::fail("unknown")),
        (
            422,
            gateway("x").replace("apiResultCode", "y"),
            BookError::fail("http_422"),
        ),
        (400, gateway("A1003"), BookError::unauthorized("A1003")),
        (401, String::new(), BookError::unauthorized("http_401")),
        (403, "<html>WAF</html>".into(), BookError::unauthorized("http_403")),
        (404, String::new(), BookError::retry("http_404")),
        (429, String::new(), BookError::retry("rate_limited")),
        (408, String::new(), BookError::unknown("http_408")),
        (302, String::new(), BookError::unknown("http_302")),
        (500, gateway("A1001"), BookError::unknown("http_500")),
        (502, "<html>502</html>".into(), BookError::unknown("http_502")),
        (503, gateway("A1005"), BookError::unknown("http_503")),
        (200, String::new(), BookError::unknown("unreadable_answer")),
        (200, "<html>OK</html>".into(), BookError::unknown("unreadable_answer")),
        (200, "[]".into(), BookError::unknown("unreadable_answer")),
        (200, "{}".into(), BookError::unknown("unreadable_answer")),
        (200, gateway("A1000"), BookError::unknown("unreadable_answer")),
        (
            200,
            inside(&json!({"success": true, "errorCode": "8016"})),
            BookError::unknown("contradictory_answer"),
        ),
        (
            200,
            inside(&json!({"success": false, "errorCode": "S0000"})),
            BookError::unknown("contradictory_answer"),
        ),
        (
            200,
            inside(&json!({"success": true, "errorCode": "S0000"})),
            BookError::unknown("unreadable_answer"),
        ),
        (200, "x".repeat(2 * 1024 * 1024), BookError::unknown("answer_too_long")),
    ] {
        assert_eq!(
            booked_when(status, "", &body).await,
            Err(meaning),
            "{status} {:.120}",
            body
        );
    }
}

#[tokio::test]
async fn a_courier_that_asks_to_wait_is_heard_in_http_and_in_its_own_words() {
    let wait = |seconds| {
        Err(BookError::Retry {
            code: "rate_limited".into(),
            after: Some(Duration::from_secs(seconds)),
        })
    };
    assert_eq!(booked_when(429, "Retry-After: 120\r\n", "").await, wait(120));
    assert_eq!(booked_when(200, "Retry-After: 7\r\n", &gateway("A1005")).await, wait(7));
    assert_eq!(booked_when(429, "Retry-After: 9\r\n", &gateway("A1005")).await, wait(9));
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    let (_sf, courier) = first_booking(|| {
        let whole = http(200, "", gateway("A1001").as_bytes());
        Act {
            reply: Reply::Raw(whole[..whole.len() - 5].to_vec()),
            ..Act::honestly()
        }
    });
    let reference = a_reference();
    let booked = courier.commit(&booking(&reference), None).await;
    assert_eq!(booked, Err(BookError::unknown("connection_lost")));
    assert!(matches!(
        courier.reconcile(&attempt(&reference)).await,
        Ok(Reconciled::Booked(_))
    ));
}

/// A yes in each shape that SF is seen to write, and in some that must not count.
#[tokio::test]
async fn a_yes_counts_in_every_shape_and_only_for_our_order() {
    let reference = a_reference();
    let waybills = json!([{"waybillType": 1, "waybillNo": "SF7444400043266"}]);
    let data = |members: &[(&str, Value)]| {
        let mut data = json!({"orderId": reference.as_str(), "filterResult": 2, "waybillNoInfoList": waybills});
        for (name, value) in members {
            data[*name] = value.clone();
        }
        data
    };
    let yes = |data: Value| json!({"success": true, "errorCode": "S0000", "errorMsg": null, "msgData": data});
    let as_object = |inner: Value| json!({"apiResultCode": "A1000", "apiResultData": inner}).to_string();
    let booked = Ok(Booked::under(Some(Pii::new("SF7444400043266".to_owned()))));
    let pending = Ok(Booked::under(None));
    let unreadable = || Err(BookError::unknown("unreadable_answer"));
    for (body, meaning) in [
        (inside(&yes(data(&[]))), booked.clone()),
        (as_object(yes(data(&[]))), booked.clone()),
        (yes(data(&[])).to_string(), booked.clone()),
        (inside(&yes(json!(data(&[]).to_string()))), booked.clone()),
        (inside(&yes(data(&[("filterResult", json!("2"))]))), booked.clone()),
        (inside(&yes(data(&[("filterResult", Value::Null)]))), booked.clone()),
        (
            inside(&yes(data(&[])))
                .replace("orderId", "orderid")
                .replace("errorCode", "errorcode"),
            booked.clone(),
        ),
        (inside(&yes(data(&[]))).replace("true", "\\\"true\\\""), booked.clone()),
        (
            inside(&yes(data(&[(
                "waybillNoInfoList",
                json!({"waybillType": "1", "waybillNo": "SF7444400043266"}),
            )]))),
            booked.clone(),
        ),
        (
            inside(&yes(data(&[("waybillNoInfoList", Value::Null)]))),
            pending.clone(),
        ),
        (
            inside(&yes(data(&[
                ("filterResult", json!("1")),
                ("waybillNoInfoList", json!([])),
            ]))),
            pending.clone(),
        ),
        (
            inside(&yes(data(&[
                ("filterResult", json!(4)),
                ("waybillNoInfoList", Value::Null),
            ]))),
            pending,
        ),
        // A returned receipt's number is not the parcel's.
        (
            inside(&yes(data(&[(
                "waybillNoInfoList",
                json!([{"waybillType": 3, "waybillNo": "SF744"}]),
            )]))),
            Ok(Booked::under(None)),
        ),
        (
            inside(&yes(data(&[("filterResult", json!(3)), ("remark", json!("1"))]))),
            Err(BookError::fail("out_of_range_pickup")),
        ),
        (
            inside(&yes(data(&[
                ("filterResult", json!("3")),
                ("remark", json!("2:派方超范围")),
            ]))),
            Err(BookError::fail("out_of_range_delivery")),
        ),
        (
            inside(&yes(data(&[
                ("filterResult", json!(3)),
                ("remark", json!("13800138000")),
            ]))),
            Err(BookError::fail("out_of_range_other")),
        ),
        // Somebody else's order, or nobody's.
        (
            inside(&yes(data(&[("orderId", json!("QIAO-20200528-006"))]))),
            Err(BookError::unknown("foreign_answer")),
        ),
        (inside(&yes(data(&[("orderId", Value::Null)]))), unreadable()),
        (
            inside(&yes(data(&[(
                "waybillNoInfoList",
                json!([{"waybillType": 1, "waybillNo": "张三"}]),
            )]))),
            unreadable(),
        ),
        (
            inside(&yes(data(&[
                ("filterResult", Value::Null),
                ("waybillNoInfoList", json!([])),
            ]))),
            unreadable(),
        ),
        (inside(&yes(json!([]))), unreadable()),
    ] {
        let answer = body.clone();
        let (_sf, courier) = first_booking(move || Act::saying(200, "", &answer));
        assert_eq!(courier.commit(&booking(&reference), None).await, meaning, "{body}");
    }
}

#[tokio::test]
async fn a_byte_that_is_no_character_spoils_no_booking() {
    let reference = a_reference();
    let data = json!({"orderId": reference.as_str(), "filterResult": 2, "remark": "?",
        "waybillNoInfoList": [{"waybillType": 1, "waybillNo": "SF7444400043266"}]});
    let answer = json!({"apiResultCode": "A1000", "apiErrorMsg": "?", "apiResultData":
        {"success": true, "errorCode": "S0000", "errorMsg": null, "msgData": data}});
    let mut bytes = b"\xEF\xBB\xBF".to_vec();
    bytes.extend(
        answer
            .to_string()
            .bytes()
            .map(|byte| if byte == b'?' { 0xCE } else { byte }),
    );
    let (_sf, courier) = first_booking(move || Act {
        reply: Reply::Raw(http(200, "", &bytes)),
        ..Act::honestly()
    });
    let booked = courier.commit(&booking(&reference), None).await;
    assert_eq!(booked, Ok(Booked::under(Some(Pii::new("SF7444400043266".to_owned())))));
}

#[tokio::test]
async fn a_no_in_words_that_sf_does_not_document_is_settled_by_asking() {
    // It booked and says no: what it holds counts.
    let (sf, courier) = first_booking(|| Act {
        reply: Reply::Raw(http(200, "", refused(&json!("9999")).as_bytes())),
        ..Act::honestly()
    });
    let reference = a_reference();
    let booked = courier.commit(&booking(&reference), None).await.unwrap();
    assert_eq!(
        booked.tracking_no.map(Pii::into_exposed),
        sf.order(reference.as_str()).unwrap().waybill
    );
    // It says no and cannot be asked.
    let (_sf, courier) = world(|call| match call.service.as_str() {
        "EXP_RECE_CREATE_ORDER" => Act::saying(200, "", &refused(&json!("9999"))),
        _ => Act::saying(500, "", ""),
    });
    let booked = courier.commit(&booking(&a_reference()), None).await;
    assert_eq!(booked, Err(BookError::unknown("9999")));
}

#[tokio::test]
async fn only_sfs_own_word_for_it_is_not_there() {
    for (status, body, code) in [
        (404, String::new(), "http_404"),
        (200, refused(&json!("6135")), "6135"),
        (200, refused(&json!("9999")), "9999"),
        (200, refused(&json!(4001)), "4001"),
        (200, gateway("A1099"), "A1099"),
        (
            200,
            inside(&json!({"success": true, "errorCode": "S0000", "msgData": null})),
            "unreadable_answer",
        ),
        (
            200,
            inside(
                &json!({"success": true, "errorCode": "S0000", "msgData": {"orderId": "OTHER", "filterResult": "2"}}),
            ),
            "foreign_answer",
        ),
        (500, refused(&json!("8018")), "http_500"),
        (404, refused(&json!("8018")), "http_404"),
    ] {
        let shown = body.clone();
        let (_sf, courier) = world(move |_| Act::saying(status, "", &shown));
        let error = courier.reconcile(&attempt(&a_reference())).await.unwrap_err();
        assert_eq!((&*error.code, error.after), (code, None), "{body}");
    }
    for not_there in ["8018", "6150"] {
        let (_sf, courier) = world(move |_| Act::saying(200, "", &refused(&json!(not_there))));
        assert_eq!(
            courier.reconcile(&attempt(&a_reference())).await,
            Ok(Reconciled::NotThere)
        );
    }
    let (_sf, courier) = world(|_| Act::saying(429, "Retry-After: 3\r\n", ""));
    let error = courier.reconcile(&attempt(&a_reference())).await.unwrap_err();
    assert_eq!(error.after, Some(Duration::from_secs(3)));
}
