//! What is asked for and bought, what refusals mean, labels and news.

use base64::Engine;
use serde_json::{Value, json};

use super::imitation::{Imitation, WEBHOOK_SECRET, error};
use super::server::{Reply, Server};
use super::{TIMEOUT, adapter, settings};
use crate::couriers::contract::{a_request, attempt, book, known, now};
use crate::couriers::karrio::{Karrio, Settings};
use crate::couriers::{
    BookError, CancelAnswer, Courier, CourierEvent, News, ParcelRef, Reconciled, WebhookError, WebhookRequest,
};
use crate::domain::shipment::TrackingStatus::{Accepted, Delivered, InTransit, PickedUp};

async fn booked_at(imitation: &Imitation) -> (Karrio, ParcelRef) {
    let adapter = adapter(&imitation.server.base_url());
    let (parcel, booked) = book(&adapter, &a_request()).await;
    let parcel = known(&parcel, &booked.unwrap());
    (adapter, parcel)
}

#[tokio::test]
async fn a_draft_says_who_what_and_where_and_names_no_service() {
    let imitation = Imitation::start();
    let settings = Settings {
        carrier_ids: vec!["ups_test".to_owned()],
        service: Some("ups_standard".to_owned()),
        ..settings(&imitation.server.base_url())
    };
    let request = a_request();
    Karrio::new(settings, TIMEOUT).unwrap().prepare(&request).await.unwrap();
    let sent = &imitation.shipments()[0];
    assert_eq!(sent["reference"], request.reference.as_str());
    assert_eq!(sent["carrier_ids"], json!(["ups_test"]));
    assert_eq!(sent["recipient"]["person_name"], "张三");
    assert_eq!(
        (&sent["parcels"][0]["weight"], &sent["parcels"][0]["length"]),
        (&json!(0.05), &json!(24.0))
    );
    assert_eq!(sent["customs"], Value::Null);
}

#[tokio::test]
async fn the_cheapest_rate_is_bought_unless_the_configuration_says_which() {
    let imitation = Imitation::start();
    let plain = || settings(&imitation.server.base_url());
    let chosen = |service: Option<&str>, carriers: &[&str]| Settings {
        service: service.map(str::to_owned),
        carrier_ids: carriers.iter().map(|id| (*id).to_owned()).collect(),
        ..plain()
    };
    for (settings, service) in [
        (plain(), Some("ups ups_standard 4.75 USD")),
        (
            chosen(Some("UPS_Express"), &["x", "ups_test"]),
            Some("ups ups_express 12.5 USD"),
        ),
        (chosen(None, &["x"]), None),
    ] {
        let (_, booked) = book(&Karrio::new(settings, TIMEOUT).unwrap(), &a_request()).await;
        match service {
            Some(service) => assert_eq!(booked.unwrap().service.as_deref(), Some(service)),
            None => assert_eq!(booked, Err(BookError::fail("no_rate"))),
        }
    }
}

/// A server that answers purchases so, and everything else with this shipment.
fn answering(purchase: Reply, shipment: Value) -> Server {
    Server::start(move |request| match request.path.ends_with("/purchase") {
        true => purchase.clone(),
        false => Reply::new(200, "application/json", shipment.to_string()),
    })
}

fn draft() -> Value {
    json!({"id": "shp_1", "status": "draft", "rates":
        [{"id": "rat_1", "carrier_name": "ups", "service": "std", "total_charge": 1.0, "currency": "USD"}]})
}

fn carrier(code: Value) -> Reply {
    let body = json!({"messages": [{"carrier_id": "ups", "carrier_name": "ups", "code": code, "message": "no"}]});
    Reply::new(424, "application/json", body.to_string())
}

#[tokio::test]
async fn a_refusal_to_purchase_means_one_thing_each() {
    for (reply, meaning) in [
        (error(400, "validation"), BookError::fail("validation")),
        (error(401, "invalid_token"), BookError::unauthorized("invalid_token")),
        (carrier(json!("111100")), BookError::fail("111100")),
        (carrier(json!(9100)), BookError::fail("9100")),
        (carrier(json!("503")), BookError::unknown("503")),
        (
            carrier(json!("SHIPPING_SDK_INTERNAL_ERROR")),
            BookError::unknown("SHIPPING_SDK_INTERNAL_ERROR"),
        ),
        (error(409, "state_error"), BookError::unknown("state_error")),
        (error(500, "failure"), BookError::unknown("http_500")),
        (Reply::new(404, "text/html", "<html>"), BookError::unknown("http_404")),
    ] {
        let server = answering(reply.clone(), draft());
        let refused = adapter(&server.base_url()).commit(&a_request(), Some("shp_1")).await;
        assert_eq!(refused, Err(meaning), "{reply:?}");
    }
}

