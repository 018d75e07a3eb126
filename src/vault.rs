//! The vault: the keys that personal data is sealed with, and the steps around them. Knows steps, not SQL.
//!
//! Keys live in a database of their own, each wrapped by a master key from a file. A new key **epoch** begins every
//! `epoch_length` of business time; keys are made `epochs_ahead` in advance, first in the vault, then in the orders
//! database, whose `key_epochs` is the fence that decides what a value may be sealed under. A second purpose,
//! `idempotency`, has a key per day of wall time that lives two days.

pub mod keyring;
pub mod master;
pub mod mirror;
pub mod record;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::{BusinessTime, Clock, WallTime, delta};
use crate::store::vault::journal::{self, JournalRow, NewEntry};
use crate::store::vault::{VaultConn, VaultDatabase, keys as vault_keys, meta as vault_meta};
use crate::store::{Database, StoreError, epochs, meta};
use crate::vault::keyring::Keyring;
use crate::vault::master::MasterKey;
use crate::vault::mirror::Mirror;

/// What can go wrong with the vault.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The vault cannot be reached and the cached keys are too old: what needs keys waits.
    #[error("the vault is not available: {0}")]
    Unavailable(String),
    /// A key in the vault does not open with this master key.
    #[error("the vault's keys do not open with this master key")]
    WrongMaster,
    /// The orders database and the vault do not belong together.
    #[error("this vault belongs to another orders database")]
    WrongPair,
    /// The orders database relies on keys that this vault has never heard of: it is an old copy.
    #[error("this vault is older than the orders database")]
    Older,
    /// The key that could open it no longer exists.
    #[error("the key of this value's epoch no longer exists")]
    KeyGone,
    /// A sealed value is not what was stored under this row; names the row, never its content.
    #[error("row {id} of {table} does not open: it was changed or moved")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        id: String,
    },
    /// The orders database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How keys are made and kept.
#[derive(Debug, Clone)]
pub struct VaultSettings {
    /// Business time that one epoch lasts.
    pub epoch_length: Duration,
    /// How many epochs are made before they begin.
    pub epochs_ahead: u32,
    /// Business time after which no copy of the orders database may be readable any more.
    pub copy_horizon: Duration,
    /// Wall time that keys are used without asking the vault again.
    pub key_cache: Duration,
}

/// What a mirror of the journal gave back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries that the vault had lost and has again.
    pub entries: usize,
    /// Numbers, from and to, of entries that are in neither.
    pub lost: Vec<(i64, i64)>,
}

const EPOCH: &str = "epoch";
const IDEMPOTENCY: &str = "idempotency";

/// The vault, opened with its master key. Blocking: call it from where blocking is allowed.
#[derive(Debug)]
pub struct Vault {
    db: VaultDatabase,
    master: MasterKey,
    clock: Clock,
    settings: VaultSettings,
    mirror: Option<Mirror>,
    ring: RwLock<Option<Arc<Keyring>>>,
    refreshing: Mutex<()>,
    /// When the vault last did not answer, and what it said: whoever waited for that answer does not ask once more.
    failed: Mutex<Option<(std::time::Instant, String)>>,
}

impl Vault {
    /// A vault whose database is migrated already.
    pub fn new(db: VaultDatabase, master: MasterKey, clock: Clock, settings: VaultSettings) -> Self {
        Self {
            db,
            master,
            clock,
            settings,
            mirror: None,
            ring: RwLock::new(None),
            refreshing: Mutex::new(()),
            failed: Mutex::new(None),
        }
    }

    /// With a mirror of its journal.
    pub fn mirrored(mut self, mirror: Mirror) -> Self {
        self.mirror = Some(mirror);
        self
    }

    /// Appends to the journal, and to its mirror, before what it says is done; returns the first and last number.
    ///
    /// # Errors
    /// The vault cannot be reached, or the mirror cannot be written: what was to be done must wait.
    pub fn journal(&self, entries: Vec<NewEntry>) -> Result<(i64, i64), VaultError> {
        let now = self.clock.business_now();
        let rows = self
            .db
            .write_blocking(|conn| journal::append_in_tx(conn, entries, now))
            .map_err(unavailable)?;
        if let Some(mirror) = &self.mirror {
            if mirror.is_whole() {
                mirror.append(&rows).map_err(mirror_trouble)?;
            } else {
                self.complete(mirror)?;
            }
        }
        let number = |row: Option<&JournalRow>| row.map_or(0, |row| row.number);
        Ok((number(rows.first()), number(rows.last())))
    }

