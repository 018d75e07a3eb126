//! What outlives a stop, and what never reaches the disk.

use chrono::TimeDelta;

use super::{Receiver, World, a_reference, attempt, booking, moved};
use crate::couriers::{CancelAnswer, Courier, News, Reconciled};
use crate::domain::shipment::TrackingStatus;

#[tokio::test]
async fn a_restart_keeps_parcels_numbers_cancellations_and_goes_on_counting() {
    let world = World::with(&[]);
    let (kept, cancelled) = (a_reference(), a_reference());
    let before = world.courier.commit(&booking(&kept), None).await.unwrap();
    world.courier.commit(&booking(&cancelled), None).await.unwrap();
    assert_eq!(
        world.courier.cancel(&attempt(&cancelled)).await,
        Ok(CancelAnswer::Cancelled)
    );
    let world = world.restarted(None).await;
    assert_eq!(
        world.courier.reconcile(&attempt(&kept)).await,
        Ok(Reconciled::Booked(before))
    );
    assert_eq!(
        world.courier.reconcile(&attempt(&cancelled)).await,
        Ok(Reconciled::NotThere)
    );
    let third = world.book().await;
    assert_eq!(
        world.get(&format!("/parcels?reference={third}")).await["data"][0]["ordinal"],
        3
    );
}

#[tokio::test]
async fn a_restart_keeps_the_faults_and_what_is_left_of_them() {
    let world = World::with(&["refuse,times=2", "lost"]);
    assert!(world.courier.commit(&booking(&a_reference()), None).await.is_err());
    let world = world.restarted(None).await;
    assert!(world.courier.commit(&booking(&a_reference()), None).await.is_err());
    let reference = world.book().await;
    world.clock.advance_business(TimeDelta::days(9));
    let events = world.courier.track(&[attempt(&reference)]).await.unwrap();
    assert_eq!(events.last().unwrap().news, News::Moved(TrackingStatus::Lost));
}

#[tokio::test]
async fn after_a_restart_lives_go_on_and_only_what_was_not_taken_is_sent_again() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&[], Some(&receiver));
    world.book().await;
    world.clock.advance_business(TimeDelta::hours(3));
    receiver.wait_for(2).await;
    // The next stage is sent only after this one's acknowledgement was noted, so two are surely noted by a third.
    world.clock.advance_business(TimeDelta::hours(8));
    receiver.wait_for(3).await;
    let refusing = Receiver::start(usize::MAX);
    let world = world.restarted(Some(&refusing)).await;
    world.clock.advance_business(TimeDelta::hours(16));
    refusing.wait_for(1).await;
    let world = world.restarted(Some(&receiver)).await;
    world.clock.advance_business(TimeDelta::hours(9));
    let mut seen: Vec<TrackingStatus> = Vec::new();
    super::eventually(async || {
        seen = receiver
            .all()
            .iter()
            .map(|webhook| moved(&webhook.read(&world.courier, &world.clock).unwrap()))
            .collect();
        seen.last() == Some(&TrackingStatus::Delivered)
    })
    .await;
    // The third may have been under way when the sandbox stopped: then, and only then, it comes twice.
    seen.dedup();
    use TrackingStatus::{Accepted, Delivered, InTransit, OutForDelivery, PickedUp};
    assert_eq!(seen, [Accepted, PickedUp, InTransit, OutForDelivery, Delivered]);
}

#[tokio::test]
async fn no_person_and_no_tracking_number_is_in_the_state_file() {
    let receiver = Receiver::start(0);
    let world = World::posting_to(&["drop_after_booking,times=1"], Some(&receiver));
    let lost = world.courier.commit(&booking(&a_reference()), None).await;
    assert!(lost.is_err());
    let booked = world.courier.commit(&booking(&a_reference()), None).await.unwrap();
    let number = booked.tracking_no.unwrap();
    world.clock.advance_business(TimeDelta::days(2));
    receiver.wait_for(10).await;
    let folder = world.folder.path().to_owned();
    let World {
        sandbox, folder: _kept, ..
    } = world;
    sandbox.stop().await;
    let mut files = 0;
    for entry in std::fs::read_dir(folder.join("sandbox")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        files += 1;
        assert_eq!(text.matches(r#""line":"booked""#).count(), 2);
        let digits = &number.expose()[2..];
        for person in [
            "张三",
            "13800138000",
            "科技中二路",
            "南山区",
            "518057",
            "照相馆",
            "签收",
            digits,
            "whsec",
        ] {
            assert!(!text.contains(person), "{person}");
        }
    }
    assert_eq!(files, 1);
}
