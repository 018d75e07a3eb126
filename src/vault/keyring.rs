//! Sealing, opening and fingerprinting with keys that are at hand; no I/O.
//!
//! A sealed value is `1 | nonce (12) | ciphertext and tag`: AES-256-GCM under a sub-key (HKDF-SHA-256) of its epoch
//! and table, with `table|row id` as associated data, so that a value moved to another row or table does not open.

use std::collections::BTreeMap;
use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock::WallTime;
use crate::privacy::fingerprint::fingerprint;
use crate::vault::VaultError;

/// Bytes in every key.
pub const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 12;
const VERSION: u8 = 1;

/// 32 bytes from the operating system's generator.
pub(crate) fn random_key() -> Zeroizing<[u8; KEY_LENGTH]> {
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    fill_random(&mut *key);
    key
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "without randomness nothing may go on")]
    getrandom::fill(bytes).expect("the operating system gives randomness");
}

fn derive(key: &[u8; KEY_LENGTH], info: &str) -> Zeroizing<[u8; KEY_LENGTH]> {
    let mut derived = Zeroizing::new([0; KEY_LENGTH]);
    #[expect(clippy::expect_used, reason = "32 bytes are within HKDF-SHA-256's bound")]
    Hkdf::<Sha256>::new(None, key)
        .expand(info.as_bytes(), &mut *derived)
        .expect("a length within bounds");
    derived
}

/// A key that seals the values of one table.
pub struct SealKey(Aes256Gcm);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// The sub-key of `key` for one use.
    pub fn new(key: Zeroizing<[u8; KEY_LENGTH]>, usage: &str) -> Self {
        let derived = derive(&key, &format!("safelight seal {usage}"));
        Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*derived)))
    }

    /// Seals a value for one place (`table|row id`).
    pub fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LENGTH];
        fill_random(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: place.as_bytes(),
        };
        #[expect(clippy::expect_used, reason = "AES-GCM refuses only messages of 64 GiB and more")]
        let cipher = self
            .0
            .encrypt(&Nonce::from(nonce), payload)
            .expect("a message of ordinary length");
        let mut sealed = Vec::with_capacity(1 + NONCE_LENGTH + cipher.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&cipher);
        sealed
    }

    /// Opens a value sealed for that place; `None` where it was not.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, cipher) = rest.split_first_chunk::<NONCE_LENGTH>()?;
        if *version != VERSION {
            return None;
        }
        let payload = Payload {
            msg: cipher,
            aad: place.as_bytes(),
        };
        self.0.decrypt(&Nonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }
}

/// Tables that hold sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `order_person`, by order id.
    OrderPerson,
    /// `courier_remark`, by its id.
    CourierRemark,
    /// `parked_events`, by its id.
    ParkedEvents,
    /// `order_label`, by order id and attempt: `<order id>/<attempt>`.
    OrderLabel,
    /// `subject_request_texts`, by the request's id.
    RequestTexts,
}

impl Table {
    /// The table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderPerson => "order_person",
            Self::CourierRemark => "courier_remark",
            Self::ParkedEvents => "parked_events",
            Self::OrderLabel => "order_label",
            Self::RequestTexts => "subject_request_texts",
        }
    }
}

/// What a fingerprint is of; equal values of different kinds have different fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A phone number, in E.164.
    Phone,
    /// A courier's tracking number.
    Tracking,
    /// A courier's remark.
    Remark,
}

impl Kind {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Phone => b"phone",
            Self::Tracking => b"tracking",
            Self::Remark => b"remark",
        }
    }
}

#[derive(Debug)]
struct Epoch {
    person: SealKey,
    remark: SealKey,
    parked: SealKey,
    label: SealKey,
    texts: SealKey,
    fingerprints: Zeroizing<[u8; KEY_LENGTH]>,
}

impl Epoch {
    fn new(key: &Zeroizing<[u8; KEY_LENGTH]>) -> Self {
        Self {
            person: SealKey::new(key.clone(), Table::OrderPerson.name()),
            remark: SealKey::new(key.clone(), Table::CourierRemark.name()),
            parked: SealKey::new(key.clone(), Table::ParkedEvents.name()),
            label: SealKey::new(key.clone(), Table::OrderLabel.name()),
            texts: SealKey::new(key.clone(), Table::RequestTexts.name()),
            fingerprints: derive(key, "safelight fingerprints"),
        }
    }

    const fn seal_key(&self, table: Table) -> &SealKey {
        match table {
            Table::OrderPerson => &self.person,
            Table::CourierRemark => &self.remark,
            Table::ParkedEvents => &self.parked,
            Table::OrderLabel => &self.label,
            Table::RequestTexts => &self.texts,
        }
    }
}

/// Every key that exists, at the moment it was loaded.
#[derive(Debug)]
pub struct Keyring {
    epochs: BTreeMap<i64, Epoch>,
    days: BTreeMap<i64, Zeroizing<[u8; KEY_LENGTH]>>,
    loaded_at: WallTime,
}

impl Keyring {
    /// The keys of epochs and of idempotency days, loaded at `loaded_at` (wall time).
    pub fn new(
        epochs: Vec<(i64, Zeroizing<[u8; KEY_LENGTH]>)>,
        days: Vec<(i64, Zeroizing<[u8; KEY_LENGTH]>)>,
        loaded_at: WallTime,
    ) -> Self {
        Self {
            epochs: epochs.iter().map(|(id, key)| (*id, Epoch::new(key))).collect(),
            days: days.into_iter().collect(),
            loaded_at,
        }
    }

