//! The statements of a purge, for many orders at once. On PostgreSQL a column of the batch is one array; on SQLite the ids
//! are one JSON text, for a list of thousands of places takes longer to read than to carry out.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamp};

use crate::privacy::classes;
use crate::store::dialect::{Key, among, insert_rows};
use crate::store::purges::ReceiptRow;
use crate::store::schema::purge_receipts;
use crate::store::{AnyConn, StoreError};

/// Those of these orders whose purge is decided and not done, each locked until the transaction ends; those that another
/// transaction holds are passed over.
///
/// # Errors
/// The database.
pub(super) fn lock_open_purges(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<String>, StoreError> {
    let keys: Vec<Key> = among!(
        conn,
        ids,
        "$1",
        |these, locked| format!(
            "SELECT id FROM orders WHERE id {these} AND purge_decided_at IS NOT NULL AND purged_at IS NULL{locked}"
        ),
        [],
        load
    );
    Ok(keys.into_iter().map(|key| key.id).collect())
}

/// An order whose purge is decided and not done.
#[derive(QueryableByName)]
pub(super) struct OpenPurge {
    /// The order.
    #[diesel(sql_type = Text)]
    pub(super) id: String,
    /// Why.
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) purge_reason: Option<String>,
    /// When it was decided.
    #[diesel(sql_type = Nullable<Timestamp>)]
    pub(super) purge_decided_at: Option<NaiveDateTime>,
    /// Its status, as stored.
    #[diesel(sql_type = Text)]
    pub(super) status: String,
    /// When it ended.
    #[diesel(sql_type = Nullable<Timestamp>)]
    pub(super) ended_at: Option<NaiveDateTime>,
    /// The epoch of the sealed person.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) epoch: Option<i64>,
}

/// What is known of those of these orders whose purge is decided and not done.
///
/// # Errors
/// The database.
pub(super) fn open_purges(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<OpenPurge>, StoreError> {
    Ok(among!(
        conn,
        ids,
        "$1",
        |these, _locked| format!(
            "SELECT o.id, o.purge_reason, o.purge_decided_at, o.status, o.ended_at, p.epoch \
             FROM orders o LEFT JOIN order_person p ON p.order_id = o.id \
             WHERE o.id {these} AND o.purge_decided_at IS NOT NULL AND o.purged_at IS NULL"
        ),
        [],
        load
    ))
}

/// Marks orders as to be purged, those that are not yet. Where nobody asked for it just now (`unasked`) but somebody did
/// before, and so made the order due, that is the reason.
///
/// # Errors
/// The database.
pub(super) fn mark_decided(
    conn: &mut AnyConn,
    ids: &[String],
    reason: &str,
    unasked: bool,
    at: NaiveDateTime,
) -> Result<(), StoreError> {
    among!(
        conn,
        ids,
        "$4",
        |these, _locked| format!(
            "UPDATE orders SET purge_decided_at = $1, updated_at = $1, \
             purge_reason = CASE WHEN $2 AND restriction IS NOT NULL THEN restriction ELSE $3 END \
             WHERE id {these} AND purge_decided_at IS NULL"
        ),
        [Timestamp: at, Bool: unasked, Text: reason],
        execute
    );
    Ok(())
}

/// Marks orders as purged.
///
/// # Errors
/// The database.
pub(super) fn mark_purged(conn: &mut AnyConn, ids: &[&str], at: NaiveDateTime) -> Result<(), StoreError> {
    among!(
        conn,
        ids,
        "$2",
        |these, _locked| format!("UPDATE orders SET purged_at = $1, updated_at = $1 WHERE id {these}"),
        [Timestamp: at],
        execute
    );
    Ok(())
}

/// Empties a table of everything derived or personal of these orders: deletes their rows, or clears the columns.
///
/// # Errors
/// The database.
pub(super) fn empty_for_orders(
    conn: &mut AnyConn,
    name: &str,
    table: &classes::Table,
    how: classes::Purge,
    orders: &[&str],
) -> Result<(), StoreError> {
    let statement = match how {
        classes::Purge::Delete => format!("DELETE FROM {name} WHERE order_id"),
        classes::Purge::Clear => {
            let cleared: Vec<String> = table.gone().map(|column| format!("{column} = NULL")).collect();
            let filled: Vec<String> = table.gone().map(|column| format!("{column} IS NOT NULL")).collect();
            format!(
                "UPDATE {name} SET {} WHERE ({}) AND order_id",
                cleared.join(", "),
                filled.join(" OR ")
            )
        }
        classes::Purge::Expire => return Ok(()),
    };
    among!(
        conn,
        orders,
        "$1",
        |these, _locked| format!("{statement} {these}"),
        [],
        execute
    );
    Ok(())
}

/// Inserts receipts.
///
/// # Errors
/// The database.
pub(super) fn insert_receipts(conn: &mut AnyConn, receipts: &[ReceiptRow]) -> Result<(), StoreError> {
    insert_rows!(conn, purge_receipts, receipts, |row| [
        order_id: Text = row.order_id.as_str(),
        reason: Text = row.reason.as_str(),
        decided_at: Timestamp = row.decided_at,
        purged_at: Timestamp = row.purged_at,
        purged_columns: Text = row.purged_columns.as_str(),
        epoch: BigIntOrNull = row.epoch,
        journal: BigIntOrNull = row.journal,
        hash: Text = row.hash.as_str(),
        audit_seq: BigInt = row.audit_seq,
    ]);
    Ok(())
}
