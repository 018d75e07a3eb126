//! Small facts about the vault itself, by name.

use diesel::prelude::*;

use crate::store::schema::vault_meta;
use crate::store::vault::VaultConn;
use crate::store::{StoreError, dialect};

/// The id that pairs this vault with its orders database.
pub const PAIR: &str = "pair";

/// The newest entry of the audit chain that the vault has heard of: `<seq> <hash>`.
pub const AUDIT_HEAD: &str = "audit_head";

/// Writes a fact unless there is one already; returns the one that is there afterwards.
///
/// # Errors
/// The database.
pub fn get_or_set_in_tx(conn: &mut VaultConn<'_>, key: &str, value: &str) -> Result<String, StoreError> {
    let row = [(vault_meta::key.eq(key), vault_meta::value.eq(value))];
    dialect::insert_or_pass!(conn.sql(), vault_meta::table, &row[..]);
    Ok(vault_meta::table
        .find(key)
        .select(vault_meta::value)
        .first(conn.sql())?)
}

/// A fact.
///
/// # Errors
/// The database.
pub fn get(conn: &mut VaultConn<'_>, key: &str) -> Result<Option<String>, StoreError> {
    Ok(vault_meta::table
        .find(key)
        .select(vault_meta::value)
        .first(conn.sql())
        .optional()?)
}

/// Overwrites a fact that exists.
///
/// # Errors
/// The database.
pub fn set_in_tx(conn: &mut VaultConn<'_>, key: &str, value: &str) -> Result<(), StoreError> {
    diesel::update(vault_meta::table.find(key))
        .set(vault_meta::value.eq(value))
        .execute(conn.sql())?;
    Ok(())
}

/// Locks a fact until the transaction ends and returns its value.
///
/// # Errors
/// The database.
pub fn lock_in_tx(conn: &mut VaultConn<'_>, key: &str) -> Result<Option<String>, StoreError> {
    dialect::lock_fact(conn.sql(), dialect::Facts::Vault, key)
}
