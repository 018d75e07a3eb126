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

use chrono::TimeDelta;

use crate::app::parcels::attempts::{self, Now, duplicate_parcel, note_event, record_booked};
use crate::app::parcels::circuit_breaker::{self, Permit};
use crate::app::parcels::events::apply;
use crate::app::parcels::events::matching::is_foreign;
use crate::app::parcels::fallback;
use crate::app::parcels::resend::repeat;
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::clock::{Instant, delta};
use crate::couriers::{BookError, Booked, BookingRequest, CallError, ParcelRef, Reconciled};
use crate::domain::circuit_breaker::{Call, State};
use crate::domain::contact::Recipient;
use crate::domain::ids::OrderId;
use crate::domain::job::{bounded_retry_after, retry_wait};
use crate::domain::order::OrderStatus;
use crate::domain::shipment::ShipmentState;
use crate::store::orders::{self, Order};
use crate::store::shipments::{self, Attempt, Change};
use crate::store::{AnyConn, courier_state, meta};
use crate::vault::keyring::Keyring;

/// The personal fields that a booking hands to a courier, as the disclosure names them.
pub(crate) const DISCLOSED: &str = "name,phone,address";

/// When the job comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing is left to do.
    Done,
    /// At once: the state changed and can be driven on.
    Now,
    /// At this wall time; not a failure.
    At(Instant),
    /// After so much business time, and not before that wall time; not a failure.
    Later {
        /// Business time.
        wait: TimeDelta,
        /// Wall time.
        not_before: Instant,
    },
    /// A try failed; the schedule says when, unless the courier asked for a wait (wall).
    Retry {
        /// Stable code.
        code: String,
        /// The courier's own wish.
        after: Option<Duration>,
    },
    /// A person must act.
    Stop {
        /// Stable code.
        code: String,
    },
}

impl Next {
    /// A question got no usable answer, at `wall`. Refused credentials cost no try: the courier's queue is paused by now.
    pub(crate) fn after_call(error: CallError, wall: Instant) -> Self {
        if error.unauthorized {
            return Self::At(wall + TimeDelta::minutes(1));
        }
        Self::Retry {
            code: error.code,
            after: error.after.map(bounded_retry_after),
        }
    }
}

/// What the first transaction found.
enum Found {
    Nothing,
    Send(Box<(Attempt, BookingRequest)>),
    Ask(Box<(Attempt, ParcelRef)>),
    /// The courier is paused until then.
    Wait(Instant),
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
        let mut order = match personal_record::lock(conn, id) {
            Ok(order) => order,
            Err(AppError::NotFound | AppError::Gone(_)) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let Some(attempt) = attempts::current(conn, &order)? else {
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
                    "booking_unknown",
                    "system",
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

/// Gives an attempt up that is surely not booked.
fn fail(conn: &mut AnyConn, order: &Order, attempt: &Attempt, code: &str, now: Now) -> Result<(), AppError> {
    let change = Change::at(now.business).state(ShipmentState::Failed).error(code);
    shipments::change_in_tx(conn, attempt.id, &change)?;
    note_event(conn, order, "booking_failed", "system", Some(code), now.business)
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
    shipments::disclose_in_tx(conn, attempt, DISCLOSED, "delivery", now.business)?;
    let request = BookingRequest {
        reference: attempt.reference.clone(),
        consignee,
        sender: app.settings.sender.clone(),
        parcel: app.settings.parcel.clone(),
    };
    let sent = shipments::find(conn, attempt.id)?.ok_or(AppError::NotFound)?;
    Ok((sent, request))
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
    let parcel = attempts::parcel_ref(&attempt, None, phone);
    Ok(Found::Ask(Box::new((attempt, parcel))))
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
    began_at: Option<Instant>,
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
    attempt: crate::domain::ids::AttemptId,
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
    let actor = format!("courier:{}", attempt.courier);
    record_booked(conn, ring, &order, &mut attempt, booked, &actor, now.business)?;
    apply::apply_parked(conn, ring, app, order, attempt, booked.tracking_no.as_ref(), now)?;
    Ok(Next::Done)
}

/// Another order's parcel is never taken: what became of this attempt is as unknown as before.
fn foreign_parcel(conn: &mut AnyConn, order: &Order, attempt: &Attempt, now: Now) -> Result<Next, AppError> {
    tracing::error!(order = %order.id, attempt = attempt.number, courier = attempt.courier, "the courier answered with another order's parcel: it is not taken");
    if attempt.state.is_in_flight() {
        let change = Change::at(now.business)
            .state(ShipmentState::Unknown)
            .error("foreign_parcel");
        shipments::change_in_tx(conn, attempt.id, &change)?;
        note_event(
            conn,
            order,
            "booking_unknown",
            "system",
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
            note_event(conn, &order, "booking_unknown", "system", Some(code), now.business)?;
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
            tracing::warn!(order = %order.id, courier = attempt.courier, code, "a booking failed for good");
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
            tracing::error!(order = %attempt.order_id, courier = attempt.courier, "no query can tell whether a parcel is booked: a person must resolve it");
            Ok(Next::Stop {
                code: "cannot_tell".to_owned(),
            })
        }
        Err(error) => Ok(Next::after_call(error, app.clock.wall_now())),
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
                note_event(conn, &order, "booking_failed", "system", Some(NOT_BOOKED), now)?;
                tracing::warn!(order = %order.id, courier = attempt.courier, "a booking failed for good: it never arrived");
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
