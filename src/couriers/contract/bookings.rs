//! The rules of booking: may the request have arrived?

use std::time::Duration;

use super::server::Reply;
use super::{Again, Between, Fault, On, Subject, a_request, attempt, book, eventually, known};
use crate::couriers::{BookError, Booked, BookingRequest, Courier, ParcelRef, Reconciled};

const HTML: &str = "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>";

/// Finds out what became of an attempt, as the dispatcher does. Where only sending it again can tell, "not there" leaves
/// it booked.
async fn found<S: Subject + 'static>(
    world: &Between<S>,
    courier: &dyn Courier,
    request: &BookingRequest,
    attempt: &ParcelRef,
) -> Option<Booked> {
    match courier.reconcile(attempt).await {
        Ok(Reconciled::Booked(booked)) => Some(booked),
        Ok(Reconciled::NotThere) if world.subject.can_be_asked() => None,
        Ok(Reconciled::SafeToResendUntil(until)) if !world.subject.can_be_asked() => {
            assert!(attempt.first_sent_at.is_some_and(|sent| sent < until));
            let before = world.subject.parcels().await;
            let again = courier.commit(request, attempt.provider_ref.as_deref()).await;
            let booked = again.expect("safe to send again");
            (world.subject.parcels().await == before).then_some(booked)
        }
        other => panic!("{other:?}"),
    }
}

/// Sends a booked attempt again.
async fn send_again<S: Subject + 'static>(
    world: &Between<S>,
    courier: &dyn Courier,
    request: &BookingRequest,
    attempt: &ParcelRef,
) -> Option<Booked> {
    let again = courier.commit(request, attempt.provider_ref.as_deref()).await;
    match world.subject.sent_again() {
        Again::Another => None,
        Again::First => Some(again.expect("booked already")),
        Again::Taken => {
            assert!(matches!(again, Err(BookError::Unknown { .. })), "{again:?}");
            None
        }
    }
}

pub(crate) async fn a_parcel_is_booked_and_found_again(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let request = a_request();
    let nothing = found(&world, &*courier, &request, &attempt(&request.reference)).await;
    assert_eq!(nothing, None, "before");
    let (attempt, booked) = book(&*courier, &request).await;
    let booked = booked.expect("booked");
    assert!(booked.tracking_no.is_some());
    let known = known(&attempt, &booked);
    let again = found(&world, &*courier, &request, &known).await.expect("found");
    assert_eq!(again.tracking_no, booked.tracking_no);
    let (_, other) = book(&*courier, &a_request()).await;
    assert_ne!(other.expect("booked").tracking_no, booked.tracking_no);
    assert_eq!(world.subject.parcels().await, 2);
}

pub(crate) async fn the_same_attempt_sent_again_is_found_as_it_was(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let request = a_request();
    let (attempt, first) = book(&*courier, &request).await;
    let first = first.expect("booked");
    if let Some(again) = send_again(&world, &*courier, &request, &attempt).await {
        assert_eq!(again.tracking_no, first.tracking_no);
    }
    let parcels = if world.subject.sent_again() == Again::Another {
        2
    } else {
        1
    };
    assert_eq!(world.subject.parcels().await, parcels);
    let known = found(&world, &*courier, &request, &attempt).await.expect("found");
    assert_eq!(known.tracking_no, first.tracking_no, "the first one counts");
}

pub(crate) async fn an_answer_lost_after_booking_is_unknown_and_found(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    world.spoil(On::Bookings, Fault::After);
    let request = a_request();
    let (attempt, lost) = book(&*courier, &request).await;
    assert!(matches!(lost, Err(BookError::Unknown { .. })), "{lost:?}");
    world.mend();
    assert!(found(&world, &*courier, &request, &attempt).await.is_some());
    if world.subject.sent_again() != Again::Another {
        send_again(&world, &*courier, &request, &attempt).await;
    }
    assert_eq!(world.subject.parcels().await, 1);
}

