//! A courier in trouble: its queue pauses for all replicas, one call at a time probes, a success opens it again. What
//! waits costs none of its tries. The rules are in `domain::circuit_breaker`; here they meet the row that replicas share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::app::parcels::booking_attempts::Now;
use crate::app::{App, AppError};
use crate::clock::{WallTime, delta};
use crate::couriers::{BookError, Booked, CallError, Courier};
use crate::domain::circuit_breaker::{Breaker, Call, CallOutcome, State, Transition};
use crate::domain::job::{MARGIN, Next, bounded_retry_after};
use crate::store::courier_state::{self, Queue};
use crate::store::{AnyConn, StoreError};

/// A queue that is paused for so long does not keep orders for itself: their next attempt goes to a fallback.
pub(crate) const FALL_BACK_AFTER: TimeDelta = TimeDelta::minutes(30);

/// Whether a courier may be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// Yes.
    Go,
    /// Not before `until`; paused since `since`. Both wall time.
    Wait { until: WallTime, since: WallTime },
}

/// Asks whether a courier may be called now. While it is paused one caller alone gets its probe; `deadline` is how long
/// that call can take at most. The caller's order, if it has one, is locked already.
///
/// # Errors
/// The store.
pub(crate) fn permit_in_tx(
    conn: &mut AnyConn,
    courier: &str,
    call: Call,
    deadline: Duration,
    wall: WallTime,
) -> Result<Permit, StoreError> {
    let Some(breaker) = courier_state::find(conn, courier)? else {
        return Ok(Permit::Go);
    };
    if !breaker.blocks(call) {
        return Ok(Permit::Go);
    }
    let next = wall + delta(deadline) + MARGIN;
    let due = breaker.paused_until.is_none_or(|until| until <= wall);
    if due && courier_state::take_probe_in_tx(conn, courier, wall, next)? {
        tracing::info!(courier, "Circuit breaker half-open; sending one probe to the courier");
        return Ok(Permit::Go);
    }
    Ok(Permit::Wait {
        until: breaker.paused_until.filter(|until| *until > wall).unwrap_or(next),
        since: breaker.since,
    })
}

/// The same in a transaction of its own.
///
/// # Errors
/// The store.
pub(crate) async fn permit(app: &App, courier: &Arc<dyn Courier>, call: Call) -> Result<Permit, AppError> {
    let (name, deadline, wall) = (courier.name(), courier.deadline(), app.clock.wall_now());
    app.orders
        .write(move |conn| Ok(permit_in_tx(conn, name, call, deadline, wall)?))
        .await
}

/// Takes in how a call that began at `began_at` (wall) ended: pauses the courier's queue for all, or opens it and makes
/// what waits due at once. The last thing that a transaction locks.
///
/// # Errors
/// The store.
pub(crate) fn record_in_tx(
    conn: &mut AnyConn,
    courier: &str,
    call: Call,
    call_outcome: CallOutcome<'_>,
    began_at: WallTime,
    now: Now,
) -> Result<(), StoreError> {
    let mut breaker = courier_state::lock_in_tx(conn, courier, now.wall)?;
    let turn = breaker.record(call, call_outcome, began_at, now.wall);
    courier_state::save_in_tx(conn, courier, &breaker)?;
    match turn {
        Transition::Unchanged => {}
        Transition::Opened => {
            let code = breaker.last_error.as_deref().unwrap_or_default();
            if breaker.state == State::Unauthorized {
                tracing::error!(
                    courier,
                    code,
                    "Courier rejected our credentials; circuit breaker opened until they are corrected"
                );
            } else {
                tracing::error!(
                    courier,
                    code,
                    "Circuit breaker opened after consecutive failed bookings; bookings of this courier wait"
                );
            }
        }
        Transition::Closed => {
            let waiting = courier_state::hasten_jobs_in_tx(conn, courier, now.business, now.wall)?;
            tracing::info!(
                courier,
                waiting,
                "Circuit breaker closed; waiting jobs of this courier are due now"
            );
        }
    }
    Ok(())
}

