//! Reading the audit log and checking its chain.

use crate::app::{App, AppError};
use crate::store::audit::{self, EntryRow};
use crate::store::{StoreError, meta, vault_rows};

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

/// The chain's newest entry, as both databases keep it: `<seq> <hash>`.
fn parse_head(head: &str) -> Option<(i64, &str)> {
    let (seq, hash) = head.split_once(' ')?;
    Some((seq.parse().ok()?, hash))
}

/// Tells the vault the chain's newest entry, so that a tail cut off the orders database shows.
///
/// # Errors
/// Store or vault.
pub async fn note_head(app: &App) -> Result<(), AppError> {
    let Some(head) = app.orders.read(|conn| meta::get(conn, meta::AUDIT_HEAD)).await? else {
        return Ok(());
    };
    let Some((seq, _)) = parse_head(&head) else {
        return Err(StoreError::corrupt("meta", meta::AUDIT_HEAD).into());
    };
    let known = app
        .vault
        .database()
        .read(|conn| vault_rows::get(conn, vault_rows::AUDIT_HEAD))
        .await?;
    if known
        .as_deref()
        .and_then(parse_head)
        .is_some_and(|(known, _)| known >= seq)
    {
        return Ok(());
    }
    app.vault
        .database()
        .write(move |conn| {
            let known = vault_rows::get_or_set_in_tx(conn, vault_rows::AUDIT_HEAD, &head)?;
            match parse_head(&known) {
                Some((known, _)) if known >= seq => Ok(()),
                _ => vault_rows::set_in_tx(conn, vault_rows::AUDIT_HEAD, &head),
            }
        })
        .await?;
    Ok(())
}

/// Reads the whole chain in order and checks every link, the head, and what the vault knows of it.
///
/// # Errors
/// Store.
pub async fn verify(app: &App) -> Result<Verified, AppError> {
    const BATCH: i64 = 1000;
    let witnessed = app
        .vault
        .database()
        .read(|conn| vault_rows::get(conn, vault_rows::AUDIT_HEAD))
        .await?;
    app.orders
        .read(move |conn| {
            // Heads are read first: entries may be added while this goes on.
            let own = meta::get(conn, meta::AUDIT_HEAD)?;
            let heads: Vec<(i64, &str)> = [&own, &witnessed]
                .into_iter()
                .flatten()
                .filter_map(|head| parse_head(head))
                .collect();
            let mut entries = 0_i64;
            let mut previous = String::new();
            loop {
                let batch = audit::after(conn, entries, BATCH)?;
                let last = i64::try_from(batch.len()).unwrap_or(0) < BATCH;
                for entry in batch {
                    let expected = entries.saturating_add(1);
                    let linked =
                        entry.seq == expected && entry.prev_hash == previous && entry.hash == entry.expected_hash();
                    let known = heads.iter().all(|(seq, hash)| *seq != entry.seq || *hash == entry.hash);
                    if !linked || !known {
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
            let cut = heads.iter().any(|(seq, _)| *seq > entries);
            Ok::<_, StoreError>(Verified {
                ok: !cut,
                entries,
                broken_at: cut.then(|| entries.saturating_add(1)),
            })
        })
        .await
        .map_err(AppError::from)
}
