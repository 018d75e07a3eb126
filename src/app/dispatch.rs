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

use crate::app::booking::{self, Holder, Now, note_event, record_booked, stray_parcel};
use crate::app::{App, AppError, people, track};
use crate::clock::{Instant, delta};
use crate::couriers::{BookError, Booked, BookingRequest, ParcelRef, Reconciled};
use crate::domain::contact::Recipient;
use crate::domain::ids::OrderId;
use crate::domain::job::{bounded_retry_after, retry_wait};
use crate::domain::order::OrderStatus;
use crate::domain::shipment::ShipmentState;
use crate::store::orders::{self, Order};
use crate::store::shipments::{self, Attempt, Change};
use crate::store::{AnyConn, meta};
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
    fn retry(code: impl Into<String>) -> Self {
        Self::Retry {
            code: code.into(),
            after: None,
        }
    }
}

/// What the first transaction found.
enum Found {
    Nothing,
    Send(Box<(Attempt, BookingRequest)>),
    Ask(Box<(Attempt, ParcelRef)>),
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
        Found::Send(send) => {
            let (attempt, request) = *send;
            let outcome = send_to_courier(app, &attempt, &request).await?;
            record(app, &attempt, outcome, failures).await
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
        let order = match people::lock(conn, id) {
            Ok(order) => order,
            Err(AppError::NotFound | AppError::Gone(_)) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let Some(attempt) = booking::current(conn, &order)? else {
            return Ok(Found::Nothing);
        };
        match attempt.state {
            ShipmentState::Booked | ShipmentState::Failed | ShipmentState::Cancelled => Ok(Found::Nothing),
            ShipmentState::Pending if order.status != OrderStatus::Printed => Ok(Found::Nothing),
            // A hold stops everything but storage: nothing personal is handed on. Lifting it drives the attempt on. A
            // withdrawn consent stops it for good: the order is about to be called off.
            ShipmentState::Pending if order.is_held(now.business) || order.is_withdrawn() => Ok(Found::Nothing),
            ShipmentState::Pending => start_sending(conn, ring, &app_, &order, attempt, now),
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
                ask(conn, ring, attempt)
            }
            ShipmentState::Unknown => ask(conn, ring, attempt),
        }
    })
    .await
}

fn start_sending(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    order: &Order,
    attempt: Attempt,
    now: Now,
) -> Result<Found, AppError> {
    let fail = |conn: &mut AnyConn, code: &'static str| -> Result<Found, AppError> {
        shipments::change_in_tx(
            conn,
            attempt.id,
            &Change::at(now.business).state(ShipmentState::Failed).error(code),
        )?;
        note_event(conn, order, "booking_failed", "system", Some(code), now.business)?;
        Ok(Found::Stop(code))
    };
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return fail(conn, "courier_not_configured");
    };
    let person = match people::find(conn, ring, order.id) {
        Ok(person) => person,
        // A corrected recipient heals it and starts the next attempt.
        Err(AppError::Gone(_)) => return fail(conn, "recipient_unreadable"),
        Err(error) => return Err(error),
    };
    let recipient = person.recipient;
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
fn sending(
    conn: &mut AnyConn,
    app: &App,
    attempt: &Attempt,
    consignee: Recipient,
    deadline: Duration,
    now: Now,
) -> Result<(Attempt, BookingRequest), AppError> {
    let change = Change::at(now.business).sending(attempt, now.wall, now.wall + delta(deadline));
    shipments::change_in_tx(conn, attempt.id, &change)?;
    shipments::disclose_in_tx(conn, attempt, DISCLOSED, now.business)?;
    let request = BookingRequest {
        reference: attempt.reference.clone(),
        consignee,
        sender: app.settings.sender.clone(),
        parcel: app.settings.parcel.clone(),
    };
    let sent = shipments::find(conn, attempt.id)?.ok_or(AppError::NotFound)?;
    Ok((sent, request))
}

fn ask(conn: &mut AnyConn, ring: &Keyring, attempt: Attempt) -> Result<Found, AppError> {
    let phone = match people::find(conn, ring, attempt.order_id) {
        Ok(person) => Some(person.recipient.phone),
        Err(AppError::Gone(_)) => None,
        Err(error) => return Err(error),
    };
    let parcel = booking::parcel_ref(&attempt, None, phone);
    Ok(Found::Ask(Box::new((attempt, parcel))))
}

/// Speaks to the courier. A process that was stopped for so long that its deadline has passed sends nothing: others may
/// have taken the attempt for settled by now.
async fn send_to_courier(
    app: &App,
    attempt: &Attempt,
    request: &BookingRequest,
) -> Result<Result<Booked, BookError>, AppError> {
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return Ok(Err(BookError::fail("courier_not_configured")));
    };
    let too_late = || {
        attempt
            .network_deadline
            .is_none_or(|deadline| app.clock.wall_now() >= deadline)
    };
    if too_late() {
        return Ok(Err(BookError::retry("stopped_before_sending")));
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
                    people::lock(conn, order_id)?;
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
        return Ok(Err(BookError::retry("stopped_before_sending")));
    }
    Ok(courier.commit(request, prepared.as_deref()).await)
}

