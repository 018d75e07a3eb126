//! What answers mean, those of a stranger included, and what the sandbox says to a stranger.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, Path};
use actix_web::{App, HttpResponse, HttpServer};
use reqwest::Method;
use serde_json::Value;

use super::{LOOPBACK, SECRET, World, a_reference, adapter, attempt, booking};
use crate::couriers::adapter::Endpoint;
use crate::couriers::simulated::{Simulated, SimulatedError};
use crate::couriers::{BookError, Courier};
use crate::privacy::Secret;

/// A server that answers every call under `/{status}/{word}` so, the word as the code or, for 2xx, as the whole body.
fn stranger() -> String {
    let listener = std::net::TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |path: Path<(u16, String, String)>| async move {
        let (status, word, _) = path.into_inner();
        let body = if status < 300 {
            word
        } else {
            format!(r#"{{"code":"{word}"}}"#)
        };
        HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(body)
    };
    let app = move || App::new().route("/{status}/{word}/{rest:.*}", web::to(answer));
    tokio::spawn(
        HttpServer::new(app)
            .workers(1)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run(),
    );
    format!("http://{address}")
}

#[tokio::test]
async fn every_answer_to_a_booking_means_one_thing() {
    let base = stranger();
    for (answer, meaning) in [
        ("201/rubbish", BookError::unknown("unreadable_answer")),
        ("200/{}", BookError::unknown("unreadable_answer")),
        ("204/x", BookError::unknown("unreadable_answer")),
        ("302/x", BookError::unknown("http_302")),
        ("408/x", BookError::unknown("http_408")),
        ("500/not_stored", BookError::unknown("http_500")),
        ("502/down", BookError::unknown("http_502")),
        ("503/overloaded", BookError::unknown("http_503")),
        ("504/x", BookError::unknown("http_504")),
        ("503/down", BookError::retry("down")),
        ("429/x", BookError::retry("rate_limited")),
        ("401/x", BookError::unauthorized("x")),
        ("403/bad_credentials", BookError::unauthorized("bad_credentials")),
        ("404/x", BookError::retry("http_404")),
        ("422/no_service", BookError::fail("no_service")),
        ("422/13800138000", BookError::fail("refused")),
        ("400/malformed_json", BookError::fail("malformed_json")),
    ] {
        let courier = adapter(&format!("{base}/{answer}"), Duration::from_secs(10));
        assert_eq!(
            courier.commit(&booking(&a_reference()), None).await,
            Err(meaning),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_booking_answered_for_another_reference_is_unknown() {
    let base = stranger();
    let answer = r#"{"tracking_no":"SM000000000001","reference":"OTHER"}"#.replace('"', "%22");
    let courier = adapter(&format!("{base}/201/{answer}"), Duration::from_secs(10));
    let booked = courier.commit(&booking(&a_reference()), None).await;
    assert_eq!(booked, Err(BookError::unknown("unreadable_answer")));
}

#[tokio::test]
async fn a_strangers_404_says_nothing_about_a_parcel() {
    let base = stranger();
    let courier = adapter(&format!("{base}/404/not_here"), Duration::from_secs(10));
    assert_eq!(
        courier.reconcile(&attempt(&a_reference())).await.unwrap_err().code,
        "not_here"
    );
    assert_eq!(
        courier.cancel(&attempt(&a_reference())).await.unwrap_err().code,
        "not_here"
    );
}

#[tokio::test]
async fn unusable_settings_are_refused_when_the_adapter_is_made() {
    let with = |base_url: &str, secret: &str| {
        let (base_url, webhook_secret) = (base_url.to_owned(), Secret::new(secret.to_owned()));
        let endpoint = Endpoint {
            base_url,
            webhook_secret,
        };
        Simulated::new(&endpoint, Duration::from_secs(1))
    };
    assert!(matches!(with("ftp://x", SECRET), Err(SimulatedError::BaseUrl)));
    assert!(matches!(with("", SECRET), Err(SimulatedError::BaseUrl)));
    assert!(matches!(
        with("http://x", "hunter2"),
        Err(SimulatedError::WebhookSecret(_))
    ));
    assert!(with("http://x/sim/", SECRET).is_ok());
}

#[tokio::test]
async fn the_sandbox_tells_where_a_request_is_wrong_and_never_what_stood_there() {
    let world = World::with(&[]);
    let good = r#"{"reference":"R1","consignee":{"name":"张三","phone":"13800138000","address":{"province":"广东省","city":"深圳市","street":"1号"}}}"#;
    for (body, status, code) in [
        (good.to_owned(), 201, ""),
        (good.replace("}}}", "}}"), 400, "malformed_json"),
        (good.replace("\"R1\"", "\"张三 13800138000\""), 422, "invalid_reference"),
        (good.replace("\"张三\"", "\" \""), 422, "incomplete_consignee"),
        (good.replace("\"13800138000\"", "13800138000"), 422, "invalid_request"),
        (good.replace("\"phone\"", "\"fone\""), 422, "invalid_request"),
    ] {
        let (got, answer) = world.send(Method::POST, "/parcels", &body).await;
        assert_eq!(got, status, "{answer}");
        assert!(
            answer.contains(code) && !answer.contains("张三") && !answer.contains("13800138000"),
            "{answer}"
        );
    }
    assert_eq!(world.count().await, 1);
}

#[tokio::test]
async fn faults_can_be_set_read_and_cleared_and_unknown_ones_are_refused_with_the_list() {
    let world = World::with(&[]);
    let (status, answer) = world.send(Method::PUT, "/faults", r#"{"fire": 1}"#).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, answer["code"].as_str()), (422, Some("unknown_fault")));
    assert_eq!(answer["known"].as_array().unwrap().len(), 16);
    assert_eq!(
        world.send(Method::PUT, "/faults", r#"{"down": {"times": 1}}"#).await.0,
        200
    );
    assert_eq!(world.get("/faults").await["faults"]["down"]["times"], 1);
    let reference = a_reference();
    assert!(world.courier.commit(&booking(&reference), None).await.is_err());
    assert!(world.courier.commit(&booking(&reference), None).await.is_ok());
    assert_eq!(world.send(Method::PUT, "/faults", r#"{"down": true}"#).await.0, 200);
    assert_eq!(world.send(Method::DELETE, "/faults", "").await.0, 200);
    assert!(world.courier.commit(&booking(&reference), None).await.is_ok());
}

#[tokio::test]
async fn all_parcels_are_listed_page_by_page_in_the_order_of_booking() {
    let world = World::with(&[]);
    for _ in 0..5 {
        world.book().await;
    }
    let (mut ordinals, mut after) = (Vec::new(), 0);
    loop {
        let page = world.get(&format!("/parcels?limit=2&after={after}")).await;
        assert_eq!(page["count"], 5);
        ordinals.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|parcel| parcel["ordinal"].as_u64().unwrap()),
        );
        match page["next_after"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(ordinals, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_parcel_is_shown_tracked_and_cancelled_by_its_number_from_outside() {
    let world = World::with(&[]);
    let reference = world.book().await;
    let found = world.get(&format!("/parcels?reference={reference}")).await;
    let number = found["data"][0]["tracking_no"].as_str().unwrap();
    assert_eq!(world.get(&format!("/parcels/{number}")).await, found["data"][0]);
    assert_eq!(
        world.get(&format!("/parcels/{number}/events")).await["data"][0]["status"],
        "accepted"
    );
    assert_eq!(
        world
            .send(Method::POST, &format!("/parcels/{number}/cancel"), "")
            .await
            .0,
        200
    );
    assert_eq!(world.get(&format!("/parcels/{number}")).await["cancelled"], true);
    assert_eq!(
        world.send(Method::POST, "/parcels/SM000000000000/cancel", "").await.0,
        404
    );
}