    /// Writes to the mirror what it lacks: it was set up late, or a process died between the journal and the mirror.
    fn complete(&self, mirror: &Mirror) -> Result<(), VaultError> {
        const BATCH: i64 = 1000;
        let known = mirror.numbers().map_err(mirror_trouble)?;
        let mut after = (1..).zip(&known).take_while(|(number, known)| number == *known).count();
        loop {
            let from = i64::try_from(after).unwrap_or(i64::MAX);
            let mut rows = self
                .db
                .read_blocking(|conn| journal::after(conn, from, BATCH))
                .map_err(unavailable)?;
            let Some(last) = rows.last() else { break };
            after = usize::try_from(last.number).unwrap_or(usize::MAX);
            rows.retain(|row| !known.contains(&row.number));
            mirror.append(&rows).map_err(mirror_trouble)?;
        }
        mirror.set_whole();
        Ok(())
    }

    /// Puts back what the mirror kept and this vault lost, and the other way round. Where entries between the two are in
    /// neither, nothing is put back unless `with_gaps` says that they are lost for good.
    ///
    /// # Errors
    /// The mirror cannot be read, or the vault cannot be reached.
    pub fn recover_from_mirror(&self, with_gaps: bool) -> Result<Recovered, VaultError> {
        let Some(mirror) = &self.mirror else {
            return Ok(Recovered::default());
        };
        let last = self.db.read_blocking(journal::last).map_err(unavailable)?;
        let missing = mirror.after(last).map_err(mirror_trouble)?;
        let mut recovered = Recovered::default();
        let mut before = last;
        for row in &missing {
            if row.number > before.saturating_add(1) {
                recovered
                    .lost
                    .push((before.saturating_add(1), row.number.saturating_sub(1)));
            }
            before = row.number;
        }
        if recovered.lost.is_empty() || with_gaps {
            recovered.entries = self
                .db
                .write_blocking(|conn| {
                    let count = journal::import_in_tx(conn, &missing)?;
                    // Old copies of both databases may well agree with each other: only the mirror tells that they are
                    // old, and the counter tells it on, also where this process dies before it has acted on it.
                    if count > 0 {
                        journal::turn_in_tx(conn, 0)?;
                    }
                    Ok::<_, StoreError>(count)
                })
                .map_err(unavailable)?;
            // Whoever journals next tries again, and waits until it succeeds.
            if let Err(error) = self.complete(mirror) {
                tracing::warn!(%error, "Failed to complete the journal mirror; will retry");
            }
        }
        Ok(recovered)
    }

    /// Turns the counter that tells an old copy of the orders from the living one; before every booking, at every start.
    ///
    /// # Errors
    /// The vault cannot be reached.
    pub fn turn_counter(&self) -> Result<i64, VaultError> {
        self.db
            .write_blocking(|conn| journal::turn_in_tx(conn, 0))
            .map_err(unavailable)
    }

    /// The vault's database.
    pub fn database(&self) -> &VaultDatabase {
        &self.db
    }

    /// Makes sure that this vault and that orders database belong together: the first pair to meet is married.
    ///
    /// # Errors
    /// They belong to others, or one of them cannot be reached.
    pub fn pair_with(&self, orders: &Database) -> Result<(), VaultError> {
        let mine: String = self.db.write_blocking(|conn| {
            let fresh = crate::domain::ids::RowId::generate().to_string();
            vault_meta::get_or_set_in_tx(conn, vault_meta::PAIR, &fresh)
        })?;
        let theirs: String = orders.write_blocking(|conn| meta::get_or_set_in_tx(conn, meta::PAIR, &mine))?;
        if mine == theirs {
            Ok(())
        } else {
            Err(VaultError::WrongPair)
        }
    }

