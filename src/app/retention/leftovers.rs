//! What was purged once and is there again: rows of an old copy that somebody put back by hand, or a writer that this
//! program does not know. It goes again, and the audit chain says so; the receipt that it has is kept.

use crate::app::retention::journalled_erasure::{self, Erasure};
use crate::app::retention::purge::{self, ROUND};
use crate::app::{App, AppError};
use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::audit::AuditAction;
use crate::domain::ids::OrderId;
use crate::domain::journal::JournalKind;
use crate::domain::retention::PurgeReason;
use crate::store::audit::{self, Act};
use crate::store::vault::journal;
use crate::store::{AnyConn, orders, proof, purges};

/// What was purged once and is there again (rows of an old copy put back by hand, a writer outside this program): an
/// order that has a receipt is decided again, and what has no order that is still to be purged is destroyed here, with
/// an entry of the audit chain. Looks through all that is alive: not for every sweep. Returns how many orders left
/// something behind.
///
/// # Errors
/// Store or vault.
pub async fn take_back(app: &App) -> Result<i64, AppError> {
    let mut total = 0;
    loop {
        let now = app.clock.business_now();
        let found = app.orders.read(|conn| purges::leftovers(conn, ROUND)).await?;
        if found.is_empty() {
            return Ok(total);
        }
        let mut done = 0;
        for id in found {
            let emptied = app.orders.write(move |conn| take_back_in_tx(conn, id, now)).await?;
            tracing::error!(order = %id, "Personal data of a purged order found again; destroyed");
            done += i64::from(emptied);
        }
        done += purge::destroy_decided(app, &Actor::System).await?;
        if done == 0 {
            return Ok(total);
        }
        total += done;
    }
}

/// `true`: what was left is destroyed; `false`: the order is decided, and goes with everything else that is.
fn take_back_in_tx(conn: &mut AnyConn, id: OrderId, now: BusinessTime) -> Result<bool, AppError> {
    if orders::lock_in_tx(conn, id)?.is_some_and(|order| order.purged_at.is_none()) {
        let receipt = purges::receipt(conn, id)?;
        let reason = receipt.and_then(|receipt| PurgeReason::parse(&receipt.reason));
        purges::decide_in_tx(conn, &[id], reason.unwrap_or(PurgeReason::Operator), now)?;
        return Ok(false);
    }
    let subject = id.to_string();
    purges::empty_in_tx(conn, &[&subject])?;
    let act = Act {
        actor: &Actor::System,
        action: AuditAction::PurgeLeftover,
        subject: &subject,
        detail: "",
        reason_hash: None,
    };
    audit::append_in_tx(conn, now, &act)?;
    Ok(true)
}

/// Decides again what the vault's journal says was erased and what is there all the same, with or without its receipt; the
/// sweep destroys it. Reads the whole journal: not for every sweep. Returns how many.
///
/// # Errors
/// Store or vault.
pub async fn decide_erased(app: &App) -> Result<usize, AppError> {
    let (mut from, mut count) = (0, 0);
    loop {
        let entries = app
            .vault
            .database()
            .read(move |conn| journal::after(conn, from, ROUND))
            .await?;
        let Some(last) = entries.last() else { return Ok(count) };
        from = last.number;
        let now = app.clock.business_now();
        let erased: Vec<(String, String)> = entries
            .into_iter()
            .filter(|entry| entry.kind() == Some(JournalKind::Erase))
            .map(|entry| (entry.subject, entry.detail))
            .collect();
        let ids: Vec<String> = erased.iter().map(|(id, _)| id.clone()).collect();
        let living = app.orders.read(move |conn| proof::unpurged_among(conn, &ids)).await?;
        for (id, detail) in erased.into_iter().filter(|(id, _)| living.contains(id)) {
            let Ok(order) = id.parse::<OrderId>() else { continue };
            let erasure = Erasure::parse(&detail);
            let decided = app
                .orders
                .write(move |conn| journalled_erasure::decide_again_in_tx(conn, order, erasure, now))
                .await?;
            if decided {
                tracing::error!(order = %order, "Erased order found again; purged again");
                count += 1;
            }
        }
    }
}
