//! The samples beside this repository, where they are there: each read to the right outcome. Skips visibly without them.

use crate::clock::{BusinessTime, Moment};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::imitation::{Imitation, push};
use super::{adapter, clock, made, number, read, secret, settings};
use crate::couriers::kuaidi100::answers::Answer;
use crate::couriers::kuaidi100::push as pushes;
use crate::couriers::{Courier, News, WebhookOutcome, WebhookRequest};
use crate::domain::shipment::TrackingStatus::{Accepted, InTransit};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/couriers/cn")
}

fn samples() -> Option<Vec<(String, Vec<u8>)>> {
    let Ok(entries) = std::fs::read_dir(folder()) else {
        eprintln!("SKIPPED: there are no samples at {}", folder().display());
        return None;
    };
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            name.starts_with("kd100_")
                .then(|| (name, std::fs::read(&path).unwrap()))
        })
        .collect();
    found.sort();
    Some(found)
}

#[test]
fn every_sample_is_read_to_the_right_outcome() {
    let imitation = Imitation::start();
    let mut salted = settings(&imitation);
    salted.salt = Some(secret("test-salt"));
    let salted = made(salted);
    let courier = adapter(&imitation);
    let now = clock().wall_now();
    for (name, bytes) in samples().unwrap_or_default() {
        let json = || serde_json::from_slice::<Value>(&bytes).unwrap();
        let answer = || Answer::read(&bytes).unwrap();
        match name.as_str() {
            "kd100_border_callback_param.json" => {
                let events = read(&courier, push(&json(), Some("task-official-sample-1")), None).unwrap();
                let ids = Some("task-official-sample-1/provider-order-1");
                assert_eq!(
                    (events[0].news, events[0].provider_ref.as_deref()),
                    (News::Moved(Accepted), ids)
                );
            }
            "kd100_border_callback_signed.form" => {
                let body = bytes.trim_ascii_end();
                let events = read(&salted, body, None).unwrap();
                assert_eq!(
                    (events[0].news, &events[0].tracking_no),
                    (News::Moved(Accepted), &number("YT1234567890"))
                );
                assert!(events[0].remark.is_none(), "who collects is nobody's business here");
                assert!(read(&courier, body, None).is_err(), "signed with another salt");
            }
            "kd100_border_ok.json" => {
                let booked = answer().booked(None).unwrap();
                assert_eq!(booked.tracking_no, number("YT2213099035201"));
                assert_eq!(
                    booked.provider_ref.as_deref(),
                    Some("9FC293CA417E431F33046E64F4C4EC20/20066771")
                );
            }
            "kd100_border_cancel_ok.json" => assert!(answer().says_called_off()),
            "kd100_border_price_ok.json" | "kd100_subscribe_ok.json" => assert!(answer().good),
            "kd100_push_ack.json" => {
                let request = WebhookRequest {
                    headers: &[],
                    body: b"",
                    token: None,
                    peer: None,
                    now,
                    received_at: BusinessTime::from_utc(now.utc()),
                };
                let ours = courier.acknowledge(&request, WebhookOutcome::Accepted).body;
                assert_eq!(ours.as_bytes(), bytes.trim_ascii_end());
            }
            "kd100_push_param_basic.json" => {
                let events = read(&courier, push(&json(), None), None).unwrap();
                assert_eq!(events.len(), 2);
                assert!(events[0].at < events[1].at && events.iter().all(|event| event.news == News::Moved(InTransit)));
                assert_eq!(events[0].tracking_no, number("V030344422"));
            }
            "kd100_push_masked_signed.form" => {
                assert!(!pushes::Form::read(&bytes).sign.unwrap_or_default().is_empty());
            }
            other if other.starts_with("kd100_query_err_") => {
                let answer = answer();
                assert!(!answer.good && other.contains(&answer.code));
            }
            // What we send, and the label service, which is not used.
            other => assert!(
                other.contains("_req") || other.contains("_label_"),
                "{other} is read by nothing"
            ),
        }
    }
}