    /// When the keys were read from the vault, wall time.
    pub const fn loaded_at(&self) -> WallTime {
        self.loaded_at
    }

    /// Whether that epoch's key is here.
    pub fn knows(&self, epoch: i64) -> bool {
        self.epochs.contains_key(&epoch)
    }

    /// Whether that epoch is newer than every key here: a fresh ring may have it, where [`VaultError::KeyGone`] says no
    /// more than that this one has not.
    pub fn is_older_than(&self, epoch: i64) -> bool {
        self.newest().is_none_or(|newest| epoch > newest)
    }

    /// The newest epoch that has a key here.
    pub fn newest(&self) -> Option<i64> {
        self.epochs.keys().next_back().copied()
    }

    /// Seals a value for a row.
    ///
    /// # Errors
    /// The epoch has no key.
    pub fn seal(&self, epoch: i64, table: Table, row: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let keys = self.epochs.get(&epoch).ok_or(VaultError::KeyGone)?;
        Ok(keys.seal_key(table).seal(&place(table, row), plain))
    }

    /// Opens a row's value.
    ///
    /// # Errors
    /// The epoch's key is gone, or the value was changed or moved.
    pub fn open(&self, epoch: i64, table: Table, row: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let keys = self.epochs.get(&epoch).ok_or(VaultError::KeyGone)?;
        keys.seal_key(table)
            .open(&place(table, row), sealed)
            .ok_or_else(|| VaultError::Corrupt {
                table: table.name(),
                id: row.to_owned(),
            })
    }

    /// The fingerprint of a value under one epoch.
    ///
    /// # Errors
    /// The epoch has no key.
    pub fn fingerprint(&self, epoch: i64, kind: Kind, value: &str) -> Result<Vec<u8>, VaultError> {
        let keys = self.epochs.get(&epoch).ok_or(VaultError::KeyGone)?;
        Ok(fingerprint(&keys.fingerprints, &[kind.as_bytes(), value.as_bytes()]).to_vec())
    }

    /// The fingerprints of a value under all of these epochs that have a key, each with its epoch: what a look-up searches
    /// for.
    pub fn fingerprints(&self, epochs: &[i64], kind: Kind, value: &str) -> Vec<(i64, Vec<u8>)> {
        epochs
            .iter()
            .filter_map(|epoch| Some((*epoch, self.fingerprint(*epoch, kind, value).ok()?)))
            .collect()
    }

    /// The keyed hash of an idempotency key or body, under a day's key.
    ///
    /// # Errors
    /// The day has no key.
    pub fn idempotency_hash(&self, day: i64, parts: &[&[u8]]) -> Result<Vec<u8>, VaultError> {
        let key = self.days.get(&day).ok_or(VaultError::KeyGone)?;
        Ok(fingerprint(key, parts).to_vec())
    }

    /// Whether that day's idempotency key is here.
    pub fn knows_day(&self, day: i64) -> bool {
        self.days.contains_key(&day)
    }
}

fn place(table: Table, row: &str) -> String {
    format!("{}|{row}", table.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Keyring {
        Keyring::new(
            vec![(1, random_key()), (2, random_key())],
            vec![(7, random_key())],
            WallTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_row_its_table_and_its_epoch() {
        let ring = ring();
        let sealed = ring.seal(1, Table::OrderPerson, "a", "张三".as_bytes()).unwrap();
        assert_eq!(
            *ring.open(1, Table::OrderPerson, "a", &sealed).unwrap(),
            "张三".as_bytes()
        );
        assert!(matches!(
            ring.open(1, Table::OrderPerson, "b", &sealed),
            Err(VaultError::Corrupt { .. })
        ));
        assert!(matches!(
            ring.open(1, Table::CourierRemark, "a", &sealed),
            Err(VaultError::Corrupt { .. })
        ));
        assert!(matches!(
            ring.open(2, Table::OrderPerson, "a", &sealed),
            Err(VaultError::Corrupt { .. })
        ));
        assert!(matches!(
            ring.open(3, Table::OrderPerson, "a", &sealed),
            Err(VaultError::KeyGone)
        ));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let ring = ring();
        let sealed = ring.seal(1, Table::OrderPerson, "a", b"secret").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(ring.open(1, Table::OrderPerson, "a", &changed).is_err(), "byte {index}");
            assert!(
                ring.open(1, Table::OrderPerson, "a", &sealed[..index]).is_err(),
                "cut at {index}"
            );
        }
    }

    #[test]
    fn the_same_value_sealed_twice_looks_different_and_has_one_fingerprint_per_epoch_and_kind() {
        let ring = ring();
        let seal = || ring.seal(1, Table::OrderPerson, "a", b"same").unwrap();
        assert_ne!(seal(), seal());
        let fingerprint = |epoch, kind| ring.fingerprint(epoch, kind, "13800138000").unwrap();
        assert_eq!(fingerprint(1, Kind::Phone), fingerprint(1, Kind::Phone));
        assert_ne!(fingerprint(1, Kind::Phone), fingerprint(2, Kind::Phone));
        assert_ne!(fingerprint(1, Kind::Phone), fingerprint(1, Kind::Tracking));
        assert_eq!(ring.fingerprints(&[1, 2, 3], Kind::Phone, "x").len(), 2);
    }
}
