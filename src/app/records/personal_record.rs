//! Opening and changing the sealed person of an order.

use crate::app::AppError;
use crate::clock::BusinessTime;
use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::domain::personal_record::PersonalRecord;
use crate::store::personal_records::{self, PersonalRecordRow, Refused};
use crate::store::{AnyConn, StoreError, epochs};
use crate::vault::keyring::{Keyring, Kind, Table};
use crate::vault::{VaultError, record};

/// Locks an order for a change of its personal data: the house rule, in the app's words.
///
/// # Errors
/// There is no such order, or its purge is decided (410 `purged`).
pub(crate) fn lock(conn: &mut AnyConn, id: OrderId) -> Result<Order, AppError> {
    match personal_records::lock_for_writing_in_tx(conn, id)? {
        Ok(order) => Ok(order),
        Err(Refused::NotFound) => Err(AppError::NotFound),
        Err(Refused::Purged) => Err(AppError::Gone("purged")),
    }
}

/// As [`lock`]; `None` once the purge is decided, for what then has nothing more to do.
///
/// # Errors
/// There is no such order; the store.
pub(crate) fn lock_unless_purged(conn: &mut AnyConn, id: OrderId) -> Result<Option<Order>, AppError> {
    match lock(conn, id) {
        Ok(order) => Ok(Some(order)),
        Err(AppError::Gone(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The epoch for new sealed values, held open until the transaction ends, certainly with a key in `ring`.
///
/// # Errors
/// The ring must be fetched anew; the store.
pub(crate) fn current_epoch(conn: &mut AnyConn, ring: &Keyring, now: BusinessTime) -> Result<i64, AppError> {
    let epoch = epochs::current_in_tx(conn, now)?;
    if ring.knows(epoch) {
        Ok(epoch)
    } else {
        Err(AppError::NeedsEpoch(epoch))
    }
}

/// Opens a sealed person.
///
/// # Errors
/// The key is gone or newer than the ring; the value is corrupt.
pub(crate) fn open(ring: &Keyring, row: &PersonalRecordRow) -> Result<PersonalRecord, AppError> {
    let plain = match ring.open(row.epoch, Table::OrderPerson, &row.order_id, &row.sealed) {
        Err(VaultError::KeyGone) if ring.is_older_than(row.epoch) => {
            return Err(AppError::NeedsEpoch(row.epoch));
        }
        opened => opened?,
    };
    record::person_from_bytes(&plain)
        .ok_or_else(|| StoreError::corrupt(Table::OrderPerson.name(), &row.order_id).into())
}

/// Opens the person of an order.
///
/// # Errors
/// 410 `unreadable` where the key no longer exists; otherwise as [`open`].
pub(crate) fn find(conn: &mut AnyConn, ring: &Keyring, order: OrderId) -> Result<PersonalRecord, AppError> {
    let row = personal_records::find(conn, order)?.ok_or_else(|| StoreError::corrupt("order_person", order))?;
    match open(ring, &row) {
        Err(AppError::Vault(VaultError::KeyGone)) => Err(AppError::Gone("unreadable")),
        opened => opened,
    }
}

/// Seals a person for its row, under an epoch from [`current_epoch`].
///
/// # Errors
/// The epoch has no key.
pub(crate) fn seal(
    ring: &Keyring,
    epoch: i64,
    order: OrderId,
    person: &PersonalRecord,
) -> Result<PersonalRecordRow, AppError> {
    let order_id = order.to_string();
    let sealed = ring.seal(epoch, Table::OrderPerson, &order_id, &record::person_to_bytes(person))?;
    let phone_print = ring.fingerprint(epoch, Kind::Phone, person.recipient.phone.e164())?;
    Ok(PersonalRecordRow {
        order_id,
        epoch,
        sealed,
        phone_print,
    })
}

/// Replaces the sealed person of an order that [`lock`] has locked.
///
/// # Errors
/// Keys or store.
pub(crate) fn replace(
    conn: &mut AnyConn,
    ring: &Keyring,
    order: OrderId,
    person: &PersonalRecord,
    now: BusinessTime,
) -> Result<(), AppError> {
    let epoch = current_epoch(conn, ring, now)?;
    personal_records::replace_in_tx(conn, &seal(ring, epoch, order, person)?)?;
    Ok(())
}

/// Every epoch that is not retired, all with keys in `ring` if they have keys at all.
///
/// # Errors
/// Store; the ring must be fetched anew.
pub(crate) fn living_epochs(conn: &mut AnyConn, ring: &Keyring) -> Result<Vec<i64>, AppError> {
    let living = epochs::living(conn)?;
    match living.iter().find(|epoch| ring.is_older_than(**epoch)) {
        Some(newer) => Err(AppError::NeedsEpoch(*newer)),
        None => Ok(living),
    }
}
