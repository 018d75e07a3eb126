//! The auditor's question: is what was purged gone, and does the record of it stand?

mod planted_values;
pub mod scan;

use std::collections::HashMap;

use crate::app::retention::journalled_erasure::Erasure;
use crate::app::retention::purge;
use crate::app::{App, AppError, audit};
use crate::domain::audit::AuditAction;
use crate::domain::journal::JournalKind;
use crate::store::vault::journal::{self, JournalRow};
use crate::store::vault::keys as vault_keys;
use crate::store::{StoreError, audit as audit_rows, epochs, proof};

pub use planted_values::{all_looked_for, scan};

/// One thing that was checked.
#[derive(Debug, Clone)]
pub struct Check {
    /// What, in words.
    pub what: String,
    /// What was found against it; empty where it holds. Names rows, never values.
    pub findings: Vec<String>,
    /// How much was looked at.
    pub looked_at: String,
}

/// Checks everything that the databases can tell.
///
/// # Errors
/// Store or vault.
pub async fn prove(app: &App) -> Result<Vec<Check>, AppError> {
    let mut checks = Vec::new();
    let (left, counts, decided) = app
        .orders
        .read(|conn| {
            Ok::<_, StoreError>((
                proof::left_of_purged(conn)?,
                proof::count_purged(conn)?,
                proof::count_decided(conn)?,
            ))
        })
        .await?;
    let (purged, without_receipt) = counts;
    for (table, rows) in left {
        checks.push(Check {
            what: format!("{table} holds nothing of a purged order"),
            findings: rows
                .into_iter()
                .map(|row| format!("order {} still has a value in {table}", row.order_id))
                .collect(),
            looked_at: format!("{purged} purged orders"),
        });
    }
    checks.push(Check {
        what: "every purged order has a receipt".to_owned(),
        findings: some(without_receipt, "purged orders have no receipt"),
        looked_at: format!("{purged} purged orders"),
    });
    checks.push(Check {
        what: "no purge is decided and not done".to_owned(),
        findings: some(
            decided,
            "orders wait for their destruction; the next sweep goes on with them",
        ),
        looked_at: "orders".to_owned(),
    });
    let unfit = app.orders.read(proof::unfit_receipts).await?;
    checks.push(Check {
        what: "every receipt fits its order".to_owned(),
        findings: unfit
            .into_iter()
            .map(|row| format!("order {} is not purged as its receipt says", row.order_id))
            .collect(),
        looked_at: format!("{purged} purged orders"),
    });
    checks.push(erased(app).await?);
    checks.push(journalled(app).await?);
    checks.push(retired_keys(app).await?);
    checks.push(chain(app).await?);
    checks.push(receipts(app).await?);
    Ok(checks)
}

fn some(count: i64, what: &str) -> Vec<String> {
    if count > 0 {
        vec![format!("{count} {what}")]
    } else {
        Vec::new()
    }
}

/// A service beside may be between marking an epoch as retired and destroying its key: what is found is looked for again
/// before it counts.
async fn retired_keys(app: &App) -> Result<Check, AppError> {
    const LOOKS: u32 = 10;
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
    let retired = app.orders.read(epochs::retired).await?;
    let mut left = retired.clone();
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let existing = app.vault.database().read(vault_keys::living_epochs).await?;
        left.retain(|epoch| existing.contains(epoch));
        if left.is_empty() {
            break;
        }
    }
    let findings = left
        .iter()
        .map(|epoch| format!("the key of retired epoch {epoch} still exists"))
        .collect();
    Ok(Check {
        what: "no key of a retired epoch exists".to_owned(),
        findings,
        looked_at: format!("{} retired epochs", retired.len()),
    })
}

/// What the vault says was erased is gone from the orders.
async fn erased(app: &App) -> Result<Check, AppError> {
    const BATCH: i64 = 500;
    let (mut from, mut looked_at, mut back) = (0, 0, std::collections::BTreeSet::new());
    loop {
        let entries = app
            .vault
            .database()
            .read(move |conn| journal::after(conn, from, BATCH))
            .await?;
        let Some(last) = entries.last() else { break };
        from = last.number;
        let ids: Vec<String> = entries
            .into_iter()
            .filter(|entry| entry.kind() == Some(JournalKind::Erase))
            .map(|entry| entry.subject)
            .collect();
        looked_at += ids.len();
        back.extend(app.orders.read(move |conn| proof::back_among(conn, &ids)).await?);
    }
    Ok(Check {
        what: "nothing that the vault's journal says was erased is there".to_owned(),
        findings: back
            .into_iter()
            .map(|id| format!("order {id} was erased and is there again, or was never destroyed"))
            .collect(),
        looked_at: format!("{looked_at} erasures"),
    })
}

