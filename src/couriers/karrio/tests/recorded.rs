//! What was recorded from a real Karrio, where it is there to be read.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{TIMEOUT, adapter, settings};
use crate::couriers::contract::{a_request, attempt, now};
use crate::couriers::karrio::Karrio;
use crate::couriers::{BookError, Courier, News, ParcelRef, Reconciled, WebhookRequest};
use crate::domain::shipment::TrackingStatus::{Delivered, Exception, InTransit};
use crate::privacy::Secret;

fn recordings() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/couriers/intl");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {} is not there", folder.display());
    None
}

fn recording(name: &str) -> Option<(u16, Value, String)> {
    let text = std::fs::read_to_string(recordings()?.join(name)).unwrap();
    let exchange: Value = serde_json::from_str(&text).unwrap();
    let response = &exchange["response"];
    let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
    Some((
        status,
        response["headers"].clone(),
        response["body"].as_str().unwrap().to_owned(),
    ))
}

#[tokio::test]
async fn a_recorded_draft_is_prepared_and_is_not_bought() {
    let Some((status, _, body)) = recording("karrio_shipment_create_201.json") else {
        return;
    };
    let request = a_request();
    let mut body: Value = serde_json::from_str(&body).unwrap();
    body["reference"] = json!(request.reference.as_str());
    let server = Server::start(move |_| Reply::new(status, "application/json", body.to_string()));
    let adapter = adapter(&server.base_url());
    let id = adapter.prepare(&request).await.unwrap();
    assert!(id.as_deref().is_some_and(|id| id.starts_with("shp_")));
    let parcel = ParcelRef {
        provider_ref: id.clone(),
        ..attempt(&request.reference)
    };
    assert_eq!(adapter.reconcile(&parcel).await, Ok(Reconciled::NotThere));
    let answered = adapter.commit(&request, id.as_deref()).await;
    assert_eq!(
        answered,
        Err(BookError::unknown("unreadable_answer")),
        "a draft is no purchase"
    );
}

/// The recording of a purchase is cut off in the middle: as good a cut answer as any.
#[tokio::test]
async fn a_recorded_purchase_that_is_cut_off_is_unknown() {
    let (Some((_, _, draft)), Some((_, _, cut))) = (
        recording("karrio_shipment_create_201.json"),
        recording("karrio_shipment_purchase_200.json"),
    ) else {
        return;
    };
    assert!(serde_json::from_str::<Value>(&cut).is_err());
    let request = a_request();
    let mut draft: Value = serde_json::from_str(&draft).unwrap();
    draft["reference"] = json!(request.reference.as_str());
    let id = draft["id"].as_str().unwrap().to_owned();
    let server = Server::start(move |request| match request.method.as_str() {
        "POST" => Reply::new(200, "application/json", cut.clone()),
        _ => Reply::new(200, "application/json", draft.to_string()),
    });
    let answered = adapter(&server.base_url()).commit(&request, Some(&id)).await;
    assert_eq!(answered, Err(BookError::unknown("unreadable_answer")));
}

#[tokio::test]
async fn recorded_errors_mean_what_they_say() {
    let throttled = BookError::Retry {
        code: "throttled".to_owned(),
        after: Some(std::time::Duration::from_secs(59)),
    };
    for (name, meaning) in [
        ("400_validation", BookError::fail("validation")),
        ("401_not_authenticated", BookError::unauthorized("not_authenticated")),
        ("429_throttled", throttled),
    ] {
        let Some((status, headers, body)) = recording(&format!("karrio_error_{name}.json")) else {
            return;
        };
        let after = headers["Retry-After"].as_str().map(str::to_owned);
        let server = Server::start(move |_| Reply::Answer {
            status,
            headers: after
                .iter()
                .map(|after| ("Retry-After".to_owned(), after.clone()))
                .collect(),
            body: body.clone().into_bytes(),
        });
        assert_eq!(
            adapter(&server.base_url()).prepare(&a_request()).await,
            Err(meaning),
            "{name}"
        );
    }
}

#[test]
fn recorded_webhooks_are_read_to_the_right_place() {
    for (name, expected, number) in [
        (
            "tracker_updated_in_transit",
            News::Moved(InTransit),
            Some("1Z999AA10123456784"),
        ),
        (
            "tracker_updated_on_hold",
            News::Moved(Exception),
            Some("1Z999AA10123456784"),
        ),
        (
            "tracker_updated_delivered",
            News::Moved(Delivered),
            Some("1Z999AA10123456784"),
        ),
        ("shipment_cancelled", News::CalledOff, None),
    ] {
        let Some(folder) = recordings() else { return };
        let body = std::fs::read(folder.join(format!("karrio_webhook_{name}.body"))).unwrap();
        let meta = std::fs::read_to_string(folder.join(format!("karrio_webhook_{name}.meta.json"))).unwrap();
        let meta: Value = serde_json::from_str(&meta).unwrap();
        let mut settings = settings("http://127.0.0.1:1");
        settings.webhook_secret = Some(Secret::new(meta["webhook_secret"].as_str().unwrap().to_owned()));
        let headers: Vec<(String, String)> = meta["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap().to_owned()))
            .collect();
        let events = Karrio::new(settings, TIMEOUT).unwrap().read_webhook(&WebhookRequest {
            peer: None,
            headers: &headers,
            body: &body,
            token: None,
            now: now(),
            received_at: now(),
        });
        let event = events.unwrap().remove(0);
        assert_eq!(event.news, expected, "{name}");
        let told = event.tracking_no.as_ref().map(|number| number.expose().as_str());
        assert_eq!(told, number, "{name}");
    }
}