    /// Makes the keys of the current and the coming epochs and days, in the vault first, then known to the orders
    /// database. Idempotent; any number of replicas may do it at once.
    ///
    /// # Errors
    /// One of the databases cannot be reached; [`VaultError::Older`] where the numbers that would be given out are other
    /// keys' already.
    pub fn make_ahead(&self, orders: &Database) -> Result<(), VaultError> {
        let now = self.clock.business_now();
        // Asked before the vault is: the vault hears of an epoch first.
        let relied_on = orders.read_blocking(epochs::newest)?;
        let length = delta(self.settings.epoch_length);
        let horizon = now + length * i32::try_from(self.settings.epochs_ahead).unwrap_or(i32::MAX);
        let today = self.today();
        let keys = self
            .db
            .write_blocking(|conn| {
                let mut keys = self.keys_to_add_to(conn)?;
                if relied_on > keys.last().map(|newest| newest.id) {
                    return Ok(None);
                }
                loop {
                    let (id, starts_at) = match keys.last() {
                        None => (1, now),
                        // After a long sleep the epochs that were never used are not made.
                        Some(last) if last.starts_at + length <= now => (last.id.saturating_add(1), now),
                        Some(last) => (last.id.saturating_add(1), last.starts_at + length),
                    };
                    if starts_at > horizon {
                        break;
                    }
                    let wrapped = self.master.wrap_new(EPOCH, id);
                    vault_keys::add_key_in_tx(conn, EPOCH, id, wrapped, starts_at, now)?;
                    let made = vault_keys::keys(conn, EPOCH)?;
                    if made.len() == keys.len() {
                        break;
                    }
                    keys = made;
                }
                for day in [today, today.saturating_add(1)] {
                    let wrapped = self.master.wrap_new(IDEMPOTENCY, day);
                    vault_keys::add_key_in_tx(conn, IDEMPOTENCY, day, wrapped, now, now)?;
                }
                Ok::<_, VaultError>(Some(keys))
            })
            .map_err(|error| self.in_service(error))?
            .ok_or(VaultError::Older)?;
        let (living, destroyed): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.wrapped.is_some());
        let living: Vec<(i64, BusinessTime)> = living.into_iter().map(|key| (key.id, key.starts_at)).collect();
        let destroyed: Vec<i64> = destroyed.into_iter().map(|key| key.id).collect();
        orders.write_blocking(|conn| {
            epochs::add_in_tx(conn, &living)?;
            // An old copy of the orders believes in keys that are gone: nothing may be sealed under them.
            epochs::give_up_in_tx(conn, &destroyed, now)
        })?;
        Ok(())
    }

    /// The epochs' keys, to which this process alone may add until the transaction ends. Not where they were wrapped with
    /// another master key meanwhile: a key that this one wrapped would open with neither.
    fn keys_to_add_to(&self, conn: &mut VaultConn<'_>) -> Result<Vec<vault_keys::WrappedKey>, VaultError> {
        vault_keys::lock_all_in_tx(conn)?;
        let keys = vault_keys::keys(conn, EPOCH)?;
        if let Some((id, wrapped)) = keys.iter().rev().find_map(|key| Some((key.id, key.wrapped.as_ref()?))) {
            self.master.unwrap(EPOCH, id, wrapped)?;
        }
        Ok(keys)
    }

    /// Begins a new epoch now, before its time; returns the newest of all those before it.
    ///
    /// # Errors
    /// One of the databases cannot be reached.
    pub fn begin_epoch(&self, orders: &Database) -> Result<i64, VaultError> {
        let now = self.clock.business_now();
        let before = self
            .db
            .write_blocking(|conn| {
                let newest = self.keys_to_add_to(conn)?.last().map_or(0, |key| key.id);
                let id = newest.saturating_add(1);
                vault_keys::add_key_in_tx(conn, EPOCH, id, self.master.wrap_new(EPOCH, id), now, now)?;
                Ok::<_, VaultError>(newest)
            })
            .map_err(|error| self.in_service(error))?;
        self.make_ahead(orders)?;
        Ok(before)
    }

    /// Destroys the keys of epochs that the orders database has given up, and empties SQLite's log of their bytes.
    /// Returns how many still existed.
    ///
    /// # Errors
    /// The vault cannot be reached.
    pub fn destroy_epochs(&self, retired: &[i64]) -> Result<usize, VaultError> {
        let now = self.clock.business_now();
        let destroyed = self
            .db
            .write_blocking(|conn| vault_keys::destroy_keys(conn, EPOCH, retired, now))
            .map_err(unavailable)?;
        // Also where there was nothing to destroy: whoever destroyed it may have died before the log was emptied.
        self.truncate_wal()?;
        if destroyed > 0 {
            self.refresh(self.clock.wall_now())?;
        }
        Ok(destroyed)
    }

    /// Empties SQLite's log: an old page in it would still hold a key. Asked for ten seconds while a reader is in the way.
    fn truncate_wal(&self) -> Result<(), VaultError> {
        for _ in 0..100 {
            if self.db.plain().truncate_wal_blocking().map_err(unavailable)? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        tracing::warn!("WAL of the vault not truncated because a reader holds it; the next run retries");
        Ok(())
    }

    /// Wraps every key that still exists anew, from `previous` to this vault's master key, in one transaction; returns how
    /// many. Keys that this master key opens already are left as they are, so that it can be run again.
    ///
    /// # Errors
    /// The vault cannot be reached, or a key opens with neither.
    pub fn rewrap(&self, previous: &MasterKey) -> Result<usize, VaultError> {
        let count = self.db.write_blocking(|conn| {
            vault_keys::lock_all_in_tx(conn)?;
            let mut count = 0;
            for purpose in [EPOCH, IDEMPOTENCY] {
                for key in vault_keys::keys(conn, purpose)? {
                    let Some(wrapped) = key.wrapped else { continue };
                    if self.master.unwrap(purpose, key.id, &wrapped).is_ok() {
                        continue;
                    }
                    let plain = previous.unwrap(purpose, key.id, &wrapped)?;
                    vault_keys::rewrap_key_in_tx(conn, purpose, key.id, self.master.wrap(purpose, key.id, &plain))?;
                    count += 1;
                }
            }
            Ok::<_, VaultError>(count)
        })?;
        self.truncate_wal()?;
        Ok(count)
    }

    /// Destroys idempotency keys that are older than yesterday's.
    ///
    /// # Errors
    /// The vault cannot be reached.
    pub fn forget_old_days(&self) -> Result<i64, VaultError> {
        let oldest = self.today().saturating_sub(1);
        let now = self.clock.wall_now();
        self.db
            .write_blocking(|conn| vault_keys::destroy_keys_below(conn, IDEMPOTENCY, oldest, now))
            .map_err(unavailable)?;
        Ok(oldest)
    }

    /// The day, of wall time, whose idempotency key is current.
    fn today(&self) -> i64 {
        self.clock.wall_now().timestamp().div_euclid(86_400)
    }

    /// The keys, from the cache where it is young enough. While the vault is down the cache serves until it is
    /// `key_cache` old.
    ///
    /// # Errors
    /// The vault cannot be reached and the cache is too old, or the master key is wrong.
    pub fn ring(&self) -> Result<Arc<Keyring>, VaultError> {
        let now = self.clock.wall_now();
        let cache = delta(self.settings.key_cache);
        let cached = self.cached();
        if let Some(ring) = &cached {
            let age = now - ring.loaded_at();
            if age < cache / 2 {
                return Ok(ring.clone());
            }
            // In the second half of its life one caller refreshes the cache and the others go on with it.
            if age < cache {
                if let Ok(_guard) = self.refreshing.try_lock()
                    && let Err(error) = self.refresh(now)
                {
                    tracing::warn!(%error, "Vault does not answer; continuing with cached keys");
                }
                return Ok(self.cached().unwrap_or_else(|| ring.clone()));
            }
        }
        let asked = std::time::Instant::now();
        let _guard = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.cached() {
            // Another caller refreshed it while this one waited.
            Some(ring) if now - ring.loaded_at() < cache / 2 => Ok(ring),
            _ => self.refresh_once(now, asked),
        }
    }

    /// Asks the vault, unless it failed to answer somebody else since `asked`: a hundred callers who wait for a vault that
    /// is down are all told so at once, not one after the other, each after a timeout of its own.
    fn refresh_once(&self, now: WallTime, asked: std::time::Instant) -> Result<Arc<Keyring>, VaultError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cause)) = failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(VaultError::Unavailable(cause.clone()));
        }
        let refreshed = self.refresh(now);
        *failed = match &refreshed {
            Err(VaultError::Unavailable(cause)) => Some((std::time::Instant::now(), cause.clone())),
            _ => None,
        };
        refreshed
    }

    /// Makes sure that today's idempotency key exists and is in the cache: the loop that makes keys ahead may have slept
    /// through days (a suspended machine, no worker running), and orders must be taken all the same.
    ///
    /// # Errors
    /// One of the databases cannot be reached, or the master key is wrong.
    pub fn ensure_today(&self, orders: &Database) -> Result<(), VaultError> {
        if !self.ring()?.knows_day(self.today()) {
            self.make_ahead(orders)?;
            let _guard = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
            self.refresh(self.clock.wall_now())?;
        }
        Ok(())
    }

    /// The keys, certainly with that epoch's if it exists: a replica may have made it since the cache was loaded.
    ///
    /// # Errors
    /// As [`ring`](Self::ring).
    pub fn ring_with(&self, epoch: i64) -> Result<Arc<Keyring>, VaultError> {
        let ring = self.ring()?;
        if ring.knows(epoch) {
            return Ok(ring);
        }
        let asked = std::time::Instant::now();
        let _guard = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh_once(self.clock.wall_now(), asked)
    }

    fn cached(&self) -> Option<Arc<Keyring>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an error is to a service that runs: its master key was the right one, so the vault was wrapped with another
    /// since, and what needs keys waits for the restart.
    fn in_service(&self, error: VaultError) -> VaultError {
        match error {
            VaultError::Store(error) => unavailable(error),
            VaultError::WrongMaster if self.cached().is_some() => VaultError::Unavailable(
                "its keys are wrapped with another master key by now: restart the service with that one".to_owned(),
            ),
            other => other,
        }
    }

    fn refresh(&self, now: WallTime) -> Result<Arc<Keyring>, VaultError> {
        self.load(now).map_err(|error| self.in_service(error))
    }

    fn load(&self, now: WallTime) -> Result<Arc<Keyring>, VaultError> {
        let (epochs, days) = self
            .db
            .read_blocking(|conn| {
                Ok::<_, StoreError>((vault_keys::keys(conn, EPOCH)?, vault_keys::keys(conn, IDEMPOTENCY)?))
            })
            .map_err(unavailable)?;
        let unwrap = |purpose, keys: Vec<vault_keys::WrappedKey>| {
            keys.into_iter()
                .filter_map(|key| key.wrapped.map(|wrapped| (key.id, wrapped)))
                .map(|(id, wrapped)| Ok((id, self.master.unwrap(purpose, id, &wrapped)?)))
                .collect::<Result<Vec<_>, VaultError>>()
        };
        let ring = Arc::new(Keyring::new(unwrap(EPOCH, epochs)?, unwrap(IDEMPOTENCY, days)?, now));
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(ring.clone());
        Ok(ring)
    }

    /// The days whose idempotency keys may still have records, today first.
    pub fn idempotency_days(&self) -> [i64; 2] {
        let today = self.today();
        [today, today.saturating_sub(1)]
    }

    /// Business time after which no copy of the orders database may be readable any more.
    pub fn copy_horizon(&self) -> TimeDelta {
        delta(self.settings.copy_horizon)
    }

    /// Business time that one epoch lasts.
    pub fn epoch_length(&self) -> TimeDelta {
        delta(self.settings.epoch_length)
    }
}

fn mirror_trouble(error: std::io::Error) -> VaultError {
    VaultError::Unavailable(format!("the journal's mirror: {error}"))
}

fn unavailable(error: StoreError) -> VaultError {
    VaultError::Unavailable(error.to_string())
}