/// Every receipt's erasure stands in the vault's journal.
async fn journalled(app: &App) -> Result<Check, AppError> {
    const BATCH: i64 = 500;
    // What the vault lost for good, and a person has taken note of, cannot be compared.
    let lost: Vec<(i64, i64)> = app
        .vault
        .database()
        .read(|conn| journal::details_of(conn, JournalKind::Lost))
        .await?
        .iter()
        .filter_map(|detail| detail.split_once(".."))
        .filter_map(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .collect();
    let (mut after, mut findings, mut looked_at) = (String::new(), Vec::new(), 0);
    loop {
        let from = after.clone();
        let receipts = app
            .orders
            .read(move |conn| proof::receipts_after(conn, &from, BATCH))
            .await?;
        let Some(last) = receipts.last() else { break };
        after.clone_from(&last.order_id);
        looked_at += receipts.len();
        let numbers: Vec<i64> = receipts.iter().filter_map(|receipt| receipt.journal).collect();
        let entries = app
            .vault
            .database()
            .read(move |conn| journal::numbered(conn, &numbers))
            .await?;
        let entries: HashMap<i64, JournalRow> = entries.into_iter().map(|entry| (entry.number, entry)).collect();
        for receipt in receipts {
            let entry = receipt.journal.and_then(|number| entries.get(&number));
            let stands = entry.is_some_and(|entry| {
                entry.kind() == Some(JournalKind::Erase)
                    && entry.subject == receipt.order_id
                    && Erasure::parse(&entry.detail).is_for(&receipt.reason)
            });
            let is_lost = entry.is_none()
                && receipt
                    .journal
                    .is_some_and(|number| lost.iter().any(|(from, to)| (*from..=*to).contains(&number)));
            if !stands && !is_lost {
                findings.push(format!(
                    "the erasure of order {} does not stand in the vault's journal",
                    receipt.order_id
                ));
            }
        }
    }
    Ok(Check {
        what: "every receipt's erasure stands in the vault's journal".to_owned(),
        findings,
        looked_at: format!("{looked_at} receipts"),
    })
}

async fn chain(app: &App) -> Result<Check, AppError> {
    let verified = audit::verify(app).await?;
    let restored = app
        .orders
        .read(|conn| audit_rows::count_of(conn, &[AuditAction::Restored, AuditAction::ChainAccepted]))
        .await?;
    let findings = match (verified.ok, verified.broken_at) {
        (true, _) => Vec::new(),
        (false, Some(at)) => vec![format!("the chain breaks at entry {at}")],
        (false, None) => vec!["the chain is broken".to_owned()],
    };
    Ok(Check {
        what: "the audit log's hash chain holds".to_owned(),
        findings,
        looked_at: match restored {
            0 => format!("{} entries, against the heads of both databases", verified.entries),
            times => format!(
                "{} entries, against the heads of both databases; {times} of them say that entries were lost",
                verified.entries
            ),
        },
    })
}

/// Every receipt's hash is over its facts, and the hash of each entry's receipts stands in the chain.
async fn receipts(app: &App) -> Result<Check, AppError> {
    const BATCH: i64 = 200;
    let mut findings = Vec::new();
    let mut looked_at = 0;
    let mut after = 0;
    loop {
        let entries = app
            .orders
            .read(move |conn| {
                proof::entries_with_receipts(conn, after, BATCH)?
                    .into_iter()
                    .map(|seq| {
                        Ok((
                            seq,
                            proof::receipts_of_entry(conn, seq)?,
                            audit_rows::after(conn, seq - 1, 1)?,
                        ))
                    })
                    .collect::<Result<Vec<_>, StoreError>>()
            })
            .await?;
        let Some((last, _, _)) = entries.last() else { break };
        after = *last;
        for (seq, receipts, entry) in entries {
            looked_at += receipts.len();
            for receipt in receipts
                .iter()
                .filter(|receipt| receipt.hash != purge::receipt_hash(receipt))
            {
                findings.push(format!("the receipt of order {} was changed", receipt.order_id));
            }
            let expected = format!("receipts={} sha256={}", receipts.len(), purge::sweep_hash(&receipts));
            if entry
                .first()
                .is_none_or(|entry| entry.seq != seq || entry.detail != expected)
            {
                findings.push(format!(
                    "the receipts under audit entry {seq} are not those that it was written for"
                ));
            }
        }
    }
    Ok(Check {
        what: "every receipt stands in the chain".to_owned(),
        findings,
        looked_at: format!("{looked_at} receipts"),
    })
}
