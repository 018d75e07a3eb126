//! Reading the audit log and checking its chain.

use crate::app::{App, AppError, startup};
use crate::store::audit::{self, Act, EntryRow};
use crate::store::journal::NewEntry;
use crate::store::{StoreError, meta, vault_rows};
use crate::vault::VaultError;

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
        .await
        .map_err(vault_trouble)?;
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
        .await
        .map_err(vault_trouble)?;
    Ok(())
}

fn vault_trouble(error: StoreError) -> VaultError {
    VaultError::Unavailable(error.to_string())
}

/// An old copy of the orders was put back, and the entries since it was made are lost with the rest: says so in the chain
/// and in the vault's journal, with the hash of the last lost one, and lets the chain go on from what there is. A tail
/// that is cut off without all of this still shows. Blocking; before the service is ready.
///
/// # Errors
/// Store or vault.
pub(crate) fn note_restore(app: &App) -> Result<(), AppError> {
    let vault = app.vault.database();
    let witnessed = vault
        .read_blocking(|conn| vault_rows::get(conn, vault_rows::AUDIT_HEAD))
        .map_err(vault_trouble)?;
    let own = app.orders.read_blocking(|conn| meta::get(conn, meta::AUDIT_HEAD))?;
    let seq_of = |head: &Option<String>| head.as_deref().and_then(parse_head).map_or(0, |(seq, _)| seq);
    let (kept, known) = (seq_of(&own), seq_of(&witnessed));
    let detail = match &witnessed {
        Some(head) if known > kept => format!("kept={kept} lost_head={head}"),
        _ => format!("kept={kept}"),
    };
    let entry = NewEntry {
        kind: startup::RESTORED,
        subject: "orders".to_owned(),
        detail: detail.clone(),
    };
    let (first, last) = app.vault.journal(vec![entry])?;
    let now = app.clock.business_now();
    let head = app.orders.write_blocking(|conn| {
        let act = Act {
            actor: "system",
            action: "restored",
            subject: "orders",
            detail: &detail,
            reason_hash: None,
        };
        audit::append_in_tx(conn, now, &act)?;
        meta::applied_in_tx(conn, first, last)?;
        meta::get(conn, meta::AUDIT_HEAD)
    })?;
    let head = head.unwrap_or_default();
    vault
        .write_blocking(|conn| {
            vault_rows::get_or_set_in_tx(conn, vault_rows::AUDIT_HEAD, &head)?;
            vault_rows::set_in_tx(conn, vault_rows::AUDIT_HEAD, &head)
        })
        .map_err(vault_trouble)?;
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
        .await
        .map_err(vault_trouble)?;
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
