//! Holds: a dispute or a legal demand stops an order's clock, visibly and for a limited time. While it is on nothing is
//! purged, changed, handed on, or revealed without a second key's approval.

use chrono::TimeDelta;

use crate::app::conflict::Conflict;
use crate::app::parcels::booking_attempts::{Now, enqueue_ship, note_event};
use crate::app::records::order_view::{self, OrderView};
use crate::app::records::{notes, personal_record};
use crate::app::{App, AppError, Caller, audit as chain};
use crate::clock::{BusinessTime, delta};
use crate::domain::audit::AuditAction;
use crate::domain::ids::OrderId;
use crate::domain::invalid::{FieldError, Invalid};
use crate::domain::journal::JournalKind;
use crate::domain::order::Order;
use crate::domain::timeline::TimelineKind;
use crate::privacy::Pii;
use crate::store::audit::{self, Act};
use crate::store::meta;
use crate::store::orders::{self, Change, change_in_tx};
use crate::store::vault::journal::NewEntry;

/// Holds an order until a moment, or moves that moment. However often it is renewed, no hold reaches further than the
/// longest hold from when the order was first held: after that only a purge, not a prolongation, is left.
///
/// # Errors
/// Not found, purged, a moment that is past or too far ahead, store or vault.
pub async fn hold(
    app: &App,
    caller: &Caller,
    id: OrderId,
    until: BusinessTime,
    reason: Pii<String>,
) -> Result<OrderView, AppError> {
    let until = BusinessTime::from_timestamp_micros(until.timestamp_micros()).unwrap_or(until);
    change(app, caller, id, Some(until), Some(reason)).await
}

/// Lifts a hold; an order that was due meanwhile is purged by the next sweep.
///
/// # Errors
/// Not found, purged, not held, store or vault.
pub async fn lift(app: &App, caller: &Caller, id: OrderId) -> Result<OrderView, AppError> {
    change(app, caller, id, None, None).await
}

/// Refuses a moment that is past, or further ahead than `longest` from the order's first hold.
fn check_until(order: &Order, until: BusinessTime, now: BusinessTime, longest: TimeDelta) -> Result<(), AppError> {
    let first = order.first_held_at.unwrap_or(now);
    let latest = first.checked_add_signed(longest).unwrap_or(BusinessTime::MAX);
    if until > now && until <= latest {
        return Ok(());
    }
    let detail = format!("must be in the future and not after {}", latest.format("%FT%TZ"));
    let invalid = Invalid::new("out_of_range", detail);
    Err(AppError::Invalid(vec![FieldError {
        pointer: "/until".to_owned(),
        invalid,
    }]))
}

async fn change(
    app: &App,
    caller: &Caller,
    id: OrderId,
    until: Option<BusinessTime>,
    reason: Option<Pii<String>>,
) -> Result<OrderView, AppError> {
    // Asked before it is journalled, and again under the lock: the journal should not fill with what is refused.
    let order = app
        .orders
        .read(move |conn| orders::find(conn, id))
        .await?
        .ok_or(AppError::NotFound)?;
    if order.purge_decided_at.is_some() {
        return Err(AppError::Gone("purged"));
    }
    let longest = delta(app.settings.max_hold);
    if let Some(until) = until {
        check_until(&order, until, app.clock.business_now(), longest)?;
    }
    let entry = NewEntry {
        kind: JournalKind::Hold,
        subject: id.to_string(),
        detail: until.map_or_else(String::new, |until| until.timestamp_micros().to_string()),
    };
    let vault = app.vault.clone();
    let (first, last) = app.blocking(move || Ok(vault.journal(vec![entry])?)).await?;
    let (clock, actor) = (app.clock.clone(), caller.actor());
    let held = app
        .write_sealed(move |conn, ring| {
            let now = Now::of(&clock);
            let mut order = personal_record::lock(conn, id)?;
            if until.is_none() && !order.is_held(now.business) {
                return Err(AppError::Conflict(Conflict::NotHeld));
            }
            let mut change = Change::at(now.business).hold(until);
            if let Some(until) = until {
                check_until(&order, until, now.business, longest)?;
                if order.first_held_at.is_none() {
                    change = change.first_held(now.business);
                }
            }
            change_in_tx(conn, id, &change)?;
            order.hold_until = until;
            let (kind, action, hash) = match &reason {
                Some(reason) => {
                    let (salt, hash) = chain::salted_hash(reason);
                    notes::add(conn, ring, id, notes::note("hold_reason", first, reason), now.business)?;
                    notes::add(
                        conn,
                        ring,
                        id,
                        notes::note("hold_salt", first, &Pii::new(salt)),
                        now.business,
                    )?;
                    (TimelineKind::Hold, AuditAction::Hold, Some(hash))
                }
                None => (TimelineKind::HoldLifted, AuditAction::HoldLifted, None),
            };
            note_event(conn, &order, kind, &actor, None, now.business)?;
            let detail = until.map_or_else(String::new, |until| format!("until={}", until.format("%FT%TZ")));
            let subject = id.to_string();
            let act = Act {
                actor: &actor,
                action,
                subject: &subject,
                detail: &detail,
                reason_hash: hash,
            };
            audit::append_in_tx(conn, now.business, &act)?;
            meta::applied_in_tx(conn, first, last)?;
            if until.is_none() && order.attempt > 0 {
                // A parcel that waited for the hold to end is booked now.
                enqueue_ship(conn, id, now)?;
            }
            order_view::one(conn, Some(ring), order, now.business)
        })
        .await?;
    chain::note_act(app).await;
    Ok(held)
}
