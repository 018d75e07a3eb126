//! What retirement reads and writes: rows that are sealed or fingerprinted under epochs that are closed.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::OrderId;
use crate::store::parked::ParkedRow;
use crate::store::personal_records::RemarkRow;
use crate::store::schema::{
    courier_remark, key_epochs, order_person, order_tracking, parked_events, subject_request_texts,
};
use crate::store::subject_texts::TextRow;
use crate::store::{AnyConn, StoreError, dialect};

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    id: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Orders after `after` that have a row under a closed epoch, by id.
///
/// # Errors
/// The database, or a corrupt row.
pub fn orders_to_reseal(conn: &mut AnyConn, after: Option<OrderId>, limit: i64) -> Result<Vec<OrderId>, StoreError> {
    const CLOSED: &str = "(SELECT id FROM key_epochs WHERE state = 'closed')";
    let query = format!(
        "SELECT DISTINCT id FROM (
            SELECT order_id AS id FROM order_person WHERE epoch IN {CLOSED}
            UNION SELECT order_id AS id FROM order_tracking WHERE epoch IN {CLOSED}
            UNION SELECT order_id AS id FROM courier_remark WHERE epoch IN {CLOSED}
            UNION SELECT order_id AS id FROM order_label WHERE epoch IN {CLOSED}) AS old
         WHERE id > $1 ORDER BY id LIMIT $2"
    );
    let after = after.map_or_else(String::new, |id| id.to_string());
    let keys: Vec<Key> = diesel::sql_query(query)
        .bind::<Text, _>(after)
        .bind::<BigInt, _>(limit)
        .load(conn)?;
    keys.into_iter()
        .map(|key| key.id.parse().map_err(|_| StoreError::corrupt("orders", &key.id)))
        .collect()
}

/// Parked events under a closed epoch, by id.
///
/// # Errors
/// The database.
pub fn parked_to_reseal(conn: &mut AnyConn, after: &str, limit: i64) -> Result<Vec<ParkedRow>, StoreError> {
    Ok(parked_events::table
        .filter(
            parked_events::epoch.eq_any(
                key_epochs::table
                    .filter(key_epochs::state.eq("closed"))
                    .select(key_epochs::id),
            ),
        )
        .filter(parked_events::id.gt(after))
        .order(parked_events::id)
        .limit(limit)
        .select(ParkedRow::as_select())
        .load(conn)?)
}

/// Texts of requests under a closed epoch, by request.
///
/// # Errors
/// The database.
pub fn texts_to_reseal(conn: &mut AnyConn, after: &str, limit: i64) -> Result<Vec<TextRow>, StoreError> {
    let closed = key_epochs::table
        .filter(key_epochs::state.eq("closed"))
        .select(key_epochs::id);
    Ok(subject_request_texts::table
        .filter(subject_request_texts::epoch.eq_any(closed))
        .filter(subject_request_texts::request_id.gt(after))
        .order(subject_request_texts::request_id)
        .limit(limit)
        .select(TextRow::as_select())
        .load(conn)?)
}

/// How many rows are left under closed epochs.
///
/// # Errors
/// The database.
pub fn count_left(conn: &mut AnyConn) -> Result<i64, StoreError> {
    const CLOSED: &str = "(SELECT id FROM key_epochs WHERE state = 'closed')";
    let tables = [
        "order_person",
        "order_tracking",
        "courier_remark",
        "order_label",
        "parked_events",
        "subject_request_texts",
    ];
    let counts: Vec<String> = tables
        .iter()
        .map(|table| format!("(SELECT count(*) FROM {table} WHERE epoch IN {CLOSED})"))
        .collect();
    let count: Count = diesel::sql_query(format!("SELECT {} AS count", counts.join(" + "))).get_result(conn)?;
    Ok(count.count)
}

/// Drops an order's tracking fingerprints; they are written anew under the current epoch.
///
/// # Errors
/// The database.
pub fn drop_tracking_in_tx(conn: &mut AnyConn, order: OrderId) -> Result<(), StoreError> {
    diesel::delete(order_tracking::table.filter(order_tracking::order_id.eq(order.to_string()))).execute(conn)?;
    Ok(())
}

/// Replaces a remark's sealed value.
///
/// # Errors
/// The database.
pub fn replace_remark_in_tx(conn: &mut AnyConn, row: &RemarkRow) -> Result<(), StoreError> {
    diesel::update(courier_remark::table.find(&row.id))
        .set((
            courier_remark::epoch.eq(row.epoch),
            courier_remark::sealed.eq(&row.sealed),
            courier_remark::remark_print.eq(&row.remark_print),
        ))
        .execute(conn)?;
    Ok(())
}

/// Replaces a parked event's sealed value, where it is still parked.
///
/// # Errors
/// The database.
pub fn replace_parked_in_tx(conn: &mut AnyConn, row: &ParkedRow) -> Result<(), StoreError> {
    diesel::update(parked_events::table.find(&row.id))
        .set((
            parked_events::epoch.eq(row.epoch),
            parked_events::sealed.eq(&row.sealed),
            parked_events::tracking_print.eq(&row.tracking_print),
        ))
        .execute(conn)?;
    Ok(())
}

/// Orders whose person is sealed under an epoch that is retired: nobody can read it any more.
///
/// # Errors
/// The database, or a corrupt row.
pub fn unreadable(conn: &mut AnyConn, after: Option<OrderId>, limit: i64) -> Result<Vec<OrderId>, StoreError> {
    let retired = key_epochs::table
        .filter(key_epochs::state.eq("retired"))
        .select(key_epochs::id);
    let ids: Vec<String> = order_person::table
        .filter(order_person::epoch.eq_any(retired))
        .filter(order_person::order_id.gt(after.map_or_else(String::new, |id| id.to_string())))
        .order(order_person::order_id)
        .limit(limit)
        .select(order_person::order_id)
        .load(conn)?;
    ids.into_iter()
        .map(|id| id.parse().map_err(|_| StoreError::corrupt("orders", &id)))
        .collect()
}

/// Those of these orders whose person nobody can read any more.
///
/// # Errors
/// The database, or a corrupt row.
pub fn unreadable_among(conn: &mut AnyConn, ids: &[OrderId]) -> Result<Vec<OrderId>, StoreError> {
    const RETIRED: &str = " AND epoch IN (SELECT id FROM key_epochs WHERE state = 'retired')";
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let found = dialect::find_among(
        conn,
        "SELECT order_id AS id FROM order_person WHERE order_id",
        &ids,
        RETIRED,
    )?;
    found
        .into_iter()
        .map(|id| id.parse().map_err(|_| StoreError::corrupt("orders", &id)))
        .collect()
}

/// How many persons are sealed under each epoch that has any.
///
/// # Errors
/// The database.
pub fn persons_by_epoch(conn: &mut AnyConn) -> Result<Vec<(i64, i64)>, StoreError> {
    Ok(order_person::table
        .group_by(order_person::epoch)
        .select((order_person::epoch, diesel::dsl::count_star()))
        .load(conn)?)
}

/// How many persons nobody can read any more.
///
/// # Errors
/// The database.
pub fn count_unreadable(conn: &mut AnyConn) -> Result<i64, StoreError> {
    let retired = key_epochs::table
        .filter(key_epochs::state.eq("retired"))
        .select(key_epochs::id);
    Ok(order_person::table
        .filter(order_person::epoch.eq_any(retired))
        .count()
        .get_result(conn)?)
}
