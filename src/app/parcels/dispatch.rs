//! Booking a parcel: drives an order's current attempt one step, from whatever state it finds it in.
//!
//! - `pending`: the attempt is stored as `booking`, with its network deadline and its disclosure, **before** anything is
//!   sent; the answer is recorded on that attempt and that try, however late it comes.
//! - `booking` whose lease is gone (this job was claimed again): the request may have arrived, so it is `unknown`.
//! - `unknown`: the courier is asked; "not there" counts only once `settle` is over after the network deadline. Where the
//!   same reference is safe to send again it is, and the attempt stays `unknown` until an answer says what became of it:
//!   that the repetition did not arrive says nothing of the first.
//!
//! No transaction is open while a socket is.

use std::time::Duration;

use crate::app::parcels::booking_attempts::{self, Now, note_event};
use crate::app::parcels::booking_io::{fail, may_try_again, record, send_to_courier, sending};
use crate::app::parcels::circuit_breaker::{self, Permit};
use crate::app::parcels::fallback;
use crate::app::parcels::resend_booking::repeat;
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::clock::{WallTime, delta};
use crate::couriers::{BookError, BookingRequest, ParcelRef, Reconciled};
use crate::domain::actor::Actor;
use crate::domain::circuit_breaker::Call;
use crate::domain::ids::OrderId;
use crate::domain::job::Next;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::shipment::{Attempt, ShipmentState};
use crate::domain::timeline::TimelineKind;
use crate::store::orders::{self};
use crate::store::shipments::{self, Change};
use crate::store::{AnyConn, meta};
use crate::vault::keyring::Keyring;

/// What the first transaction found.
enum Found {
    Nothing,
    Send(Box<(Attempt, BookingRequest)>),
    Ask(Box<(Attempt, ParcelRef)>),
    /// The courier is paused until then.
    Wait(WallTime),
    Stop(&'static str),
}

/// Drives the current attempt of an order; `failures` is how many tries of the job failed before this one.
///
/// # Errors
/// Store or vault: the job is tried again.
pub async fn drive(app: &App, id: OrderId, failures: u32) -> Result<Next, AppError> {
    // Turned in the vault before anything is sent: a copy of the orders from before this booking shows as old.
    let vault = app.vault.clone();
    let turn = app.blocking(move || Ok(vault.turn_counter()?)).await?;
    match begin(app, id, turn).await? {
        Found::Nothing => Ok(Next::Done),
        Found::Stop(code) => Ok(Next::Stop { code: code.to_owned() }),
        Found::Wait(until) => Ok(Next::At(until)),
        Found::Send(send) => {
            let (attempt, request) = *send;
            let began_at = app.clock.wall_now();
            let outcome = send_to_courier(app, &attempt, &request).await?;
            record(app, &attempt, outcome, failures, Some(began_at)).await
        }
        Found::Ask(ask) => {
            let (attempt, parcel) = *ask;
            reconcile(app, attempt, parcel, failures).await
        }
    }
}

/// Decides what to do, and stores what must be known before it is done.
async fn begin(app: &App, id: OrderId, turn: i64) -> Result<Found, AppError> {
    let app_ = app.clone();
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&app_.clock);
        meta::raise_in_tx(conn, meta::COUNTER, turn)?;
        let mut order = match personal_record::lock_unless_purged(conn, id) {
            Ok(Some(order)) => order,
            Ok(None) | Err(AppError::NotFound) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let Some(attempt) = booking_attempts::current(conn, &order)? else {
            return Ok(Found::Nothing);
        };
        match attempt.state {
            ShipmentState::Booked | ShipmentState::Failed | ShipmentState::Cancelled => Ok(Found::Nothing),
            ShipmentState::Pending if order.status != OrderStatus::Printed => Ok(Found::Nothing),
            // A hold stops everything but storage: nothing personal is handed on. Lifting it drives the attempt on. A
            // withdrawn consent stops it for good: the order is about to be called off.
            ShipmentState::Pending if order.is_held(now.business) || order.is_withdrawn() => Ok(Found::Nothing),
            ShipmentState::Pending => send_or_wait(conn, ring, &app_, &mut order, attempt, now),
            ShipmentState::Booking => {
                shipments::change_in_tx(
                    conn,
                    attempt.id,
                    &Change::at(now.business)
                        .state(ShipmentState::Unknown)
                        .error("interrupted"),
                )?;
                note_event(
                    conn,
                    &order,
                    TimelineKind::BookingUnknown,
                    &Actor::System,
                    Some("interrupted"),
                    now.business,
                )?;
                ask(conn, ring, &app_, attempt, now)
            }
            ShipmentState::Unknown => ask(conn, ring, &app_, attempt, now),
        }
    })
    .await
}

