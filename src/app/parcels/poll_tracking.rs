//! Asking couriers about parcels: those without news for a while, those accepted without a number, and ends that only an
//! unsigned push reported. Webhooks are the rule, this is what holds where they do not come.
//!
//! Any number of replicas sweep side by side: whoever takes a parcel moves its next question on, in the same transaction.

use std::sync::Arc;

use chrono::TimeDelta;

use crate::app::parcels::booking_attempts::{self, Now, add_tracking, note_event};
use crate::app::parcels::circuit_breaker::{self, Permit};
use crate::app::parcels::events::apply::{self, Trust};
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::clock::{BusinessTime, delta};
use crate::couriers::{Booked, CallError, Courier, CourierEvent, News, ParcelRef, Reconciled};
use crate::domain::actor::Actor;
use crate::domain::circuit_breaker::Call;
use crate::domain::ids::AttemptId;
use crate::domain::job::Next;
use crate::domain::order::Order;
use crate::domain::shipment::{Attempt, CONFIRM_WITHIN, QUIET, ShipmentState, WITHOUT_NUMBER};
use crate::domain::timeline::TimelineKind;
use crate::store::shipments::{self, Change};
use crate::store::{AnyConn, orders};
use crate::vault::keyring::Keyring;

/// Parcels taken for one transaction, however many a courier lets us ask for at once.
const AT_MOST: usize = 100;

type Parcel = (Attempt, ParcelRef);

/// Asks every courier about what is due; returns how many parcels were asked for.
///
/// # Errors
/// Store or vault. A courier that gives no answer is asked again later.
pub async fn sweep(app: &App) -> Result<usize, AppError> {
    let mut asked = 0;
    for name in app.couriers.names() {
        let mut patience = Patience::default();
        while let Some(taken) = sweep_one(app, name, &mut patience).await? {
            asked += taken;
        }
    }
    Ok(asked)
}

/// How a courier's answers go in one sweep. A parcel that it will not speak of says nothing of the next; a courier that is
/// down is left alone.
#[derive(Default)]
struct Patience {
    failures_in_a_row: u8,
}

impl Patience {
    /// So many failures are the courier's, not a parcel's.
    const ENDS_AT: u8 = 3;

    fn answered(&mut self) {
        self.failures_in_a_row = 0;
    }

    fn failed(&mut self, courier: &str, error: &CallError) {
        tracing::warn!(%error, courier, "Courier gave no answer to a tracking query; will ask again");
        let leave = error.unauthorized || error.after.is_some();
        self.failures_in_a_row = if leave {
            Self::ENDS_AT
        } else {
            self.failures_in_a_row.saturating_add(1)
        };
    }

    fn is_over(&self) -> bool {
        self.failures_in_a_row >= Self::ENDS_AT
    }
}

/// Asks one courier about one batch; `None`: nothing more is due, or it must be left alone for now.
async fn sweep_one(app: &App, name: &'static str, patience: &mut Patience) -> Result<Option<usize>, AppError> {
    let Some(courier) = app.couriers.get(name) else {
        return Ok(None);
    };
    let Some((taken, parcels)) = take(app, courier.as_ref()).await? else {
        return Ok(None);
    };
    let asked = parcels.len();
    let (numbered, without): (Vec<_>, Vec<_>) = parcels
        .into_iter()
        .partition(|(_, parcel)| parcel.tracking_no.is_some());
    let numbered: Vec<ParcelRef> = numbered.into_iter().map(|(_, parcel)| parcel).collect();
    if !numbered.is_empty() && !track_these(app, courier, &numbered, patience).await? && numbered.len() > 1 {
        // One of them may have spoiled it for all.
        for parcel in &numbered {
            if patience.is_over() {
                return Ok(None);
            }
            track_these(app, courier, std::slice::from_ref(parcel), patience).await?;
        }
    }
    for (attempt, parcel) in without {
        if patience.is_over() {
            return Ok(None);
        }
        match circuit_breaker::call_and_record(app, courier, courier.reconcile(&parcel)).await {
            Ok(answer) => {
                patience.answered();
                take_answer(app, name, &attempt, &parcel, answer).await?;
            }
            Err(error) => patience.failed(name, &error),
        }
    }
    Ok((taken > 0 && !patience.is_over()).then_some(asked))
}

