//! Webhooks as a service receives them: authentic, in order, until they are taken.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use reqwest::Method;

use super::{LOOPBACK, Receiver, World, a_reference, adapter, booking, eventually, moved, secret};
use crate::clock::{BusinessTime, Clock, Moment, Scale, WallTime};
use crate::couriers::simulated::sandbox::{Faults, SandboxConfig, start};
use crate::couriers::{Courier, CourierEvent, News, WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest};
use crate::domain::shipment::TrackingStatus::{self, Accepted, Delivered, InTransit, OutForDelivery, PickedUp};

const LIFECYCLE: [TrackingStatus; 5] = [Accepted, PickedUp, InTransit, OutForDelivery, Delivered];

fn statuses(world: &World, receiver: &Receiver) -> Vec<TrackingStatus> {
    let read = |webhook: &super::Received| moved(&webhook.read(&world.courier, &world.clock).unwrap());
    receiver.all().iter().map(read).collect()
}

#[tokio::test]
async fn a_whole_life_arrives_signed_and_in_order() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&[], Some(&receiver));
    let booked_at = world.clock.business_now();
    let reference = world.book().await;
    receiver.wait_for(1).await;
    world.clock.advance_business(TimeDelta::days(2));
    let all = receiver.wait_for(5).await;
    assert_eq!(statuses(&world, &receiver), LIFECYCLE);
    let last: CourierEvent = all[4].read(&world.courier, &world.clock).unwrap();
    assert_eq!(last.reference, Some(reference));
    assert_eq!(last.at, booked_at + TimeDelta::hours(30));
    assert_eq!(last.remark.unwrap().expose(), "已签收，签收人：本人");
    assert_eq!(all[0].header("content-type"), "application/json");
}

#[tokio::test]
async fn nothing_arrives_before_it_has_happened() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&[], Some(&receiver));
    world.book().await;
    receiver.wait_for(1).await;
    world.clock.advance_business(TimeDelta::minutes(119));
    // Another parcel's first webhook comes after the webhook sender has looked at this one again.
    world.book().await;
    receiver.wait_for(2).await;
    assert_eq!(statuses(&world, &receiver), [Accepted, Accepted]);
    world.clock.advance_business(TimeDelta::minutes(1));
    receiver.wait_for(3).await;
    assert_eq!(statuses(&world, &receiver), [Accepted, Accepted, PickedUp]);
}

#[tokio::test]
async fn a_webhook_is_sent_again_with_the_same_id_until_it_is_taken() {
    let receiver = Receiver::start(2);
    let world = World::posting_to(&[], Some(&receiver));
    world.book().await;
    world.clock.advance_business(TimeDelta::hours(2));
    let all = receiver.wait_for(4).await;
    assert_eq!(statuses(&world, &receiver), [Accepted, Accepted, Accepted, PickedUp]);
    let ids: Vec<&str> = all.iter().map(|webhook| webhook.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3]);
    assert!(all[0].body == all[1].body && all[1].body == all[2].body);
}

#[tokio::test]
async fn a_bad_signature_is_not_authentic_and_a_good_one_follows() {
    let receiver = Receiver::start(1);
    let world = World::posting_to(&["webhook_bad_signature,times=1"], Some(&receiver));
    world.book().await;
    let all = receiver.wait_for(2).await;
    assert_eq!(
        all[0].read(&world.courier, &world.clock),
        Err(WebhookError::NotAuthentic)
    );
    assert_eq!(
        all[1].read(&world.courier, &world.clock).unwrap().news,
        News::Moved(Accepted)
    );
}

#[tokio::test]
async fn what_was_changed_on_the_way_or_came_too_late_is_not_authentic() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&[], Some(&receiver));
    world.book().await;
    let webhook = receiver.wait_for(1).await.remove(0);
    let mut changed = webhook.clone();
    changed.body = String::from_utf8(changed.body)
        .unwrap()
        .replace("accepted", "delivered")
        .into_bytes();
    assert_eq!(
        changed.read(&world.courier, &world.clock),
        Err(WebhookError::NotAuthentic)
    );
    let mut bare = webhook.clone();
    bare.headers.clear();
    assert_eq!(bare.read(&world.courier, &world.clock), Err(WebhookError::NotAuthentic));
    assert!(webhook.read(&world.courier, &world.clock).is_ok());
    world.clock.advance_wall(TimeDelta::minutes(6));
    assert_eq!(
        webhook.read(&world.courier, &world.clock),
        Err(WebhookError::NotAuthentic)
    );
}

