//! Booking, finding, tracking and calling off, with the sandbox well and unwell.

use std::io::{Read, Write};
use std::time::Duration;

use chrono::TimeDelta;

use super::{World, a_reference, adapter, attempt, booking, eventually, moved};
use crate::couriers::{BookError, Booked, CancelAnswer, Courier, News, Reconciled};
use crate::domain::shipment::TrackingStatus;
use crate::privacy::Pii;

fn with_number(booked: &Reconciled) -> Pii<String> {
    match booked {
        Reconciled::Booked(Booked {
            tracking_no: Some(number),
            ..
        }) => number.clone(),
        other => panic!("not booked: {other:?}"),
    }
}

#[tokio::test]
async fn a_booked_parcel_is_found_by_its_reference_under_the_same_number() {
    let world = World::with(&[]);
    let reference = a_reference();
    assert_eq!(
        world.courier.reconcile(&attempt(&reference)).await,
        Ok(Reconciled::NotThere)
    );
    let booked = world.courier.commit(&booking(&reference), None).await.unwrap();
    let number = booked.tracking_no.clone().unwrap();
    assert!(number.expose().starts_with("SM") && number.expose().len() == 14);
    assert_eq!(
        world.courier.reconcile(&attempt(&reference)).await,
        Ok(Reconciled::Booked(booked))
    );
}

#[tokio::test]
async fn one_reference_sent_twice_makes_two_parcels_and_the_first_live_one_counts() {
    let world = World::with(&[]);
    let reference = a_reference();
    let first = world.courier.commit(&booking(&reference), None).await.unwrap();
    let second = world.courier.commit(&booking(&reference), None).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(
        world.courier.reconcile(&attempt(&reference)).await,
        Ok(Reconciled::Booked(first.clone()))
    );
    let mut parcel = attempt(&reference);
    parcel.tracking_no = first.tracking_no;
    assert_eq!(world.courier.cancel(&parcel).await, Ok(CancelAnswer::Cancelled));
    assert_eq!(
        world.courier.reconcile(&attempt(&reference)).await,
        Ok(Reconciled::Booked(second))
    );
}

#[tokio::test]
async fn a_refusal_is_final_and_carries_the_couriers_code() {
    let world = World::with(&["refuse,code=no_service,times=1"]);
    let reference = a_reference();
    let refused = world.courier.commit(&booking(&reference), None).await;
    assert_eq!(refused, Err(BookError::fail("no_service")));
    assert_eq!(world.count().await, 0);
    assert!(world.courier.commit(&booking(&reference), None).await.is_ok());
}

#[tokio::test]
async fn a_courier_that_is_down_has_not_booked_and_may_be_tried_again() {
    let world = World::with(&["down"]);
    let refused = world.courier.commit(&booking(&a_reference()), None).await;
    assert_eq!(refused, Err(BookError::retry("down")));
    assert_eq!(world.count().await, 0);
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait() {
    let world = World::with(&["rate_limit,delay=7"]);
    let refused = world.courier.commit(&booking(&a_reference()), None).await;
    assert_eq!(
        refused,
        Err(BookError::Retry {
            code: "rate_limited".into(),
            after: Some(Duration::from_secs(7))
        })
    );
    assert_eq!(world.count().await, 0);
}

#[tokio::test]
async fn a_booking_slower_than_the_timeout_is_unknown_and_found_afterwards() {
    let world = World::with(&["slow,delay=1,times=1"]);
    let hasty = adapter(&world.sandbox.base_url(), Duration::from_millis(200));
    let reference = a_reference();
    assert_eq!(
        hasty.commit(&booking(&reference), None).await,
        Err(BookError::unknown("timeout"))
    );
    eventually(async || {
        matches!(
            world.courier.reconcile(&attempt(&reference)).await,
            Ok(Reconciled::Booked(_))
        )
    })
    .await;
    assert_eq!(world.count().await, 1);
}

#[tokio::test]
async fn an_answer_lost_after_booking_is_unknown_and_reconcile_finds_exactly_one() {
    let world = World::with(&["drop_after_booking"]);
    let reference = a_reference();
    let lost = world.courier.commit(&booking(&reference), None).await;
    assert_eq!(lost, Err(BookError::unknown("connection_lost")));
    let found = world.courier.reconcile(&attempt(&reference)).await.unwrap();
    assert!(with_number(&found).expose().starts_with("SM"));
    assert_eq!(world.count().await, 1);
}

#[tokio::test]
async fn a_connection_lost_before_booking_is_unknown_too_and_nothing_is_there() {
    let world = World::with(&["drop_before_booking"]);
    let reference = a_reference();
    let lost = world.courier.commit(&booking(&reference), None).await;
    assert_eq!(lost, Err(BookError::unknown("connection_lost")));
    assert_eq!(
        world.courier.reconcile(&attempt(&reference)).await,
        Ok(Reconciled::NotThere)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection_carries_not_a_single_byte() {
    let world = World::with(&["drop_after_booking"]);
    let body = r#"{"reference":"R","consignee":{"name":"张三","phone":"13800138000","address":{"province":"广东省","city":"深圳市","street":"1号"}}}"#;
    let address = world.sandbox.address;
    let heard = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /parcels HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body.as_bytes()).unwrap();
        let mut heard = Vec::new();
        // A reset is as good as an end: either way nothing was said.
        let _ = socket.read_to_end(&mut heard);
        heard
    });
    assert_eq!(heard.await.unwrap(), b"");
    assert_eq!(world.count().await, 1);
}

