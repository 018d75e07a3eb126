//! Before the service is ready: do the orders database and the vault belong together, and is either an old copy?
//!
//! Both hold the number of the journal's last entry, a counter that is turned, vault first, at every start and before
//! every booking, and the newest entry of the audit chain. **Orders behind the vault** in any of them: an old copy was put
//! back. The journal is replayed from the copy's number (what was purged is purged again, revoked keys stay revoked, holds
//! hold, requests of data subjects and withdrawn consents are known), and no attempt is sent before the courier was asked
//! about it. **Vault behind the orders**: the wrong vault, or an old copy of it: the service does not start.

use std::time::Duration;

use crate::app::parcels::booking_attempts::{Now, enqueue_ship};
use crate::app::retention::journalled_erasure::{self, Erasure};
use crate::app::subject_requests::journalled;
use crate::app::{App, AppError, audit};
use crate::clock::{BusinessTime, delta};
use crate::domain::ids::OrderId;
use crate::domain::journal::JournalKind;
use crate::store::orders::{self, Change, change_in_tx};
use crate::store::vault::journal::{self, JournalRow, NewEntry};
use crate::store::vault::keys as vault_keys;
use crate::store::{AnyConn, StoreError, epochs, from_row, keys, meta, purges, shipments};
use crate::vault::Recovered;

/// Why the service must not start with this pair of databases.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The vault knows less than the orders database.
    #[error(
        "the vault is older than the orders database: {missing}. Start with the newest vault there is. Where it is lost \
         for good, `safelight vault accept-older` takes this one into service and says what that costs"
    )]
    OldVault {
        /// What is missing, in words.
        missing: String,
    },
    /// Store or vault.
    #[error(transparent)]
    App(#[from] AppError),
}

/// What was found and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// An old copy of the orders was put back.
    pub restored: bool,
    /// Journal entries applied again.
    pub replayed: usize,
}

#[derive(Debug)]
struct Pair {
    orders_counter: i64,
    orders_journal: i64,
    vault_counter: i64,
    vault_journal: i64,
    /// Epochs that the orders database relies on and the vault has never heard of.
    unknown_epochs: Vec<i64>,
}

