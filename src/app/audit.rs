//! Reading the audit log and checking its chain.

use crate::app::{App, AppError};
use crate::store::audit::{self, EntryRow};
use crate::store::{StoreError, meta};

/// What a check of the chain found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Whether every entry is as it was written and none is missing.
    pub ok: bool,
    /// Entries read.
    pub entries: i64,
    /// The first number at which the chain does not hold.
    pub broken_at: Option<i64>,
}

/// A page of the log, newest first.
///
/// # Errors
/// Store.
pub async fn list(app: &App, before: Option<i64>, limit: i64) -> Result<Vec<EntryRow>, AppError> {
    app.orders.read(move |conn| Ok(audit::list(conn, before, limit)?)).await
}

/// Reads the whole chain in order and checks every link and the head.
///
/// # Errors
/// Store.
pub async fn verify(app: &App) -> Result<Verified, AppError> {
    const BATCH: i64 = 1000;
    app.orders
        .read(|conn| {
            let head = meta::get(conn, meta::AUDIT_HEAD)?.unwrap_or_else(|| "0 ".to_owned());
            let mut entries = 0_i64;
            let mut previous = String::new();
            loop {
                let batch = audit::after(conn, entries, BATCH)?;
                let last = i64::try_from(batch.len()).unwrap_or(0) < BATCH;
                for entry in batch {
                    let expected = entries.saturating_add(1);
                    if entry.seq != expected || entry.prev_hash != previous || entry.hash != entry.expected_hash() {
                        return Ok(Verified {
                            ok: false,
                            entries,
                            broken_at: Some(expected),
                        });
                    }
                    entries = expected;
                    previous = entry.hash;
                }
                if last {
                    break;
                }
            }
            // Entries may have been added while this read went on: the head read first must be on the way.
            let head_seq: i64 = head.split_once(' ').and_then(|(seq, _)| seq.parse().ok()).unwrap_or(0);
            let cut = head_seq > entries;
            Ok::<_, StoreError>(Verified {
                ok: !cut,
                entries,
                broken_at: cut.then(|| entries.saturating_add(1)),
            })
        })
        .await
        .map_err(AppError::from)
}
