//! The purge: what identifies a person goes, the facts stay, a receipt says so.
//!
//! Three steps, each one transaction, each idempotent; whoever finds an order between them goes on from there:
//! **decide** (the order's row is locked, checked again and marked; from here nothing personal is written any more),
//! **journal** in the vault, so that an old copy that is put back is purged again, and **destroy** with the receipts, and
//! one entry of the audit chain for a batch's receipts.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::app::conflict::Conflict;
use crate::app::parcels::booking_attempts::{By, Now, cancel_in_tx, in_fulfilment};
use crate::app::records::personal_record;
use crate::app::retention::journalled_erasure::Erasure;
use crate::app::{App, AppError, Caller, audit as chain};
use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::audit::AuditAction;
use crate::domain::ids::OrderId;
use crate::domain::journal::JournalKind;
use crate::domain::retention::PurgeReason;
use crate::privacy::Pii;
use crate::privacy::classes::classes;
use crate::store::audit::{self, Act};
use crate::store::purges::{self, Decided, ReceiptRow};
use crate::store::vault::journal::NewEntry;
use crate::store::{AnyConn, StoreError, meta, reseal, subject_texts, to_row};

/// Orders in one round of a sweep, journalled together. How many of them one transaction decides or destroys, the database
/// says: [`Database::sweep_size`](crate::store::Database::sweep_size).
pub(crate) const ROUND: i64 = 4000;

/// What a run of retention did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Orders whose clock had run out and that nothing held.
    pub due: i64,
    /// Orders purged by this run.
    pub purged: i64,
    /// Orders whose clock had run out and that are held.
    pub held: i64,
}

/// Purges what is due, or says what would be.
///
/// # Errors
/// Store.
pub async fn run(app: &App, actor: &Actor, dry_run: bool) -> Result<RunReport, AppError> {
    let now = app.clock.business_now();
    let due = app
        .orders
        .read(move |conn| Ok::<_, AppError>(purges::count_due(conn, now)?))
        .await?;
    let mut report = RunReport {
        due: due.due,
        purged: 0,
        held: due.held,
    };
    if !dry_run {
        report.purged = sweep(app, actor).await?;
    }
    Ok(report)
}

/// Decides and destroys until nothing is due; returns how many orders were purged.
///
/// # Errors
/// Store. What was decided is destroyed by the next sweep.
pub async fn sweep(app: &App, actor: &Actor) -> Result<i64, AppError> {
    let mut total = 0;
    loop {
        let decided = decide_due(app).await?;
        let destroyed = destroy_decided(app, actor).await?;
        total += destroyed;
        if decided == 0 && destroyed == 0 {
            break;
        }
    }
    finish_sweep(app, total).await?;
    Ok(total)
}

/// Decides the purge of a round of what is due; returns how many.
async fn decide_due(app: &App) -> Result<i64, AppError> {
    let mut total = 0;
    while total < ROUND {
        let size = i64::try_from(app.orders.sweep_size()).unwrap_or(ROUND);
        let now = app.clock.business_now();
        let decided = app
            .orders
            .write_background(move |conn| {
                let due = purges::pick_due_in_tx(conn, now, size)?;
                decide_with_keys_in_tx(conn, &due, PurgeReason::Retention, now)?;
                Ok::<_, AppError>(i64::try_from(due.len()).unwrap_or(i64::MAX))
            })
            .await?;
        if decided == 0 {
            break;
        }
        total += decided;
    }
    Ok(total)
}

/// Decides the purge of locked orders for a reason, or because nobody can read the person any more.
///
/// # Errors
/// Store.
pub(crate) fn decide_with_keys_in_tx(
    conn: &mut AnyConn,
    ids: &[OrderId],
    reason: PurgeReason,
    now: BusinessTime,
) -> Result<(), StoreError> {
    let unreadable = reseal::unreadable_among(conn, ids)?;
    purges::decide_in_tx(conn, &unreadable, PurgeReason::KeyDestroyed, now)?;
    // Those that are decided already keep their reason.
    purges::decide_in_tx(conn, ids, reason, now)
}

/// The end of a sweep: no page left in the write-ahead log, and the chain's head in the vault.
async fn finish_sweep(app: &App, purged: i64) -> Result<(), AppError> {
    truncate_wal(app).await?;
    if purged > 0 {
        chain::note_act(app).await;
    }
    Ok(())
}

/// Destroys everything that is decided.
///
/// # Errors
/// Store or vault.
pub async fn finish(app: &App, actor: &Actor) -> Result<(), AppError> {
    let mut total = 0;
    loop {
        match destroy_decided(app, actor).await? {
            0 => break,
            count => total += count,
        }
    }
    finish_sweep(app, total).await
}