/// Checks the pair, replays what an old copy missed, and turns the counter. Blocking; before the service is ready.
///
/// # Errors
/// The vault is older than the orders; store or vault.
pub fn check_pair(app: &App) -> Result<Started, StartError> {
    let recovered = app.vault.recover_from_mirror(false).map_err(AppError::from)?;
    if let Some(missing) = missing_from_mirror(&recovered) {
        return Err(StartError::OldVault { missing });
    }
    if recovered.entries > 0 {
        tracing::warn!(
            entries = recovered.entries,
            "Journal entries lost by the vault were restored from the mirror"
        );
    }
    let mut pair = read(app)?;
    if let Some(missing) = missing_from_vault(&pair) {
        return Err(StartError::OldVault { missing });
    }
    // Another process may be between turning the counter and noting it: give it a moment before believing in a restore.
    for _ in 0..10 {
        if pair.orders_counter >= pair.vault_counter {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
        pair = read(app)?;
    }
    let restored = pair.orders_counter < pair.vault_counter
        || audit::is_behind(app)?
        || misses_an_erasure(app, pair.orders_journal)?;
    let replayed = replay(app, pair.orders_journal)?;
    if restored {
        tracing::warn!(
            replayed,
            "Orders database was restored from an older backup; open bookings marked unknown until reconciled"
        );
        app.orders
            .write_blocking(|conn| mark_unknown(conn, app))
            .map_err(StartError::App)?;
        audit::note_restore(app)?;
    }
    let turn = app.vault.turn_counter().map_err(AppError::from)?;
    app.orders
        .write_blocking(|conn| meta::raise_in_tx(conn, meta::COUNTER, turn))
        .map_err(AppError::from)?;
    Ok(Started { restored, replayed })
}

fn read(app: &App) -> Result<Pair, AppError> {
    let (orders_counter, orders_journal, living) = app.orders.read_blocking(|conn| {
        Ok::<_, StoreError>((
            meta::number(conn, meta::COUNTER)?,
            meta::number(conn, meta::JOURNAL)?,
            epochs::living(conn)?,
        ))
    })?;
    let (vault_counter, vault_journal, known) = app.vault.database().read_blocking(|conn| {
        Ok::<_, StoreError>((
            journal::counter(conn)?,
            journal::last(conn)?,
            vault_keys::keys(conn, "epoch")?,
        ))
    })?;
    let unknown_epochs = living
        .into_iter()
        .filter(|id| !known.iter().any(|key| key.id == *id))
        .collect();
    Ok(Pair {
        orders_counter,
        orders_journal,
        vault_counter,
        vault_journal,
        unknown_epochs,
    })
}

/// Whether the journal has an erasure after `from` that this database never decided. Every erasure is decided before it is
/// journalled: where it is not, this is a copy from before. Entries of other kinds may be those of a process that died
/// between the two, and tell nothing.
fn misses_an_erasure(app: &App, from: i64) -> Result<bool, AppError> {
    const BATCH: i64 = 500;
    let mut from = from;
    loop {
        let entries = app
            .vault
            .database()
            .read_blocking(|conn| journal::after(conn, from, BATCH))?;
        let Some(last) = entries.last() else { return Ok(false) };
        from = last.number;
        let erased: Vec<&str> = entries
            .iter()
            .filter(|entry| entry.kind() == Some(JournalKind::Erase))
            .map(|entry| entry.subject.as_str())
            .collect();
        let decided = app
            .orders
            .read_blocking(|conn| purges::count_decided_of(conn, &erased))?;
        if decided < erased.iter().collect::<std::collections::BTreeSet<_>>().len() {
            return Ok(true);
        }
    }
}

fn missing_from_mirror(recovered: &Recovered) -> Option<String> {
    let lost: Vec<String> = recovered
        .lost
        .iter()
        .map(|(from, to)| format!("{from} to {to}"))
        .collect();
    (!lost.is_empty()).then(|| format!("it misses journal entries {}, and so does its mirror", lost.join(", ")))
}

fn missing_from_vault(pair: &Pair) -> Option<String> {
    let mut missing = Vec::new();
    if pair.orders_journal > pair.vault_journal {
        missing.push(format!(
            "journal entries {} to {}",
            pair.vault_journal + 1,
            pair.orders_journal
        ));
    }
    if pair.orders_counter > pair.vault_counter {
        missing.push(format!(
            "the last {} turns of its counter",
            pair.orders_counter - pair.vault_counter
        ));
    }
    if let (Some(first), Some(last)) = (pair.unknown_epochs.first(), pair.unknown_epochs.last()) {
        missing.push(format!("the keys of epochs {first} to {last}"));
    }
    (!missing.is_empty()).then(|| format!("it misses {}", missing.join(", ")))
}

/// Takes an older vault into service; returns what is lost, in words, or `None` where nothing is.
///
/// # Errors
/// Store or vault.
pub fn accept_older(app: &App) -> Result<Option<String>, AppError> {
    let recovered = app.vault.recover_from_mirror(true)?;
    let unmirrored = missing_from_mirror(&recovered);
    let pair = read(app)?;
    let mut lost = recovered.lost;
    let missing = missing_from_vault(&pair);
    if missing.is_some() {
        let now = app.clock.business_now();
        if pair.orders_journal > pair.vault_journal {
            lost.push((pair.vault_journal.saturating_add(1), pair.orders_journal));
        }
        app.vault.database().write_blocking(|conn| {
            journal::skip_to_in_tx(conn, pair.orders_journal)?;
            journal::turn_in_tx(conn, pair.orders_counter)?;
            // Their keys are gone: the numbers must never be given to other keys.
            for id in &pair.unknown_epochs {
                vault_keys::note_lost_key_in_tx(conn, "epoch", *id, now)?;
            }
            Ok::<_, StoreError>(())
        })?;
        app.vault.make_ahead(&app.orders)?;
    }
    if !lost.is_empty() {
        // Whoever compares receipts with the journal is told what cannot be found in it any more.
        let entries = lost.iter().map(|(from, to)| NewEntry {
            kind: JournalKind::Lost,
            subject: "journal".to_owned(),
            detail: format!("{from}..{to}"),
        });
        app.vault.journal(entries.collect())?;
    }
    let told: Vec<String> = unmirrored.into_iter().chain(missing).collect();
    Ok((!told.is_empty()).then(|| told.join("; ")))
}

/// Applies the journal's entries after `from`, oldest first; each may have been applied before.
fn replay(app: &App, from: i64) -> Result<usize, AppError> {
    const BATCH: i64 = 500;
    let mut done = 0;
    let mut from = from;
    loop {
        let entries = app
            .vault
            .database()
            .read_blocking(|conn| journal::after(conn, from, BATCH))?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(done);
        };
        let (first, last) = (first.number.min(from.saturating_add(1)), last.number);
        app.orders.write_blocking(|conn| {
            for entry in &entries {
                apply(conn, app, entry)?;
            }
            Ok::<_, AppError>(meta::applied_in_tx(conn, first, last)?)
        })?;
        done += entries.len();
        from = last;
    }
}

