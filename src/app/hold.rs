//! Holds: a dispute or a legal demand stops an order's clock, visibly and for a limited time. While it is on nothing is
//! purged, changed, handed on, or revealed without a second key's approval.

use crate::app::booking::{Now, enqueue_ship, note_event};
use crate::app::view::{self, OrderView};
use crate::app::{App, AppError, Caller, notes, people, purge, startup};
use crate::clock::{Instant, delta};
use crate::domain::ids::OrderId;
use crate::domain::invalid::{FieldError, Invalid};
use crate::privacy::Pii;
use crate::store::audit::{self, Act};
use crate::store::journal::NewEntry;
use crate::store::meta;
use crate::store::orders::{self, Change, change_in_tx};

/// Holds an order until a moment, or moves that moment.
///
/// # Errors
/// Not found, purged, a moment that is past or too far ahead, store or vault.
pub async fn hold(
    app: &App,
    caller: &Caller,
    id: OrderId,
    until: Instant,
    reason: Pii<String>,
) -> Result<OrderView, AppError> {
    let now = app.clock.business_now();
    let latest = now
        .checked_add_signed(delta(app.settings.max_hold))
        .unwrap_or(Instant::MAX_UTC);
    if until <= now || until > latest {
        let detail = format!("must be in the future and not after {}", latest.format("%FT%TZ"));
        let invalid = Invalid::new("out_of_range", detail);
        return Err(AppError::Invalid(vec![FieldError {
            pointer: "/until".to_owned(),
            invalid,
        }]));
    }
    let until = Instant::from_timestamp_micros(until.timestamp_micros()).unwrap_or(until);
    change(app, caller, id, Some(until), Some(reason)).await
}

/// Lifts a hold; an order that was due meanwhile is purged by the next sweep.
///
/// # Errors
/// Not found, purged, not held, store or vault.
pub async fn lift(app: &App, caller: &Caller, id: OrderId) -> Result<OrderView, AppError> {
    change(app, caller, id, None, None).await
}

async fn change(
    app: &App,
    caller: &Caller,
    id: OrderId,
    until: Option<Instant>,
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
    let entry = NewEntry {
        kind: startup::HOLD,
        subject: id.to_string(),
        detail: until.map_or_else(String::new, |until| until.timestamp_micros().to_string()),
    };
    let vault = app.vault.clone();
    let (first, last) = app.blocking(move || Ok(vault.journal(vec![entry])?)).await?;
    let (clock, actor) = (app.clock.clone(), caller.actor());
    app.write_sealed(move |conn, ring| {
        let now = Now::of(&clock);
        let mut order = people::lock(conn, id)?;
        if until.is_none() && !order.is_held(now.business) {
            return Err(AppError::conflict("not_held", "the order is not held"));
        }
        change_in_tx(conn, id, &Change::at(now.business).hold(until))?;
        order.hold_until = until;
        let (kind, hash) = match &reason {
            Some(reason) => {
                let (salt, hash) = purge::salted_hash(reason);
                notes::add(conn, ring, id, notes::note("hold_reason", first, reason), now.business)?;
                notes::add(
                    conn,
                    ring,
                    id,
                    notes::note("hold_salt", first, &Pii::new(salt)),
                    now.business,
                )?;
                ("hold", Some(hash))
            }
            None => ("hold_lifted", None),
        };
        note_event(conn, &order, kind, &actor, None, now.business)?;
        let detail = until.map_or_else(String::new, |until| format!("until={}", until.format("%FT%TZ")));
        let subject = id.to_string();
        let act = Act {
            actor: &actor,
            action: kind,
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
        view::one(conn, Some(ring), order, now.business)
    })
    .await
}
