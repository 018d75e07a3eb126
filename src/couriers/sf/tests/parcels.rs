//! After the booking: calling off, asking for news, printing, and checking what is set up.

use std::time::Duration;

use serde_json::{Value, json};

use super::imitation::{Act, Imitation};
use super::{TIMEOUT, a_reference, attempt, booking, booking_to, made, made_with, now, settings, with_waybill, world};
use crate::couriers::sf::{Settings, Sf};
use crate::couriers::{BookError, Booked, CallError, CancelAnswer, Courier, News, ParcelRef, Reconciled};
use crate::domain::ids::BookingReference;
use crate::domain::shipment::TrackingStatus;
use crate::privacy::{Pii, Secret};

const ROUTES: &str = "EXP_RECE_SEARCH_ROUTES";

async fn booked(sf: &Imitation, courier: &Sf) -> (BookingReference, String) {
    let reference = a_reference();
    courier.commit(&booking(&reference), None).await.unwrap();
    let waybill = sf.order(reference.as_str()).unwrap().waybill.unwrap();
    (reference, waybill)
}

fn saying(inner: &Value) -> Act {
    let body = json!({"apiResultCode": "A1000", "apiResultData": inner.to_string()});
    Act::saying(200, "", &body.to_string())
}

fn no(code: &str) -> Act {
    saying(&json!({"success": false, "errorCode": code, "errorMsg": "张三", "msgData": null}))
}

#[tokio::test]
async fn a_parcel_is_called_off_once_and_its_id_is_never_sent_again() {
    let (sf, courier) = world(|_| Act::honestly());
    let (reference, waybill) = booked(&sf, &courier).await;
    let parcel = with_waybill(&reference, &waybill);
    for _ in 0..2 {
        assert_eq!(courier.cancel(&parcel).await, Ok(CancelAnswer::Cancelled));
    }
    assert_eq!(sf.parcels(), 0);
    // Not "not there", after which the same id would be sent again.
    let refused = Reconciled::Refused {
        code: "8253".to_owned(),
    };
    assert_eq!(courier.reconcile(&attempt(&reference)).await, Ok(refused));
    assert_eq!(
        courier.commit(&booking(&reference), None).await,
        Err(BookError::unknown("8016"))
    );
}

#[tokio::test]
async fn an_order_that_sf_never_had_is_called_off_and_one_that_it_had_is_asked_for_again() {
    let (_sf, courier) = world(|_| Act::honestly());
    let reference = a_reference();
    let never_sent = ParcelRef {
        first_sent_at: None,
        ..attempt(&reference)
    };
    assert_eq!(courier.cancel(&never_sent).await, Ok(CancelAnswer::Cancelled));
    assert_eq!(courier.cancel(&attempt(&reference)).await, Ok(CancelAnswer::Cancelled));
    let error = courier
        .cancel(&with_waybill(&reference, "SF1000000000000"))
        .await
        .unwrap_err();
    assert_eq!(error.code, "8018");
    let by_hand = ParcelRef {
        first_sent_at: None,
        ..with_waybill(&reference, "SF1000000000000")
    };
    let code = "not_booked_here".to_owned();
    assert_eq!(courier.cancel(&by_hand).await, Ok(CancelAnswer::Refused { code }));
}

#[tokio::test]
async fn what_a_person_at_sf_decides_of_an_address_is_found() {
    let (sf, courier) = world(|_| Act::honestly());
    for (waybill, found) in [
        (
            Some("SF7000000000001"),
            Reconciled::Booked(Booked::under(Some(Pii::new("SF7000000000001".to_owned())))),
        ),
        (
            None,
            Reconciled::Refused {
                code: "out_of_range_delivery".to_owned(),
            },
        ),
    ] {
        let reference = a_reference();
        let booked = courier.commit(&booking_to(&reference, "人工村1号"), None).await;
        assert_eq!(booked, Ok(Booked::under(None)));
        sf.decides(reference.as_str(), waybill);
        assert_eq!(courier.reconcile(&attempt(&reference)).await, Ok(found));
        sf.calls_off(reference.as_str());
        let code = "8253".to_owned();
        assert_eq!(
            courier.reconcile(&attempt(&reference)).await,
            Ok(Reconciled::Refused { code })
        );
    }
}

