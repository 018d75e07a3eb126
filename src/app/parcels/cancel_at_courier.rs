//! Calling parcels off at their courier: booked ones for a cancellation or a correction, and stray ones.
//!
//! Why a booked parcel is being called off is noted on its attempt before the courier is told, with a job that comes later:
//! where the verb is interrupted between the courier's answer and its own second transaction, the job finishes it.

use crate::app::conflict::Conflict;
use crate::app::parcels::booking_attempts::{self, By, DUPLICATE, Now, close_attempt, note_event, refuse_in_flight};
use crate::app::parcels::circuit_breaker::{self, Permit};
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::clock::delta;
use crate::couriers::{CallError, CancelAnswer, ParcelRef};
use crate::domain::actor::Actor;
use crate::domain::circuit_breaker::Call;
use crate::domain::ids::AttemptId;
use crate::domain::job::{Job, MARGIN, Next};
use crate::domain::order::Order;
use crate::domain::shipment::{Attempt, CallingOff, ShipmentState};
use crate::domain::timeline::TimelineKind;
use crate::store::orders;
use crate::store::shipments::{self};
use crate::store::{AnyConn, jobs};
use crate::vault::keyring::Keyring;

/// The order's booked parcel, as its courier must be asked about it; `None` where none is booked.
///
/// # Errors
/// A booking is in flight; keys or store.
pub(crate) fn booked_parcel(
    conn: &mut AnyConn,
    ring: &Keyring,
    order: &Order,
) -> Result<Option<(Attempt, ParcelRef)>, AppError> {
    let attempt = booking_attempts::current(conn, order)?;
    refuse_in_flight(attempt.as_ref())?;
    match attempt {
        Some(attempt) if attempt.state == ShipmentState::Booked => {
            let person = personal_record::find(conn, ring, order.id)?;
            let parcel = booking_attempts::parcel_ref(
                &attempt,
                person.tracking_of(attempt.number).cloned(),
                Some(person.recipient.phone),
            );
            Ok(Some((attempt, parcel)))
        }
        _ => Ok(None),
    }
}

/// Calls a booked parcel off at its courier. Where that ends without an answer, a job goes on asking: the parcel may be
/// called off already, and must not stay booked here.
///
/// # Errors
/// The courier refuses (409 `not_cancellable`), does not answer, is paused, or is no longer configured; the purge is
/// decided; store.
pub(crate) async fn call_off(
    app: &App,
    attempt: &Attempt,
    parcel: &ParcelRef,
    why: CallingOff,
) -> Result<(), AppError> {
    let trouble = |code: &str| AppError::Courier {
        courier: attempt.courier.clone(),
        code: code.to_owned(),
    };
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return Err(match attempt.first_sent_at {
            Some(_) => trouble(circuit_breaker::NOT_CONFIGURED),
            // Shipped by hand: its courier never heard of us, and asking again will not help.
            None => AppError::Conflict(Conflict::BookedElsewhere),
        });
    };
    if let Permit::Wait { .. } = circuit_breaker::permit(app, courier, Call::Ask).await? {
        return Err(trouble("courier_paused"));
    }
    let (now, deadline) = (Now::of(&app.clock), delta(courier.deadline()));
    let (id, order) = (attempt.id, attempt.order_id);
    app.orders
        .write(move |conn| {
            personal_record::lock(conn, order)?;
            let change = shipments::Change::at(now.business).calling_off(Some(why));
            shipments::change_in_tx(conn, id, &change)?;
            let takes_over = now.wall + deadline + MARGIN;
            jobs::enqueue_in_tx(conn, Job::CallOff(id), now.business, takes_over)?;
            Ok::<_, AppError>(())
        })
        .await?;
    match circuit_breaker::call_and_record(app, courier, courier.cancel(parcel)).await {
        Ok(CancelAnswer::Cancelled) => Ok(()),
        Ok(CancelAnswer::Refused { code }) => {
            tracing::info!(
                courier = attempt.courier,
                code,
                "Courier refused to cancel a parcel; the parcel stays booked"
            );
            keep(app, attempt).await?;
            Err(AppError::Conflict(Conflict::CourierKeepsParcel))
        }
        Err(error) => Err(trouble(&error.code)),
    }
}

/// The parcel goes on after all.
async fn keep(app: &App, attempt: &Attempt) -> Result<(), AppError> {
    let (now, id, order) = (app.clock.business_now(), attempt.id, attempt.order_id);
    app.orders
        .write(move |conn| {
            orders::lock_in_tx(conn, order)?;
            let change = shipments::Change::at(now).calling_off(None);
            Ok(shipments::change_in_tx(conn, id, &change)?)
        })
        .await
}