pub(crate) async fn a_parcel_booked_after_we_gave_up_is_found(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let request = a_request();
    let courier = world.adapter();
    let prepared = courier.prepare(&request).await.expect("prepared");
    world.spoil(On::Bookings, Fault::Late(Duration::from_secs(2)));
    let hasty = world.hasty(Duration::from_secs(1));
    let late = hasty.commit(&request, prepared.as_deref()).await;
    assert!(matches!(late, Err(BookError::Unknown { .. })), "{late:?}");
    world.mend();
    let attempt = ParcelRef {
        provider_ref: prepared,
        ..attempt(&request.reference)
    };
    eventually(async || found(&world, &*courier, &request, &attempt).await.is_some() && world.late() == 1).await;
    assert_eq!(world.subject.parcels().await, 1);
}

pub(crate) async fn a_request_lost_on_the_way_is_unknown_and_nothing_is_there(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    world.spoil(On::Bookings, Fault::Before);
    let request = a_request();
    let (attempt, lost) = book(&*courier, &request).await;
    assert!(matches!(lost, Err(BookError::Unknown { .. })), "{lost:?}");
    world.mend();
    assert_eq!(found(&world, &*courier, &request, &attempt).await, None);
    assert!(courier.commit(&request, attempt.provider_ref.as_deref()).await.is_ok());
    assert_eq!(world.subject.parcels().await, 1);
}

pub(crate) async fn nobody_listening_means_surely_not_booked(subject: impl Subject + 'static) {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let base_url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let courier = subject.adapter(&base_url, Duration::from_secs(5));
    let request = a_request();
    let (_, booked) = book(&*courier, &request).await;
    assert!(matches!(booked, Err(BookError::Retry { .. })), "{booked:?}");
    let unsent = courier.commit(&request, Some("shp_1")).await;
    assert!(matches!(unsent, Err(BookError::Retry { .. })), "{unsent:?}");
    let asked = ParcelRef {
        provider_ref: Some("shp_1".to_owned()),
        ..attempt(&request.reference)
    };
    assert!(courier.reconcile(&asked).await.is_err());
}

pub(crate) async fn a_courier_that_is_asked_too_often_is_given_its_time(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    for (on, seconds) in [
        (On::Bookings, Some(7)),
        (On::Bookings, None),
        (On::Others, Some(7)),
        (On::Others, None),
    ] {
        world.spoil(on, Fault::Instead(world.subject.too_often(seconds)));
        let (_, refused) = book(&*courier, &a_request()).await;
        match refused {
            Err(BookError::Retry { after, .. }) => assert_eq!(after, seconds.map(Duration::from_secs), "{on:?}"),
            // A courier without a first step books at once.
            Ok(_) if on == On::Others => {}
            other => panic!("{on:?} {other:?}"),
        }
    }
    world.mend();
    let before = world.subject.parcels().await;
    assert!(book(&*courier, &a_request()).await.1.is_ok());
    assert_eq!(
        world.subject.parcels().await,
        before + 1,
        "what was refused was not booked"
    );
}

pub(crate) async fn refused_credentials_are_called_that(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let Some(refusal) = world.subject.credentials_refused() else {
        return;
    };
    let courier = world.adapter();
    let request = a_request();
    let prepared = courier.prepare(&request).await.expect("prepared");
    let mut asked = ParcelRef {
        provider_ref: prepared.clone(),
        ..attempt(&request.reference)
    };
    for on in [On::Bookings, On::Others] {
        world.spoil(on, Fault::Instead(refusal.clone()));
        let refused = courier.commit(&request, prepared.as_deref()).await;
        match refused {
            Err(BookError::Unauthorized { code }) => assert!(!code.is_empty()),
            Ok(booked) if on == On::Others => asked = known(&asked, &booked),
            other => panic!("{on:?} {other:?}"),
        }
    }
    assert!(courier.reconcile(&asked).await.unwrap_err().unauthorized);
    let findings = courier.check().await;
    assert!(findings.iter().any(|finding| !finding.good), "{findings:?}");
}