/// Destroys a round of what is decided, by whatever reason; returns how many.
///
/// # Errors
/// Store or vault.
pub(crate) async fn destroy_decided(app: &App, actor: &Actor) -> Result<i64, AppError> {
    let decided = app.orders.read(|conn| purges::decided_and_open(conn, ROUND)).await?;
    destroy(app, decided, actor).await
}

/// Journals these erasures, then destroys them.
async fn destroy(app: &App, decided: Vec<Decided>, actor: &Actor) -> Result<i64, AppError> {
    if decided.is_empty() {
        return Ok(0);
    }
    // In the vault first: an old copy of the orders that is put back after this moment is purged of them again.
    let entries = decided
        .iter()
        .map(|decided| NewEntry {
            kind: JournalKind::Erase,
            subject: decided.id.to_string(),
            detail: Erasure::of(decided).detail(),
        })
        .collect();
    let vault = app.vault.clone();
    let (first, _) = app.blocking(move || Ok(vault.journal(entries)?)).await?;
    let numbered: Vec<(OrderId, i64)> = decided.iter().map(|decided| decided.id).zip(first..).collect();
    let (mut total, mut rest) = (0, numbered.as_slice());
    while !rest.is_empty() {
        let (some, later) = rest.split_at(app.orders.sweep_size().clamp(1, rest.len()));
        rest = later;
        let numbers: HashMap<OrderId, i64> = some.iter().copied().collect();
        let ids: Vec<OrderId> = some.iter().map(|(id, _)| *id).collect();
        let (first, last) = some
            .first()
            .zip(some.last())
            .map_or((0, 0), |((_, first), (_, last))| (*first, *last));
        let (now, actor) = (app.clock.business_now(), actor.to_owned());
        total += app
            .orders
            .write_background(move |conn| {
                let locked = purges::lock_decided_in_tx(conn, &ids)?;
                let count = i64::try_from(locked.len()).unwrap_or(i64::MAX);
                destroy_in_tx(conn, &locked, &numbers, &actor, now)?;
                let gone: Vec<OrderId> = locked.iter().map(|decided| decided.id).collect();
                subject_texts::forget_with_in_tx(conn, &gone)?;
                meta::applied_in_tx(conn, first, last)?;
                Ok::<_, AppError>(count)
            })
            .await?;
    }
    Ok(total)
}

/// Destroys orders that this transaction has locked, and writes their receipts under one entry of the audit chain.
fn destroy_in_tx(
    conn: &mut AnyConn,
    decided: &[Decided],
    numbers: &HashMap<OrderId, i64>,
    actor: &Actor,
    now: BusinessTime,
) -> Result<(), AppError> {
    if decided.is_empty() {
        return Ok(());
    }
    let ids: Vec<OrderId> = decided.iter().map(|decided| decided.id).collect();
    let known = purges::receipts_of(conn, &ids)?;
    for receipt in &known {
        // Purged before, and put back by something that this program does not know: its receipt stands.
        let act = Act {
            actor,
            action: AuditAction::PurgeAgain,
            subject: &receipt.order_id,
            detail: &format!("receipt={}", receipt.hash),
            reason_hash: None,
        };
        audit::append_in_tx(conn, now, &act)?;
        purges::destroy_again_in_tx(conn, receipt)?;
    }
    let columns = classes().purged_columns();
    let mut receipts: Vec<ReceiptRow> = decided
        .iter()
        .filter(|decided| !known.iter().any(|receipt| receipt.order_id == decided.id.to_string()))
        .map(|decided| {
            let mut receipt = ReceiptRow {
                order_id: decided.id.to_string(),
                reason: decided.reason.as_str().to_owned(),
                decided_at: to_row(decided.decided_at),
                purged_at: to_row(now),
                purged_columns: columns.clone(),
                epoch: decided.epoch,
                journal: numbers.get(&decided.id).copied(),
                hash: String::new(),
                audit_seq: 0,
            };
            receipt.hash = receipt_hash(&receipt);
            receipt
        })
        .collect();
    if receipts.is_empty() {
        return Ok(());
    }
    receipts.sort_unstable_by(|a, b| a.order_id.cmp(&b.order_id));
    let (subject, detail) = match receipts.as_slice() {
        [one] => (
            one.order_id.clone(),
            format!("receipts=1 sha256={}", sweep_hash(&receipts)),
        ),
        many => (
            "sweep".to_owned(),
            format!("receipts={} sha256={}", many.len(), sweep_hash(many)),
        ),
    };
    let act = Act {
        actor,
        action: AuditAction::Purge,
        subject: &subject,
        detail: &detail,
        reason_hash: None,
    };
    let (seq, _) = audit::append_in_tx(conn, now, &act)?;
    for receipt in &mut receipts {
        receipt.audit_seq = seq;
    }
    purges::destroy_in_tx(conn, &receipts, now)?;
    Ok(())
}

