//! The rules of asking and calling off.

use super::bookings::unreadable;
use super::server::Reply;
use super::{Between, Fault, On, Subject, a_request, book, known};
use crate::couriers::CancelAnswer;

pub(crate) async fn a_query_without_a_usable_answer_is_never_not_there(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let (attempt, booked) = book(&*courier, &a_request()).await;
    let parcel = known(&attempt, &booked.expect("booked"));
    let mut faults = vec![("hangs up", Fault::Before), ("loses it", Fault::After)];
    faults.extend(unreadable().into_iter().map(|(name, reply)| (name, Fault::Over(reply))));
    for status in [302, 401, 404, 429, 500, 503] {
        let reply = Reply::new(status, "text/html", "<html></html>");
        faults.push(("says an error", Fault::Instead(reply)));
    }
    for (name, fault) in faults {
        let done = matches!(fault, Fault::After | Fault::Over(_));
        world.spoil(On::Others, fault);
        let reconciled = courier.reconcile(&parcel).await;
        assert!(reconciled.is_err(), "{name}: {reconciled:?}");
        let tracked = courier.track(std::slice::from_ref(&parcel)).await;
        assert!(tracked.is_err(), "{name}: {tracked:?}");
        let cancelled = courier.cancel(&parcel).await;
        let may_say_so = done && cancelled == Ok(CancelAnswer::Cancelled);
        assert!(cancelled.is_err() || may_say_so, "{name}: {cancelled:?}");
    }
}

pub(crate) async fn a_parcel_is_called_off_twice_as_well_as_once(subject: impl Subject + 'static) {
    let world = Between::new(subject);
    let courier = world.adapter();
    let (attempt, booked) = book(&*courier, &a_request()).await;
    let parcel = known(&attempt, &booked.expect("booked"));
    for time in ["first", "second"] {
        let answer = courier.cancel(&parcel).await;
        assert_eq!(answer, Ok(CancelAnswer::Cancelled), "{time}");
    }
}