pub(crate) async fn server_errors_to_a_booking_are_unknown(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    for status in [302, 408, 500, 502, 503, 504, 520] {
        world.spoil(On::Bookings, Fault::Over(Reply::new(status, "text/html", HTML)));
        let before = world.subject.parcels().await;
        let request = a_request();
        let (attempt, answer) = book(&*courier, &request).await;
        assert!(matches!(answer, Err(BookError::Unknown { .. })), "{status} {answer:?}");
        assert_eq!(world.subject.parcels().await, before + 1);
        world.mend();
        let found = found(&world, &*courier, &request, &attempt).await;
        assert!(found.is_some(), "{status}");
    }
}

/// Bodies of an answer that says yes and cannot be read.
pub(crate) fn unreadable() -> Vec<(&'static str, Reply)> {
    let endless = vec![b' '; 17 * 1024 * 1024];
    let mut bodies: Vec<(&'static str, Reply)> = [
        ("empty", ""),
        ("a brace", "{"),
        ("html", HTML),
        ("null", "null"),
        ("a list", "[]"),
        ("an object", "{}"),
        ("a number", "7"),
        (
            "another's",
            r#"{"id":"shp_other","reference":"SLX","tracking_code":"X1","tracking_number":"X1","status":"created"}"#,
        ),
    ]
    .map(|(name, body)| (name, Reply::new(200, "application/json", body)))
    .into();
    bodies.push(("too long", Reply::new(200, "application/json", endless)));
    bodies.push(("no HTTP at all", Reply::Bytes(b"\x00\x01\x02".to_vec())));
    bodies.push((
        "cut off",
        Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"id\":\"shp_".to_vec()),
    ));
    bodies.push((
        "no UTF-8",
        Reply::new(200, "application/json", b"{\"id\":\"\xff\xfe\"}".to_vec()),
    ));
    bodies
}

pub(crate) async fn an_answer_that_cannot_be_read_is_unknown_however_the_parcel_is_there(
    subject: impl Subject + 'static,
) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let mut booked = 0;
    for (name, reply) in unreadable() {
        world.spoil(On::Bookings, Fault::Over(reply));
        let request = a_request();
        let (attempt, answer) = book(&*courier, &request).await;
        assert!(matches!(answer, Err(BookError::Unknown { .. })), "{name}: {answer:?}");
        world.mend();
        let found = found(&world, &*courier, &request, &attempt).await;
        assert!(found.is_some(), "{name}");
        booked += 1;
        assert_eq!(world.subject.parcels().await, booked, "{name}");
    }
    let slow = Reply::Late(
        Duration::from_secs(4),
        Box::new(Reply::new(200, "application/json", "{}")),
    );
    let request = a_request();
    let prepared = courier.prepare(&request).await.expect("prepared");
    world.spoil(On::Bookings, Fault::Over(slow));
    let slow = world
        .hasty(Duration::from_secs(1))
        .commit(&request, prepared.as_deref())
        .await;
    assert!(matches!(slow, Err(BookError::Unknown { .. })), "{slow:?}");
}

pub(crate) async fn preparing_is_never_unknown(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let mut faults = vec![("hangs up", Fault::Before), ("loses it", Fault::After)];
    faults.extend(unreadable().into_iter().map(|(name, reply)| (name, Fault::Over(reply))));
    for status in [400, 404, 418, 500, 503] {
        faults.push(("refuses", Fault::Instead(Reply::new(status, "text/html", HTML))));
    }
    for (name, fault) in faults {
        world.spoil(On::Others, fault);
        let prepared = courier.prepare(&a_request()).await;
        assert!(
            matches!(prepared, Ok(_) | Err(BookError::Retry { .. })),
            "{name}: {prepared:?}"
        );
    }
    assert_eq!(world.subject.parcels().await, 0);
}