/// Finishes a call-off that was interrupted: asks the courier again, which is idempotent, and takes its answer in. A
/// cancelled order is cancelled; of a correction the corrected recipient is not known, so the parcel is failed and whoever
/// wanted it corrects again.
///
/// # Errors
/// Store or vault: the job is tried again.
pub async fn finish(app: &App, id: AttemptId) -> Result<Next, AppError> {
    let found = app
        .read_sealed(move |conn, ring| {
            let Some(attempt) = shipments::find(conn, id)? else {
                return Ok(None);
            };
            let (Some(why), ShipmentState::Booked) = (attempt.calling_off, attempt.state) else {
                return Ok(None);
            };
            let (tracking_no, phone) = match personal_record::find(conn, ring, attempt.order_id) {
                Ok(person) => (
                    person.tracking_of(attempt.number).cloned(),
                    Some(person.recipient.phone),
                ),
                Err(AppError::Gone(_) | AppError::Store(_)) => (None, None),
                Err(error) => return Err(error),
            };
            let parcel = booking_attempts::parcel_ref(&attempt, tracking_no, phone);
            Ok(Some((attempt, parcel, why)))
        })
        .await?;
    let Some((attempt, parcel, why)) = found else {
        return Ok(Next::Done);
    };
    match ask_to_cancel(app, &attempt, &parcel).await? {
        Asked::Answered(CancelAnswer::Cancelled) => record_cancelled(app, attempt, why).await,
        Asked::Answered(CancelAnswer::Refused { .. }) => {
            keep(app, &attempt).await?;
            Ok(Next::Done)
        }
        Asked::Not(next) => Ok(next),
    }
}

/// Takes in that an interrupted call-off succeeded.
async fn record_cancelled(app: &App, attempt: Attempt, why: CallingOff) -> Result<Next, AppError> {
    let (now, window) = (app.clock.business_now(), app.settings.window);
    app.orders
        .write(move |conn| {
            let Some(mut order) = orders::lock_in_tx(conn, attempt.order_id)? else {
                return Ok(Next::Done);
            };
            let still = shipments::find(conn, attempt.id)?
                .filter(|still| still.state == ShipmentState::Booked && still.calling_off == Some(why));
            let Some(attempt) = still else {
                return Ok(Next::Done);
            };
            close_attempt(conn, &attempt, now)?;
            if order.attempt != attempt.number || order.status.is_shipped() || order.status.is_ended() {
                return Ok(Next::Done);
            }
            match why {
                CallingOff::Cancel => {
                    let by = By {
                        actor: &Actor::System,
                        code: Some("called_off_at_courier"),
                        now,
                        window,
                    };
                    booking_attempts::cancel_in_tx(conn, &mut order, &by)?;
                }
                CallingOff::Correct => {
                    let code = "correction_interrupted";
                    let change = shipments::Change::at(now).state(ShipmentState::Failed).error(code);
                    shipments::change_in_tx(conn, attempt.id, &change)?;
                    note_event(
                        conn,
                        &order,
                        TimelineKind::BookingFailed,
                        &Actor::System,
                        Some(code),
                        now,
                    )?;
                }
            }
            Ok(Next::Done)
        })
        .await
}

/// Calls a parcel off that should not exist.
///
/// # Errors
/// Store or vault: the job is tried again.
pub async fn cancel_duplicate(app: &App, id: AttemptId) -> Result<Next, AppError> {
    let found = app
        .read_sealed(move |conn, ring| {
            let Some(attempt) = shipments::find(conn, id)? else {
                return Ok(None);
            };
            let (tracking_no, phone) = match personal_record::find(conn, ring, attempt.order_id) {
                Ok(person) => {
                    let about = id.to_string();
                    let note = person
                        .notes
                        .iter()
                        .rev()
                        .find(|note| note.kind == DUPLICATE && note.about == about);
                    (note.map(|note| note.text.clone()), Some(person.recipient.phone))
                }
                Err(AppError::Gone(_) | AppError::Store(_)) => (None, None),
                Err(error) => return Err(error),
            };
            let parcel = booking_attempts::parcel_ref(&attempt, tracking_no, phone);
            Ok(Some((attempt, parcel)))
        })
        .await?;
    let Some((attempt, parcel)) = found else {
        return Ok(Next::Done);
    };
    match ask_to_cancel(app, &attempt, &parcel).await? {
        Asked::Answered(CancelAnswer::Cancelled) => Ok(Next::Done),
        Asked::Answered(CancelAnswer::Refused { .. }) => Ok(Next::Stop {
            code: "not_cancellable".to_owned(),
        }),
        Asked::Not(next) => Ok(next),
    }
}

/// What came of a job's question.
enum Asked {
    Answered(CancelAnswer),
    Not(Next),
}

async fn ask_to_cancel(app: &App, attempt: &Attempt, parcel: &ParcelRef) -> Result<Asked, AppError> {
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return Ok(Asked::Not(Next::Stop {
            code: circuit_breaker::NOT_CONFIGURED.to_owned(),
        }));
    };
    if let Permit::Wait { until, .. } = circuit_breaker::permit(app, courier, Call::Ask).await? {
        return Ok(Asked::Not(Next::At(until)));
    }
    let answer: Result<CancelAnswer, CallError> =
        circuit_breaker::call_and_record(app, courier, courier.cancel(parcel)).await;
    Ok(match answer {
        Ok(answer) => Asked::Answered(answer),
        Err(error) => Asked::Not(circuit_breaker::next_after(error, app.clock.wall_now())),
    })
}