/// Catches up with entries whose process died before it applied them.
///
/// # Errors
/// Store or vault.
pub async fn catch_up(app: &App) -> Result<usize, AppError> {
    let app_ = app.clone();
    app.blocking(move || {
        let from = app_.orders.read_blocking(|conn| meta::number(conn, meta::JOURNAL))?;
        replay(&app_, from)
    })
    .await
}

fn apply(conn: &mut AnyConn, app: &App, entry: &JournalRow) -> Result<(), AppError> {
    let now = app.clock.business_now();
    match entry.kind() {
        Some(JournalKind::Erase) => {
            let Ok(id) = entry.subject.parse::<OrderId>() else {
                return Ok(());
            };
            // The copy may be from before the order; and what is decided there already is destroyed by the sweep.
            journalled_erasure::decide_again_in_tx(conn, id, Erasure::parse(&entry.detail), now)?;
        }
        Some(JournalKind::RevokeKey) => {
            keys::revoke_in_tx(conn, &entry.subject, now)?;
        }
        Some(JournalKind::Hold) => {
            let Ok(id) = entry.subject.parse::<OrderId>() else {
                return Ok(());
            };
            let order = orders::lock_in_tx(conn, id)?.filter(|order| order.purge_decided_at.is_none());
            if let Some(order) = order {
                // The last word counts: since this entry was read another may have been journalled, and done.
                let from = entry.number;
                let last = app
                    .vault
                    .database()
                    .read_blocking(|vault| journal::last_about(vault, JournalKind::Hold, &entry.subject, from))?;
                let until = last
                    .unwrap_or_else(|| entry.detail.clone())
                    .parse()
                    .ok()
                    .and_then(BusinessTime::from_timestamp_micros);
                let mut change = Change::at(now).hold(until);
                if order.first_held_at.is_none() && !entry.detail.is_empty() {
                    change = change.first_held(from_row(entry.at));
                }
                change_in_tx(conn, id, &change)?;
            }
        }
        Some(JournalKind::Restrict | JournalKind::SubjectRequest) => journalled::replay(conn, entry, now)?,
        // Noted for whoever reads the journal; the chain of the copy that is put back next says its own.
        Some(JournalKind::Restored | JournalKind::ChainAccepted | JournalKind::Lost) => {}
        None => tracing::error!(
            kind = entry.kind,
            number = entry.number,
            "Journal entry has an unknown kind; entry skipped"
        ),
    }
    Ok(())
}

/// Nothing that an old copy believes of its parcels is taken for true.
fn mark_unknown(conn: &mut AnyConn, app: &App) -> Result<(), AppError> {
    let now = Now::of(&app.clock);
    let micros = now.business.timestamp_micros();
    meta::raise_in_tx(conn, meta::RESTORED_AT, micros)?;
    // It may also be another replica's booking, under way while this process starts (the vault's counter is turned, the
    // orders' is not yet): "not there" must not count before that one's network deadline, which is at most this far off.
    let longest = app.couriers.names().filter_map(|name| app.couriers.get(name));
    let longest = longest.map(|courier| courier.deadline()).max().unwrap_or_default();
    for id in shipments::mark_unknown_in_tx(conn, now.business, now.wall + delta(longest))? {
        enqueue_ship(conn, id, now)?;
    }
    Ok(())
}