/// What a receipt's hash must be: over every fact in it.
pub fn receipt_hash(receipt: &ReceiptRow) -> String {
    let facts = format!(
        "{}|{}|{}|{}|{}|{}",
        receipt.order_id,
        receipt.reason,
        receipt.decided_at.and_utc().timestamp_micros(),
        receipt.purged_at.and_utc().timestamp_micros(),
        receipt.purged_columns,
        receipt.epoch.map_or_else(String::new, |epoch| epoch.to_string()),
    );
    data_encoding::HEXLOWER.encode(&Sha256::digest(facts.as_bytes()))
}

/// What the audit entry of these receipts (sorted by order) must carry.
pub fn sweep_hash(receipts: &[ReceiptRow]) -> String {
    let mut hasher = Sha256::new();
    for receipt in receipts {
        hasher.update(receipt.hash.as_bytes());
    }
    data_encoding::HEXLOWER.encode(&hasher.finalize())
}

/// Empties SQLite's write-ahead log of old pages; asks again for a second while a reader is in the way. Every sweep and
/// every start comes here, whether it purged anything or not: so a log that could not be emptied, or whose process died
/// before it was, is emptied by the next.
pub(crate) async fn truncate_wal(app: &App) -> Result<(), AppError> {
    for _ in 0..20 {
        if app.orders.truncate_wal().await? {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    tracing::warn!("WAL not truncated because a reader holds it; the next sweep retries");
    Ok(())
}

/// Purges one order because somebody with the privacy scope asks, for that cause: a draft or placed order is cancelled
/// first.
///
/// # Errors
/// Not found, in fulfilment, held, purged already (410), store or vault.
pub async fn on_request(
    app: &App,
    caller: &Caller,
    id: OrderId,
    cause: PurgeReason,
    reason: Pii<String>,
) -> Result<ReceiptRow, AppError> {
    let (actor, window) = (caller.actor(), app.settings.window);
    let app_ = app.clone();
    let decided_by = actor.clone();
    app.orders
        .write(move |conn| {
            let now = Now::of(&app_.clock);
            let mut order = match personal_record::lock(conn, id) {
                // Decided and not done: go on from there.
                Err(AppError::Gone(_)) if purges::receipt(conn, id)?.is_none() => return Ok(()),
                locked => locked?,
            };
            if order.is_held(now.business) {
                return Err(AppError::Conflict(Conflict::Held));
            }
            if in_fulfilment(order.status) {
                return Err(AppError::Conflict(Conflict::InFulfilment));
            }
            if !order.status.is_ended() {
                cancel_in_tx(
                    conn,
                    &mut order,
                    &By {
                        actor: &decided_by,
                        code: Some("purge"),
                        now: now.business,
                        window,
                    },
                )?;
            }
            // The reason is personal and would have to go with the order at once: a salted hash of it stays.
            let act = Act {
                actor: &decided_by,
                action: AuditAction::PurgeRequest,
                subject: &id.to_string(),
                detail: &format!("cause={}", cause.as_str()),
                reason_hash: Some(chain::salted_hash(&reason).1),
            };
            audit::append_in_tx(conn, now.business, &act)?;
            purges::decide_in_tx(conn, &[id], cause, now.business)?;
            Ok(())
        })
        .await?;
    destroy_one(app, id, &actor).await?;
    // Another request or the sweep may be destroying it just now: its receipt is there when that one commits.
    for _ in 0..RECEIPT_TRIES {
        match receipt(app, id).await {
            Err(AppError::NotFound) => tokio::time::sleep(RECEIPT_WAIT).await,
            found => return found,
        }
    }
    Err(AppError::Conflict(Conflict::PurgeInProgress))
}

/// How often, and after which wait, the receipt of a purge that somebody else carries out is looked for.
const RECEIPT_TRIES: u32 = 50;
const RECEIPT_WAIT: std::time::Duration = std::time::Duration::from_millis(100);

/// Destroys one order whose purge is decided.
///
/// # Errors
/// Store.
pub(crate) async fn destroy_one(app: &App, id: OrderId, actor: &Actor) -> Result<(), AppError> {
    let decided = app.orders.read(move |conn| purges::decided_one(conn, id)).await?;
    let destroyed = destroy(app, decided.into_iter().collect(), actor).await?;
    finish_sweep(app, destroyed).await
}

/// The receipt of a purged order.
///
/// # Errors
/// Not found; store.
pub async fn receipt(app: &App, id: OrderId) -> Result<ReceiptRow, AppError> {
    let found = app.orders.read(move |conn| purges::receipt(conn, id)).await?;
    found.ok_or(AppError::NotFound)
}

/// A page of receipts, newest order first.
///
/// # Errors
/// Store.
pub async fn receipts(app: &App, before: Option<OrderId>, limit: i64) -> Result<Vec<ReceiptRow>, AppError> {
    app.orders
        .read(move |conn| Ok(purges::receipts(conn, before, limit)?))
        .await
}