/// Records what came of a try.
async fn record(
    app: &App,
    sent: &Attempt,
    outcome: Result<Booked, BookError>,
    failures: u32,
) -> Result<Next, AppError> {
    let (app_, sent) = (app.clone(), sent.clone());
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&app_.clock);
        match &outcome {
            Ok(booked) => record_success(conn, ring, &app_, sent.id, booked, now),
            Err(error) => record_error(conn, &sent, error, failures, now),
        }
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
        stray_parcel(conn, ring, &order, &attempt, booked.tracking_no.as_ref(), now)?;
        return Ok(Next::Done);
    }
    if attempt.state == ShipmentState::Booked && is_another(conn, ring, &order, &attempt, booked)? {
        stray_parcel(conn, ring, &order, &attempt, booked.tracking_no.as_ref(), now)?;
        return Ok(Next::Done);
    }
    let actor = format!("courier:{}", attempt.courier);
    record_booked(conn, ring, &order, &mut attempt, booked, &actor, now.business)?;
    track::apply_parked(conn, ring, app, order, attempt, booked.tracking_no.as_ref(), now)?;
    Ok(Next::Done)
}

/// Whether an answer names a parcel that is another attempt's: the courier mixed its answers up.
fn is_foreign(conn: &mut AnyConn, ring: &Keyring, attempt: &Attempt, booked: &Booked) -> Result<bool, AppError> {
    if booking::holder(conn, ring, attempt, booked.tracking_no.as_ref())? == Holder::Another {
        return Ok(true);
    }
    match &booked.provider_ref {
        Some(provider_ref) => booking::is_anothers(conn, attempt, provider_ref),
        None => Ok(false),
    }
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
    Ok(Next::retry("foreign_parcel"))
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
    match people::find(conn, ring, order.id) {
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
    sent: &Attempt,
    error: &BookError,
    failures: u32,
    now: Now,
) -> Result<Next, AppError> {
    let order = orders::lock_in_tx(conn, sent.order_id)?.ok_or(AppError::NotFound)?;
    let attempt = shipments::find(conn, sent.id)?.ok_or(AppError::NotFound)?;
    if attempt.tries != sent.tries || !attempt.state.is_in_flight() {
        return Ok(Next::Done);
    }
    let change = Change::at(now.business).error(error.code());
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
        BookError::Unauthorized { code } if may_try_again(failures) => {
            shipments::change_in_tx(conn, attempt.id, &change.state(ShipmentState::Pending))?;
            tracing::error!(
                courier = attempt.courier,
                code,
                "the courier does not accept our credentials: nothing is booked until somebody mends them"
            );
            Ok(Next::retry(code))
        }
        BookError::Retry { code, .. } | BookError::Unauthorized { code } | BookError::Fail { code } => {
            shipments::change_in_tx(conn, attempt.id, &change.state(ShipmentState::Failed))?;
            note_event(conn, &order, "booking_failed", "system", Some(code), now.business)?;
            tracing::warn!(order = %order.id, courier = attempt.courier, code, "a booking failed for good");
            Ok(Next::Done)
        }
    }
}

fn may_try_again(failures: u32) -> bool {
    retry_wait(failures.saturating_add(1), 0.5).is_some()
}

/// Finds out what became of an attempt whose outcome is unknown.
async fn reconcile(app: &App, attempt: Attempt, parcel: ParcelRef, failures: u32) -> Result<Next, AppError> {
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return Ok(Next::Stop {
            code: "courier_not_configured".to_owned(),
        });
    };
    let asked_at = app.clock.wall_now();
    let settled_at = attempt.network_deadline.unwrap_or(asked_at) + delta(app.settings.settle);
    match courier.reconcile(&parcel).await {
        Ok(Reconciled::Booked(booked)) => record(app, &attempt, Ok(booked), 0).await,
        // A slow courier may book after we gave up: what is not there yet may still come.
        Ok(Reconciled::NotThere) if asked_at < settled_at => Ok(Next::At(settled_at)),
        Ok(Reconciled::NotThere) => resend(app, attempt).await,
        Ok(Reconciled::Refused { code }) => record(app, &attempt, Err(BookError::Fail { code }), 0).await,
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
        Err(error) => Ok(match error.after {
            Some(after) => Next::Retry {
                code: error.code,
                after: Some(bounded_retry_after(after)),
            },
            None => Next::retry(error.code),
        }),
    }
}

/// The attempt is certainly not booked: it may be sent again under the same reference.
async fn resend(app: &App, sent: Attempt) -> Result<Next, AppError> {
    let now = app.clock.business_now();
    app.orders
        .write(move |conn| {
            orders::lock_in_tx(conn, sent.order_id)?.ok_or(AppError::NotFound)?;
            let attempt = shipments::find(conn, sent.id)?.ok_or(AppError::NotFound)?;
            if attempt.tries != sent.tries || attempt.state != ShipmentState::Unknown {
                return Ok(Next::Now);
            }
            shipments::change_in_tx(conn, attempt.id, &Change::at(now).state(ShipmentState::Pending))?;
            Ok(Next::Now)
        })
        .await
}

