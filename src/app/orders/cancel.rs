//! Calling an order off before it is shipped. A parcel that is booked already is called off at the courier first, and
//! the courier's answer decides.

use crate::app::conflict::Conflict;
use crate::app::orders::query::{lock_visible, visible};
use crate::app::parcels::booking_attempts::{self, By, Now, close_attempt, refuse_held, refuse_in_flight};
use crate::app::parcels::cancel_at_courier::{booked_parcel, call_off};
use crate::app::records::notes;
use crate::app::records::order_view::{self, OrderView};
use crate::app::{App, AppError, Caller};
use crate::domain::actor::Actor;
use crate::domain::ids::OrderId;
use crate::domain::order::Step;
use crate::domain::shipment::{CallingOff, ShipmentState};
use crate::privacy::Pii;
use crate::store::orders;

/// Cancels an order; `only_own` is the caller where it may act on its own client's orders alone.
///
/// # Errors
/// Not found, held, not cancellable, a booking in progress, the courier refuses or does not answer, store or vault.
pub async fn cancel(
    app: &App,
    caller: &Caller,
    only_own: bool,
    id: OrderId,
    reason: Pii<String>,
) -> Result<OrderView, AppError> {
    let owner = only_own.then(|| caller.clone());
    by(app, caller.actor(), None, owner, id, Some(reason)).await
}

/// Cancels an order on behalf of `actor`, with a code for its timeline and with the reason that somebody gave, if any.
///
/// # Errors
/// As [`cancel`].
pub(crate) async fn by(
    app: &App,
    actor: Actor,
    code: Option<&'static str>,
    owner: Option<Caller>,
    id: OrderId,
    reason: Option<Pii<String>>,
) -> Result<OrderView, AppError> {
    let now = app.clock.business_now();
    let booked = {
        let owner = owner.clone();
        app.read_sealed(move |conn, ring| {
            // A decision that is made again under the order's lock.
            let found = orders::find(conn, id)?.ok_or(AppError::NotFound);
            let order = visible(found, owner.as_ref())?;
            if order.purge_decided_at.is_some() {
                return Err(AppError::Gone("purged"));
            }
            refuse_held(&order, now)?;
            order.status.after(Step::Cancel)?;
            booked_parcel(conn, ring, &order)
        })
        .await?
    };
    if let Some((attempt, parcel)) = &booked {
        call_off(app, attempt, parcel, CallingOff::Cancel).await?;
    }
    let called_off = booked.map(|(attempt, _)| attempt.id);
    let (now, window) = (Now::of(&app.clock), app.settings.window);
    app.write_sealed(move |conn, ring| {
        let mut order = lock_visible(conn, id, owner.as_ref())?;
        refuse_held(&order, now.business)?;
        let attempt = booking_attempts::current(conn, &order)?;
        refuse_in_flight(attempt.as_ref())?;
        if let Some(attempt) = attempt {
            // Booked in between: the courier was not asked about this one.
            if attempt.state == ShipmentState::Booked && called_off != Some(attempt.id) {
                return Err(AppError::Conflict(Conflict::BookedMeanwhile));
            }
            if attempt.state != ShipmentState::Failed {
                close_attempt(conn, &attempt, now.business)?;
            }
        }
        if let Some(reason) = &reason {
            notes::add(conn, ring, id, notes::note("cancel_reason", id, reason), now.business)?;
        }
        booking_attempts::cancel_in_tx(
            conn,
            &mut order,
            &By {
                actor: &actor,
                code,
                now: now.business,
                window,
            },
        )?;
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}
