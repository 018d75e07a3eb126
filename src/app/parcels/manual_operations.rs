//! What operators settle by hand: a parcel that was shipped without a booking, an end that no courier will report, another
//! courier, a returned order that goes out again.

use crate::app::conflict::Conflict;
use crate::app::parcels::booking_attempts::{
    self, By, Now, add_attempt, close_attempt, enqueue, new_attempt, note_event, record_booked, refuse_in_flight, step,
};
use crate::app::parcels::circuit_breaker::{self, Permit};
use crate::app::parcels::events::apply;
use crate::app::parcels::fallback;
use crate::app::records::order_view::{self, OrderView};
use crate::app::records::{notes, personal_record};
use crate::app::{App, AppError, Caller};
use crate::couriers::{Booked, ParcelRef};
use crate::domain::circuit_breaker::Call;
use crate::domain::ids::{AttemptId, OrderId};
use crate::domain::job::{Job, Next};
use crate::domain::order::{Order, OrderStatus, Step};
use crate::domain::shipment::{Attempt, DISCLOSED_TO_COURIERS, ShipmentState, TrackingStatus};
use crate::domain::timeline::TimelineKind;
use crate::privacy::Pii;
use crate::store::orders::{self, Change, change_in_tx};
use crate::store::shipments::{self};
use crate::vault::keyring::Keyring;

/// Records that a printed order was shipped by hand under that number, and asks the courier for news of it. The courier is
/// one that this build knows; it need not be configured. The same again changes nothing.
///
/// # Errors
/// Not found, not printed, shipped already, held or withdrawn, a booking in flight, another parcel booked, store or vault.
pub async fn ship(
    app: &App,
    caller: &Caller,
    id: OrderId,
    courier: String,
    number: Pii<String>,
) -> Result<OrderView, AppError> {
    let (app_, actor) = (app.clone(), caller.actor());
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&app_.clock);
        let mut order = personal_record::lock(conn, id)?;
        let attempt = booking_attempts::current(conn, &order)?;
        if let Some(attempt) = attempt
            .as_ref()
            .filter(|attempt| attempt.state == ShipmentState::Booked)
        {
            let person = personal_record::find(conn, ring, id)?;
            let same = person
                .tracking
                .iter()
                .any(|known| known.attempt == attempt.number && known.number == number);
            return if same && attempt.courier == courier {
                order_view::one(conn, Some(ring), order, now.business)
            } else {
                Err(AppError::Conflict(Conflict::AlreadyBooked))
            };
        }
        allow_change(&order, now)?;
        if order.status != OrderStatus::Printed {
            return Err(AppError::Conflict(Conflict::NotPrinted));
        }
        refuse_in_flight(attempt.as_ref())?;
        close_pending(conn, attempt.as_ref(), now)?;
        let new = add_attempt(conn, &mut order, &courier, None, now)?;
        let mut attempt = shipments::find(conn, new)?.ok_or(AppError::NotFound)?;
        note_event(
            conn,
            &order,
            TimelineKind::ShippedByHand,
            &actor,
            Some(&courier),
            now.business,
        )?;
        let booked = Booked::under(Some(number.clone()));
        record_booked(conn, ring, &order, &mut attempt, &booked, &actor, now.business)?;
        shipments::disclose_in_tx(conn, &attempt, DISCLOSED_TO_COURIERS, "delivery", now.business)?;
        enqueue(conn, Job::Watch(attempt.id), now)?;
        apply::apply_parked(conn, ring, &app_, order, attempt, Some(&number), now)?;
        let order = orders::find(conn, id)?.ok_or(AppError::NotFound)?;
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}

/// Ends an order as a person found it to be. The transition table decides; the courier's later truth corrects it still.
///
/// # Errors
/// Not found, a booking in flight, an impossible step, store or vault.
pub async fn mark(
    app: &App,
    caller: &Caller,
    id: OrderId,
    end: TrackingStatus,
    reason: Pii<String>,
) -> Result<OrderView, AppError> {
    let (clock, window, actor) = (app.clock.clone(), app.settings.window, caller.actor());
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&clock);
        let mut order = personal_record::lock(conn, id)?;
        let Some(next) = OrderStatus::step_for(end).filter(|_| end.is_end()) else {
            return Err(AppError::Conflict(Conflict::NotAnEnd));
        };
        if order.status.as_str() == end.as_str() {
            return order_view::one(conn, Some(ring), order, now.business);
        }
        order.status.after(next)?;
        let attempt = booking_attempts::current(conn, &order)?;
        refuse_in_flight(attempt.as_ref())?;
        close_pending(conn, attempt.as_ref(), now)?;
        if let Some(attempt) = attempt {
            let change = shipments::Change::at(now.business).end_reported(None).poll_at(None);
            shipments::change_in_tx(conn, attempt.id, &change)?;
        }
        notes::add(conn, ring, id, notes::note("mark_reason", id, &reason), now.business)?;
        let by = By {
            actor: &actor,
            code: Some("by_hand"),
            now: now.business,
            window,
        };
        step(conn, &mut order, next, Change::at(now.business), &by)?;
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}

