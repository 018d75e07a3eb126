//! What a batch of couriers' events writes, for many orders at once. On SQLite, where a statement is a function call, row
//! by row.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::store::dialect::arrays::{Column, Statement, column, insert_rows, update_rows};
use crate::store::orders::{Order, OrderProgress};
use crate::store::personal_records::RemarkRow;
use crate::store::schema::{courier_remark, order_events, orders, shipment_attempts};
use crate::store::shipments::{Attempt, Heard};
use crate::store::timeline::EventRow;
use crate::store::{AnyConn, StoreError};

/// Inserts entries of timelines.
///
/// # Errors
/// The database.
pub fn insert_entries(conn: &mut AnyConn, entries: &[EventRow]) -> Result<(), StoreError> {
    insert_rows!(conn, order_events, entries, |row| [
        order_id: Text = row.order_id.as_str(),
        id: Text = row.id.as_str(),
        at: Timestamp = row.at,
        kind: Text = row.kind.as_str(),
        status: Text = row.status.as_str(),
        actor: Text = row.actor.as_str(),
        code: TextOrNull = row.code.as_deref(),
    ]);
    Ok(())
}

/// Inserts couriers' remarks.
///
/// # Errors
/// The database.
pub fn insert_remarks(conn: &mut AnyConn, remarks: &[RemarkRow]) -> Result<(), StoreError> {
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

/// Writes how far these orders are.
///
/// # Errors
/// The database.
pub fn update_order_progress(conn: &mut AnyConn, these: &[&Order]) -> Result<(), StoreError> {
    let progresses: Vec<(String, OrderProgress)> = these
        .iter()
        .map(|order| (order.id.to_string(), OrderProgress::of(order)))
        .collect();
    update_rows!(conn, orders, &progresses, |progress| [
        status: Text = progress.status,
        updated_at: Timestamp = progress.updated_at,
        moved_at: Timestamp = progress.moved_at,
        ended_at: TimestampOrNull = progress.ended_at,
        first_ended_at: TimestampOrNull = progress.first_ended_at,
        purge_due_at: TimestampOrNull = progress.purge_due_at,
    ]);
    Ok(())
}

/// Writes what was heard of these attempts' parcels.
///
/// # Errors
/// The database.
pub fn update_heard(conn: &mut AnyConn, these: &[&Attempt], now: NaiveDateTime) -> Result<(), StoreError> {
    let heard: Vec<(String, Heard)> = these
        .iter()
        .map(|attempt| (attempt.id.to_string(), Heard::of(attempt, now)))
        .collect();
    update_rows!(conn, shipment_attempts, &heard, |heard| [
        tracking_status: TextOrNull = heard.tracking_status,
        tracking_at: TimestampOrNull = heard.tracking_at,
        poll_at: TimestampOrNull = heard.poll_at,
        end_reported: TextOrNull = heard.end_reported,
        end_reported_at: TimestampOrNull = heard.end_reported_at,
        updated_at: Timestamp = heard.updated_at,
    ]);
    Ok(())
}
