//! Operators and shipments in trouble: try again, or say what no query can tell.

use crate::app::conflict::Conflict;
use crate::app::parcels::booking_attempts::{self, Now, enqueue_ship, new_attempt, note_event, record_booked};
use crate::app::parcels::events::apply;
use crate::app::records::order_view::{self, OrderView};
use crate::app::records::{notes, personal_record};
use crate::app::{App, AppError, Caller};
use crate::couriers::Booked;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::domain::shipment::ShipmentState;
use crate::domain::timeline::TimelineKind;
use crate::privacy::Pii;
use crate::store::shipments::{self, Change};

/// What a person found out about an unknown booking.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// It is booked under this tracking number.
    Booked(Pii<String>),
    /// It is not booked.
    NotBooked,
}

/// Drives the shipment on: a failed one with a new attempt, an unknown one by asking the courier, never by sending
/// blindly.
///
/// # Errors
/// Not found, nothing to retry, held, store or vault.
pub async fn retry(app: &App, caller: &Caller, id: OrderId) -> Result<OrderView, AppError> {
    let (now, actor) = (Now::of(&app.clock), caller.actor());
    app.write_sealed(move |conn, ring| {
        let mut order = personal_record::lock(conn, id)?;
        let attempt = booking_attempts::current(conn, &order)?;
        let Some(attempt) = attempt.filter(|_| order.status == OrderStatus::Printed) else {
            return Err(AppError::Conflict(Conflict::NothingToRetry));
        };
        if order.is_held(now.business) {
            return Err(AppError::Conflict(Conflict::Held));
        }
        if order.is_withdrawn() {
            return Err(AppError::Conflict(Conflict::ConsentWithdrawn));
        }
        match attempt.state {
            ShipmentState::Failed | ShipmentState::Cancelled => {
                new_attempt(conn, &mut order, &attempt.courier, now)?;
            }
            ShipmentState::Pending | ShipmentState::Unknown => enqueue_ship(conn, id, now)?,
            ShipmentState::Booking => {
                return Err(AppError::Conflict(Conflict::BookingInProgress));
            }
            ShipmentState::Booked => {
                return Err(AppError::Conflict(Conflict::AlreadyBooked));
            }
        }
        note_event(conn, &order, TimelineKind::ShipmentRetried, &actor, None, now.business)?;
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}

/// Settles an unknown booking by what a person found out.
///
/// # Errors
/// Not found, the booking is not unknown, store or vault.
pub async fn resolve(
    app: &App,
    caller: &Caller,
    id: OrderId,
    resolution: Resolution,
    reason: Pii<String>,
) -> Result<OrderView, AppError> {
    let (app_, actor) = (app.clone(), caller.actor());
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&app_.clock);
        let mut order = personal_record::lock(conn, id)?;
        let mut attempt = match booking_attempts::current(conn, &order)? {
            Some(attempt) if attempt.state == ShipmentState::Unknown => attempt,
            _ => {
                return Err(AppError::Conflict(Conflict::NotUnknown));
            }
        };
        notes::add(conn, ring, id, notes::note("resolve_reason", id, &reason), now.business)?;
        match &resolution {
            Resolution::Booked(number) => {
                note_event(
                    conn,
                    &order,
                    TimelineKind::ShipmentResolved,
                    &actor,
                    Some("booked"),
                    now.business,
                )?;
                let booked = Booked::under(Some(number.clone()));
                record_booked(conn, ring, &order, &mut attempt, &booked, &actor, now.business)?;
                apply::apply_parked(conn, ring, &app_, order, attempt, Some(number), now)?;
            }
            Resolution::NotBooked => {
                let change = Change::at(now.business)
                    .state(ShipmentState::Failed)
                    .error("resolved_not_booked");
                shipments::change_in_tx(conn, attempt.id, &change)?;
                note_event(
                    conn,
                    &order,
                    TimelineKind::ShipmentResolved,
                    &actor,
                    Some("not_booked"),
                    now.business,
                )?;
                // The courier never lets an id be used again once it may have seen it: the next attempt takes the next.
                new_attempt(conn, &mut order, &attempt.courier, now)?;
            }
        }
        let order = crate::store::orders::find(conn, id)?.ok_or(AppError::NotFound)?;
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}