/// Asks where these parcels are, in one question; says whether there was an answer.
async fn track_these(
    app: &App,
    courier: &Arc<dyn Courier>,
    parcels: &[ParcelRef],
    patience: &mut Patience,
) -> Result<bool, AppError> {
    match circuit_breaker::call_and_record(app, courier, courier.track(parcels)).await {
        Ok(events) => {
            patience.answered();
            for event in events {
                apply::ingest(app, courier.name(), event, Trust::Sure).await?;
            }
            Ok(true)
        }
        Err(error) => {
            patience.failed(courier.name(), &error);
            Ok(false)
        }
    }
}

/// Takes in what a courier says of a parcel that it accepted without a number.
async fn take_answer(
    app: &App,
    name: &'static str,
    attempt: &Attempt,
    parcel: &ParcelRef,
    answer: Reconciled,
) -> Result<(), AppError> {
    match answer {
        Reconciled::Booked(booked) => take_number(app, attempt.id, booked).await,
        Reconciled::Refused { code } => {
            let event = called_off(parcel, code, app.clock.business_now());
            apply::ingest(app, name, event, Trust::Sure).await
        }
        _ => {
            tracing::warn!(courier = name, order = %attempt.order_id, "Courier has no tracking number for an accepted parcel; will ask again");
            Ok(())
        }
    }
}

/// Takes the parcels of a courier that are due, and moves their next question on. Those whose orders have ended by now are
/// not asked for any more. Returns how many were due beside those that are to be asked for.
async fn take(app: &App, courier: &dyn Courier) -> Result<Option<(usize, Vec<Parcel>)>, AppError> {
    let (name, deadline, limits) = (courier.name(), courier.deadline(), courier.tracking_limits());
    let limit = i64::try_from(limits.per_call.clamp(1, AT_MOST)).unwrap_or(1);
    let clock = app.clock.clone();
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&clock);
        let asked_before = now.wall - delta(limits.between);
        let due = shipments::pick_due_polls_in_tx(conn, name, now.business, asked_before, limit)?;
        if due.is_empty() {
            return Ok(None);
        }
        if let Permit::Wait { .. } = circuit_breaker::permit_in_tx(conn, name, Call::Ask, deadline, now.wall)? {
            return Ok(None);
        }
        let taken = due.len();
        let mut parcels = Vec::new();
        for attempt in due {
            parcels.extend(take_one(conn, ring, attempt, now)?);
        }
        Ok(Some((taken, parcels)))
    })
    .await
}

fn take_one(conn: &mut AnyConn, ring: &Keyring, attempt: Attempt, now: Now) -> Result<Option<Parcel>, AppError> {
    let change = Change::at(now.business).polled(now.wall);
    let parcel = match orders::find(conn, attempt.order_id)? {
        Some(order)
            if !order.status.is_ended()
                && order.purge_decided_at.is_none()
                && order.attempt == attempt.number
                && attempt.state == ShipmentState::Booked =>
        {
            parcel_of(conn, ring, &attempt)?
        }
        _ => None,
    };
    let next = parcel.as_ref().map(|parcel| {
        now.business
            + if parcel.tracking_no.is_some() {
                QUIET
            } else {
                WITHOUT_NUMBER
            }
    });
    shipments::change_in_tx(conn, attempt.id, &change.poll_at(next))?;
    Ok(parcel.map(|parcel| (attempt, parcel)))
}

