//! One try of a booking attempt: what is stored before anything is sent, the sending, and the record of what came of it.
//!
//! The answer is recorded on that attempt and that try, however late it comes. No transaction is open while a socket is.

use std::time::Duration;

use chrono::TimeDelta;

use crate::app::parcels::booking_attempts::{Now, duplicate_parcel, note_event, record_booked};
use crate::app::parcels::events::apply;
use crate::app::parcels::events::matching::is_foreign;
use crate::app::parcels::{circuit_breaker, fallback};
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::clock::{WallTime, delta};
use crate::couriers::{BookError, Booked, BookingRequest};
use crate::domain::actor::Actor;
use crate::domain::circuit_breaker::{Call, State};
use crate::domain::contact::Recipient;
use crate::domain::ids::AttemptId;
use crate::domain::job::{Next, bounded_retry_after, retry_wait};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::shipment::{Attempt, DISCLOSED_TO_COURIERS, ShipmentState};
use crate::domain::timeline::TimelineKind;
use crate::store::orders::{self};
use crate::store::shipments::{self, Change};
use crate::store::{AnyConn, courier_state};
use crate::vault::keyring::Keyring;

/// Stores what must be known before an attempt is sent: its state, its deadline, and the disclosure.
pub(super) fn sending(
    conn: &mut AnyConn,
    app: &App,
    attempt: &Attempt,
    consignee: Recipient,
    deadline: Duration,
    now: Now,
) -> Result<(Attempt, BookingRequest), AppError> {
    let change = Change::at(now.business).sending(attempt, now.wall, now.wall + delta(deadline));
    shipments::change_in_tx(conn, attempt.id, &change)?;
    shipments::disclose_in_tx(conn, attempt, DISCLOSED_TO_COURIERS, "delivery", now.business)?;
    let request = BookingRequest {
        reference: attempt.reference.clone(),
        consignee,
        sender: app.settings.sender.clone(),
        parcel: app.settings.parcel.clone(),
    };
    let sent = shipments::find(conn, attempt.id)?.ok_or(AppError::NotFound)?;
    Ok((sent, request))
}

/// Speaks to the courier. A process that was stopped for so long that its deadline has passed sends nothing: others may
/// have taken the attempt for settled by now.
pub(super) async fn send_to_courier(
    app: &App,
    attempt: &Attempt,
    request: &BookingRequest,
) -> Result<Result<Booked, BookError>, AppError> {
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return Ok(Err(BookError::fail(circuit_breaker::NOT_CONFIGURED)));
    };
    let too_late = || {
        attempt
            .network_deadline
            .is_none_or(|deadline| app.clock.wall_now() >= deadline)
    };
    if too_late() {
        return Ok(Err(BookError::retry(circuit_breaker::STOPPED)));
    }
    let mut prepared = attempt.provider_ref.clone();
    if prepared.is_none() {
        prepared = match courier.prepare(request).await {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(provider_ref) = prepared.clone() {
            // Stored before anything is bought: it is how an unknown outcome is found again.
            let (id, order_id, now) = (attempt.id, attempt.order_id, app.clock.business_now());
            app.orders
                .write(move |conn| {
                    personal_record::lock(conn, order_id)?;
                    Ok::<_, AppError>(shipments::change_in_tx(
                        conn,
                        id,
                        &Change::at(now).provider_ref(&provider_ref),
                    )?)
                })
                .await?;
        }
    }
    if too_late() {
        return Ok(Err(BookError::retry(circuit_breaker::STOPPED)));
    }
    Ok(courier.commit(request, prepared.as_deref()).await)
}

/// Records what came of a try that began at `began_at` (wall; `None`: it was only asked after).
pub(super) async fn record(
    app: &App,
    sent: &Attempt,
    outcome: Result<Booked, BookError>,
    failures: u32,
    began_at: Option<WallTime>,
) -> Result<Next, AppError> {
    let (app_, sent) = (app.clone(), sent.clone());
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&app_.clock);
        let next = match &outcome {
            Ok(booked) => record_success(conn, ring, &app_, sent.id, booked, now),
            Err(error) => record_error(conn, ring, &app_, &sent, error, failures, now),
        }?;
        if let (Some(began_at), Some(call_outcome)) = (began_at, circuit_breaker::booking_outcome(&outcome)) {
            circuit_breaker::record_in_tx(conn, &sent.courier, Call::Book, call_outcome, began_at, now)?;
        }
        Ok(next)
    })
    .await
}

/// A parcel exists. Whatever happened to the attempt meanwhile, that is never dropped.
fn record_success(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    attempt: AttemptId,
    booked: &Booked,
    now: Now,
) -> Result<Next, AppError> {
    let attempt = shipments::find(conn, attempt)?.ok_or(AppError::NotFound)?;
    let order = orders::lock_in_tx(conn, attempt.order_id)?.ok_or(AppError::NotFound)?;
    // Read again under the lock.
    let mut attempt = shipments::find(conn, attempt.id)?.ok_or(AppError::NotFound)?;
    if is_foreign(conn, ring, &attempt, booked)? {
        return foreign_parcel(conn, &order, &attempt, now);
    }
    let wanted = order.attempt == attempt.number
        && attempt.state != ShipmentState::Cancelled
        && (order.status == OrderStatus::Printed || order.status.is_shipped());
    if !wanted {
        if let (Some(provider_ref), None, None) = (&booked.provider_ref, &attempt.provider_ref, order.purge_decided_at)
        {
            // Some couriers call a parcel off only by their own id.
            shipments::change_in_tx(conn, attempt.id, &Change::at(now.business).provider_ref(provider_ref))?;
        }
        duplicate_parcel(conn, ring, &order, &attempt, booked.tracking_no.as_ref(), now)?;
        return Ok(Next::Done);
    }
    if attempt.state == ShipmentState::Booked && is_another(conn, ring, &order, &attempt, booked)? {
        duplicate_parcel(conn, ring, &order, &attempt, booked.tracking_no.as_ref(), now)?;
        return Ok(Next::Done);
    }
    let actor = Actor::courier(&attempt.courier);
    record_booked(conn, ring, &order, &mut attempt, booked, &actor, now.business)?;
    apply::apply_parked(conn, ring, app, order, attempt, booked.tracking_no.as_ref(), now)?;
    Ok(Next::Done)
}

