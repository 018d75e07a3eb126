//! What is asked for and bought, what refusals mean, labels and news.

use serde_json::{Value, json};

use super::imitation::{Imitation, error, sign};
use super::server::{Reply, Server};
use super::{TIMEOUT, adapter, settings};
use crate::couriers::contract::{a_request, attempt, book, known, now};
use crate::couriers::easypost::{Easypost, Settings};
use crate::couriers::{BookError, CancelAnswer, Courier, CourierEvent, News, ParcelRef, Reconciled, WebhookRequest};
use crate::couriers::{BookingRequest, WebhookError};
use crate::domain::contact::{Recipient, RecipientParts};
use crate::domain::invalid::FieldErrors;
use crate::domain::shipment::TrackingStatus::{Accepted, Delivered, InTransit, PickedUp, Returned, Returning};

fn v2(imitation: &Imitation) -> String {
    format!("{}/v2", imitation.server.base_url())
}

fn abroad() -> BookingRequest {
    let parts = RecipientParts {
        name: "Jane Doe",
        phone: "+14155550123",
        province: "CA",
        city: "Redondo Beach",
        district: None,
        street: "179 N Harbor Dr",
        postal_code: Some("90277"),
        country: Some("US"),
    };
    BookingRequest {
        consignee: Recipient::parse(&parts, "/recipient", &mut FieldErrors::new()).unwrap(),
        ..a_request()
    }
}

fn booked_as(adapter: &Easypost, parcel: &ParcelRef, result: Result<crate::couriers::Booked, BookError>) -> ParcelRef {
    assert_eq!(adapter.name(), "easypost");
    known(parcel, &result.unwrap())
}

#[tokio::test]
async fn a_shipment_says_who_what_and_where_and_customs_only_abroad() {
    let imitation = Imitation::start();
    let adapter = adapter(&v2(&imitation));
    let (home, away) = (a_request(), abroad());
    adapter.prepare(&home).await.unwrap();
    adapter.prepare(&away).await.unwrap();
    let sent = imitation.shipments();
    assert_eq!(sent[0]["reference"], home.reference.as_str());
    assert_eq!(sent[0]["to_address"]["name"], "张三");
    assert_eq!(sent[0]["from_address"]["company"], "安全灯照相馆");
    assert_eq!(
        sent[0]["parcel"],
        json!({"length": 9.45, "width": 6.3, "height": 0.2, "weight": 1.8})
    );
    assert_eq!(sent[0]["customs_info"], Value::Null);
    let item = &sent[1]["customs_info"]["customs_items"][0];
    assert_eq!(
        (&item["origin_country"], &item["hs_tariff_number"]),
        (&json!("CN"), &json!("491191"))
    );
    assert_eq!(sent[1]["customs_info"]["customs_certify"], true);
}

#[tokio::test]
async fn the_cheapest_rate_is_bought_unless_the_configuration_says_which() {
    let imitation = Imitation::start();
    let plain = || settings(&v2(&imitation));
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (plain(), Some("USPS GroundAdvantage 5.93 USD")),
        (
            Settings {
                service: some("express"),
                ..plain()
            },
            Some("USPS Express 33.10 USD"),
        ),
        (
            Settings {
                carrier: some("dhlecs"),
                ..plain()
            },
            Some("DhlEcs Parcel 10.05 USD"),
        ),
        (
            Settings {
                carrier_account: some("ca_DhlEcs"),
                ..plain()
            },
            Some("DhlEcs Parcel 10.05 USD"),
        ),
        (
            Settings {
                carrier: some("FedEx"),
                ..plain()
            },
            None,
        ),
    ];
    for (settings, service) in cases {
        let (_, booked) = book(&Easypost::new(settings, TIMEOUT).unwrap(), &a_request()).await;
        match service {
            Some(service) => assert_eq!(booked.unwrap().service.as_deref(), Some(service)),
            None => assert_eq!(booked, Err(BookError::fail("no_rate"))),
        }
    }
}

/// A server that creates well and answers everything else so.
fn answering(buy: Reply, get: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        if request.path.ends_with("/buy") || request.path.ends_with("/refund") {
            return buy.clone();
        }
        get(&request.method, &request.path)
    })
}

fn shipment(members: Value) -> Reply {
    let mut shipment = json!({"id": "shp_1", "rates":
        [{"id": "rate_1", "carrier": "USPS", "service": "First", "rate": "1.00", "currency": "USD"}]});
    for (key, value) in members.as_object().unwrap() {
        shipment[key] = value.clone();
    }
    Reply::new(200, "application/json", shipment.to_string())
}