/// An attempt's parcel as its courier is asked for it; `None` where its person cannot be read any more.
fn parcel_of(conn: &mut AnyConn, ring: &Keyring, attempt: &Attempt) -> Result<Option<ParcelRef>, AppError> {
    match personal_record::find(conn, ring, attempt.order_id) {
        Ok(person) => Ok(Some(booking_attempts::parcel_ref(
            attempt,
            person.tracking_of(attempt.number).cloned(),
            Some(person.recipient.phone),
        ))),
        Err(AppError::Gone(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// News of a parcel that its courier accepted and will not carry after all: once somebody had looked at the address, or
/// the company behind it had refused.
fn called_off(parcel: &ParcelRef, code: String, at: BusinessTime) -> CourierEvent {
    CourierEvent {
        reference: Some(parcel.reference.clone()),
        provider_ref: None,
        tracking_no: None,
        new_tracking_no: None,
        new_provider_ref: None,
        news: News::CalledOff,
        code,
        at,
        remark: None,
    }
}

/// Takes in the number of a parcel that was accepted without one, and what was heard under it meanwhile.
async fn take_number(app: &App, id: AttemptId, booked: Booked) -> Result<(), AppError> {
    let app_ = app.clone();
    app.write_sealed(move |conn, ring| {
        let Some(number) = &booked.tracking_no else {
            return Ok(());
        };
        let now = Now::of(&app_.clock);
        let found = shipments::find(conn, id)?.ok_or(AppError::NotFound)?;
        let Some(order) = personal_record::lock_unless_purged(conn, found.order_id)? else {
            return Ok(());
        };
        let attempt = shipments::find(conn, id)?.ok_or(AppError::NotFound)?;
        if attempt.state != ShipmentState::Booked {
            return Ok(());
        }
        add_tracking(conn, ring, &order, &attempt, number, now.business)?;
        let change = Change::at(now.business).poll_at(Some(now.business + QUIET));
        shipments::change_in_tx(conn, id, &change)?;
        let actor = Actor::courier(&attempt.courier);
        note_event(conn, &order, TimelineKind::TrackingNumber, &actor, None, now.business)?;
        apply::apply_parked(conn, ring, &app_, order, attempt, Some(number), now)
    })
    .await
}

/// Asks the courier whether it has called a booking off, as an unsigned push says. Until it says so itself the parcel stays
/// booked. Where it never does the job ends as dead, for a person to look: calling the order off, or correcting it, goes to
/// the courier, and its answer decides.
///
/// # Errors
/// Store or vault: the job is tried again.
pub async fn confirm_call_off(app: &App, id: AttemptId) -> Result<Next, AppError> {
    let in_the_house = |order: &Order| !order.status.is_shipped() && !order.status.is_ended();
    let is_open = move |attempt: &Attempt, order: &Order| attempt.state == ShipmentState::Booked && in_the_house(order);
    let Some((attempt, parcel)) = find_parcel(app, id, is_open).await? else {
        return Ok(Next::Done);
    };
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return Ok(Next::Stop {
            code: circuit_breaker::NOT_CONFIGURED.to_owned(),
        });
    };
    if let Err(wait) = may_ask(app, courier, &attempt).await? {
        return Ok(wait);
    }
    match circuit_breaker::call_and_record(app, courier, courier.reconcile(&parcel)).await {
        Ok(Reconciled::Refused { code }) => {
            let event = called_off(&parcel, code, app.clock.business_now());
            apply::ingest(app, courier.name(), event, Trust::Sure).await?;
            Ok(Next::Done)
        }
        // Its queries lag its pushes; and "not there" of a parcel that it has booked is no word to book another on.
        Ok(_) => Ok(Next::Retry {
            code: "call_off_unconfirmed".to_owned(),
            after: None,
        }),
        Err(error) => Ok(circuit_breaker::next_after(error, app.clock.wall_now())),
    }
}

/// A parcel that a courier is to be asked about, where that is still an open question and its person is not gone.
async fn find_parcel(
    app: &App,
    id: AttemptId,
    is_open: impl Fn(&Attempt, &Order) -> bool + Send + Sync + 'static,
) -> Result<Option<Parcel>, AppError> {
    app.read_sealed(move |conn, ring| {
        let Some(attempt) = shipments::find(conn, id)? else {
            return Ok(None);
        };
        match orders::find(conn, attempt.order_id)? {
            Some(order) if order.purge_decided_at.is_none() && is_open(&attempt, &order) => {
                let parcel = parcel_of(conn, ring, &attempt)?;
                Ok(parcel.map(|parcel| (attempt, parcel)))
            }
            _ => Ok(None),
        }
    })
    .await
}

/// Notes that a courier is asked about a parcel now; the wait, where it was just asked or is paused.
async fn may_ask(app: &App, courier: &Arc<dyn Courier>, attempt: &Attempt) -> Result<Result<(), Next>, AppError> {
    let now = Now::of(&app.clock);
    let between = delta(courier.tracking_limits().between);
    if let Some(asked_at) = attempt.polled_at.filter(|asked_at| *asked_at + between > now.wall) {
        return Ok(Err(Next::At(asked_at + between)));
    }
    if let Permit::Wait { until, .. } = circuit_breaker::permit(app, courier, Call::Ask).await? {
        return Ok(Err(Next::At(until)));
    }
    let (id, order) = (attempt.id, attempt.order_id);
    app.orders
        .write(move |conn| {
            orders::lock_in_tx(conn, order)?;
            shipments::change_in_tx(conn, id, &Change::at(now.business).polled(now.wall))
        })
        .await?;
    Ok(Ok(()))
}

/// Asks the courier whether an end is true that only an unsigned push reported. It is asked often at first, and after
/// [`CONFIRM_WITHIN`] no more by this job: then it is shown as trouble, and the sweep goes on asking now and then.
///
/// # Errors
/// Store or vault: the job is tried again.
pub async fn confirm_end(app: &App, id: AttemptId) -> Result<Next, AppError> {
    let is_open = |attempt: &Attempt, _: &Order| attempt.end_reported.is_some();
    let Some((attempt, parcel)) = find_parcel(app, id, is_open).await? else {
        return Ok(Next::Done);
    };
    let (Some(courier), Some(reported)) = (app.couriers.get(&attempt.courier), attempt.end_reported) else {
        return Ok(Next::Stop {
            code: circuit_breaker::NOT_CONFIGURED.to_owned(),
        });
    };
    let now = Now::of(&app.clock);
    let between = delta(courier.tracking_limits().between);
    if let Err(wait) = may_ask(app, courier, &attempt).await? {
        return Ok(wait);
    }
    match circuit_breaker::call_and_record(app, courier, courier.track(std::slice::from_ref(&parcel))).await {
        Ok(events) => {
            for event in events {
                apply::ingest(app, courier.name(), event, Trust::Sure).await?;
            }
        }
        Err(error) => {
            tracing::warn!(%error, courier = courier.name(), "Failed to confirm a reported end; will ask again")
        }
    }
    let still = app.orders.read(move |conn| shipments::find(conn, id)).await?;
    if still.is_none_or(|still| still.end_reported.is_none()) {
        return Ok(Next::Done);
    }
    let age = now.business - reported.at;
    if age >= CONFIRM_WITHIN {
        tracing::error!(order = %attempt.order_id, courier = attempt.courier, "End reported by an unsigned push is not confirmed; manual check required");
        return Ok(Next::Done);
    }
    // Couriers' own queries lag their pushes by minutes, seldom by hours.
    let wait = if age < TimeDelta::hours(1) {
        TimeDelta::minutes(10)
    } else if age < TimeDelta::days(1) {
        TimeDelta::hours(2)
    } else {
        TimeDelta::hours(12)
    };
    Ok(Next::Later {
        wait,
        not_before: now.wall + between,
    })
}
