//! What all who change an order's parcel share: a new attempt, a recorded booking, a step of the order.

use crate::app::AppError;
use crate::app::conflict::Conflict;
use crate::app::records::personal_record;
use crate::clock::{BusinessTime, WallTime, delta};
use crate::couriers::{Booked, ParcelRef};
use crate::domain::actor::Actor;
use crate::domain::contact::Phone;
use crate::domain::ids::{AttemptId, OrderId};
use crate::domain::job::Job;
use crate::domain::order::{Order, OrderStatus, Step};
use crate::domain::personal_record::{Note, TrackingNumber};
use crate::domain::retention::purge_due_at;
use crate::domain::shipment::{Attempt, QUIET, ShipmentState, WITHOUT_NUMBER};
use crate::domain::timeline::TimelineKind;
use crate::privacy::Pii;
use crate::store::orders::{Change, change_in_tx};
use crate::store::shipments::{self, TrackingRow};
use crate::store::timeline::{self, EventRow};
use crate::store::{AnyConn, jobs, meta};
use crate::vault::keyring::{Keyring, Kind};

/// Both times, read once for a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) business: BusinessTime,
    pub(crate) wall: WallTime,
}

impl Now {
    pub(crate) fn of(clock: &crate::clock::Clock) -> Self {
        Self {
            business: clock.business_now(),
            wall: clock.wall_now(),
        }
    }
}

/// Who takes a step, why, when, and under which retention window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By<'a> {
    /// Who.
    pub(crate) actor: &'a Actor,
    /// A stable code, where there is one.
    pub(crate) code: Option<&'a str>,
    pub(crate) now: BusinessTime,
    pub(crate) window: std::time::Duration,
}

/// Takes an order one step on, in memory: its status, the stuck clock and, at an end, the retention clock. Returns the
/// timeline's entry.
///
/// # Errors
/// The step is impossible.
pub(crate) fn stepped(order: &mut Order, step: Step, by: &By<'_>) -> Result<EventRow, AppError> {
    let now = by.now;
    order.status = order.status.after(step)?;
    order.updated_at = now;
    // Who takes an order and lets it lapse, again and again, must not keep it from ever being stuck.
    if !matches!(step, Step::Claim | Step::Release) {
        order.moved_at = now;
    }
    if order.status.is_ended() {
        let first = order.first_ended_at.unwrap_or(now);
        order.ended_at = Some(now);
        order.first_ended_at = Some(first);
        // Who asked to be forgotten waits for the delivery, not for the window after it.
        order.purge_due_at = Some(match order.restriction {
            Some(_) => now,
            None => purge_due_at(now, first, delta(by.window)),
        });
    } else {
        // An order that lives again: its retention clock begins with its next end.
        order.ended_at = None;
        order.first_ended_at = None;
        order.purge_due_at = None;
    }
    let kind = TimelineKind::of_step(step, order.status);
    Ok(EventRow::new(order.id, now, kind, order.status, by.actor, by.code))
}

/// Takes an order one step on and writes it, with what else changes. `order` is locked and is brought up to date.
///
/// # Errors
/// The step is impossible; the store.
pub(crate) fn step(
    conn: &mut AnyConn,
    order: &mut Order,
    step: Step,
    change: Change,
    by: &By<'_>,
) -> Result<(), AppError> {
    let entry = stepped(order, step, by)?;
    change_in_tx(conn, order.id, &change.progress(order))?;
    timeline::add_in_tx(conn, &entry)?;
    Ok(())
}

/// What ends with an order however it ends: the floor's lease, and a draft's claim on its reference.
pub(crate) fn ending(order: &Order, now: BusinessTime) -> Change {
    let change = Change::at(now).end_lease();
    if order.status == OrderStatus::Draft {
        change.free_reference()
    } else {
        change
    }
}

/// Cancels a locked order; its parcel is the caller's affair.
///
/// # Errors
/// Not cancellable; the store.
pub(crate) fn cancel_in_tx(conn: &mut AnyConn, order: &mut Order, by: &By<'_>) -> Result<(), AppError> {
    let change = ending(order, by.now);
    step(conn, order, Step::Cancel, change, by)
}

/// Adds an entry to an order's timeline that changes no status.
///
/// # Errors
/// The store.
pub(crate) fn note_event(
    conn: &mut AnyConn,
    order: &Order,
    kind: TimelineKind,
    actor: &Actor,
    code: Option<&str>,
    now: BusinessTime,
) -> Result<(), AppError> {
    timeline::add_in_tx(conn, &EventRow::new(order.id, now, kind, order.status, actor, code))?;
    Ok(())
}

