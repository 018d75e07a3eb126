//! The steps of a purge on the orders' side: what is due, the decision, the destruction with its receipts.

mod statements;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::domain::retention::PurgeReason;
use crate::privacy::classes::{Purge, classes};
use crate::store::schema::{courier_remark, order_label, order_person, order_tracking, orders, purge_receipts};
use crate::store::{AnyConn, StoreError, dialect, from_row, to_row};

/// A receipt: that, when and why a person's data was destroyed.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = purge_receipts)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct ReceiptRow {
    pub order_id: String,
    pub reason: String,
    pub decided_at: NaiveDateTime,
    pub purged_at: NaiveDateTime,
    pub purged_columns: String,
    pub epoch: Option<i64>,
    pub journal: Option<i64>,
    pub hash: String,
    pub audit_seq: i64,
}

/// An order whose purge is decided and not done.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The order.
    pub id: OrderId,
    /// Why.
    pub reason: PurgeReason,
    /// When it was decided.
    pub decided_at: BusinessTime,
    /// How far it is.
    pub status: OrderStatus,
    /// When it ended; `None` where it lives.
    pub ended_at: Option<BusinessTime>,
    /// The epoch of its sealed person; `None` where there is none left.
    pub epoch: Option<i64>,
}

fn parse(ids: Vec<String>) -> Result<Vec<OrderId>, StoreError> {
    ids.into_iter()
        .map(|id| id.parse().map_err(|_| StoreError::corrupt("orders", &id)))
        .collect()
}

/// Orders whose retention clock has run out at `now` and that nothing holds, each locked.
///
/// # Errors
/// The database.
pub fn pick_due_in_tx(conn: &mut AnyConn, now: BusinessTime, limit: i64) -> Result<Vec<OrderId>, StoreError> {
    parse(dialect::pick_and_lock(
        conn,
        "orders",
        "purge_due_at <= $1 AND purge_decided_at IS NULL AND (hold_until IS NULL OR hold_until <= $1)",
        "purge_due_at",
        &[to_row(now)],
        limit,
    )?)
}

/// Marks locked orders: from here no hold, claim or change is taken. Where what a person asked for has made the order due,
/// that is the reason, whatever came to decide it.
///
/// # Errors
/// The database.
pub fn decide_in_tx(
    conn: &mut AnyConn,
    ids: &[OrderId],
    reason: PurgeReason,
    now: BusinessTime,
) -> Result<(), StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    statements::mark_decided(conn, &ids, reason.as_str(), reason.is_unasked(), to_row(now))
}

/// Orders whose purge is decided and not done, longest decided first; not locked.
///
/// # Errors
/// The database, or a corrupt row.
pub fn decided_and_open(conn: &mut AnyConn, limit: i64) -> Result<Vec<Decided>, StoreError> {
    let ids: Vec<String> = orders::table
        .filter(orders::purge_decided_at.is_not_null())
        .filter(orders::purged_at.is_null())
        .order(orders::purge_decided_at)
        .limit(limit)
        .select(orders::id)
        .load(conn)?;
    decided(conn, &ids)
}

/// The same for one order.
///
/// # Errors
/// The database, or a corrupt row.
pub fn decided_one(conn: &mut AnyConn, id: OrderId) -> Result<Option<Decided>, StoreError> {
    Ok(decided(conn, &[id.to_string()])?.pop())
}

/// Those of these orders that still wait for their destruction, each locked until the transaction ends; what another
/// transaction holds is passed over: it is destroying it.
///
/// # Errors
/// The database, or a corrupt row.
pub fn lock_decided_in_tx(conn: &mut AnyConn, ids: &[OrderId]) -> Result<Vec<Decided>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let locked = statements::lock_open_purges(conn, &ids)?;
    decided(conn, &locked)
}