/// Another order's parcel is never taken: what became of this attempt is as unknown as before.
fn foreign_parcel(conn: &mut AnyConn, order: &Order, attempt: &Attempt, now: Now) -> Result<Next, AppError> {
    tracing::error!(order = %order.id, attempt = attempt.number, courier = attempt.courier, "Courier returned a booking of another order; response discarded");
    if attempt.state.is_in_flight() {
        let change = Change::at(now.business)
            .state(ShipmentState::Unknown)
            .error("foreign_parcel");
        shipments::change_in_tx(conn, attempt.id, &change)?;
        note_event(
            conn,
            order,
            TimelineKind::BookingUnknown,
            &Actor::System,
            Some("foreign_parcel"),
            now.business,
        )?;
    }
    Ok(Next::Retry {
        code: "foreign_parcel".to_owned(),
        after: None,
    })
}

/// Whether an answer names another parcel than the one that is recorded.
fn is_another(
    conn: &mut AnyConn,
    ring: &Keyring,
    order: &Order,
    attempt: &Attempt,
    booked: &Booked,
) -> Result<bool, AppError> {
    let Some(number) = &booked.tracking_no else {
        return Ok(false);
    };
    match personal_record::find(conn, ring, order.id) {
        Ok(person) => {
            let mut known = person
                .tracking
                .iter()
                .filter(|known| known.attempt == attempt.number)
                .peekable();
            Ok(known.peek().is_some() && !known.any(|known| known.number == *number))
        }
        Err(AppError::Gone(_)) => Ok(false),
        Err(AppError::Store(_)) if order.purge_decided_at.is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// No parcel, or nobody knows. Only this very try may change the attempt: another may be under way by now.
fn record_error(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    sent: &Attempt,
    error: &BookError,
    failures: u32,
    now: Now,
) -> Result<Next, AppError> {
    let mut order = orders::lock_in_tx(conn, sent.order_id)?.ok_or(AppError::NotFound)?;
    let attempt = shipments::find(conn, sent.id)?.ok_or(AppError::NotFound)?;
    if attempt.tries != sent.tries || !attempt.state.is_in_flight() {
        return Ok(Next::Done);
    }
    let change = Change::at(now.business).error(error.code());
    let refused = matches!(error, BookError::Retry { .. } | BookError::Unauthorized { .. });
    let open = refused && fallback::is_open(&order, &attempt, now);
    if open
        && is_paused_for_long(conn, &attempt.courier, now)?
        && fallback::next(conn, ring, app, &order, true)?.is_some()
    {
        // A probe that failed: this order has waited long enough.
        fail(conn, &order, &attempt, error.code(), now)?;
        fallback::fall_back(conn, ring, app, &mut order, &attempt, true, now)?;
        return Ok(Next::Done);
    }
    match error {
        BookError::Unknown { code } => {
            shipments::change_in_tx(conn, attempt.id, &change.state(ShipmentState::Unknown))?;
            note_event(
                conn,
                &order,
                TimelineKind::BookingUnknown,
                &Actor::System,
                Some(code),
                now.business,
            )?;
            // The answer may only have been lost: ask at once, and again after the settle time.
            Ok(Next::Now)
        }
        BookError::Retry { code, after } if may_try_again(failures) => {
            shipments::change_in_tx(conn, attempt.id, &change.state(ShipmentState::Pending))?;
            Ok(Next::Retry {
                code: code.clone(),
                after: after.map(bounded_retry_after),
            })
        }
        // Costs no try: the courier's queue is paused by this very answer, and says when it is tried again.
        BookError::Unauthorized { .. } => {
            shipments::change_in_tx(conn, attempt.id, &change.state(ShipmentState::Pending))?;
            Ok(Next::At(now.wall + TimeDelta::minutes(1)))
        }
        BookError::Retry { code, .. } | BookError::Fail { code } => {
            fail(conn, &order, &attempt, code, now)?;
            tracing::warn!(order = %order.id, courier = attempt.courier, code, "Booking failed permanently");
            if fallback::is_open(&order, &attempt, now) {
                fallback::fall_back(conn, ring, app, &mut order, &attempt, false, now)?;
            }
            Ok(Next::Done)
        }
    }
}

fn is_paused_for_long(conn: &mut AnyConn, courier: &str, now: Now) -> Result<bool, AppError> {
    let breaker = courier_state::find(conn, courier)?;
    Ok(breaker.is_some_and(|breaker| {
        breaker.state != State::Closed && breaker.since + circuit_breaker::FALL_BACK_AFTER <= now.wall
    }))
}

pub(super) fn may_try_again(failures: u32) -> bool {
    retry_wait(failures.saturating_add(1), 0.5).is_some()
}

/// Gives an attempt up that is surely not booked.
pub(super) fn fail(conn: &mut AnyConn, order: &Order, attempt: &Attempt, code: &str, now: Now) -> Result<(), AppError> {
    let change = Change::at(now.business).state(ShipmentState::Failed).error(code);
    shipments::change_in_tx(conn, attempt.id, &change)?;
    note_event(
        conn,
        order,
        TimelineKind::BookingFailed,
        &Actor::System,
        Some(code),
        now.business,
    )
}