#[tokio::test]
async fn a_carrier_in_trouble_while_rates_are_asked_for_is_tried_again_and_one_that_refuses_is_not() {
    for (reply, meaning) in [
        (carrier(json!("timeout")), BookError::retry("timeout")),
        (carrier(json!("111100")), BookError::fail("111100")),
        (error(500, "failure"), BookError::retry("failure")),
        (error(400, "validation"), BookError::fail("validation")),
    ] {
        let server = Server::start(move |_| reply.clone());
        assert_eq!(adapter(&server.base_url()).prepare(&a_request()).await, Err(meaning));
    }
}

#[tokio::test]
async fn a_shipment_counts_as_bought_in_every_state_after_its_purchase_and_in_no_other() {
    let request = a_request();
    for (status, number, bought) in [
        ("created", Some("1Z1"), Some(true)),
        ("purchased", None, Some(true)),
        ("in_transit", Some("1Z1"), Some(true)),
        ("invented", Some("1Z1"), Some(true)),
        ("draft", None, Some(false)),
        ("cancelled", Some("1Z1"), Some(false)),
        ("invented", None, None),
    ] {
        let shipment = json!({"id": "shp_1", "reference": request.reference.as_str(), "status": status,
                              "tracking_number": number});
        let server = answering(error(500, "x"), shipment);
        let parcel = ParcelRef {
            provider_ref: Some("shp_1".to_owned()),
            ..attempt(&request.reference)
        };
        let told = adapter(&server.base_url()).reconcile(&parcel).await;
        let told = told.ok().map(|told| matches!(told, Reconciled::Booked(_)));
        assert_eq!(told, bought, "{status}");
    }
}

#[tokio::test]
async fn a_parcel_on_its_way_is_not_called_off() {
    let imitation = Imitation::start();
    let shipment = json!({"id": "shp_1", "status": "in_transit", "tracking_number": "1Z1"});
    let server = Server::start(move |request| match request.method.as_str() {
        "POST" => error(409, "state_error"),
        _ => Reply::new(200, "application/json", shipment.to_string()),
    });
    let (_, parcel) = booked_at(&imitation).await;
    let parcel = ParcelRef {
        provider_ref: Some("shp_1".to_owned()),
        ..parcel
    };
    let refused = CancelAnswer::Refused {
        code: "state_error".to_owned(),
    };
    assert_eq!(adapter(&server.base_url()).cancel(&parcel).await, Ok(refused));
}

#[tokio::test]
async fn tracking_tells_the_whole_story_through_the_tracker_or_the_shipment() {
    let imitation = Imitation::start();
    let (adapter_, parcel) = booked_at(&imitation).await;
    let id = parcel.provider_ref.as_deref().unwrap();
    for (status, time) in [
        ("picked_up", "08:00 AM"),
        ("in_transit", "09:00 AM"),
        ("delivered", "09:00 AM"),
    ] {
        imitation.report(id, status, time);
    }
    let events = adapter_.track(std::slice::from_ref(&parcel)).await.unwrap();
    let news: Vec<News> = events.iter().map(|event| event.news).collect();
    assert_eq!(news, [PickedUp, InTransit, Delivered].map(News::Moved));
    assert!(events.iter().all(|event| event.tracking_no == parcel.tracking_no));
    // A carrier that cannot be tracked: what the shipment says.
    let shipment = json!({"id": "shp_1", "status": "created", "tracking_number": "1Z1", "carrier_name": "generic",
                          "created_at": "2026-11-23 07:00:00.080308+00:00"});
    let server = Server::start(move |request| match request.path.as_str() {
        "/v1/trackers" => error(404, "not_found"),
        _ => Reply::new(200, "application/json", shipment.to_string()),
    });
    let parcel = ParcelRef {
        provider_ref: Some("shp_1".to_owned()),
        ..parcel
    };
    let events = adapter(&server.base_url()).track(&[parcel]).await.unwrap();
    assert_eq!(events[0].news, News::Moved(Accepted));
}