#[tokio::test]
async fn a_refusal_to_buy_means_one_thing_each() {
    for (reply, meaning) in [
        (
            error(422, "SHIPMENT.POSTAGE.FAILURE"),
            BookError::fail("SHIPMENT.POSTAGE.FAILURE"),
        ),
        (error(400, "BAD_REQUEST"), BookError::fail("BAD_REQUEST")),
        (
            error(402, "INSUFFICIENT_FUNDS"),
            BookError::unauthorized("INSUFFICIENT_FUNDS"),
        ),
        (error(401, "UNAUTHORIZED"), BookError::unauthorized("UNAUTHORIZED")),
        (error(500, "INTERNAL_SERVER_ERROR"), BookError::unknown("http_500")),
        (Reply::new(422, "text/html", "<html>"), BookError::unknown("http_422")),
        (error(422, "张三 13800138000"), BookError::fail("refused")),
        (
            Reply::new(422, "application/json", r#"{"error":"no such thing"}"#),
            BookError::fail("refused"),
        ),
        (
            Reply::new(
                404,
                "application/json",
                r#"{"error":{"code":"NOT_FOUND","errors":["a text"]}}"#,
            ),
            BookError::fail("NOT_FOUND"),
        ),
    ] {
        let server = answering(reply.clone(), |_, _| shipment(json!({})));
        let adapter = adapter(&server.base_url());
        let refused = adapter.commit(&a_request(), Some("shp_1")).await;
        assert_eq!(refused, Err(meaning), "{reply:?}");
    }
}

#[tokio::test]
async fn a_refusal_because_it_is_bought_already_is_the_booking() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = answering(error(422, "WHATEVER.IT.SAYS"), move |_, _| {
        match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => shipment(json!({})),
            _ => shipment(json!({"tracking_code": "9400", "selected_rate": {"id": "rate_1"}})),
        }
    });
    let booked = adapter(&server.base_url())
        .commit(&a_request(), Some("shp_1"))
        .await
        .unwrap();
    assert_eq!(booked.tracking_no.unwrap().expose(), "9400");
}

#[tokio::test]
async fn another_orders_shipment_is_never_taken() {
    let theirs = shipment(json!({"reference": "SLANOTHER", "tracking_code": "9400"}));
    let server = answering(theirs.clone(), move |_, _| theirs.clone());
    let adapter = adapter(&server.base_url());
    let request = a_request();
    assert_eq!(
        adapter.prepare(&request).await,
        Err(BookError::retry("unreadable_answer"))
    );
    let parcel = ParcelRef {
        provider_ref: Some("shp_1".to_owned()),
        ..attempt(&request.reference)
    };
    assert_eq!(adapter.reconcile(&parcel).await.unwrap_err().code, "unreadable_answer");
    let booked = adapter.commit(&request, Some("shp_1")).await;
    assert_eq!(booked, Err(BookError::retry("unreadable_answer")));
    assert_eq!(
        adapter.commit(&request, Some("../users")).await,
        Err(BookError::fail("not_prepared"))
    );
}

#[tokio::test]
async fn a_parcel_without_a_shipment_was_never_bought() {
    let nobody = adapter("http://127.0.0.1:1");
    let parcel = attempt(&a_request().reference);
    assert_eq!(nobody.reconcile(&parcel).await, Ok(Reconciled::NotThere));
    assert_eq!(nobody.cancel(&parcel).await, Ok(CancelAnswer::Cancelled));
    assert_eq!(nobody.track(std::slice::from_ref(&parcel)).await, Ok(Vec::new()));
    assert!(nobody.label(&parcel).await.unwrap().is_none());
}

#[tokio::test]
async fn a_parcel_on_its_way_is_not_called_off_and_a_refunded_one_is_not_there() {
    let imitation = Imitation::start();
    let adapter = adapter(&v2(&imitation));
    let request = a_request();
    let (parcel, booked) = book(&adapter, &request).await;
    let parcel = booked_as(&adapter, &parcel, booked);
    let (early, booked) = book(&adapter, &a_request()).await;
    let early = booked_as(&adapter, &early, booked);
    imitation.scan(
        parcel.provider_ref.as_deref().unwrap(),
        "in_transit",
        None,
        "2026-11-23T09:00:00Z",
    );
    let refused = CancelAnswer::Refused {
        code: "SHIPMENT.REFUND.UNAVAILABLE".to_owned(),
    };
    assert_eq!(adapter.cancel(&parcel).await, Ok(refused));
    assert_eq!(adapter.cancel(&early).await, Ok(CancelAnswer::Cancelled));
    assert_eq!(adapter.reconcile(&early).await, Ok(Reconciled::NotThere));
    let prepared = adapter.prepare(&request).await.unwrap();
    let unbought = ParcelRef {
        provider_ref: prepared,
        ..attempt(&request.reference)
    };
    assert_eq!(
        adapter.cancel(&unbought).await,
        Ok(CancelAnswer::Cancelled),
        "nothing to refund"
    );
}

