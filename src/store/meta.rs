//! Small facts about the orders database itself, by name.

use diesel::prelude::*;

use crate::store::schema::meta;
use crate::store::{AnyConn, StoreError, dialect};

/// Where business time started to run faster, and how much: `<micros>x<speed>`.
pub const CLOCK: &str = "clock";
/// The id that pairs this database with its vault.
pub const PAIR: &str = "pair";
/// The newest entry of the audit chain: `<seq> <hash>`.
pub const AUDIT_HEAD: &str = "audit_head";

/// The vault's journal is applied up to this number.
pub const JOURNAL: &str = "journal";
/// The newest turn of the vault's counter that this database has seen: behind the vault's, it is an old copy.
pub const COUNTER: &str = "counter";
/// When an old copy of this database was put back, in microseconds: orders from before may have parcels it does not know.
pub const RESTORED_AT: &str = "restored_at";

/// A value.
///
/// # Errors
/// The database.
pub fn get(conn: &mut AnyConn, key: &str) -> Result<Option<String>, StoreError> {
    Ok(meta::table.find(key).select(meta::value).first(conn).optional()?)
}

/// Writes a value unless there is one already; returns the one that is there afterwards.
///
/// # Errors
/// The database.
pub fn get_or_set_in_tx(conn: &mut AnyConn, key: &str, value: &str) -> Result<String, StoreError> {
    let row = [(meta::key.eq(key), meta::value.eq(value))];
    dialect::insert_or_pass!(conn, meta::table, &row[..]);
    Ok(get(conn, key)?.unwrap_or_else(|| value.to_owned()))
}

/// Overwrites a value that exists.
///
/// # Errors
/// The database.
pub fn set_in_tx(conn: &mut AnyConn, key: &str, value: &str) -> Result<(), StoreError> {
    diesel::update(meta::table.find(key))
        .set(meta::value.eq(value))
        .execute(conn)?;
    Ok(())
}

/// A number; 0 where there is none yet.
///
/// # Errors
/// The database, or a value that is no number.
pub fn number(conn: &mut AnyConn, key: &str) -> Result<i64, StoreError> {
    match get(conn, key)? {
        Some(text) => text.parse().map_err(|_| StoreError::corrupt("meta", key)),
        None => Ok(0),
    }
}

/// Raises a number to at least `value`, under its lock.
///
/// # Errors
/// The database, or a value that is no number.
pub fn raise_in_tx(conn: &mut AnyConn, key: &str, value: i64) -> Result<(), StoreError> {
    get_or_set_in_tx(conn, key, "0")?;
    dialect::lock_fact(conn, dialect::Facts::Orders, key)?;
    if number(conn, key)? < value {
        set_in_tx(conn, key, &value.to_string())?;
    }
    Ok(())
}

/// Notes that the journal's entries `first` to `last` are applied. Where entries before them are not (another process
/// is about to), the number stays, and catching up applies what is missing.
///
/// The last lock of its transaction, after those of orders and of the audit chain: everybody takes them in that order.
///
/// # Errors
/// The database, or a value that is no number.
pub fn applied_in_tx(conn: &mut AnyConn, first: i64, last: i64) -> Result<(), StoreError> {
    get_or_set_in_tx(conn, JOURNAL, "0")?;
    dialect::lock_fact(conn, dialect::Facts::Orders, JOURNAL)?;
    let known = number(conn, JOURNAL)?;
    if known < last && known.saturating_add(1) >= first {
        set_in_tx(conn, JOURNAL, &last.to_string())?;
    }
    Ok(())
}