#[tokio::test]
async fn nobody_listening_means_surely_not_booked() {
    let world = World::with(&[]);
    let courier = adapter(&world.sandbox.base_url(), Duration::from_secs(5));
    world.sandbox.stop().await;
    assert_eq!(
        courier.commit(&booking(&a_reference()), None).await,
        Err(BookError::retry("unreachable"))
    );
    assert!(courier.reconcile(&attempt(&a_reference())).await.is_err());
}

#[tokio::test]
async fn a_query_that_fails_is_never_taken_for_not_there() {
    let world = World::with(&["down,on=query+cancel,times=3"]);
    let reference = world.book().await;
    assert_eq!(
        world.courier.reconcile(&attempt(&reference)).await.unwrap_err().code,
        "down"
    );
    assert_eq!(
        world.courier.track(&[attempt(&reference)]).await.unwrap_err().code,
        "down"
    );
    assert_eq!(
        world.courier.cancel(&attempt(&reference)).await.unwrap_err().code,
        "down"
    );
    assert!(matches!(
        world.courier.reconcile(&attempt(&reference)).await,
        Ok(Reconciled::Booked(_))
    ));
}

#[tokio::test]
async fn a_parcel_can_be_called_off_again_and_again_until_it_is_picked_up() {
    let world = World::with(&[]);
    let (early, late) = (world.book().await, world.book().await);
    for _ in 0..2 {
        assert_eq!(
            world.courier.cancel(&attempt(&early)).await,
            Ok(CancelAnswer::Cancelled)
        );
    }
    world.clock.advance_business(TimeDelta::hours(3));
    assert_eq!(
        world.courier.cancel(&attempt(&early)).await,
        Ok(CancelAnswer::Cancelled)
    );
    let refused = CancelAnswer::Refused {
        code: "too_late".into(),
    };
    assert_eq!(world.courier.cancel(&attempt(&late)).await, Ok(refused));
    assert_eq!(
        world.courier.cancel(&attempt(&a_reference())).await,
        Ok(CancelAnswer::Cancelled)
    );
    assert_eq!(
        world.courier.reconcile(&attempt(&early)).await,
        Ok(Reconciled::NotThere)
    );
}

#[tokio::test]
async fn tracking_tells_what_has_happened_so_far_oldest_first() {
    let world = World::with(&[]);
    let reference = world.book().await;
    let mut numbered = attempt(&reference);
    numbered.tracking_no = Some(with_number(
        &world.courier.reconcile(&attempt(&reference)).await.unwrap(),
    ));
    world.clock.advance_business(TimeDelta::hours(11));
    for parcel in [attempt(&reference), numbered] {
        let events = world.courier.track(&[parcel, attempt(&a_reference())]).await.unwrap();
        let statuses: Vec<_> = events.iter().map(moved).collect();
        assert_eq!(
            statuses,
            [
                TrackingStatus::Accepted,
                TrackingStatus::PickedUp,
                TrackingStatus::InTransit
            ]
        );
        assert!(events.iter().all(|event| event.reference.as_ref() == Some(&reference)));
    }
}

#[tokio::test]
async fn lives_end_otherwise_when_the_faults_say_so() {
    for (fault, end) in [
        ("lost", TrackingStatus::Lost),
        ("returned", TrackingStatus::Returned),
        ("rejected", TrackingStatus::Returned),
        ("lost=0", TrackingStatus::Delivered),
    ] {
        let world = World::with(&[fault]);
        let reference = world.book().await;
        world.clock.advance_business(TimeDelta::days(30));
        let events = world.courier.track(&[attempt(&reference)]).await.unwrap();
        assert_eq!(events.last().unwrap().news, News::Moved(end), "{fault}");
        let rejected = events
            .iter()
            .any(|event| event.news == News::Moved(TrackingStatus::Rejected));
        assert_eq!(rejected, fault == "rejected");
    }
}