#[tokio::test]
async fn tracking_tells_the_whole_story_and_asks_without_the_number_in_the_url() {
    let imitation = Imitation::start();
    let adapter = adapter(&v2(&imitation));
    let (parcel, booked) = book(&adapter, &a_request()).await;
    let parcel = booked_as(&adapter, &parcel, booked);
    let id = parcel.provider_ref.as_deref().unwrap();
    let news = |events: Vec<CourierEvent>| events.into_iter().map(|event| event.news).collect::<Vec<_>>();
    assert_eq!(
        news(adapter.track(std::slice::from_ref(&parcel)).await.unwrap()),
        [News::Moved(Accepted)]
    );
    for (status, at) in [
        ("in_transit", "2026-11-23T09:00:00Z"),
        ("in_transit", "2026-11-23T10:00:00Z"),
        ("return_to_sender", "2026-11-24T10:00:00Z"),
        ("delivered", "2026-11-25T10:00:00Z"),
    ] {
        imitation.scan(id, status, None, at);
    }
    let expected = [PickedUp, InTransit, Returning, Returned].map(News::Moved);
    let events = adapter.track(std::slice::from_ref(&parcel)).await.unwrap();
    assert!(
        events
            .iter()
            .all(|event| event.reference.as_ref() == Some(&parcel.reference))
    );
    assert_eq!(news(events), expected);
    // Sent by hand: only the number is known.
    let by_hand = ParcelRef {
        provider_ref: None,
        ..parcel
    };
    assert_eq!(adapter.watch(&by_hand).await, Ok(()));
    assert_eq!(news(adapter.track(&[by_hand]).await.unwrap()), expected);
}

#[tokio::test]
async fn a_label_is_fetched_without_the_key_and_only_if_it_can_be_printed() {
    let imitation = Imitation::start();
    let adapter_ = adapter(&v2(&imitation));
    let (parcel, booked) = book(&adapter_, &a_request()).await;
    let parcel = booked_as(&adapter_, &parcel, booked);
    let label = adapter_.label(&parcel).await.unwrap().unwrap();
    assert_eq!(
        (label.content_type.as_str(), label.document.expose().len()),
        ("application/pdf", 16)
    );
    for (body, content_type, expected) in [
        (
            [0x89, b'P', b'N', b'G'].repeat(1_310_720),
            "binary/octet-stream",
            Ok("image/png"),
        ),
        (b"<html>".to_vec(), "text/html", Err("not_a_label")),
        (Vec::new(), "application/pdf", Err("not_a_label")),
        (
            vec![b'%'; 10 * 1024 * 1024 + 1],
            "application/pdf",
            Err("answer_too_long"),
        ),
    ] {
        let server = Server::start(move |request| {
            if request.path == "/label" {
                return Reply::new(200, content_type, body.clone());
            }
            let at = request.header("host").unwrap_or_default();
            shipment(json!({"tracking_code": "1", "postage_label": {"label_url": format!("http://{at}/label")}}))
        });
        let parcel = ParcelRef {
            provider_ref: Some("shp_1".to_owned()),
            ..parcel.clone()
        };
        let label = adapter(&server.base_url()).label(&parcel).await;
        let label = label
            .map(|label| label.unwrap().content_type)
            .map_err(|error| error.code);
        assert_eq!(label, expected.map(str::to_owned).map_err(str::to_owned));
    }
}

fn hear(body: &Value) -> Result<Vec<CourierEvent>, WebhookError> {
    let (signature, body) = sign(body.to_string().into_bytes());
    let headers = [("x-hmac-signature".to_owned(), signature)];
    adapter("http://127.0.0.1:1").read_webhook(&WebhookRequest {
        peer: None,
        headers: &headers,
        body: &body,
        token: None,
        now: now(),
        received_at: now(),
    })
}

#[test]
fn events_that_are_not_about_a_tracker_are_taken_and_tell_nothing() {
    let batch = json!({"description": "batch.updated", "result": {"object": "Batch", "status": "delivered"}});
    assert_eq!(hear(&batch), Ok(Vec::new()));
    assert_eq!(hear(&json!({"hello": 1})), Err(WebhookError::Malformed));
    let odd = json!({"description": "tracker.updated", "result": "none"});
    assert_eq!(hear(&odd), Err(WebhookError::Malformed));
    let delivered = json!({"description": "tracker.updated", "result":
        {"object": "Tracker", "status": "delivered", "tracking_code": 7, "shipment_id": "shp_1", "tracking_details": {}}});
    let event = hear(&delivered).unwrap().remove(0);
    assert_eq!((event.news, event.at), (News::Moved(Delivered), now()));
    assert_eq!(
        (event.tracking_no, event.provider_ref.as_deref()),
        (None, Some("shp_1"))
    );
}

#[tokio::test]
async fn a_check_says_in_plain_words_what_is_wrong() {
    let imitation = Imitation::start();
    let findings = adapter(&v2(&imitation)).check().await;
    let good: Vec<bool> = findings.iter().map(|finding| finding.good).collect();
    assert_eq!(good, [true, false], "the key is a test key: {findings:?}");
    let nobody = adapter("http://127.0.0.1:1").check().await;
    assert!(!nobody[0].good && nobody[0].what.contains("unreachable"), "{nobody:?}");
}