#[tokio::test]
async fn another_parcels_tracker_is_never_taken() {
    let imitation = Imitation::start();
    let (_, parcel) = booked_at(&imitation).await;
    let server = Server::start(move |request| {
        let body = match request.path.starts_with("/v1/trackers") {
            true => json!({"tracking_number": "1ZOTHER", "status": "delivered", "events": []}),
            false => json!({"id": "shp_1", "status": "created", "tracking_number": "1Z1", "tracker_id": "trk_1"}),
        };
        Reply::new(200, "application/json", body.to_string())
    });
    let parcel = ParcelRef {
        provider_ref: Some("shp_1".to_owned()),
        ..parcel
    };
    let told = adapter(&server.base_url()).track(&[parcel]).await;
    assert_eq!(told.unwrap_err().code, "unreadable_answer");
}

#[tokio::test]
async fn a_label_is_read_from_the_shipment_its_documents_or_its_file() {
    let imitation = Imitation::start();
    let (adapter_, parcel) = booked_at(&imitation).await;
    let label = adapter_.label(&parcel).await.unwrap().unwrap();
    assert_eq!(
        (label.content_type.as_str(), label.document.expose().as_slice()),
        ("application/pdf", &b"%PDF-1.4 made up"[..])
    );
    let large = [b"%PDF".to_vec(), vec![b'x'; 5 * 1024 * 1024]].concat();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&large);
    let with = |documents: Value| json!({"id": "shp_1", "status": "created", "shipping_documents": documents});
    for (documents, expected) in [
        (
            json!([{"category": "label", "format": "PDF", "base64": encoded}]),
            Ok(Some(large.len())),
        ),
        (
            json!([{"category": "label", "format": "PNG", "base64": "iVBORw0KGgo="}]),
            Ok(Some(8)),
        ),
        (
            json!([{"category": "label", "format": "PDF", "base64": null}]),
            Ok(Some(8)),
        ),
        (
            json!([{"category": "label", "format": "PDF", "base64": "!"}]),
            Err("not_a_label"),
        ),
        (json!([{"category": "invoice", "base64": "JVBE"}]), Ok(None)),
        (json!([]), Ok(None)),
    ] {
        let shipment = with(documents);
        let server = Server::start(move |request| match request.path.as_str() {
            "/v1/shipments/shp_1" => Reply::new(200, "application/json", shipment.to_string()),
            "/v1/shipments/shp_1/label.pdf" => Reply::new(200, "application/pdf", *b"%PDF-1.4"),
            _ => error(404, "not_found"),
        });
        let parcel = ParcelRef {
            provider_ref: Some("shp_1".to_owned()),
            ..parcel.clone()
        };
        let label = adapter(&server.base_url()).label(&parcel).await;
        let length = label.map(|label| label.map(|label| label.document.expose().len()));
        assert_eq!(length.map_err(|error| error.code), expected.map_err(str::to_owned));
    }
}

fn hear(secret: &str, body: &str) -> Result<Vec<CourierEvent>, WebhookError> {
    let headers = [("x-event-id".to_owned(), secret.to_owned())];
    adapter("http://127.0.0.1:1").read_webhook(&WebhookRequest {
        peer: None,
        headers: &headers,
        body: body.as_bytes(),
        token: None,
        now: now(),
        received_at: now(),
    })
}

#[test]
fn a_purchase_and_a_cancellation_name_the_shipment_and_our_reference() {
    let reference = a_request().reference;
    let told = |event: &str| {
        let body = json!({"event": event, "data": {"id": "shp_1", "reference": reference.as_str(),
            "tracking_number": "1Z1", "status": "created"}});
        hear(WEBHOOK_SECRET, &body.to_string()).unwrap()
    };
    let bought = told("shipment_purchased").remove(0);
    assert_eq!(
        (bought.news, bought.reference.as_ref()),
        (News::Moved(Accepted), Some(&reference))
    );
    assert_eq!(bought.provider_ref.as_deref(), Some("shp_1"));
    assert_eq!(told("shipment_cancelled")[0].news, News::CalledOff);
    assert_eq!(told("shipment_needs_attention"), []);
    assert_eq!(hear("whsec_other", "{}"), Err(WebhookError::NotAuthentic));
    for malformed in [
        "",
        "[]",
        r#"{"event":"tracker_updated"}"#,
        r#"{"event":"tracker_updated","data":{}}"#,
    ] {
        assert_eq!(
            hear(WEBHOOK_SECRET, malformed),
            Err(WebhookError::Malformed),
            "{malformed}"
        );
    }
}

#[tokio::test]
async fn a_check_says_in_plain_words_what_is_wrong() {
    let imitation = Imitation::start();
    assert!(adapter(&imitation.server.base_url()).check().await[0].good);
    let nobody = adapter("http://127.0.0.1:1").check().await;
    assert!(!nobody[0].good && nobody[0].what.contains("unreachable"), "{nobody:?}");
}
