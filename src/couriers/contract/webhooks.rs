//! The rules of listening: nothing is believed that is not the courier's, and no bytes do harm.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Between, Push, Subject, a_request, book, known, now};
use crate::couriers::{Courier, CourierEvent, ParcelRef, WebhookError, WebhookOutcome, WebhookRequest};

fn read(courier: &dyn Courier, push: &Push) -> Result<Vec<CourierEvent>, WebhookError> {
    let request = WebhookRequest {
        peer: None,
        headers: &push.headers,
        body: &push.body,
        token: push.token.as_deref(),
        now: now(),
        received_at: now(),
    };
    for (outcome, good) in [(WebhookOutcome::Accepted, true), (WebhookOutcome::Failed, false)] {
        let answer = courier.acknowledge(&request, outcome);
        assert!((100..600).contains(&answer.status) && (answer.status == 200 || !good));
    }
    courier.read_webhook(&request)
}

async fn pushed<S: Subject + 'static>(world: &Between<S>, courier: &dyn Courier) -> (ParcelRef, Push) {
    let request = a_request();
    let (attempt, booked) = book(courier, &request).await;
    let booked = booked.expect("booked");
    let push = world.subject.webhook(&booked, &request.reference);
    (known(&attempt, &booked), push)
}

pub(crate) async fn a_webhook_is_read_and_names_its_parcel(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let (parcel, push) = pushed(&world, &*courier).await;
    let events = read(&*courier, &push).expect("authentic");
    let event = events.first().expect("an event");
    assert!(
        event.reference.as_ref() == Some(&parcel.reference)
            || (event.provider_ref.is_some() && event.provider_ref == parcel.provider_ref)
            || (event.tracking_no.is_some() && event.tracking_no == parcel.tracking_no),
        "{event:?}"
    );
}

pub(crate) async fn nothing_is_read_without_authenticity(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let (_, push) = pushed(&world, &*courier).await;
    for other in world.subject.without_authenticity(&push) {
        assert_eq!(read(&*courier, &other), Err(WebhookError::NotAuthentic), "{other:?}");
    }
    assert!(read(&*courier, &push).is_ok());
}

/// One way to spoil bytes.
#[derive(Debug, Clone)]
enum Spoil {
    Random(Vec<u8>),
    Cut(prop::sample::Index),
    Change(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
}

fn spoils() -> impl Strategy<Value = Spoil> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Spoil::Random),
        index().prop_map(Spoil::Cut),
        (index(), any::<u8>()).prop_map(|(at, byte)| Spoil::Change(at, byte)),
        (index(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Spoil::Insert(at, bytes)),
    ]
}

fn spoil(body: &[u8], how: &Spoil) -> Vec<u8> {
    let mut body = body.to_vec();
    match how {
        Spoil::Random(bytes) => return bytes.clone(),
        Spoil::Cut(at) => body.truncate(at.index(body.len())),
        Spoil::Change(at, byte) => {
            let at = at.index(body.len());
            body[at] = *byte;
        }
        Spoil::Insert(at, bytes) => {
            let at = at.index(body.len());
            body.splice(at..at, bytes.iter().copied());
        }
    }
    body
}

pub(crate) async fn no_bytes_make_a_webhook_panic(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let (_, push) = pushed(&world, &*courier).await;
    let mut runner = TestRunner::new(Config {
        cases: 512,
        failure_persistence: None,
        ..Config::default()
    });
    let signs = world.subject.signs_the_body();
    let outcome = runner.run(&spoils(), |how| {
        let body = spoil(&push.body, &how);
        let changed = !world.subject.signed_alike(&body, &push.body);
        let read = read(&*courier, &Push { body, ..push.clone() });
        if signs && changed {
            prop_assert_eq!(read, Err(WebhookError::NotAuthentic));
        }
        Ok(())
    });
    outcome.unwrap();
}