/// Starts a new attempt to book a parcel for a locked order, and the job that drives it.
///
/// # Errors
/// All 99 attempts are used up; the store.
pub(crate) fn new_attempt(conn: &mut AnyConn, order: &mut Order, courier: &str, now: Now) -> Result<(), AppError> {
    // An order from before an old copy was put back may have this very attempt at the courier already: ask first.
    let restored_at = meta::number(conn, meta::RESTORED_AT)?;
    let unknown_since = (order.created_at.timestamp_micros() <= restored_at).then_some(now.wall);
    add_attempt(conn, order, courier, unknown_since, now)?;
    enqueue_ship(conn, order.id, now)
}

/// Makes the next attempt of a locked order its current one, without a job to drive it.
///
/// # Errors
/// As [`new_attempt`].
pub(crate) fn add_attempt(
    conn: &mut AnyConn,
    order: &mut Order,
    courier: &str,
    unknown_since: Option<WallTime>,
    now: Now,
) -> Result<AttemptId, AppError> {
    let number = order.attempt.saturating_add(1);
    if number > 99 {
        return Err(AppError::Conflict(Conflict::TooManyAttempts));
    }
    // The courier's word for it, perhaps in a push that nobody signed, is all that says that the last parcel is called
    // off: it is told to, once more, so that it never carries two.
    if let Some(last) = current(conn, order)?
        && last.state == ShipmentState::Failed
        && last.booked_at.is_some()
    {
        enqueue(conn, Job::CancelParcel(last.id), now)?;
    }
    let id = shipments::add_in_tx(conn, order.id, number, courier, now.business, unknown_since)?;
    change_in_tx(conn, order.id, &Change::at(now.business).attempt(number, courier))?;
    order.attempt = number;
    order.courier = courier.to_owned();
    Ok(id)
}

/// Makes sure that the order's current attempt is driven on, at once.
///
/// # Errors
/// The store.
pub(crate) fn enqueue_ship(conn: &mut AnyConn, order: OrderId, now: Now) -> Result<(), AppError> {
    enqueue(conn, Job::Ship(order), now)
}

/// Makes sure that a job runs, at once.
///
/// # Errors
/// The store.
pub(crate) fn enqueue(conn: &mut AnyConn, job: Job, now: Now) -> Result<(), AppError> {
    jobs::enqueue_in_tx(conn, job, now.business, now.wall)?;
    Ok(())
}

/// Records that an attempt's parcel exists: its state, its tracking number (sealed) and the number's fingerprint.
/// `order` is locked. Once the purge is decided the fact is kept and the number is not.
///
/// # Errors
/// Keys or store.
pub(crate) fn record_booked(
    conn: &mut AnyConn,
    ring: &Keyring,
    order: &Order,
    attempt: &mut Attempt,
    booked: &Booked,
    actor: &Actor,
    now: BusinessTime,
) -> Result<(), AppError> {
    if attempt.state != ShipmentState::Booked {
        let quiet = if booked.tracking_no.is_some() {
            QUIET
        } else {
            WITHOUT_NUMBER
        };
        let mut change = shipments::Change::at(now).booked(now).poll_at(Some(now + quiet));
        if let (Some(provider_ref), None) = (&booked.provider_ref, order.purge_decided_at) {
            change = change.provider_ref(provider_ref);
        }
        if let Some(service) = &booked.service {
            change = change.service(service);
        }
        shipments::change_in_tx(conn, attempt.id, &change)?;
        attempt.state = ShipmentState::Booked;
        attempt.booked_at = Some(now);
        note_event(conn, order, TimelineKind::Booked, actor, Some(&attempt.courier), now)?;
    } else if let (Some(service), None) = (&booked.service, &attempt.service) {
        // Its webhook came before its answer, which alone says what was bought.
        shipments::change_in_tx(conn, attempt.id, &shipments::Change::at(now).service(service))?;
        attempt.service = Some(service.clone());
    }
    if let (Some(number), None) = (&booked.tracking_no, order.purge_decided_at) {
        add_tracking(conn, ring, order, attempt, number, now)?;
    }
    Ok(())
}