#[tokio::test]
async fn what_sf_says_to_calling_off_decides() {
    let refused = |code: &str| Ok(CancelAnswer::Refused { code: code.to_owned() });
    for code in ["8252", "8019", "8017", "20034", "8267", "9999"] {
        let (_sf, courier) = world(move |_| no(code));
        assert_eq!(courier.cancel(&attempt(&a_reference())).await, refused(code));
    }
    for code in ["8037", "8253"] {
        let (_sf, courier) = world(move |_| no(code));
        assert_eq!(
            courier.cancel(&attempt(&a_reference())).await,
            Ok(CancelAnswer::Cancelled)
        );
    }
    for code in ["4001", "S0003", "6118", "8114"] {
        let (_sf, courier) = world(move |_| no(code));
        assert_eq!(courier.cancel(&attempt(&a_reference())).await.unwrap_err().code, code);
    }
    let reference = a_reference();
    for (data, meaning) in [
        (
            json!({"orderId": reference.as_str(), "resStatus": 2}),
            Ok(CancelAnswer::Cancelled),
        ),
        (
            json!({"orderId": reference.as_str(), "resStatus": "2"}),
            Ok(CancelAnswer::Cancelled),
        ),
        (
            json!({"orderId": reference.as_str(), "resStatus": 1}),
            refused("mismatch"),
        ),
        (
            json!({"orderId": reference.as_str()}),
            Err(CallError::new("unreadable_answer")),
        ),
        (
            json!({"orderId": "OTHER", "resStatus": 2}),
            Err(CallError::new("foreign_answer")),
        ),
        (Value::Null, Err(CallError::new("unreadable_answer"))),
    ] {
        let (_sf, courier) = {
            let data = data.clone();
            world(move |_| saying(&json!({"success": true, "errorCode": "S0000", "msgData": data})))
        };
        assert_eq!(courier.cancel(&attempt(&reference)).await, meaning, "{data}");
    }
}

#[tokio::test]
async fn news_are_asked_for_ten_parcels_at_a_time_with_the_last_digits_of_their_phones() {
    let (sf, courier) = world(|_| Act::honestly());
    let mut parcels = Vec::new();
    for number in 0..23 {
        let (reference, waybill) = booked(&sf, &courier).await;
        sf.moves(
            reference.as_str(),
            "54",
            &format!("2026-11-23 16:{number:02}:00"),
            "顺丰速运 已收取快件",
        );
        parcels.push(with_waybill(&reference, &waybill));
    }
    let events = courier.track(&parcels).await.unwrap();
    assert_eq!((events.len(), courier.tracking_limits().per_call), (23, 10));
    let numbers: Vec<usize> = sf
        .calls(ROUTES)
        .iter()
        .map(|call| call.data["trackingNumber"].as_array().unwrap().len())
        .collect();
    assert_eq!(numbers, [10, 10, 3]);
    let question = &sf.calls(ROUTES)[0].data;
    assert_eq!(
        (&question["trackingType"], &question["checkPhoneNo"]),
        (&json!("1"), &json!("8000"))
    );
    // Oldest first, each for its own parcel.
    for (event, parcel) in events.iter().zip(&parcels) {
        assert_eq!(event.reference.as_ref(), Some(&parcel.reference));
        assert_eq!(event.tracking_no, parcel.tracking_no);
        assert_eq!(
            (event.news, &*event.code),
            (News::Moved(TrackingStatus::PickedUp), "54")
        );
    }
    let at = "2026-11-23T08:00:00Z".parse().unwrap();
    assert_eq!(events[0].at, at);
}

#[tokio::test]
async fn a_parcel_without_a_number_yet_is_asked_for_by_reference() {
    let (sf, courier) = world(|_| Act::honestly());
    let (one, waybill) = booked(&sf, &courier).await;
    let (other, _) = booked(&sf, &courier).await;
    sf.moves(one.as_str(), "80", "2026-11-23 16:00:00", "已签收");
    let events = courier.track(&[attempt(&one), attempt(&other)]).await.unwrap();
    assert_eq!(events.len(), 1, "empty routes say nothing");
    assert_eq!(events[0].reference, Some(one));
    assert_eq!(events[0].tracking_no, Some(Pii::new(waybill)));
    assert_eq!(sf.calls(ROUTES)[0].data["trackingType"], "2");
}

#[tokio::test]
async fn a_route_that_was_not_asked_for_is_not_believed() {
    let routes =
        json!([{"mailNo": "SF7444400031887", "routes": [{"acceptTime": "2026-11-23 16:00:00", "opCode": "80"}]}]);
    let (_sf, courier) =
        world(move |_| saying(&json!({"success": true, "errorCode": "S0000", "msgData": {"routeResps": routes}})));
    let reference = a_reference();
    assert_eq!(
        courier.track(&[with_waybill(&reference, "SF1000000000000")]).await,
        Ok(Vec::new())
    );
    let asked = with_waybill(&reference, "SF7444400031887");
    assert_eq!(courier.track(&[asked]).await.unwrap().len(), 1);
    for code in ["8003", "A1099"] {
        let (_sf, courier) = world(move |_| no(code));
        assert_eq!(courier.track(&[attempt(&reference)]).await.unwrap_err().code, code);
    }
}

#[tokio::test]
async fn a_label_of_five_mebibytes_is_fetched_with_its_token() {
    let (sf, courier) = world(|_| Act::honestly());
    let (reference, waybill) = booked(&sf, &courier).await;
    let label = courier
        .label(&with_waybill(&reference, &waybill))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (&*label.content_type, label.document.expose().len()),
        ("application/pdf", 5 * 1024 * 1024)
    );
    let [call] = sf.calls("COM_RECE_CLOUD_PRINT_WAYBILLS").try_into().unwrap();
    assert_eq!(
        call.data,
        json!({"templateCode": "fm_76130_standard_SAFELIGHT", "version": "2.0", "fileType": "pdf", "sync": true,
               "documents": [{"masterWaybillNo": waybill}]})
    );
    assert_eq!(
        courier.label(&attempt(&reference)).await.unwrap_err().code,
        "no_waybill_yet"
    );
}

