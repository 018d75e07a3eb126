//! One parcel, whatever becomes of the answer.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::imitation::Act;
use super::{a_recipient, a_reference, attempt, booking, booking_to, first_booking, made, made_with, settings, world};
use crate::couriers::{BookError, Booked, BookingRequest, Courier, Reconciled};
use crate::privacy::{Pii, Secret};

const CREATE: &str = "EXP_RECE_CREATE_ORDER";

fn booked_as(waybill: Option<String>) -> Reconciled {
    Reconciled::Booked(Booked::under(waybill.map(Pii::new)))
}

#[tokio::test]
async fn a_parcel_is_booked_under_our_reference_with_what_sf_needs_and_no_more() {
    let (sf, courier) = world(|_| Act::honestly());
    let reference = a_reference();
    let booked = courier.commit(&booking(&reference), None).await.unwrap();
    assert_eq!(
        booked.tracking_no.map(Pii::into_exposed),
        sf.order(reference.as_str()).unwrap().waybill
    );
    let [call] = sf.calls(CREATE).try_into().unwrap();
    let request_id = call.form["requestID"].parse::<Uuid>().unwrap();
    assert_eq!(
        (request_id.get_version_num(), &*call.form["timestamp"]),
        (7, "1795000000000")
    );
    assert_eq!(
        call.data,
        json!({
            "language": "zh-CN", "orderId": reference.as_str(), "cargoDetails": [{"name": "照片"}],
            "contactInfoList": [
                {"contactType": 1, "contact": "照相馆", "company": "安全灯照相馆", "tel": "075586013388", "country": "CN",
                 "province": "广东省", "city": "深圳市", "county": "南山区", "address": "红灯路1号", "postCode": "518057"},
                {"contactType": 2, "contact": "张三", "mobile": "13800138000", "country": "CN", "province": "广东省",
                 "city": "深圳市", "county": "南山区", "address": "科技中二路软件园(一期)7-305 *~!'+", "postCode": "518057"},
            ],
            "monthlyCard": "7551234567", "payMethod": 1, "expressTypeId": 1, "isGenWaybillNo": 1,
            "isReturnRoutelabel": 1, "totalWeight": 0.05, "totalLength": 24.0, "totalWidth": 16.0, "totalHeight": 0.5,
        })
    );
    // Another request has another id.
    courier.commit(&booking(&a_reference()), None).await.unwrap();
    assert_ne!(sf.calls(CREATE)[1].form["requestID"], call.form["requestID"]);
}

