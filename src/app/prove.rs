//! The auditor's question: is what was purged gone, and does the record of it stand?

use std::path::{Path, PathBuf};

use crate::app::scan::{self, Found, Needle};
use crate::app::{App, AppError, audit, purge};
use crate::config::DatabaseUrl;
use crate::privacy::classes::classes;
use crate::store::{Database, StoreError, audit as audit_rows, dialect, epochs, proof};

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

async fn retired_keys(app: &App) -> Result<Check, AppError> {
    let retired = app.orders.read(epochs::retired).await?;
    let existing = app.vault.database().read(proof::epoch_keys).await?;
    let findings = retired
        .iter()
        .filter(|epoch| existing.contains(epoch))
        .map(|epoch| format!("the key of retired epoch {epoch} still exists"))
        .collect();
    Ok(Check {
        what: "no key of a retired epoch exists".to_owned(),
        findings,
        looked_at: format!("{} retired epochs", retired.len()),
    })
}

async fn chain(app: &App) -> Result<Check, AppError> {
    let verified = audit::verify(app).await?;
    let findings = match (verified.ok, verified.broken_at) {
        (true, _) => Vec::new(),
        (false, Some(at)) => vec![format!("the chain breaks at entry {at}")],
        (false, None) => vec!["the chain is broken".to_owned()],
    };
    Ok(Check {
        what: "the audit log's hash chain holds".to_owned(),
        findings,
        looked_at: format!("{} entries", verified.entries),
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

/// Looks for planted values in what the databases keep, and in these other files (logs).
///
/// # Errors
/// Store; a file cannot be read.
pub async fn scan(app: &App, needles: Vec<Needle>, logs: Vec<PathBuf>) -> Result<Vec<Check>, AppError> {
    let mut checks = Vec::new();
    for (name, database) in [("orders", &app.orders), ("vault", app.vault.database())] {
        checks.push(match database.url() {
            DatabaseUrl::Sqlite(path) => files(
                format!("no planted value stands in the bytes of the {name} database's files"),
                &database_files(path),
                &needles,
            )?,
            DatabaseUrl::Postgres(_) => rows(name, database, &needles)?,
        });
    }
    checks.push(files(
        "no planted value stands in the log files".to_owned(),
        &logs,
        &needles,
    )?);
    Ok(checks)
}

/// The database's file and what SQLite keeps beside it.
fn database_files(path: &Path) -> Vec<PathBuf> {
    ["", "-wal", "-shm", "-journal"]
        .iter()
        .map(|end| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        })
        .filter(|path| path.exists())
        .collect()
}

fn files(what: String, files: &[PathBuf], needles: &[Needle]) -> Result<Check, AppError> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for file in files {
        bytes += scan::in_file(file, needles, &mut found)
            .map_err(|error| AppError::Internal(format!("cannot read {}: {error}", file.display())))?;
    }
    Ok(Check {
        what,
        findings: told(found),
        looked_at: format!("{} files, {bytes} bytes", files.len()),
    })
}

fn rows(name: &str, database: &Database, needles: &[Needle]) -> Result<Check, AppError> {
    let tables = if name == "vault" {
        &classes().vault
    } else {
        &classes().orders
    };
    let mut found = Vec::new();
    let mut count = 0_u64;
    for table in tables.keys() {
        let place = format!("table {table}");
        database.write_blocking(|conn| {
            dialect::rows_as_text_in_tx(conn, table, |row| {
                count += 1;
                scan::in_text(row, &place, needles, &mut found);
            })
        })?;
    }
    Ok(Check {
        what: format!(
            "no planted value stands in what SQL can reach of the {name} database (its server's files, log and replicas are not read)"
        ),
        findings: told(found),
        looked_at: format!("{} tables, {count} rows", tables.len()),
    })
}

fn told(found: Vec<Found>) -> Vec<String> {
    found
        .into_iter()
        .map(|found| match found.offset {
            Some(offset) => format!(
                "planted value of line {} in {} at byte {offset}, as {}",
                found.line, found.place, found.form
            ),
            None => format!(
                "planted value of line {} in {}, as {}",
                found.line, found.place, found.form
            ),
        })
        .collect()
}