/// Sends an attempt again that may be booked already, under the same reference, for as long as that books nothing twice.
/// It stays unknown unless the answer itself says what became of it.
async fn repeat(app: &App, attempt: Attempt, until: Instant, failures: u32) -> Result<Next, AppError> {
    let app_ = app.clone();
    let begun = app
        .write_sealed(move |conn, ring| {
            let now = Now::of(&app_.clock);
            let order = match people::lock(conn, attempt.order_id) {
                Ok(order) => order,
                Err(AppError::NotFound | AppError::Gone(_)) => return Ok(Err(Next::Done)),
                Err(error) => return Err(error),
            };
            let known = shipments::find(conn, attempt.id)?.ok_or(AppError::NotFound)?;
            if known.tries != attempt.tries || known.state != ShipmentState::Unknown {
                return Ok(Err(Next::Now));
            }
            // A hold stops everything but storage; lifting it drives the attempt on.
            if order.status != OrderStatus::Printed || order.is_held(now.business) {
                return Ok(Err(Next::Done));
            }
            let stop = |code: &str| Ok(Err(Next::Stop { code: code.to_owned() }));
            let Some(courier) = app_.couriers.get(&known.courier) else {
                return stop("courier_not_configured");
            };
            // Asked again where it counts: the wait for the lock is over.
            if now.wall >= until {
                return stop("cannot_tell");
            }
            let recipient = match people::find(conn, ring, order.id) {
                Ok(person) => person.recipient,
                Err(AppError::Gone(_)) => return stop("recipient_unreadable"),
                Err(error) => return Err(error),
            };
            Ok(Ok(sending(conn, &app_, &known, recipient, courier.deadline(), now)?))
        })
        .await?;
    let (sent, request) = match begun {
        Ok(begun) => begun,
        Err(next) => return Ok(next),
    };
    let (code, after) = match send_to_courier(app, &sent, &request).await? {
        outcome @ (Ok(_) | Err(BookError::Fail { .. })) => return record(app, &sent, outcome, failures).await,
        Err(BookError::Retry { code, after }) => (code, after.map(bounded_retry_after)),
        Err(BookError::Unauthorized { code } | BookError::Unknown { code }) => (code, None),
    };
    still_unknown(app, sent, &code).await?;
    Ok(if may_try_again(failures) {
        Next::Retry { code, after }
    } else {
        Next::Stop {
            code: "cannot_tell".to_owned(),
        }
    })
}

/// Notes that nothing more is known of an attempt than before this try.
async fn still_unknown(app: &App, sent: Attempt, code: &str) -> Result<(), AppError> {
    let (now, code) = (app.clock.business_now(), code.to_owned());
    app.orders
        .write(move |conn| {
            orders::lock_in_tx(conn, sent.order_id)?.ok_or(AppError::NotFound)?;
            let attempt = shipments::find(conn, sent.id)?.ok_or(AppError::NotFound)?;
            if attempt.tries != sent.tries || !attempt.state.is_in_flight() {
                return Ok(());
            }
            let change = Change::at(now).state(ShipmentState::Unknown).error(&code);
            Ok::<_, AppError>(shipments::change_in_tx(conn, attempt.id, &change)?)
        })
        .await
}

/// Calls a parcel off that should not exist.
///
/// # Errors
/// Store or vault: the job is tried again.
pub async fn cancel_stray(app: &App, id: crate::domain::ids::AttemptId) -> Result<Next, AppError> {
    let found = app
        .read_sealed(move |conn, ring| {
            let Some(attempt) = shipments::find(conn, id)? else {
                return Ok(None);
            };
            let (tracking_no, phone) = match people::find(conn, ring, attempt.order_id) {
                Ok(person) => {
                    let about = id.to_string();
                    let note = person
                        .notes
                        .iter()
                        .rev()
                        .find(|note| note.kind == booking::STRAY && note.about == about);
                    (note.map(|note| note.text.clone()), Some(person.recipient.phone))
                }
                Err(AppError::Gone(_) | AppError::Store(_)) => (None, None),
                Err(error) => return Err(error),
            };
            let parcel = booking::parcel_ref(&attempt, tracking_no, phone);
            Ok(Some((attempt, parcel)))
        })
        .await?;
    let Some((attempt, parcel)) = found else {
        return Ok(Next::Done);
    };
    match crate::app::cancel::call_off(app, &attempt, &parcel).await {
        Ok(()) => Ok(Next::Done),
        Err(AppError::Conflict { code, .. }) => Ok(Next::Stop { code: code.to_owned() }),
        Err(AppError::Courier { code, .. }) => Ok(Next::retry(code)),
        Err(error) => Err(error),
    }
}