#[tokio::test]
async fn an_authentic_message_of_another_kind_is_malformed() {
    let world = World::with(&[]);
    let signer = crate::couriers::simulated::signing::Signer::new(&secret()).unwrap();
    let now = world.clock.wall_now();
    for body in [r#"{"type":"parcel.eaten","data":{}}"#, "rubbish", "[]"] {
        let headers = [
            ("webhook-id".to_owned(), "msg_1".to_owned()),
            ("webhook-timestamp".to_owned(), now.timestamp().to_string()),
            (
                "webhook-signature".to_owned(),
                signer.sign("msg_1", now, body.as_bytes()).unwrap(),
            ),
        ];
        let request = WebhookRequest {
            headers: &headers,
            body: body.as_bytes(),
            token: None,
            peer: None,
            now,
            received_at: BusinessTime::from_utc(now.utc()),
        };
        assert_eq!(
            world.courier.read_webhook(&request),
            Err(WebhookError::Malformed),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_webhook_is_acknowledged_with_200_and_a_failure_with_503() {
    let world = World::with(&[]);
    let request = WebhookRequest {
        headers: &[],
        body: b"",
        token: None,
        peer: None,
        now: world.clock.wall_now(),
        received_at: world.clock.business_now(),
    };
    let answer = |status, body: &str| WebhookAnswer {
        status,
        content_type: "application/json",
        body: body.into(),
    };
    assert_eq!(
        world.courier.acknowledge(&request, WebhookOutcome::Accepted),
        answer(200, r#"{"ok":true}"#)
    );
    assert_eq!(
        world.courier.acknowledge(&request, WebhookOutcome::Failed),
        answer(503, r#"{"ok":false}"#)
    );
}

#[tokio::test]
async fn the_first_webhook_can_come_before_the_answer() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&["webhook_before_answer"], Some(&receiver));
    world.book().await;
    // No waiting: when the answer is here, the webhook was.
    assert_eq!(statuses(&world, &receiver), [Accepted]);
}

#[tokio::test]
async fn a_webhook_can_come_twice() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&["webhook_twice,times=1"], Some(&receiver));
    world.book().await;
    world.clock.advance_business(TimeDelta::hours(2));
    let all = receiver.wait_for(3).await;
    assert_eq!(statuses(&world, &receiver), [Accepted, Accepted, PickedUp]);
    assert_eq!(all[0].header("webhook-id"), all[1].header("webhook-id"));
}

#[tokio::test]
async fn webhooks_can_change_places() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&["webhook_disordered,times=1"], Some(&receiver));
    world.book().await;
    world.clock.advance_business(TimeDelta::days(2));
    receiver.wait_for(5).await;
    assert_eq!(
        statuses(&world, &receiver),
        [PickedUp, Accepted, InTransit, OutForDelivery, Delivered]
    );
}

#[tokio::test]
async fn a_late_webhook_lets_another_parcel_pass_and_keeps_its_own_order() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&["webhook_late,times=1,delay=3"], Some(&receiver));
    let slow = world.book().await;
    eventually(async || world.get("/faults").await["faults"].as_object().unwrap().is_empty()).await;
    let quick = world.book().await;
    world.clock.advance_business(TimeDelta::hours(2));
    let all = receiver.wait_for(4).await;
    let events: Vec<_> = all
        .iter()
        .map(|webhook| webhook.read(&world.courier, &world.clock).unwrap())
        .collect();
    assert_eq!(events[0].reference, Some(quick));
    let of_slow: Vec<_> = events
        .iter()
        .filter(|e| e.reference.as_ref() == Some(&slow))
        .map(moved)
        .collect();
    assert_eq!(of_slow, [Accepted, PickedUp]);
}

#[tokio::test]
async fn a_webhook_can_lack_the_reference_and_still_names_the_parcel() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&["webhook_without_reference"], Some(&receiver));
    let reference = a_reference();
    let booked = world.courier.commit(&booking(&reference), None).await.unwrap();
    let event = receiver.wait_for(1).await[0]
        .read(&world.courier, &world.clock)
        .unwrap();
    assert_eq!((event.reference, event.tracking_no), (None, booked.tracking_no));
}

#[actix_web::test]
async fn the_sandbox_runs_and_stops_inside_an_actix_system_too() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&[], Some(&receiver));
    world.book().await;
    receiver.wait_for(1).await;
    let address = world.sandbox.address;
    world.sandbox.stop().await;
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn without_a_receiver_webhooks_wait_until_one_is_named() {
    let receiver = Receiver::start(0);
    let world = World::with(&[]);
    world.book().await;
    world.clock.advance_business(TimeDelta::days(2));
    assert_eq!(world.send(Method::PUT, "/webhook", r#"{"url":"ftp://x"}"#).await.0, 422);
    let body = format!(r#"{{"url":"{}"}}"#, receiver.url());
    assert_eq!(world.send(Method::PUT, "/webhook", &body).await.0, 200);
    receiver.wait_for(5).await;
    assert_eq!(statuses(&world, &receiver), LIFECYCLE);
}

#[tokio::test]
async fn at_a_day_a_second_hundreds_of_lives_are_reported_whole_and_in_order() {
    let receiver = Receiver::start(0);
    let folder = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a scaled clock starts now")]
    let clock = Clock::scaled(Scale {
        origin: WallTime::from_utc(Utc::now()),
        speed: 86_400,
    });
    let config = SandboxConfig {
        listen: LOOPBACK,
        state_file: folder.path().join("state.jsonl"),
        webhook_url: Some(receiver.url()),
        webhook_secret: secret(),
        faults: Faults::default(),
    };
    let sandbox = start(config, clock.clone()).unwrap();
    let courier = adapter(&sandbox.base_url(), Duration::from_secs(30));
    let requests: Vec<_> = (0..300).map(|_| booking(&a_reference())).collect();
    let booked = futures_util::future::join_all(requests.iter().map(|request| courier.commit(request, None))).await;
    assert!(booked.iter().all(Result::is_ok));
    let all = receiver.wait_for(1500).await;
    let events: Vec<_> = all
        .iter()
        .map(|webhook| webhook.read(&courier, &clock).unwrap())
        .collect();
    for request in &requests {
        let of_it = events
            .iter()
            .filter(|event| event.reference.as_ref() == Some(&request.reference));
        assert_eq!(of_it.map(moved).collect::<Vec<_>>(), LIFECYCLE);
    }
    sandbox.stop().await;
}
