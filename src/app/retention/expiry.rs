//! What ends by itself: drafts that nobody confirms, and orders that nothing moves any more. Both are purged at once.

use crate::app::parcels::booking_attempts::{self, By, Now, step};
use crate::app::parcels::events::apply;
use crate::app::parcels::events::apply::Trust;
use crate::app::parcels::{circuit_breaker, dispatch};
use crate::app::records::personal_record;
use crate::app::retention::purge;
use crate::app::{App, AppError};
use crate::clock::delta;
use crate::domain::actor::Actor;
use crate::domain::ids::OrderId;
use crate::domain::order::Step;
use crate::domain::retention::PurgeReason;
use crate::domain::shipment::ShipmentState;
use crate::store::orders;
use crate::store::purges;

/// Orders looked at in one go.
const BATCH: i64 = 100;

/// Ends drafts that were not confirmed in time and decides their purge; the sweep destroys them. Returns how many.
///
/// # Errors
/// Store.
pub async fn expire_drafts(app: &App) -> Result<usize, AppError> {
    let (now, window) = (app.clock.business_now(), app.settings.window);
    let cutoff = now - delta(app.settings.draft_after);
    app.orders
        .write(move |conn| {
            let expired = orders::pick_expired_drafts_in_tx(conn, cutoff, BATCH)?;
            for id in &expired {
                let mut order = orders::find(conn, *id)?.ok_or(AppError::NotFound)?;
                booking_attempts::cancel_in_tx(
                    conn,
                    &mut order,
                    &By {
                        actor: &Actor::System,
                        code: Some("draft_expired"),
                        now,
                        window,
                    },
                )?;
            }
            purges::decide_in_tx(conn, &expired, PurgeReason::DraftExpired, now)?;
            Ok(expired.len())
        })
        .await
}

/// Ends orders that have made no step forward for too long, after a last question to the courier, and decides their
/// purge. Returns how many.
///
/// # Errors
/// Store.
pub async fn end_stuck(app: &App) -> Result<usize, AppError> {
    let now = app.clock.business_now();
    let cutoff = now - delta(app.settings.stuck_after);
    let stuck = app.orders.read(move |conn| orders::stuck(conn, cutoff, BATCH)).await?;
    let mut ended = 0;
    for id in stuck {
        ask_a_last_time(app, id).await;
        let (now, window) = (Now::of(&app.clock), app.settings.window);
        let done = app
            .orders
            .write(move |conn| {
                let Some(mut order) = orders::lock_in_tx(conn, id)? else {
                    return Ok(false);
                };
                // The last question may have moved it.
                let moved = order.moved_at > cutoff;
                if moved || order.status.is_ended() || order.purge_decided_at.is_some() || order.is_held(now.business) {
                    return Ok(false);
                }
                let last = if order.status.is_shipped() {
                    Step::Lose
                } else {
                    Step::Cancel
                };
                if let Some(attempt) = booking_attempts::current(conn, &order)?
                    && last == Step::Cancel
                    && attempt.state != ShipmentState::Failed
                {
                    booking_attempts::close_attempt(conn, &attempt, now.business)?;
                }
                let change = booking_attempts::ending(&order, now.business);
                step(
                    conn,
                    &mut order,
                    last,
                    change,
                    &By {
                        actor: &Actor::System,
                        code: Some("stuck"),
                        now: now.business,
                        window,
                    },
                )?;
                purge::decide_with_keys_in_tx(conn, &[id], PurgeReason::Stuck, now.business)?;
                Ok::<_, AppError>(true)
            })
            .await?;
        if done {
            tracing::warn!(order = %id, "Stuck order ended; its personal data is purged");
            purge::destroy_one(app, id, &Actor::System).await?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// A last poll or reconcile; whatever goes wrong with it does not keep a person's data any longer.
async fn ask_a_last_time(app: &App, id: OrderId) {
    let found = app
        .read_sealed(move |conn, ring| {
            let Some(order) = orders::find(conn, id)? else {
                return Ok(None);
            };
            let Some(attempt) = booking_attempts::current(conn, &order)? else {
                return Ok(None);
            };
            let person = personal_record::find(conn, ring, id)?;
            let parcel = booking_attempts::parcel_ref(
                &attempt,
                person.tracking_of(attempt.number).cloned(),
                Some(person.recipient.phone),
            );
            Ok(Some((attempt, parcel)))
        })
        .await;
    let (attempt, parcel) = match found {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, order = %id, "Failed to read a stuck order for a last courier query; the order is ended without it");
            return;
        }
    };
    let Some(courier) = app.couriers.get(&attempt.courier) else {
        return;
    };
    match attempt.state {
        ShipmentState::Booked => {
            match circuit_breaker::call_and_record(app, courier, courier.track(std::slice::from_ref(&parcel))).await {
                Ok(events) => {
                    for event in events {
                        if let Err(error) = apply::ingest(app, courier.name(), event, Trust::Sure).await {
                            tracing::warn!(%error, order = %id, "Failed to store the last tracking events of a stuck order; the order is ended without them");
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, order = %id, "Courier gave no answer about a stuck order; the order is ended without it")
                }
            }
        }
        ShipmentState::Booking | ShipmentState::Unknown => {
            if let Err(error) = dispatch::drive(app, id, 0).await {
                tracing::warn!(%error, order = %id, "Failed to reconcile the booking of a stuck order; the order is ended without it");
            }
        }
        ShipmentState::Pending | ShipmentState::Failed | ShipmentState::Cancelled => {}
    }
}
