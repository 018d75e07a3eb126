//! Reading the audit log and checking its chain.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::app::{App, AppError};
use crate::domain::actor::Actor;
use crate::domain::audit::AuditAction;
use crate::domain::journal::JournalKind;
use crate::privacy::Pii;
use crate::store::audit::{self, Act, EntryRow};
use crate::store::vault::journal::NewEntry;
use crate::store::vault::meta as vault_meta;
use crate::store::{AnyConn, StoreError, meta};
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

/// How the chain stands to the entry that the vault has heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// That entry is there unchanged, and whatever follows hangs on it: the newest, as it is kept.
    Holds(Option<String>),
    /// The chain ends before that entry: an old copy, or a tail that was cut off.
    Behind,
    /// That entry, or one after it, is another than it was.
    Broken(i64),
}

/// Follows the chain from the entry that the vault has heard of to its end. Read the vault first: it hears of entries
/// only once they are there.
fn standing(conn: &mut AnyConn, witnessed: Option<&str>) -> Result<Standing, StoreError> {
    const BATCH: i64 = 500;
    let (known, hash) = match witnessed {
        Some(head) => parse_head(head).ok_or_else(|| StoreError::corrupt("vault_meta", vault_meta::AUDIT_HEAD))?,
        None => (0, ""),
    };
    let own = meta::get(conn, meta::AUDIT_HEAD)?;
    let (end, end_hash) = match own.as_deref() {
        Some(head) => parse_head(head).ok_or_else(|| StoreError::corrupt("meta", meta::AUDIT_HEAD))?,
        None => (0, ""),
    };
    if end < known {
        return Ok(Standing::Behind);
    }
    // The known entry itself is the first that is looked at.
    let mut seq = known.saturating_sub(1).max(0);
    let mut previous: Option<String> = (known == 0).then(String::new);
    while seq < end {
        let entries = audit::after(conn, seq, BATCH.min(end - seq))?;
        if entries.is_empty() {
            return Ok(Standing::Broken(seq + 1));
        }
        for entry in entries {
            let expected = seq + 1;
            let linked = previous.as_ref().is_none_or(|previous| *previous == entry.prev_hash);
            let witnessed = entry.seq != known || entry.hash == hash;
            if entry.seq != expected || !linked || !witnessed || entry.hash != entry.expected_hash() {
                return Ok(Standing::Broken(expected));
            }
            seq = expected;
            previous = Some(entry.hash);
        }
    }
    match previous {
        Some(previous) if previous != end_hash => Ok(Standing::Broken(end)),
        _ => Ok(Standing::Holds(own)),
    }
}

/// How long an answer waits for the vault to hear of the entry behind it: one that is away must not make a look-up that
/// cached keys can serve wait for it.
const WORTH_WAITING: Duration = Duration::from_secs(1);

/// Tells the vault of a privileged act before it is answered, so that from then on it cannot be cut off unseen. Where the
/// vault does not hear of it now, the recurring work tells it.
pub(crate) async fn note_act(app: &App) {
    match tokio::time::timeout(WORTH_WAITING, note_head(app)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "Failed to write the audit chain head to the vault; will retry"),
        Err(_) => tracing::warn!("Timed out writing the audit chain head to the vault; will retry"),
    }
}

/// Tells the vault the chain's newest entry, so that a tail cut off the orders database shows. It goes on only over a
/// chain in which the entry that it has heard of stands unchanged: otherwise it stays, and so does the alarm, until a
/// person has settled it (`safelight vault accept-chain`).
///
/// # Errors
/// The chain does not hang on what the vault has heard of; store or vault.
pub async fn note_head(app: &App) -> Result<(), AppError> {
    let witnessed = || async {
        let vault = app.vault.database();
        vault
            .read(|conn| vault_meta::get(conn, vault_meta::AUDIT_HEAD))
            .await
            .map_err(vault_trouble)
    };
    // Another process may tell it of a newer entry meanwhile: then the chain is followed from there.
    for _ in 0..5 {
        let known = witnessed().await?;
        let heard = known.clone();
        let stands = app.orders.read(move |conn| standing(conn, heard.as_deref())).await?;
        let head = match stands {
            Standing::Holds(Some(head)) if Some(&head) != known.as_ref() => head,
            Standing::Holds(_) => return Ok(()),
            Standing::Behind => return Err(AppError::Internal(CUT.to_owned())),
            Standing::Broken(at) => {
                return Err(AppError::Internal(format!("{CHANGED}: it breaks at entry {at}")));
            }
        };
        if tell(app, known, head).await? {
            return Ok(());
        }
    }
    Ok(())
}

const CUT: &str = "the audit chain ends before the entry that the vault has heard of: its tail was cut off";
const CHANGED: &str = "the audit chain is not the one that the vault has heard of";

/// Replaces the head in the vault, where it is still `known`.
async fn tell(app: &App, known: Option<String>, head: String) -> Result<bool, VaultError> {
    app.vault
        .database()
        .write(move |conn| {
            vault_meta::get_or_set_in_tx(conn, vault_meta::AUDIT_HEAD, known.as_deref().unwrap_or(NOTHING))?;
            let now = vault_meta::lock_in_tx(conn, vault_meta::AUDIT_HEAD)?;
            let unchanged = now.as_deref() == Some(known.as_deref().unwrap_or(NOTHING));
            if unchanged {
                vault_meta::set_in_tx(conn, vault_meta::AUDIT_HEAD, &head)?;
            }
            Ok(unchanged)
        })
        .await
        .map_err(vault_trouble)
}