/// Sends, unless the courier is paused: then the attempt waits for it, or, where it has been paused for long and somebody
/// else may carry the parcel, goes there.
fn send_or_wait(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    order: &mut Order,
    attempt: Attempt,
    now: Now,
) -> Result<Found, AppError> {
    let deadline = app
        .couriers
        .get(&attempt.courier)
        .map_or(Duration::ZERO, |courier| courier.deadline());
    match circuit_breaker::permit_in_tx(conn, &attempt.courier, Call::Book, deadline, now.wall)? {
        Permit::Go => start_sending(conn, ring, app, order, attempt, now),
        Permit::Wait { until, since } => {
            if since + circuit_breaker::FALL_BACK_AFTER > now.wall
                || fallback::next(conn, ring, app, order, true)?.is_none()
            {
                return Ok(Found::Wait(until));
            }
            // Pending: surely not booked.
            fail(conn, order, &attempt, "courier_paused", now)?;
            fallback::fall_back(conn, ring, app, order, &attempt, true, now)?;
            Ok(Found::Nothing)
        }
    }
}

fn start_sending(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    order: &mut Order,
    attempt: Attempt,
    now: Now,
) -> Result<Found, AppError> {
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        fail(conn, order, &attempt, circuit_breaker::NOT_CONFIGURED, now)?;
        let goes_on = fallback::fall_back(conn, ring, app, order, &attempt, false, now)?;
        return Ok(if goes_on {
            Found::Nothing
        } else {
            Found::Stop(circuit_breaker::NOT_CONFIGURED)
        });
    };
    let person = match personal_record::find(conn, ring, order.id) {
        Ok(person) => person,
        // A corrected recipient heals it and starts the next attempt.
        Err(AppError::Gone(_)) => {
            fail(conn, order, &attempt, "recipient_unreadable", now)?;
            return Ok(Found::Stop("recipient_unreadable"));
        }
        Err(error) => return Err(error),
    };
    let recipient = person.recipient;
    // Asked again where it is handed over: a courier's region, or the recipient, may have changed since.
    if !fallback::may_carry(app, &attempt.courier, &recipient.address, order.cross_border) {
        fail(conn, order, &attempt, fallback::CONSENT, now)?;
        return Ok(Found::Stop(fallback::CONSENT));
    }
    Ok(Found::Send(Box::new(sending(
        conn,
        app,
        &attempt,
        recipient,
        courier.deadline(),
        now,
    )?)))
}

fn ask(conn: &mut AnyConn, ring: &Keyring, app: &App, attempt: Attempt, now: Now) -> Result<Found, AppError> {
    if let Some(courier) = app.couriers.get(&attempt.courier) {
        let permit = circuit_breaker::permit_in_tx(conn, &attempt.courier, Call::Ask, courier.deadline(), now.wall)?;
        if let Permit::Wait { until, .. } = permit {
            return Ok(Found::Wait(until));
        }
    }
    let phone = match personal_record::find(conn, ring, attempt.order_id) {
        Ok(person) => Some(person.recipient.phone),
        Err(AppError::Gone(_)) => None,
        Err(error) => return Err(error),
    };
    let parcel = booking_attempts::parcel_ref(&attempt, None, phone);
    Ok(Found::Ask(Box::new((attempt, parcel))))
}

