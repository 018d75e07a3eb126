//! Idempotency records: keyed hashes of a client's key and body, and the order they made.

use diesel::prelude::*;

use crate::store::schema::idempotency_keys;
use crate::store::{AnyConn, StoreError, dialect};

/// One record. The hashes are made under a key of `day` that lives two days.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = idempotency_keys)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct IdempotencyRow {
    pub key_hash: Vec<u8>,
    pub day: i64,
    pub body_hash: Vec<u8>,
    pub order_id: String,
}

/// The records with these key hashes.
///
/// # Errors
/// The database.
pub fn find(conn: &mut AnyConn, key_hashes: &[Vec<u8>]) -> Result<Vec<IdempotencyRow>, StoreError> {
    if key_hashes.is_empty() {
        return Ok(Vec::new());
    }
    let these = idempotency_keys::table.filter(idempotency_keys::key_hash.eq_any(key_hashes));
    Ok(dialect::on_engine!(conn, |conn| these
        .select(IdempotencyRow::as_select())
        .load(conn))?)
}

/// Writes records, passing over keys that are taken; returns the hashes that went in.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, rows: &[IdempotencyRow]) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(dialect::insert_or_pass_returning!(
        conn,
        idempotency_keys::table,
        rows,
        idempotency_keys::key_hash
    ))
}

/// Takes records back: only success is remembered.
///
/// # Errors
/// The database.
pub fn remove_in_tx(conn: &mut AnyConn, key_hashes: &[Vec<u8>]) -> Result<(), StoreError> {
    if !key_hashes.is_empty() {
        diesel::delete(idempotency_keys::table.filter(idempotency_keys::key_hash.eq_any(key_hashes))).execute(conn)?;
    }
    Ok(())
}

/// Forgets every record of a day before `day`; returns how many.
///
/// # Errors
/// The database.
pub fn forget_before(conn: &mut AnyConn, day: i64) -> Result<usize, StoreError> {
    Ok(diesel::delete(idempotency_keys::table.filter(idempotency_keys::day.lt(day))).execute(conn)?)
}
