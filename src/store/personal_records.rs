//! The sealed rows of persons, and the house rule that guards every write of personal data.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::store::dialect::{self, Fingerprints, insert_rows};
use crate::store::orders::{self};
use crate::store::schema::{courier_remark, order_person};
use crate::store::{AnyConn, StoreError};

/// A sealed person and the epoch whose key opens it.
#[derive(Debug, Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = order_person)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct PersonalRecordRow {
    pub order_id: String,
    pub epoch: i64,
    pub sealed: Vec<u8>,
    pub phone_print: Vec<u8>,
}

/// A sealed remark of a courier.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = courier_remark)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct RemarkRow {
    pub id: String,
    pub order_id: String,
    pub attempt: i16,
    pub at: NaiveDateTime,
    pub epoch: i64,
    pub sealed: Vec<u8>,
    pub remark_print: Vec<u8>,
}

/// Why personal data of an order may not be written.
#[derive(Debug)]
pub enum Refused {
    /// There is no such order.
    NotFound,
    /// Its purge is decided: nothing may put the person back.
    Purged,
}

/// **The house rule**: every transaction that writes personal data of an order comes through here. Locks the order's row
/// and refuses once the purge is decided, so that no late webhook, label or correction puts a person back.
///
/// # Errors
/// The database, or a corrupt row.
pub fn lock_for_writing_in_tx(conn: &mut AnyConn, id: OrderId) -> Result<Result<Order, Refused>, StoreError> {
    Ok(match orders::lock_in_tx(conn, id)? {
        None => Err(Refused::NotFound),
        Some(order) if order.purge_decided_at.is_some() => Err(Refused::Purged),
        Some(order) => Ok(order),
    })
}

/// The sealed persons of these orders.
///
/// # Errors
/// The database.
pub fn of_orders(conn: &mut AnyConn, orders: &[OrderId]) -> Result<Vec<PersonalRecordRow>, StoreError> {
    let ids: Vec<String> = orders.iter().map(ToString::to_string).collect();
    let these = order_person::table.filter(order_person::order_id.eq_any(&ids));
    Ok(dialect::on_engine!(conn, |conn| these
        .select(PersonalRecordRow::as_select())
        .load(conn))?)
}

/// The sealed person of an order.
///
/// # Errors
/// The database.
pub fn find(conn: &mut AnyConn, order: OrderId) -> Result<Option<PersonalRecordRow>, StoreError> {
    Ok(order_person::table
        .find(order.to_string())
        .select(PersonalRecordRow::as_select())
        .first(conn)
        .optional()?)
}

/// Replaces the sealed person of an order locked by [`lock_for_writing_in_tx`].
///
/// # Errors
/// The database.
pub fn replace_in_tx(conn: &mut AnyConn, row: &PersonalRecordRow) -> Result<(), StoreError> {
    diesel::update(order_person::table.find(&row.order_id))
        .set(row)
        .execute(conn)?;
    Ok(())
}

/// Every order whose phone has one of these fingerprints, oldest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn orders_by_phone(conn: &mut AnyConn, fingerprints: &[(i64, Vec<u8>)]) -> Result<Vec<OrderId>, StoreError> {
    let ids = dialect::find_by_fingerprints(conn, Fingerprints::Phone, fingerprints, " ORDER BY id")?;
    ids.into_iter()
        .map(|id| id.parse().map_err(|_| StoreError::corrupt("order_person", &id)))
        .collect()
}

/// Stores couriers' remarks of orders locked by [`lock_for_writing_in_tx`].
///
/// # Errors
/// The database.
pub fn add_remarks_in_tx(conn: &mut AnyConn, rows: &[RemarkRow]) -> Result<(), StoreError> {
    insert_remarks(conn, rows)
}

/// A remark that is known: its order, its epoch, and its fingerprint under that.
pub type RemarkFingerprint = (String, i64, Vec<u8>);

/// The remarks that these orders have.
///
/// # Errors
/// The database.
pub fn remark_fingerprints(conn: &mut AnyConn, orders: &[OrderId]) -> Result<Vec<RemarkFingerprint>, StoreError> {
    let ids: Vec<String> = orders.iter().map(ToString::to_string).collect();
    let found = courier_remark::table
        .filter(courier_remark::order_id.eq_any(&ids))
        .select((
            courier_remark::order_id,
            courier_remark::epoch,
            courier_remark::remark_print,
        ));
    Ok(dialect::on_engine!(conn, |conn| found.load(conn))?)
}

/// The sealed remarks of an order, oldest first.
///
/// # Errors
/// The database.
pub fn remarks_of(conn: &mut AnyConn, order: OrderId) -> Result<Vec<RemarkRow>, StoreError> {
    Ok(courier_remark::table
        .filter(courier_remark::order_id.eq(order.to_string()))
        .order(courier_remark::id)
        .select(RemarkRow::as_select())
        .load(conn)?)
}

/// Inserts couriers' remarks.
///
/// # Errors
/// The database.
fn insert_remarks(conn: &mut AnyConn, remarks: &[RemarkRow]) -> Result<(), StoreError> {
    insert_rows!(conn, courier_remark, remarks, |row| [
        id: Text = row.id.as_str(),
        order_id: Text = row.order_id.as_str(),
        attempt: SmallInt = row.attempt,
        at: Timestamp = row.at,
        epoch: BigInt = row.epoch,
        sealed: Binary = row.sealed.as_slice(),
        remark_print: Binary = row.remark_print.as_slice(),
    ]);
    Ok(())
}