fn decided(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<Decided>, StoreError> {
    let rows = statements::open_purges(conn, ids)?;
    rows.into_iter()
        .map(|row| {
            let corrupt = || StoreError::corrupt("orders", &row.id);
            Ok(Decided {
                id: row.id.parse().map_err(|_| corrupt())?,
                reason: row
                    .purge_reason
                    .as_deref()
                    .and_then(PurgeReason::parse)
                    .ok_or_else(corrupt)?,
                decided_at: from_row(row.purge_decided_at.ok_or_else(corrupt)?),
                status: OrderStatus::parse(&row.status).ok_or_else(corrupt)?,
                ended_at: row.ended_at.map(from_row),
                epoch: row.epoch,
            })
        })
        .collect()
}

/// Deletes everything derived or personal of locked orders, as `privacy.toml` classes it, marks them purged and writes
/// their receipts.
///
/// # Errors
/// The database.
pub fn destroy_in_tx(conn: &mut AnyConn, receipts: &[ReceiptRow], now: BusinessTime) -> Result<(), StoreError> {
    let ids: Vec<&str> = receipts.iter().map(|receipt| receipt.order_id.as_str()).collect();
    empty_in_tx(conn, &ids)?;
    statements::mark_purged(conn, &ids, to_row(now))?;
    statements::insert_receipts(conn, receipts)
}

/// Deletes everything derived or personal of these orders, as `privacy.toml` classes it.
///
/// # Errors
/// The database.
pub fn empty_in_tx(conn: &mut AnyConn, ids: &[&str]) -> Result<(), StoreError> {
    for (table, columns, how) in classes().purged() {
        statements::empty_for_orders(conn, table, columns, how, ids)?;
    }
    Ok(())
}

/// Destroys a locked order that has this receipt already, and marks it as the receipt says.
///
/// # Errors
/// The database.
pub fn destroy_again_in_tx(conn: &mut AnyConn, receipt: &ReceiptRow) -> Result<(), StoreError> {
    empty_in_tx(conn, &[&receipt.order_id])?;
    diesel::update(orders::table.find(&receipt.order_id))
        .set((
            orders::purge_decided_at.eq(receipt.decided_at),
            orders::purge_reason.eq(&receipt.reason),
            orders::purged_at.eq(receipt.purged_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// The receipts that these orders have.
///
/// # Errors
/// The database.
pub fn receipts_of(conn: &mut AnyConn, ids: &[OrderId]) -> Result<Vec<ReceiptRow>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let query = "SELECT order_id AS id FROM purge_receipts WHERE order_id";
    // Mostly none.
    let ids = dialect::find_among(conn, query, &ids, "")?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(purge_receipts::table
        .filter(purge_receipts::order_id.eq_any(&ids))
        .order(purge_receipts::order_id)
        .select(ReceiptRow::as_select())
        .load(conn)?)
}

/// Orders of which a table that a purge empties holds something although they have a receipt, are purged, or are not
/// there at all. Looked for from those tables: they hold the living alone.
///
/// # Errors
/// The database, or a corrupt row.
pub fn leftovers(conn: &mut AnyConn, limit: i64) -> Result<Vec<OrderId>, StoreError> {
    #[derive(QueryableByName)]
    struct Key {
        #[diesel(sql_type = diesel::sql_types::Text)]
        id: String,
    }
    let mut found = std::collections::BTreeSet::new();
    for (name, table, how) in classes().purged() {
        let filled = match how {
            Purge::Clear => {
                let columns: Vec<String> = table.gone().map(|column| format!("t.{column} IS NOT NULL")).collect();
                format!("({}) AND ", columns.join(" OR "))
            }
            Purge::Delete | Purge::Expire => String::new(),
        };
        let query = format!(
            "SELECT t.order_id AS id FROM {name} t WHERE {filled}
                NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = t.order_id AND o.purged_at IS NULL)
             UNION SELECT t.order_id AS id FROM {name} t WHERE {filled}
                EXISTS (SELECT 1 FROM purge_receipts r WHERE r.order_id = t.order_id)
             LIMIT {limit}"
        );
        let keys: Vec<Key> = diesel::sql_query(query).load(conn)?;
        found.extend(keys.into_iter().map(|key| key.id));
    }
    parse(found.into_iter().collect())
}

/// How many of these orders are decided to be purged, or are.
///
/// # Errors
/// The database.
pub fn count_decided_of(conn: &mut AnyConn, ids: &[&str]) -> Result<usize, StoreError> {
    let count: i64 = orders::table
        .filter(orders::id.eq_any(ids))
        .filter(orders::purge_decided_at.is_not_null())
        .count()
        .get_result(conn)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// What retention would do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Orders that are due and free, or decided and not destroyed yet.
    pub due: i64,
    /// Orders that are due and held.
    pub held: i64,
}

/// Counts what is due at `now`.
///
/// # Errors
/// The database.
pub fn count_due(conn: &mut AnyConn, now: BusinessTime) -> Result<Due, StoreError> {
    // What is decided waits for the vault, or for a process that died: it is not gone yet.
    let decided: i64 = orders::table
        .filter(orders::purge_decided_at.is_not_null())
        .filter(orders::purged_at.is_null())
        .filter(
            orders::purge_due_at
                .le(to_row(now))
                .or(orders::purge_decided_at.le(to_row(now))),
        )
        .count()
        .get_result(conn)?;
    let all: i64 = orders::table
        .filter(orders::purge_due_at.le(to_row(now)))
        .filter(orders::purge_decided_at.is_null())
        .count()
        .get_result(conn)?;
    let held: i64 = orders::table
        .filter(orders::purge_due_at.le(to_row(now)))
        .filter(orders::purge_decided_at.is_null())
        .filter(orders::hold_until.gt(to_row(now)))
        .count()
        .get_result(conn)?;
    Ok(Due {
        due: all.saturating_sub(held).saturating_add(decided),
        held,
    })
}

/// The receipt of an order.
///
/// # Errors
/// The database.
pub fn receipt(conn: &mut AnyConn, order: OrderId) -> Result<Option<ReceiptRow>, StoreError> {
    Ok(purge_receipts::table
        .find(order.to_string())
        .select(ReceiptRow::as_select())
        .first(conn)
        .optional()?)
}

/// A page of receipts, newest order first.
///
/// # Errors
/// The database.
pub fn receipts(conn: &mut AnyConn, before: Option<OrderId>, limit: i64) -> Result<Vec<ReceiptRow>, StoreError> {
    let mut query = purge_receipts::table
        .order(purge_receipts::order_id.desc())
        .limit(limit)
        .select(ReceiptRow::as_select())
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(purge_receipts::order_id.lt(before.to_string()));
    }
    Ok(query.load(conn)?)
}

/// What is left of an order: its facts, and how many rows each table that may hold personal data still has of it.
///
/// # Errors
/// The database.
pub fn remains(conn: &mut AnyConn, order: &str) -> Result<Vec<(&'static str, String)>, StoreError> {
    let row: crate::store::orders::OrderRow = orders::table
        .find(order)
        .select(crate::store::orders::OrderRow::as_select())
        .first(conn)?;
    let or_null = |at: Option<NaiveDateTime>| at.map_or_else(|| "null".to_owned(), |at| at.to_string());
    let persons: i64 = order_person::table
        .filter(order_person::order_id.eq(order))
        .count()
        .get_result(conn)?;
    let numbers: i64 = order_tracking::table
        .filter(order_tracking::order_id.eq(order))
        .count()
        .get_result(conn)?;
    let remarks: i64 = courier_remark::table
        .filter(courier_remark::order_id.eq(order))
        .count()
        .get_result(conn)?;
    let labels: i64 = order_label::table
        .filter(order_label::order_id.eq(order))
        .count()
        .get_result(conn)?;
    Ok(vec![
        ("orders.reference", row.reference),
        ("orders.status", row.status),
        ("orders.amount_minor", format!("{} {}", row.amount_minor, row.currency)),
        ("orders.courier", row.courier),
        ("orders.created_at", row.created_at.to_string()),
        ("orders.ended_at", or_null(row.ended_at)),
        ("orders.purged_at", or_null(row.purged_at)),
        (
            "orders.purge_reason",
            row.purge_reason.unwrap_or_else(|| "null".to_owned()),
        ),
        ("rows in order_person", persons.to_string()),
        ("rows in order_tracking", numbers.to_string()),
        ("rows in courier_remark", remarks.to_string()),
        ("rows in order_label", labels.to_string()),
    ])
}
