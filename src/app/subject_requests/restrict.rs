//! A restricted order: nothing but its delivery goes on, and it is purged as soon as it has ended. What is not shipped is
//! called off and purged at once, where the restriction asks for it and nothing holds the order.

use crate::app::conflict::Conflict;
use crate::app::orders::cancel;
use crate::app::parcels::booking_attempts::{By, Now, cancel_in_tx, current, note_event};
use crate::app::records::personal_record;
use crate::app::retention::purge;
use crate::app::{App, AppError};
use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::audit::AuditAction;
use crate::domain::ids::{OrderId, RequestId};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::shipment::{Attempt, ShipmentState};
use crate::domain::subject_request::{NextStep, Restriction};
use crate::domain::timeline::TimelineKind;
use crate::store::audit::{self, Act};
use crate::store::orders::{self, Change, change_in_tx};
use crate::store::{AnyConn, purges, timeline};

/// The timeline's entry that a courier no longer calls a parcel off: it is not asked again.
const REFUSED: TimelineKind = TimelineKind::CallOffRefused;

/// Restricts a locked order, unless it is already as much restricted. `by` is who did it for which request; an entry that
/// is only applied again writes nothing into the audit log.
///
/// # Errors
/// The store.
pub(crate) fn mark_in_tx(
    conn: &mut AnyConn,
    order: &Order,
    restriction: Restriction,
    by: Option<(&Actor, RequestId)>,
    now: BusinessTime,
) -> Result<(), AppError> {
    if !restriction.adds_to(order.restriction) {
        return Ok(());
    }
    let change = Change::at(now).restrict(restriction, now, order.status.is_ended());
    change_in_tx(conn, order.id, &change)?;
    let actor = by.map_or(&Actor::System, |(actor, _)| actor);
    note_event(
        conn,
        order,
        TimelineKind::Restricted,
        actor,
        Some(restriction.as_str()),
        now,
    )?;
    if let Some((actor, request)) = by {
        let act = Act {
            actor,
            action: AuditAction::Restrict,
            subject: &order.id.to_string(),
            detail: &format!("request={request} why={}", restriction.as_str()),
            reason_hash: None,
        };
        audit::append_in_tx(conn, now, &act)?;
    }
    Ok(())
}

/// Takes a restricted order as far as it can go now; does nothing to one that is held or on its way.
///
/// # Errors
/// The courier does not answer, a booking is in flight, store or vault.
pub(crate) async fn pursue(app: &App, id: OrderId, actor: &Actor) -> Result<(), AppError> {
    let now = app.clock.business_now();
    let found = app
        .orders
        .read(move |conn| {
            let order = orders::find(conn, id)?.ok_or(AppError::NotFound)?;
            let refused = no_longer_called_off(conn, &order)?;
            Ok::<_, AppError>((order, refused))
        })
        .await?;
    let (order, refused) = found;
    let Some(restriction) = order.restriction else {
        return Ok(());
    };
    if order.purge_decided_at.is_none() {
        if order.is_held(now) {
            return Ok(());
        }
        match restriction.next(order.status) {
            NextStep::Wait => return Ok(()),
            NextStep::CallOff if refused => return Ok(()),
            NextStep::CallOff => call_off(app, &order, actor).await?,
            NextStep::Cancel | NextStep::Purge => {}
        }
        decide(app, id, actor).await?;
    }
    purge::destroy_one(app, id, actor).await
}

/// Whether the courier of a withdrawn order's parcel refused to call it off, and still has it.
pub(super) fn no_longer_called_off(conn: &mut AnyConn, order: &Order) -> Result<bool, AppError> {
    let booked = |attempt: Attempt| attempt.state == ShipmentState::Booked;
    Ok(order.is_withdrawn() && timeline::has(conn, order.id, REFUSED)? && current(conn, order)?.is_some_and(booked))
}

/// Calls a printed order off, at its courier too. A courier that refuses is believed: the parcel is delivered, and the
/// order is purged at its end.
async fn call_off(app: &App, order: &Order, actor: &Actor) -> Result<(), AppError> {
    let id = order.id;
    match cancel::by(
        app,
        actor.clone(),
        order.restriction.map(Restriction::as_str),
        None,
        id,
        None,
    )
    .await
    {
        Ok(_) | Err(AppError::Gone("purged")) => Ok(()),
        Err(AppError::Conflict(
            Conflict::PastCancelling | Conflict::CourierKeepsParcel | Conflict::BookedElsewhere,
        )) => {
            let now = app.clock.business_now();
            app.orders
                .write(move |conn| {
                    let Some(order) = personal_record::lock_unless_purged(conn, id)? else {
                        return Ok(());
                    };
                    // Shipped, or ended, meanwhile: the courier was not even asked.
                    if order.status != OrderStatus::Printed {
                        return Ok(());
                    }
                    note_event(conn, &order, REFUSED, &Actor::System, Some(&order.courier), now)
                })
                .await
        }
        Err(error) => Err(error),
    }
}

/// Decides the purge of a restricted order that nothing holds and that is over, or can be; a draft or placed one is
/// cancelled first. Everything is asked again under the order's lock.
async fn decide(app: &App, id: OrderId, actor: &Actor) -> Result<(), AppError> {
    let (clock, window, actor) = (app.clock.clone(), app.settings.window, actor.to_owned());
    app.orders
        .write(move |conn| {
            let now = Now::of(&clock);
            let Some(mut order) = personal_record::lock_unless_purged(conn, id)? else {
                return Ok(());
            };
            let Some(restriction) = order.restriction.filter(|_| !order.is_held(now.business)) else {
                return Ok(());
            };
            match restriction.next(order.status) {
                NextStep::Wait | NextStep::CallOff => return Ok(()),
                NextStep::Cancel => {
                    let by = By {
                        actor: &actor,
                        code: Some(restriction.as_str()),
                        now: now.business,
                        window,
                    };
                    cancel_in_tx(conn, &mut order, &by)?;
                }
                NextStep::Purge => {}
            }
            purges::decide_in_tx(conn, &[id], restriction.purge_reason(), now.business)?;
            Ok(())
        })
        .await
}