#[tokio::test]
async fn what_is_no_label_or_lies_where_it_must_not_is_refused() {
    let parcel = with_waybill(&a_reference(), "SF1000000000000");
    let (storage, _) = world(|_| Act::honestly());
    let at = storage.url().replace("/std/service", "");
    let token = json!("AUTH_tk-label");
    for (url, token, waybill, code) in [
        (
            format!("{at}/label/{}", 11 * 1024 * 1024),
            &token,
            "SF1000000000000",
            "answer_too_long",
        ),
        (
            format!("{at}/label/expired"),
            &token,
            "SF1000000000000",
            "label_is_no_pdf",
        ),
        (
            format!("{at}/label/100"),
            &json!("wrong"),
            "SF1000000000000",
            "label_http_403",
        ),
        (
            format!("{at}/label/100"),
            &json!("a\nb"),
            "SF1000000000000",
            "unreadable_answer",
        ),
        (
            format!("{at}/label/100"),
            &Value::Null,
            "SF1000000000000",
            "unreadable_answer",
        ),
        (
            format!("{at}/label/100"),
            &token,
            "SF2000000000000",
            "unreadable_answer",
        ),
        (
            "http://192.0.2.1/label/100".to_owned(),
            &token,
            "SF1000000000000",
            "untrusted_label_address",
        ),
        (
            "file:///etc/passwd".to_owned(),
            &token,
            "SF1000000000000",
            "untrusted_label_address",
        ),
    ] {
        let file = json!({"url": url, "token": token, "waybillNo": waybill});
        let (_sf, courier) = world(move |_| saying(&json!({"success": true, "obj": {"files": [file]}})));
        assert_eq!(courier.label(&parcel).await.unwrap_err().code, code, "{url}");
    }
    let (_sf, courier) = world(|_| saying(&json!({"success": true, "obj": {"files": []}})));
    assert_eq!(courier.label(&parcel).await.unwrap_err().code, "unreadable_answer");
}

#[tokio::test]
async fn the_page_of_a_label_that_comes_first_is_taken() {
    let (storage, _) = world(|_| Act::honestly());
    let at = storage.url().replace("/std/service", "/label");
    let file = |size: u32, page: Value| {
        json!({"url": format!("{at}/{size}"), "token": "AUTH_tk-label", "waybillNo": "SF1000000000000",
               "seqNo": "1", "areaNo": 1, "pageNo": page})
    };
    let files = json!([file(222, json!(2)), file(111, json!("1"))]);
    let (_sf, courier) = world(move |_| saying(&json!({"success": true, "obj": {"files": files}})));
    let label = courier.label(&with_waybill(&a_reference(), "SF1000000000000")).await;
    assert_eq!(label.unwrap().unwrap().document.expose().len(), 111);
}

#[tokio::test]
async fn a_check_says_in_plain_words_what_is_wrong_and_changes_nothing() {
    let (sf, courier) = world(|_| Act::honestly());
    let findings = courier.check().await;
    assert!(findings.iter().all(|finding| finding.good), "{findings:?}");
    assert_eq!(
        (findings.len(), sf.parcels(), sf.calls("EXP_RECE_CREATE_ORDER").len()),
        (3, 0, 0)
    );
    let bare = made(Settings {
        monthly_card: None,
        push_tokens: vec![Secret::new(String::new())],
        checkword: Some(Secret::new("wrong".to_owned())),
        ..settings(&sf.url())
    });
    let findings = bare.check().await;
    assert!(findings.iter().all(|finding| !finding.good));
    for (finding, word) in findings.iter().zip(["checkword", "monthly_card", "push_tokens"]) {
        assert!(finding.what.contains(word), "{}", finding.what);
    }
    for (code, word) in [
        ("A1003", "IP address"),
        ("A1004", "may not use"),
        ("A1010", "released"),
        ("A1099", "trouble"),
    ] {
        let body = json!({"apiResultCode": code}).to_string();
        let (_sf, courier) = world(move |_| Act::saying(200, "", &body));
        let first = courier.check().await.remove(0);
        assert!(
            !first.good && first.what.contains(word) && first.what.contains(code),
            "{}",
            first.what
        );
    }
    drop(sf);
    let unreachable = made_with(settings("http://127.0.0.1:9"), Duration::from_secs(2));
    let first = unreachable.check().await.remove(0);
    assert!(
        !first.good && first.what.contains("base_url (unreachable)"),
        "{}",
        first.what
    );
}

#[test]
fn nothing_of_a_person_or_a_secret_is_printed() {
    let courier = made(settings("http://127.0.0.1:9"));
    let shown = format!("{courier:?} {:?}", settings("http://127.0.0.1:9"));
    for secret in ["checkword ~", "7551234567", "push-token"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    for bad in ["", "ftp://x", "x", "http://x?a=1"] {
        assert!(
            Sf::new(
                settings(bad),
                TIMEOUT,
                crate::clock::Clock::manual(now::<crate::clock::WallTime>())
            )
            .is_err(),
            "{bad}"
        );
    }
}
