//! What an auditor asks of the rows: is anything left of what was purged?

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::privacy::classes::{Purge, classes};
use crate::store::purges::ReceiptRow;
use crate::store::schema::{order_person, orders, purge_receipts};
use crate::store::{AnyConn, StoreError};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// A row that should hold nothing of a purged order and does.
#[derive(Debug, Clone, QueryableByName)]
pub struct Left {
    /// The order.
    #[diesel(sql_type = Text)]
    pub order_id: String,
}

/// For every table that a purge empties: its name and the purged orders that still have something in it, at most a
/// hundred.
///
/// # Errors
/// The database.
pub fn left_of_purged(conn: &mut AnyConn) -> Result<Vec<(String, Vec<Left>)>, StoreError> {
    let mut all = Vec::new();
    for (name, table, how) in classes().purged() {
        let filled = match how {
            Purge::Clear => {
                let columns: Vec<String> = table.gone().map(|column| format!("t.{column} IS NOT NULL")).collect();
                format!(" AND ({})", columns.join(" OR "))
            }
            Purge::Delete | Purge::Expire => String::new(),
        };
        let query = format!(
            "SELECT DISTINCT t.order_id AS order_id FROM {name} t JOIN orders o ON o.id = t.order_id
             WHERE o.purged_at IS NOT NULL{filled} LIMIT 100"
        );
        let left: Vec<Left> = diesel::sql_query(query).load(conn)?;
        all.push((name.to_owned(), left));
    }
    Ok(all)
}

/// How many orders are purged, and how many of those have no receipt.
///
/// # Errors
/// The database.
pub fn count_purged(conn: &mut AnyConn) -> Result<(i64, i64), StoreError> {
    let purged: i64 = orders::table
        .filter(orders::purged_at.is_not_null())
        .count()
        .get_result(conn)?;
    let without: Count = diesel::sql_query(
        "SELECT count(*) AS count FROM orders o LEFT JOIN purge_receipts r ON r.order_id = o.id
         WHERE o.purged_at IS NOT NULL AND r.order_id IS NULL",
    )
    .get_result(conn)?;
    Ok((purged, without.count))
}

/// Receipts, by order, that do not fit their order: it is not there, not purged, or for another reason or at another time.
///
/// # Errors
/// The database.
pub fn unfit_receipts(conn: &mut AnyConn) -> Result<Vec<Left>, StoreError> {
    Ok(diesel::sql_query(
        "SELECT r.order_id AS order_id FROM purge_receipts r LEFT JOIN orders o ON o.id = r.order_id
         WHERE o.id IS NULL OR o.purged_at IS NULL OR o.purged_at <> r.purged_at
            OR o.purge_reason IS NULL OR o.purge_reason <> r.reason
            OR o.purge_decided_at IS NULL OR o.purge_decided_at <> r.decided_at
         ORDER BY r.order_id LIMIT 100",
    )
    .load(conn)?)
}

/// Those of these orders that are not purged.
///
/// # Errors
/// The database.
pub fn unpurged_among(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<String>, StoreError> {
    Ok(orders::table
        .filter(orders::id.eq_any(ids))
        .filter(orders::purged_at.is_null())
        .select(orders::id)
        .load(conn)?)
}

/// Those of these orders that are not purged or have a person.
///
/// # Errors
/// The database.
pub fn back_among(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<String>, StoreError> {
    let mut back = unpurged_among(conn, ids)?;
    let persons: Vec<String> = order_person::table
        .filter(order_person::order_id.eq_any(ids))
        .select(order_person::order_id)
        .load(conn)?;
    back.extend(persons);
    back.sort_unstable();
    back.dedup();
    Ok(back)
}

/// Receipts after an order, by order.
///
/// # Errors
/// The database.
pub fn receipts_after(conn: &mut AnyConn, after: &str, limit: i64) -> Result<Vec<ReceiptRow>, StoreError> {
    Ok(purge_receipts::table
        .filter(purge_receipts::order_id.gt(after))
        .order(purge_receipts::order_id)
        .limit(limit)
        .select(ReceiptRow::as_select())
        .load(conn)?)
}

/// How many orders wait for their destruction although their purge is decided.
///
/// # Errors
/// The database.
pub fn count_decided(conn: &mut AnyConn) -> Result<i64, StoreError> {
    Ok(orders::table
        .filter(orders::purge_decided_at.is_not_null())
        .filter(orders::purged_at.is_null())
        .count()
        .get_result(conn)?)
}

/// The receipts under one entry of the audit chain, by order.
///
/// # Errors
/// The database.
pub fn receipts_of_entry(conn: &mut AnyConn, seq: i64) -> Result<Vec<ReceiptRow>, StoreError> {
    Ok(purge_receipts::table
        .filter(purge_receipts::audit_seq.eq(seq))
        .order(purge_receipts::order_id)
        .select(ReceiptRow::as_select())
        .load(conn)?)
}

/// Entries of the audit chain after `after` that receipts stand under.
///
/// # Errors
/// The database.
pub fn entries_with_receipts(conn: &mut AnyConn, after: i64, limit: i64) -> Result<Vec<i64>, StoreError> {
    Ok(purge_receipts::table
        .filter(purge_receipts::audit_seq.gt(after))
        .select(purge_receipts::audit_seq)
        .distinct()
        .order(purge_receipts::audit_seq)
        .limit(limit)
        .load(conn)?)
}
