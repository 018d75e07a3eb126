//! Correcting the recipient before the parcel is shipped. A booked parcel is called off at the courier first and booked
//! anew with the corrected recipient.

use crate::app::conflict::Conflict;
use crate::app::orders::query::{lock_visible, visible};
use crate::app::parcels::booking_attempts::{
    self, Now, close_attempt, new_attempt, note_event, refuse_held, refuse_in_flight,
};
use crate::app::parcels::cancel_at_courier::{booked_parcel, call_off};
use crate::app::parcels::fallback;
use crate::app::records::order_view::{self, OrderView};
use crate::app::records::personal_record;
use crate::app::{App, AppError, Caller};
use crate::domain::contact::Recipient;
use crate::domain::ids::OrderId;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::personal_record::PersonalRecord;
use crate::domain::shipment::{CallingOff, ShipmentState};
use crate::domain::timeline::TimelineKind;
use crate::store::orders::{Change, change_in_tx};

/// Replaces the recipient.
///
/// # Errors
/// Not found, already shipped, ended, held, a booking in progress, the courier refuses or does not answer, store or vault.
pub async fn correct(
    app: &App,
    caller: &Caller,
    only_own: bool,
    id: OrderId,
    recipient: Recipient,
) -> Result<OrderView, AppError> {
    let owner = only_own.then(|| caller.clone());
    let now = Now::of(&app.clock);
    let booked = {
        let (owner, app_, to) = (owner.clone(), app.clone(), recipient.address.clone());
        app.read_sealed(move |conn, ring| {
            let found = crate::store::orders::find(conn, id)?.ok_or(AppError::NotFound);
            let order = visible(found, owner.as_ref())?;
            allow(&order, now)?;
            fallback::check_consent(&app_, &order.courier, &to, order.cross_border, "/country")?;
            booked_parcel(conn, ring, &order)
        })
        .await?
    };
    if let Some((attempt, parcel)) = &booked {
        call_off(app, attempt, parcel, CallingOff::Correct).await?;
    }
    let called_off = booked.map(|(attempt, _)| attempt.id);
    let (now, actor) = (Now::of(&app.clock), caller.actor());
    app.write_sealed(move |conn, ring| {
        let mut order = lock_visible(conn, id, owner.as_ref())?;
        allow(&order, now)?;
        let attempt = booking_attempts::current(conn, &order)?;
        refuse_in_flight(attempt.as_ref())?;
        let person = match personal_record::find(conn, ring, id) {
            Ok(person) => PersonalRecord {
                recipient: recipient.clone(),
                ..person
            },
            // A person whose key is gone is healed by a corrected recipient.
            Err(AppError::Gone("unreadable")) => PersonalRecord {
                recipient: recipient.clone(),
                photos: Vec::new(),
                tracking: Vec::new(),
                notes: Vec::new(),
            },
            Err(error) => return Err(error),
        };
        personal_record::replace(conn, ring, id, &person, now.business)?;
        change_in_tx(conn, id, &Change::at(now.business))?;
        order.updated_at = now.business;
        note_event(
            conn,
            &order,
            TimelineKind::RecipientCorrected,
            &actor,
            None,
            now.business,
        )?;
        if let Some(attempt) = attempt {
            match attempt.state {
                ShipmentState::Booked if called_off != Some(attempt.id) => {
                    return Err(AppError::Conflict(Conflict::BookedMeanwhile));
                }
                ShipmentState::Booked => {
                    close_attempt(conn, &attempt, now.business)?;
                    new_attempt(conn, &mut order, &attempt.courier, now)?;
                }
                // What the courier refused may have been the address: the next attempt carries the corrected one.
                ShipmentState::Failed | ShipmentState::Cancelled => {
                    new_attempt(conn, &mut order, &attempt.courier, now)?;
                }
                ShipmentState::Pending | ShipmentState::Booking | ShipmentState::Unknown => {}
            }
        }
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}

fn allow(order: &Order, now: Now) -> Result<(), AppError> {
    if order.purge_decided_at.is_some() {
        return Err(AppError::Gone("purged"));
    }
    refuse_held(order, now.business)?;
    if order.is_withdrawn() {
        return Err(AppError::Conflict(Conflict::ConsentWithdrawn));
    }
    match order.status {
        OrderStatus::Cancelled => Err(AppError::Conflict(Conflict::OrderCancelled)),
        status if status.is_shipped() => Err(AppError::Conflict(Conflict::AlreadyShipped)),
        _ => Ok(()),
    }
}