/// A head before the first entry.
const NOTHING: &str = "0 ";

fn vault_trouble(error: StoreError) -> VaultError {
    VaultError::Unavailable(error.to_string())
}

fn witnessed_blocking(app: &App) -> Result<Option<String>, AppError> {
    let vault = app.vault.database();
    Ok(vault
        .read_blocking(|conn| vault_meta::get(conn, vault_meta::AUDIT_HEAD))
        .map_err(vault_trouble)?)
}

/// Whether the chain ends before the entry that the vault has heard of. Blocking; before the service is ready.
///
/// # Errors
/// Store or vault.
pub(crate) fn is_behind(app: &App) -> Result<bool, AppError> {
    let witnessed = witnessed_blocking(app)?;
    let stands = app.orders.read_blocking(|conn| standing(conn, witnessed.as_deref()))?;
    if let Standing::Broken(at) = stands {
        tracing::error!(at, "{CHANGED}");
    }
    Ok(stands == Standing::Behind)
}

/// An old copy of the orders was put back, and the entries since it was made are lost with the rest: says so in the chain
/// and in the vault's journal, with how many at least and the hash of the last lost one, and lets the chain go on from
/// what there is. Blocking; before the service is ready.
///
/// # Errors
/// Store or vault.
pub(crate) fn note_restore(app: &App) -> Result<(), AppError> {
    go_on(app, &Actor::System, JournalKind::Restored, AuditAction::Restored).map(drop)
}

/// A person has looked at a chain that is not the one that the vault has heard of, and takes it as it is: the same, under
/// another name. `None`: there is nothing to settle. Entries that were changed in place stay a finding. Blocking.
///
/// # Errors
/// Store or vault.
pub fn accept_chain(app: &App, actor: &Actor) -> Result<Option<String>, AppError> {
    let witnessed = witnessed_blocking(app)?;
    match app.orders.read_blocking(|conn| standing(conn, witnessed.as_deref()))? {
        Standing::Holds(_) => Ok(None),
        Standing::Behind | Standing::Broken(_) => {
            go_on(app, actor, JournalKind::ChainAccepted, AuditAction::ChainAccepted).map(Some)
        }
    }
}

/// Says what the chain lost, and makes its end the one that the vault knows.
fn go_on(app: &App, actor: &Actor, kind: JournalKind, action: AuditAction) -> Result<String, AppError> {
    let witnessed = witnessed_blocking(app)?;
    let (own, stands) = app.orders.read_blocking(|conn| {
        let stands = standing(conn, witnessed.as_deref())?;
        Ok::<_, StoreError>((meta::get(conn, meta::AUDIT_HEAD)?, stands))
    })?;
    let seq_of = |head: Option<&str>| head.and_then(parse_head).map_or(0, |(seq, _)| seq);
    let (kept, known) = (seq_of(own.as_deref()), seq_of(witnessed.as_deref()));
    let lost = match &stands {
        Standing::Holds(_) => "lost=0".to_owned(),
        Standing::Behind => format!("lost={}", known - kept),
        Standing::Broken(_) => "lost=unknown".to_owned(),
    };
    let detail = match &witnessed {
        Some(head) if !matches!(stands, Standing::Holds(_)) => format!("kept={kept} {lost} lost_head={head}"),
        _ => format!("kept={kept} {lost}"),
    };
    let entry = NewEntry {
        kind,
        subject: "orders".to_owned(),
        detail: detail.clone(),
    };
    let (first, last) = app.vault.journal(vec![entry])?;
    let now = app.clock.business_now();
    let head = app.orders.write_blocking(|conn| {
        let act = Act {
            actor,
            action,
            subject: "orders",
            detail: &detail,
            reason_hash: None,
        };
        audit::append_in_tx(conn, now, &act)?;
        meta::applied_in_tx(conn, first, last)?;
        meta::get(conn, meta::AUDIT_HEAD)
    })?;
    let head = head.unwrap_or_default();
    app.vault
        .database()
        .write_blocking(|conn| {
            vault_meta::get_or_set_in_tx(conn, vault_meta::AUDIT_HEAD, &head)?;
            vault_meta::set_in_tx(conn, vault_meta::AUDIT_HEAD, &head)
        })
        .map_err(vault_trouble)?;
    Ok(detail)
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
        .read(|conn| vault_meta::get(conn, vault_meta::AUDIT_HEAD))
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

/// A random salt and the hash of a reason under it: the salt is personal like the reason, the hash tells nothing.
pub(crate) fn salted_hash(reason: &Pii<String>) -> (String, String) {
    let mut salt = [0; 16];
    crate::vault::keyring::fill_random(&mut salt);
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(reason.expose().as_bytes());
    (
        data_encoding::HEXLOWER.encode(&salt),
        data_encoding::HEXLOWER.encode(&hasher.finalize()),
    )
}