/// Gives an order that is not booked yet to another courier. The one it has already changes nothing.
///
/// # Errors
/// Not found, no such courier or one abroad without consent (422), booked or shipped already, a booking in flight, held,
/// store or vault.
pub async fn change_courier(app: &App, caller: &Caller, id: OrderId, courier: String) -> Result<OrderView, AppError> {
    fallback::check_configured(app, &courier)?;
    let (app_, actor) = (app.clone(), caller.actor());
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&app_.clock);
        let mut order = personal_record::lock(conn, id)?;
        allow_change(&order, now)?;
        let attempt = booking_attempts::current(conn, &order)?;
        refuse_in_flight(attempt.as_ref())?;
        if attempt
            .as_ref()
            .is_some_and(|attempt| attempt.state == ShipmentState::Booked)
        {
            return Err(AppError::Conflict(Conflict::AlreadyBooked));
        }
        check_consent(conn, ring, &app_, &order, &courier)?;
        if order.courier == courier {
            return order_view::one(conn, Some(ring), order, now.business);
        }
        note_event(
            conn,
            &order,
            TimelineKind::CourierChanged,
            &actor,
            Some(&courier),
            now.business,
        )?;
        match attempt {
            None => {
                change_in_tx(conn, id, &Change::at(now.business).courier(&courier))?;
                order.courier.clone_from(&courier);
                order.updated_at = now.business;
            }
            Some(attempt) => {
                close_pending(conn, Some(&attempt), now)?;
                new_attempt(conn, &mut order, &courier, now)?;
            }
        }
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}

/// Sends a returned order once more: a new parcel, and the retention clock begins with its next end.
///
/// # Errors
/// Not found, not returned, held or restricted, purged, no consent for the courier any more (422), store or vault.
pub async fn reship(app: &App, caller: &Caller, id: OrderId) -> Result<OrderView, AppError> {
    let (app_, actor) = (app.clone(), caller.actor());
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&app_.clock);
        let mut order = personal_record::lock(conn, id)?;
        order.status.after(Step::Reship)?;
        may_hand_on(&order, now)?;
        if order.restriction.is_some() {
            return Err(AppError::Conflict(Conflict::Restricted));
        }
        let courier = order.courier.clone();
        check_consent(conn, ring, &app_, &order, &courier)?;
        let by = By {
            actor: &actor,
            code: Some("reship"),
            now: now.business,
            window: app_.settings.window,
        };
        step(conn, &mut order, Step::Reship, Change::at(now.business), &by)?;
        new_attempt(conn, &mut order, &courier, now)?;
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}

/// Whether it may still be decided who carries the order.
fn allow_change(order: &Order, now: Now) -> Result<(), AppError> {
    if order.status.is_shipped() {
        return Err(AppError::Conflict(Conflict::AlreadyShipped));
    }
    if order.status.is_ended() {
        return Err(AppError::Conflict(Conflict::OrderCancelled));
    }
    may_hand_on(order, now)
}

/// Whether anything of the person may be handed on.
fn may_hand_on(order: &Order, now: Now) -> Result<(), AppError> {
    if order.is_held(now.business) {
        return Err(AppError::Conflict(Conflict::Held));
    }
    if order.is_withdrawn() {
        return Err(AppError::Conflict(Conflict::ConsentWithdrawn));
    }
    Ok(())
}

fn check_consent(
    conn: &mut crate::store::AnyConn,
    ring: &Keyring,
    app: &App,
    order: &Order,
    courier: &str,
) -> Result<(), AppError> {
    let person = personal_record::find(conn, ring, order.id)?;
    fallback::check_consent(app, courier, &person.recipient.address, order.cross_border, "/courier")
}

/// Closes an attempt that is not booked and is not going to be.
fn close_pending(conn: &mut crate::store::AnyConn, attempt: Option<&Attempt>, now: Now) -> Result<(), AppError> {
    match attempt {
        Some(attempt) if attempt.state == ShipmentState::Pending => close_attempt(conn, attempt, now.business),
        _ => Ok(()),
    }
}

/// Asks the courier to send news of a parcel that was not booked through it, or that goes on under another number. What
/// is handed over for it is disclosed first.
///
/// # Errors
/// Store or vault: the job is tried again.
pub async fn watch(app: &App, id: AttemptId) -> Result<Next, AppError> {
    let Some(found) = shipments_to_watch(app, id).await? else {
        return Ok(Next::Done);
    };
    let (attempt, parcel) = found;
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        // Known to this build and not configured: its news is not for this shop.
        return Ok(Next::Done);
    };
    if let Permit::Wait { until, .. } = circuit_breaker::permit(app, courier, Call::Ask).await? {
        return Ok(Next::At(until));
    }
    match circuit_breaker::call_and_record(app, courier, courier.watch(&parcel)).await {
        Ok(()) => Ok(Next::Done),
        Err(error) => Ok(circuit_breaker::next_after(error, app.clock.wall_now())),
    }
}

async fn shipments_to_watch(app: &App, id: AttemptId) -> Result<Option<(Attempt, ParcelRef)>, AppError> {
    let app_ = app.clone();
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&app_.clock);
        let Some(attempt) = shipments::find(conn, id)? else {
            return Ok(None);
        };
        let order = match personal_record::lock_unless_purged(conn, attempt.order_id) {
            Ok(Some(order)) => order,
            Ok(None) | Err(AppError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let person = match personal_record::find(conn, ring, order.id) {
            Ok(person) => person,
            Err(AppError::Gone(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if attempt.state != ShipmentState::Booked || order.status.is_ended() || may_hand_on(&order, now).is_err() {
            return Ok(None);
        }
        if app_.couriers.get(&attempt.courier).is_some() {
            shipments::disclose_in_tx(conn, &attempt, "tracking_no,phone", "tracking", now.business)?;
        }
        let number = person.tracking_of(attempt.number).cloned();
        let parcel = booking_attempts::parcel_ref(&attempt, number, Some(person.recipient.phone));
        Ok(Some((attempt, parcel)))
    })
    .await
}
