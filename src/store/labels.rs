//! Waybills as they are printed, sealed: one a parcel at most.

use diesel::prelude::*;

use crate::domain::ids::OrderId;
use crate::store::schema::order_label;
use crate::store::{AnyConn, StoreError, dialect};

/// A sealed label.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = order_label)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct LabelRow {
    pub order_id: String,
    pub attempt: i16,
    pub content_type: String,
    pub epoch: i64,
    pub sealed: Vec<u8>,
}

/// The label of an order's parcel.
///
/// # Errors
/// The database.
pub fn find(conn: &mut AnyConn, order: OrderId, attempt: u8) -> Result<Option<LabelRow>, StoreError> {
    Ok(order_label::table
        .find((order.to_string(), i16::from(attempt)))
        .select(LabelRow::as_select())
        .first(conn)
        .optional()?)
}

/// Stores the label of an order locked by `person::lock_for_writing_in_tx`; the first one stays.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, row: LabelRow) -> Result<(), StoreError> {
    dialect::insert_or_pass!(conn, order_label::table, &[row][..]);
    Ok(())
}

/// The attempts of an order that have a label.
///
/// # Errors
/// The database.
pub fn attempts_with_one(conn: &mut AnyConn, order: OrderId) -> Result<Vec<i16>, StoreError> {
    Ok(order_label::table
        .filter(order_label::order_id.eq(order.to_string()))
        .select(order_label::attempt)
        .load(conn)?)
}

/// Replaces a label's sealed value.
///
/// # Errors
/// The database.
pub fn replace_in_tx(conn: &mut AnyConn, row: &LabelRow) -> Result<(), StoreError> {
    diesel::update(order_label::table.find((&row.order_id, row.attempt)))
        .set((order_label::epoch.eq(row.epoch), order_label::sealed.eq(&row.sealed)))
        .execute(conn)?;
    Ok(())
}
