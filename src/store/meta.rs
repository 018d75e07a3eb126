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