/// Adds a tracking number to an attempt of a locked order, unless it is known already; says whether it was new.
///
/// # Errors
/// Keys or store.
pub(crate) fn add_tracking(
    conn: &mut AnyConn,
    ring: &Keyring,
    order: &Order,
    attempt: &Attempt,
    number: &Pii<String>,
    now: BusinessTime,
) -> Result<bool, AppError> {
    let mut person = match personal_record::find(conn, ring, order.id) {
        Ok(person) => person,
        // The person cannot be opened any more: the number has no place to be kept, the parcel goes on.
        Err(AppError::Gone(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    if person
        .tracking
        .iter()
        .any(|known| known.attempt == attempt.number && known.number == *number)
    {
        return Ok(false);
    }
    person.tracking.push(TrackingNumber {
        attempt: attempt.number,
        number: number.clone(),
    });
    personal_record::replace(conn, ring, order.id, &person, now)?;
    let epoch = personal_record::current_epoch(conn, ring, now)?;
    shipments::add_tracking_in_tx(
        conn,
        &TrackingRow {
            id: crate::domain::ids::RowId::generate().to_string(),
            order_id: order.id.to_string(),
            attempt: attempt.number.into(),
            courier: attempt.courier.clone(),
            epoch,
            tracking_print: ring.fingerprint(epoch, Kind::Tracking, number.expose())?,
        },
    )?;
    Ok(true)
}

/// A parcel that should not exist: a late second booking, or one of an order that was called off. It is noted, sealed,
/// alarmed, and a job calls it off at the courier.
///
/// # Errors
/// Keys or store.
pub(crate) fn duplicate_parcel(
    conn: &mut AnyConn,
    ring: &Keyring,
    order: &Order,
    attempt: &Attempt,
    tracking_no: Option<&Pii<String>>,
    now: Now,
) -> Result<(), AppError> {
    if let (Some(number), None) = (tracking_no, order.purge_decided_at) {
        let note = Note {
            kind: DUPLICATE.to_owned(),
            about: attempt.id.to_string(),
            text: number.clone(),
        };
        // Told again: it is noted, and being called off.
        if personal_record::find(conn, ring, order.id).is_ok_and(|person| person.notes.contains(&note)) {
            return Ok(());
        }
        crate::app::records::notes::add(conn, ring, order.id, note, now.business)?;
    }
    tracing::error!(order = %order.id, attempt = attempt.number, courier = attempt.courier, "Duplicate parcel detected; cancelling it at the courier");
    note_event(
        conn,
        order,
        TimelineKind::DuplicateParcel,
        &Actor::System,
        Some(&attempt.courier),
        now.business,
    )?;
    enqueue(conn, Job::CancelParcel(attempt.id), now)
}

/// The kind of note that keeps a stray parcel's tracking number.
pub(crate) const DUPLICATE: &str = "stray_tracking";

/// Nothing of a held order is changed or handed on; a lease may end.
///
/// # Errors
/// 409 `held`.
pub(crate) fn refuse_held(order: &Order, now: BusinessTime) -> Result<(), AppError> {
    if order.is_held(now) {
        return Err(AppError::Conflict(Conflict::Held));
    }
    Ok(())
}

/// Whether an order's current parcel may still be about to be booked.
pub(crate) fn refuse_in_flight(attempt: Option<&Attempt>) -> Result<(), AppError> {
    match attempt {
        Some(attempt) if attempt.state.is_in_flight() => Err(AppError::Conflict(Conflict::BookingInProgress)),
        _ => Ok(()),
    }
}

/// The order's current attempt.
///
/// # Errors
/// The store.
pub(crate) fn current(conn: &mut AnyConn, order: &Order) -> Result<Option<Attempt>, AppError> {
    Ok(shipments::of_order(conn, order.id, order.attempt)?)
}

/// An attempt's parcel, as its courier is asked about it or told to call it off.
pub(crate) fn parcel_ref(attempt: &Attempt, tracking_no: Option<Pii<String>>, phone: Option<Phone>) -> ParcelRef {
    ParcelRef {
        reference: attempt.reference.clone(),
        provider_ref: attempt.provider_ref.clone(),
        tracking_no,
        consignee_phone: phone,
        first_sent_at: attempt.first_sent_at,
    }
}

/// Calls an attempt off, in the books.
///
/// # Errors
/// The store.
pub(crate) fn close_attempt(conn: &mut AnyConn, attempt: &Attempt, now: BusinessTime) -> Result<(), AppError> {
    shipments::change_in_tx(
        conn,
        attempt.id,
        &shipments::Change::at(now)
            .state(ShipmentState::Cancelled)
            .poll_at(None)
            .calling_off(None),
    )?;
    Ok(())
}

/// Whether the parcel of an order has left or may leave: what a purge on request must not cross.
pub(crate) const fn in_fulfilment(status: OrderStatus) -> bool {
    matches!(
        status,
        OrderStatus::Printing | OrderStatus::Printed | OrderStatus::Shipped
    )
}
