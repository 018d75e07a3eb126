//! A booking that may exist already, sent once more: for couriers that can only be asked so.

use chrono::TimeDelta;

use crate::app::parcels::booking_attempts::Now;
use crate::app::parcels::booking_io::{may_try_again, record, send_to_courier, sending};
use crate::app::parcels::circuit_breaker;
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::clock::WallTime;
use crate::couriers::BookError;
use crate::domain::circuit_breaker::Call;
use crate::domain::job::{Next, bounded_retry_after};
use crate::domain::order::OrderStatus;
use crate::domain::shipment::{Attempt, ShipmentState};
use crate::store::orders;
use crate::store::shipments::{self, Change};

/// Sends an attempt again that may be booked already, under the same reference, for as long as that books nothing twice.
/// It stays unknown unless the answer itself says what became of it.
///
/// # Errors
/// Store or vault.
pub(super) async fn repeat(app: &App, attempt: Attempt, until: WallTime, failures: u32) -> Result<Next, AppError> {
    let app_ = app.clone();
    let begun = app
        .write_sealed(move |conn, ring| {
            let now = Now::of(&app_.clock);
            let order = match personal_record::lock_unless_purged(conn, attempt.order_id) {
                Ok(Some(order)) => order,
                Ok(None) | Err(AppError::NotFound) => return Ok(Err(Next::Done)),
                Err(error) => return Err(error),
            };
            let known = shipments::find(conn, attempt.id)?.ok_or(AppError::NotFound)?;
            if known.tries != attempt.tries || known.state != ShipmentState::Unknown {
                return Ok(Err(Next::Now));
            }
            let stop = |code: &str| Ok(Err(Next::Stop { code: code.to_owned() }));
            // Without consent nothing personal is handed on once more: only a person can find out now.
            if order.is_withdrawn() {
                return stop("cannot_tell");
            }
            // A hold stops everything but storage; lifting it drives the attempt on.
            if order.status != OrderStatus::Printed || order.is_held(now.business) {
                return Ok(Err(Next::Done));
            }
            let Some(courier) = app_.couriers.get(&known.courier) else {
                return stop(circuit_breaker::NOT_CONFIGURED);
            };
            // Asked again where it counts: the wait for the lock is over.
            if now.wall >= until {
                return stop("cannot_tell");
            }
            let recipient = match personal_record::find(conn, ring, order.id) {
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
    let began_at = app.clock.wall_now();
    let outcome = send_to_courier(app, &sent, &request).await?;
    let error = match outcome {
        Ok(_) | Err(BookError::Fail { .. }) => return record(app, &sent, outcome, failures, Some(began_at)).await,
        Err(error) => error,
    };
    still_unknown(app, sent, &error, began_at).await?;
    Ok(match error {
        // Costs no try: the courier's queue is paused by this very answer.
        BookError::Unauthorized { .. } => Next::At(app.clock.wall_now() + TimeDelta::minutes(1)),
        _ if !may_try_again(failures) => Next::Stop {
            code: "cannot_tell".to_owned(),
        },
        BookError::Retry { code, after } => Next::Retry {
            code,
            after: after.map(bounded_retry_after),
        },
        BookError::Unknown { code } | BookError::Fail { code } => Next::Retry { code, after: None },
    })
}

/// Notes that nothing more is known of an attempt than before this try.
async fn still_unknown(app: &App, sent: Attempt, error: &BookError, began_at: WallTime) -> Result<(), AppError> {
    let (now, error) = (Now::of(&app.clock), error.clone());
    app.orders
        .write(move |conn| {
            orders::lock_in_tx(conn, sent.order_id)?.ok_or(AppError::NotFound)?;
            let attempt = shipments::find(conn, sent.id)?.ok_or(AppError::NotFound)?;
            if attempt.tries == sent.tries && attempt.state.is_in_flight() {
                let change = Change::at(now.business)
                    .state(ShipmentState::Unknown)
                    .error(error.code());
                shipments::change_in_tx(conn, attempt.id, &change)?;
            }
            let outcome = Err(error);
            if let Some(call_outcome) = circuit_breaker::booking_outcome(&outcome) {
                circuit_breaker::record_in_tx(conn, &sent.courier, Call::Book, call_outcome, began_at, now)?;
            }
            Ok::<_, AppError>(())
        })
        .await
}
