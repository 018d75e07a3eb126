//! Authentic courier events that match no booking yet, sealed until they do or expire.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::store::schema::parked_events;
use crate::store::{AnyConn, StoreError, to_row};

/// A parked event.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = parked_events)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct ParkedRow {
    pub id: String,
    pub courier: String,
    pub tracking_print: Vec<u8>,
    pub epoch: i64,
    pub sealed: Vec<u8>,
    pub expires_at: NaiveDateTime,
}

/// Parks an event.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, row: &ParkedRow) -> Result<(), StoreError> {
    diesel::insert_into(parked_events::table).values(row).execute(conn)?;
    Ok(())
}

/// The events of a courier that carry one of these fingerprints, oldest first.
///
/// # Errors
/// The database.
pub fn of_fingerprints(
    conn: &mut AnyConn,
    courier: &str,
    fingerprints: &[(i64, Vec<u8>)],
) -> Result<Vec<ParkedRow>, StoreError> {
    let fingerprints = fingerprints.iter().map(|(_, fingerprint)| fingerprint);
    Ok(parked_events::table
        .filter(parked_events::courier.eq(courier))
        .filter(parked_events::tracking_print.eq_any(fingerprints))
        .order(parked_events::id)
        .select(ParkedRow::as_select())
        .load(conn)?)
}

/// Takes those events out.
///
/// # Errors
/// The database.
pub fn take_in_tx(
    conn: &mut AnyConn,
    courier: &str,
    fingerprints: &[(i64, Vec<u8>)],
) -> Result<Vec<ParkedRow>, StoreError> {
    let rows = of_fingerprints(conn, courier, fingerprints)?;
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    if !ids.is_empty() {
        diesel::delete(parked_events::table.filter(parked_events::id.eq_any(&ids))).execute(conn)?;
    }
    Ok(rows)
}

/// Drops what nobody claimed in time; returns how many.
///
/// # Errors
/// The database.
pub fn forget_expired(conn: &mut AnyConn, now: BusinessTime) -> Result<usize, StoreError> {
    Ok(diesel::delete(parked_events::table.filter(parked_events::expires_at.le(to_row(now)))).execute(conn)?)
}