/// Finds out what became of an attempt whose outcome is unknown.
async fn reconcile(app: &App, attempt: Attempt, parcel: ParcelRef, failures: u32) -> Result<Next, AppError> {
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return Ok(Next::Stop {
            code: circuit_breaker::NOT_CONFIGURED.to_owned(),
        });
    };
    let asked_at = app.clock.wall_now();
    let settled_at = attempt.network_deadline.unwrap_or(asked_at) + delta(app.settings.settle_time);
    match circuit_breaker::call_and_record(app, courier, courier.reconcile(&parcel)).await {
        Ok(Reconciled::Booked(booked)) => record(app, &attempt, Ok(booked), 0, None).await,
        // A slow courier may book after we gave up: what is not there yet may still come.
        Ok(Reconciled::NotThere) if asked_at < settled_at => Ok(Next::At(settled_at)),
        Ok(Reconciled::NotThere) => resend(app, attempt, failures).await,
        Ok(Reconciled::Refused { code }) => record(app, &attempt, Err(BookError::Fail { code }), 0, None).await,
        // While the first request may still be at work, a second one beside it could be taken for a new order.
        Ok(Reconciled::SafeToResendUntil(until)) if asked_at < settled_at && settled_at < until => {
            Ok(Next::At(settled_at))
        }
        Ok(Reconciled::SafeToResendUntil(until)) if asked_at < until => repeat(app, attempt, until, failures).await,
        Ok(Reconciled::SafeToResendUntil(_) | Reconciled::CannotTell) => {
            tracing::error!(order = %attempt.order_id, courier = attempt.courier, "Booking outcome cannot be determined by any query; manual resolution required");
            Ok(Next::Stop {
                code: "cannot_tell".to_owned(),
            })
        }
        Err(error) => Ok(circuit_breaker::next_after(error, app.clock.wall_now())),
    }
}

/// The code of an attempt that was sent and sent again and never arrived.
const NOT_BOOKED: &str = "never_arrived";

/// Sends whose outcome turned out to be "not booked" before the schedule of failed tries spaces the next ones: a lost
/// request is sent again at once, a courier that never books is not asked every minute for ever.
const SENT_AT_ONCE: u16 = 3;

/// The attempt is certainly not booked: it may be sent again under the same reference.
async fn resend(app: &App, sent: Attempt, failures: u32) -> Result<Next, AppError> {
    let now = app.clock.business_now();
    app.orders
        .write(move |conn| {
            let order = orders::lock_in_tx(conn, sent.order_id)?.ok_or(AppError::NotFound)?;
            let attempt = shipments::find(conn, sent.id)?.ok_or(AppError::NotFound)?;
            if attempt.tries != sent.tries || attempt.state != ShipmentState::Unknown {
                return Ok(Next::Now);
            }
            let spaced = attempt.tries >= SENT_AT_ONCE;
            if spaced && !may_try_again(failures) {
                let change = Change::at(now).state(ShipmentState::Failed).error(NOT_BOOKED);
                shipments::change_in_tx(conn, attempt.id, &change)?;
                note_event(conn, &order, TimelineKind::BookingFailed, &Actor::System, Some(NOT_BOOKED), now)?;
                tracing::warn!(order = %order.id, courier = attempt.courier, "Booking failed permanently; the courier never received it");
                return Ok(Next::Done);
            }
            shipments::change_in_tx(conn, attempt.id, &Change::at(now).state(ShipmentState::Pending))?;
            Ok(match spaced {
                true => Next::Retry {
                    code: NOT_BOOKED.to_owned(),
                    after: None,
                },
                false => Next::Now,
            })
        })
        .await
}
