//! The wrapped keys. Which steps to take in what order is `vault`'s to know.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::{BusinessTime, WallTime};
use crate::store::schema::vault_keys;
use crate::store::vault::VaultConn;
use crate::store::{StoreError, dialect, from_row, to_row};

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = vault_keys)]
struct KeyRow {
    purpose: String,
    id: i64,
    wrapped: Option<Vec<u8>>,
    starts_at: NaiveDateTime,
    created_at: NaiveDateTime,
    destroyed_at: Option<NaiveDateTime>,
}

/// A key as the vault keeps it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of migrations/vault, where each is explained")]
pub struct WrappedKey {
    pub id: i64,
    /// `None` once destroyed.
    pub wrapped: Option<Vec<u8>>,
    pub starts_at: BusinessTime,
}

/// Every key of a purpose, oldest first.
///
/// # Errors
/// The database.
pub fn keys(conn: &mut VaultConn<'_>, purpose: &str) -> Result<Vec<WrappedKey>, StoreError> {
    let rows: Vec<KeyRow> = vault_keys::table
        .filter(vault_keys::purpose.eq(purpose))
        .order(vault_keys::id)
        .select(KeyRow::as_select())
        .load(conn.sql())?;
    Ok(rows
        .into_iter()
        .map(|row| WrappedKey {
            id: row.id,
            wrapped: row.wrapped,
            starts_at: from_row(row.starts_at),
        })
        .collect())
}

/// Stores a new key unless one with that id exists already.
///
/// # Errors
/// The database.
pub fn add_key_in_tx(
    conn: &mut VaultConn<'_>,
    purpose: &str,
    id: i64,
    wrapped: Vec<u8>,
    starts_at: BusinessTime,
    now: BusinessTime,
) -> Result<(), StoreError> {
    let row = [KeyRow {
        purpose: purpose.to_owned(),
        id,
        wrapped: Some(wrapped),
        starts_at: to_row(starts_at),
        created_at: to_row(now),
        destroyed_at: None,
    }];
    dialect::insert_or_pass!(conn.sql(), vault_keys::table, &row[..]);
    Ok(())
}

/// Replaces the wrapping of a key.
///
/// # Errors
/// The database.
pub fn rewrap_key_in_tx(conn: &mut VaultConn<'_>, purpose: &str, id: i64, wrapped: Vec<u8>) -> Result<(), StoreError> {
    diesel::update(vault_keys::table.find((purpose, id)))
        .set(vault_keys::wrapped.eq(Some(wrapped)))
        .execute(conn.sql())?;
    Ok(())
}

/// Notes a key that this vault never had and never will have, so that its number is not given to another.
///
/// # Errors
/// The database.
pub fn note_lost_key_in_tx(
    conn: &mut VaultConn<'_>,
    purpose: &str,
    id: i64,
    now: BusinessTime,
) -> Result<(), StoreError> {
    let row = [KeyRow {
        purpose: purpose.to_owned(),
        id,
        wrapped: None,
        starts_at: to_row(now),
        created_at: to_row(now),
        destroyed_at: Some(to_row(now)),
    }];
    dialect::insert_or_pass!(conn.sql(), vault_keys::table, &row[..]);
    Ok(())
}

/// Destroys the keys of a purpose with an id below `below`; returns how many had not been destroyed before.
///
/// # Errors
/// The database.
pub fn destroy_keys_below(
    conn: &mut VaultConn<'_>,
    purpose: &str,
    below: i64,
    now: WallTime,
) -> Result<usize, StoreError> {
    Ok(diesel::update(
        vault_keys::table
            .filter(vault_keys::purpose.eq(purpose))
            .filter(vault_keys::id.lt(below))
            .filter(vault_keys::wrapped.is_not_null()),
    )
    .set((
        vault_keys::wrapped.eq(None::<Vec<u8>>),
        vault_keys::destroyed_at.eq(to_row(now)),
    ))
    .execute(conn.sql())?)
}

/// Destroys these keys of a purpose: their bytes are overwritten with nothing. Returns how many still had bytes.
///
/// # Errors
/// The database.
pub fn destroy_keys(
    conn: &mut VaultConn<'_>,
    purpose: &str,
    ids: &[i64],
    now: BusinessTime,
) -> Result<usize, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(diesel::update(
        vault_keys::table
            .filter(vault_keys::purpose.eq(purpose))
            .filter(vault_keys::id.eq_any(ids))
            .filter(vault_keys::wrapped.is_not_null()),
    )
    .set((
        vault_keys::wrapped.eq(None::<Vec<u8>>),
        vault_keys::destroyed_at.eq(to_row(now)),
    ))
    .execute(conn.sql())?)
}

/// Epoch keys that exist and are not destroyed, by id.
///
/// # Errors
/// The database.
pub fn living_epochs(conn: &mut VaultConn<'_>) -> Result<Vec<i64>, StoreError> {
    Ok(vault_keys::table
        .filter(vault_keys::purpose.eq("epoch"))
        .filter(vault_keys::wrapped.is_not_null())
        .order(vault_keys::id)
        .select(vault_keys::id)
        .load(conn.sql())?)
}

/// Locks all keys against another process that wraps or makes some, until the transaction ends.
///
/// # Errors
/// The database.
pub fn lock_all_in_tx(conn: &mut VaultConn<'_>) -> Result<(), StoreError> {
    dialect::lock_vault_keys(conn.sql())
}