/// What the outcome of a booking says of its courier; `None` where the request was never made.
pub(crate) fn booking_outcome(outcome: &Result<Booked, BookError>) -> Option<CallOutcome<'_>> {
    Some(match outcome {
        Ok(_) => CallOutcome::Answer,
        Err(error) if NEVER_SENT.contains(&error.code()) => return None,
        Err(BookError::Fail { .. }) => CallOutcome::Answer,
        Err(BookError::Retry { code, after }) => CallOutcome::Failure { code, after: *after },
        Err(BookError::Unknown { code }) => CallOutcome::Unsure { code },
        Err(BookError::Unauthorized { code }) => CallOutcome::Unauthorized { code },
    })
}

/// Codes of ours, for what did not reach the courier at all.
const NEVER_SENT: [&str; 2] = [STOPPED, NOT_CONFIGURED];

/// This process stood still until the attempt's deadline was over.
pub(crate) const STOPPED: &str = "stopped_before_sending";

/// The courier of an attempt is not configured any more.
pub(crate) const NOT_CONFIGURED: &str = "courier_not_configured";

/// Asks a courier something, and takes in how that ended.
///
/// # Errors
/// What the courier said.
pub(crate) async fn call_and_record<T>(
    app: &App,
    courier: &Arc<dyn Courier>,
    question: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let began_at = app.clock.wall_now();
    let answer = question.await;
    let (name, now) = (courier.name(), Now::of(&app.clock));
    let failure = answer.as_ref().err().cloned();
    let noted = app
        .orders
        .write(move |conn| {
            let call_outcome = match &failure {
                None => CallOutcome::Answer,
                Some(error) if error.unauthorized => CallOutcome::Unauthorized { code: &error.code },
                Some(error) => CallOutcome::Failure {
                    code: &error.code,
                    after: error.after,
                },
            };
            record_in_tx(conn, name, Call::Ask, call_outcome, began_at, now)
        })
        .await;
    if let Err(error) = noted {
        tracing::warn!(%error, courier = name, "Failed to record the outcome of a courier call; circuit breaker not updated");
    }
    answer
}

/// A configured courier as operators see it.
#[derive(Debug, Clone)]
pub struct CourierView {
    /// Its name.
    pub name: &'static str,
    /// Where it handles the recipients' data.
    pub region: String,
    /// How it stands.
    pub breaker: Breaker,
    /// How many of the last calls failed, 0 to 1.
    pub error_rate: Option<f64>,
    /// What waits for it.
    pub queue: Queue,
}

impl App {
    /// Every configured courier: how it stands, and what waits for it.
    ///
    /// # Errors
    /// Store.
    pub async fn couriers_now(&self) -> Result<Vec<CourierView>, AppError> {
        let couriers = self.couriers.clone();
        let now = Now::of(&self.clock);
        self.orders
            .read(move |conn| {
                let queues = courier_state::queues(conn, now.business, now.wall)?;
                couriers
                    .names()
                    .map(|name| {
                        let breaker = courier_state::find(conn, name)?.unwrap_or_else(|| Breaker::new(now.wall));
                        Ok(CourierView {
                            name,
                            region: couriers.region(name).unwrap_or_default().to_owned(),
                            error_rate: breaker.error_rate(now.wall),
                            queue: queues.get(name).copied().unwrap_or_default(),
                            breaker,
                        })
                    })
                    .collect()
            })
            .await
    }

    /// Makes the next call to a paused courier a probe, now.
    ///
    /// # Errors
    /// There is no such courier here; store.
    pub async fn resume_courier(&self, name: &str) -> Result<CourierView, AppError> {
        let known = self.couriers.names().find(|known| *known == name);
        let name = known.ok_or(AppError::NotFound)?;
        let now = Now::of(&self.clock);
        self.orders
            .write(move |conn| {
                let mut breaker = courier_state::lock_in_tx(conn, name, now.wall)?;
                breaker.resume(now.wall);
                courier_state::save_in_tx(conn, name, &breaker)?;
                courier_state::hasten_jobs_in_tx(conn, name, now.business, now.wall)?;
                Ok::<_, AppError>(())
            })
            .await?;
        let all = self.couriers_now().await?;
        all.into_iter().find(|view| view.name == name).ok_or(AppError::NotFound)
    }
}

/// What a job does next whose question got no usable answer, at `wall`. Refused credentials cost no try: the breaker is
/// open by now.
pub(crate) fn next_after(error: CallError, wall: WallTime) -> Next {
    if error.unauthorized {
        return Next::At(wall + TimeDelta::minutes(1));
    }
    Next::Retry {
        code: error.code,
        after: error.after.map(bounded_retry_after),
    }
}
