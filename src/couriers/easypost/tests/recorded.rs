//! What was recorded from the real API, where it is there to be read.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{TIMEOUT, adapter, settings};
use crate::couriers::contract::{a_request, attempt, now};
use crate::couriers::easypost::Easypost;
use crate::couriers::{BookError, CancelAnswer, Courier, News, ParcelRef, Reconciled, WebhookRequest};
use crate::domain::shipment::TrackingStatus::{
    Accepted, Delivered, Exception, InTransit, OutForDelivery, PickedUp, Returning,
};
use crate::privacy::Secret;

fn recordings() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/couriers/intl");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {} is not there", folder.display());
    None
}

fn recording(name: &str) -> Option<(u16, String)> {
    let text = std::fs::read_to_string(recordings()?.join(name)).unwrap();
    let exchange: Value = serde_json::from_str(&text).unwrap();
    let response = &exchange["response"];
    let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
    Some((status, response["body"].as_str().unwrap().to_owned()))
}

/// The recorded answer, made ours: under this reference.
fn ours(name: &str, reference: &str) -> Option<(String, Reply)> {
    let (status, body) = recording(name)?;
    let mut body: Value = serde_json::from_str(&body).unwrap();
    body["reference"] = json!(reference);
    let id = body["id"].as_str().unwrap().to_owned();
    Some((id, Reply::new(status, "application/json", body.to_string())))
}

#[tokio::test]
async fn recorded_shipments_are_created_bought_and_refunded() {
    let request = a_request();
    let reference = request.reference.as_str();
    let Some((id, created)) = ours("easypost_shipment_create_201.json", reference) else {
        return;
    };
    let server = Server::start(move |_| created.clone());
    let adapter_ = adapter(&server.base_url());
    assert_eq!(adapter_.prepare(&request).await, Ok(Some(id.clone())));
    let parcel = |id: &str| ParcelRef {
        provider_ref: Some(id.to_owned()),
        ..attempt(&request.reference)
    };
    assert_eq!(
        adapter_.reconcile(&parcel(&id)).await,
        Ok(Reconciled::NotThere),
        "created is not bought"
    );
    for name in [
        "easypost_shipment_buy_200.json",
        "easypost_shipment_one_call_buy_201.json",
    ] {
        let (id, bought) = ours(name, reference).unwrap();
        let server = Server::start(move |_| bought.clone());
        let booked = adapter(&server.base_url()).commit(&request, Some(&id)).await.unwrap();
        let number = booked.tracking_no.unwrap();
        assert!(number.expose().starts_with("94"), "{name}");
        assert!(booked.service.unwrap().ends_with(" USD"), "{name}");
        assert!(
            adapter(&server.base_url()).label(&parcel(&id)).await.is_err(),
            "a label elsewhere is not asked for here"
        );
    }
    let (id, refunded) = ours("easypost_shipment_refund_200.json", reference).unwrap();
    let server = Server::start(move |_| refunded.clone());
    let adapter = adapter(&server.base_url());
    assert_eq!(adapter.cancel(&parcel(&id)).await, Ok(CancelAnswer::Cancelled));
    assert_eq!(adapter.reconcile(&parcel(&id)).await, Ok(Reconciled::NotThere));
}

#[tokio::test]
async fn recorded_errors_mean_what_they_say() {
    for (name, meaning) in [
        ("401_unauthorized", BookError::unauthorized("UNAUTHORIZED")),
        ("403_apikey_inactive", BookError::unauthorized("APIKEY.INACTIVE")),
        ("404_string_errors", BookError::fail("NOT_FOUND")),
        ("422_address_verify", BookError::fail("ADDRESS.VERIFY.FAILURE")),
        ("422_parameter_required", BookError::fail("PARAMETER.REQUIRED")),
    ] {
        let Some((status, body)) = recording(&format!("easypost_error_{name}.json")) else {
            return;
        };
        let server = Server::start(move |_| Reply::new(status, "application/json", body.clone()));
        assert_eq!(
            adapter(&server.base_url()).prepare(&a_request()).await,
            Err(meaning),
            "{name}"
        );
    }
}

#[test]
fn recorded_trackers_are_read_to_the_right_place() {
    for (name, expected, steps) in [
        ("pre_transit", News::Moved(Accepted), 2),
        ("in_transit", News::Moved(InTransit), 6),
        ("out_for_delivery", News::Moved(OutForDelivery), 7),
        ("delivered", News::Moved(Delivered), 8),
        ("return_to_sender", News::Moved(Returning), 8),
        ("failure", News::Moved(Exception), 4),
        ("unknown", News::Unchanged, 1),
    ] {
        let Some((_, body)) = recording(&format!("easypost_tracker_{name}_201.json")) else {
            return;
        };
        let tracker: Value = serde_json::from_str(&body).unwrap();
        let history = super::super::tracking_history::read(&tracker, None);
        assert_eq!(history.last().map(|step| step.news), Some(expected), "{name}");
        assert_eq!(history.len(), steps, "{name}");
        let picked_up = history.iter().filter(|step| step.news == News::Moved(PickedUp)).count();
        assert_eq!(picked_up, usize::from(steps > 2), "{name}");
    }
    let (_, list) = recording("easypost_tracker_list_pre_transit_and_error_200.json").unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    for tracker in list["trackers"].as_array().unwrap() {
        let expected = match tracker["status"].as_str().unwrap() {
            "error" => News::Unchanged,
            "pre_transit" => News::Moved(Accepted),
            other => panic!("{other}"),
        };
        assert_eq!(
            super::super::tracking_history::read(tracker, None).last().unwrap().news,
            expected
        );
    }
}

#[test]
fn the_published_webhook_is_authentic_and_read_and_not_a_byte_of_it_may_change() {
    let Some(folder) = recordings() else { return };
    let body = std::fs::read(folder.join("easypost_webhook_event_tracker_updated.body")).unwrap();
    let meta = std::fs::read_to_string(folder.join("easypost_webhook_event_tracker_updated.meta.json")).unwrap();
    let meta: Value = serde_json::from_str(&meta).unwrap();
    let mut settings = settings("http://127.0.0.1:1");
    settings.webhook_secret = Some(Secret::new(meta["secret"].as_str().unwrap().to_owned()));
    let adapter = Easypost::new(settings, TIMEOUT).unwrap();
    let signature = meta["headers"]["X-Hmac-Signature"].as_str().unwrap().to_owned();
    let headers = [("x-hmac-signature".to_owned(), signature)];
    let read = |body: &[u8]| {
        adapter.read_webhook(&WebhookRequest {
            peer: None,
            headers: &headers,
            body,
            token: None,
            now: now(),
            received_at: now(),
        })
    };
    let event = read(&body).unwrap().remove(0);
    assert_eq!(event.news, News::Moved(InTransit));
    assert_eq!(event.tracking_no.unwrap().expose(), "1");
    assert_eq!(event.remark.unwrap().expose(), "Arrived at FedEx location");
    let reserialised = serde_json::from_slice::<Value>(&body).unwrap().to_string();
    assert!(read(reserialised.as_bytes()).is_err());
}
