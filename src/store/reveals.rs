//! Requests to see a recipient whole that a second key must approve.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::ids::{OrderId, RowId};
use crate::store::schema::reveals;
use crate::store::{AnyConn, StoreError, to_row};

/// A request.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = reveals)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct RevealRow {
    pub id: String,
    pub order_id: String,
    pub requested_by: String,
    pub requested_at: NaiveDateTime,
    pub approved_by: Option<String>,
    pub approved_at: Option<NaiveDateTime>,
    pub used_at: Option<NaiveDateTime>,
}

/// The newest request of a key for an order that was not used yet.
///
/// # Errors
/// The database.
pub fn unused(conn: &mut AnyConn, order: OrderId, key: &str) -> Result<Option<RevealRow>, StoreError> {
    Ok(reveals::table
        .filter(reveals::order_id.eq(order.to_string()))
        .filter(reveals::requested_by.eq(key))
        .filter(reveals::used_at.is_null())
        .order(reveals::id.desc())
        .select(RevealRow::as_select())
        .first(conn)
        .optional()?)
}

/// Every request for an order, oldest first.
///
/// # Errors
/// The database.
pub fn of_order(conn: &mut AnyConn, order: OrderId) -> Result<Vec<RevealRow>, StoreError> {
    Ok(reveals::table
        .filter(reveals::order_id.eq(order.to_string()))
        .order(reveals::id)
        .select(RevealRow::as_select())
        .load(conn)?)
}

/// A request by its id.
///
/// # Errors
/// The database.
pub fn find(conn: &mut AnyConn, id: RowId) -> Result<Option<RevealRow>, StoreError> {
    Ok(reveals::table
        .find(id.to_string())
        .select(RevealRow::as_select())
        .first(conn)
        .optional()?)
}

/// Stores a new request.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, order: OrderId, key: &str, now: BusinessTime) -> Result<RowId, StoreError> {
    let id = RowId::generate();
    let row = RevealRow {
        id: id.to_string(),
        order_id: order.to_string(),
        requested_by: key.to_owned(),
        requested_at: to_row(now),
        approved_by: None,
        approved_at: None,
        used_at: None,
    };
    diesel::insert_into(reveals::table).values(&row).execute(conn)?;
    Ok(id)
}

/// Approves a request.
///
/// # Errors
/// The database.
pub fn approve_in_tx(conn: &mut AnyConn, id: RowId, key: &str, now: BusinessTime) -> Result<(), StoreError> {
    diesel::update(reveals::table.find(id.to_string()))
        .set((reveals::approved_by.eq(key), reveals::approved_at.eq(to_row(now))))
        .execute(conn)?;
    Ok(())
}

/// Uses an approval up.
///
/// # Errors
/// The database.
pub fn use_in_tx(conn: &mut AnyConn, id: &str, now: BusinessTime) -> Result<(), StoreError> {
    diesel::update(reveals::table.find(id))
        .set(reveals::used_at.eq(to_row(now)))
        .execute(conn)?;
    Ok(())
}