#[tokio::test]
async fn regions_are_named_as_sf_names_them_and_a_base_url_without_a_path_gets_the_documented_one() {
    let (sf, _) = world(|_| Act::honestly());
    let courier = made(settings(sf.url().trim_end_matches("/std/service")));
    let mut consignee = a_recipient("陈大文", "+852 2123 4567", "弥敦道1号");
    let parts = crate::domain::contact::AddressParts {
        province: "香港",
        city: "九龙",
        district: None,
        street: "弥敦道1号",
        postal_code: None,
        country: Some("HK"),
    };
    consignee.address = crate::domain::contact::Address::restore(&parts).unwrap();
    let request = BookingRequest {
        consignee,
        ..booking(&a_reference())
    };
    courier.commit(&request, None).await.unwrap();
    let contact = sf.calls(CREATE)[0].data["contactInfoList"][1].clone();
    assert_eq!(
        (&contact["country"], &contact["tel"]),
        (&json!("852"), &json!("+85221234567"))
    );
    assert!(contact.get("mobile").is_none() && contact.get("postCode").is_none());
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_found_again_and_never_booked_twice() {
    let (sf, courier) = first_booking(Act::losing_the_answer);
    let reference = a_reference();
    let lost = courier.commit(&booking(&reference), None).await;
    assert_eq!(lost, Err(BookError::unknown("connection_lost")));
    let waybill = sf.order(reference.as_str()).unwrap().waybill;
    assert_eq!(
        courier.reconcile(&attempt(&reference)).await,
        Ok(booked_as(waybill.clone()))
    );
    // Sent again all the same: SF knows the id, and that is no failure either.
    let again = courier.commit(&booking(&reference), None).await;
    assert_eq!(again, Err(BookError::unknown("8016")));
    assert_eq!(courier.reconcile(&attempt(&reference)).await, Ok(booked_as(waybill)));
    assert_eq!(sf.parcels(), 1);
}

#[tokio::test]
async fn a_request_that_was_lost_on_the_way_is_not_there() {
    let (sf, courier) = first_booking(|| Act {
        processed: false,
        ..Act::losing_the_answer()
    });
    let reference = a_reference();
    let lost = courier.commit(&booking(&reference), None).await;
    assert_eq!(lost, Err(BookError::unknown("connection_lost")));
    assert_eq!(courier.reconcile(&attempt(&reference)).await, Ok(Reconciled::NotThere));
    assert!(courier.commit(&booking(&reference), None).await.is_ok());
    assert_eq!(sf.parcels(), 1);
}

#[tokio::test]
async fn an_answer_that_comes_after_we_gave_up_is_unknown_and_found() {
    let (sf, _) = first_booking(|| Act {
        wait: Duration::from_secs(5),
        ..Act::honestly()
    });
    let hurried = made_with(settings(&sf.url()), Duration::from_millis(300));
    let reference = a_reference();
    let given_up = hurried.commit(&booking(&reference), None).await;
    assert_eq!(given_up, Err(BookError::unknown("timeout")));
    let patient = made(settings(&sf.url()));
    let waybill = sf.order(reference.as_str()).unwrap().waybill;
    assert_eq!(patient.reconcile(&attempt(&reference)).await, Ok(booked_as(waybill)));
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/std/service", listener.local_addr().unwrap());
    drop(listener);
    let courier = made(settings(&url));
    let refused = courier.commit(&booking(&a_reference()), None).await;
    assert_eq!(refused, Err(BookError::retry("unreachable")));
    assert_eq!(
        courier.reconcile(&attempt(&a_reference())).await.unwrap_err().code,
        "unreachable"
    );
}

#[tokio::test]
async fn a_wrong_checkword_or_partner_is_not_ours_to_try_again() {
    let (sf, _) = world(|_| Act::honestly());
    let wrong = made(super::Settings {
        checkword: Some(Secret::new("another".to_owned())),
        ..settings(&sf.url())
    });
    let refused = wrong.commit(&booking(&a_reference()), None).await;
    assert_eq!(refused, Err(BookError::unauthorized("A1006")));
    let error = wrong.reconcile(&attempt(&a_reference())).await.unwrap_err();
    assert!(error.unauthorized && error.code == "A1006");
    let stranger = made(super::Settings {
        partner_id: Some("STRANGER".to_owned()),
        ..settings(&sf.url())
    });
    let refused = stranger.commit(&booking(&a_reference()), None).await;
    assert_eq!(refused, Err(BookError::unauthorized("A1011")));
    assert_eq!(sf.parcels(), 0);
}

#[tokio::test]
async fn an_address_that_sf_does_not_serve_fails_and_one_that_a_person_looks_at_is_booked() {
    let (sf, courier) = first_booking(Act::losing_the_answer);
    let (lost, far, pending) = (a_reference(), a_reference(), a_reference());
    // The refusal's answer is lost, too: it is found all the same, and is no "not there".
    assert!(courier.commit(&booking_to(&lost, "超区村1号"), None).await.is_err());
    let code = "out_of_range_delivery";
    let refused = Reconciled::Refused { code: code.to_owned() };
    assert_eq!(courier.reconcile(&attempt(&lost)).await, Ok(refused));
    let answer = courier.commit(&booking_to(&far, "超区村1号"), None).await;
    assert_eq!(answer, Err(BookError::fail(code)));
    let booked = courier.commit(&booking_to(&pending, "人工路1号"), None).await;
    assert_eq!(booked, Ok(Booked::under(None)));
    assert_eq!(courier.reconcile(&attempt(&pending)).await, Ok(booked_as(None)));
    assert_eq!(sf.parcels(), 1);
}

#[tokio::test]
async fn two_orders_of_one_account_never_see_each_others_waybills() {
    let (sf, courier) = world(|call| match call.service.as_str() {
        CREATE if call.nth < 2 => Act::losing_the_answer(),
        _ => Act::honestly(),
    });
    // The clients' own references may be the same: they are nowhere in what SF gets.
    let (one, other) = (a_reference(), a_reference());
    for reference in [&one, &other] {
        assert!(courier.commit(&booking(reference), None).await.is_err());
    }
    for reference in [&one, &other] {
        let waybill = sf.order(reference.as_str()).unwrap().waybill;
        assert_eq!(courier.reconcile(&attempt(reference)).await, Ok(booked_as(waybill)));
    }
    assert_ne!(
        sf.order(one.as_str()).unwrap().waybill,
        sf.order(other.as_str()).unwrap().waybill
    );
}
