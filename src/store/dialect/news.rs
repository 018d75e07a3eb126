//! What a batch of couriers' events writes, for many orders at once. On SQLite, where a statement is a function call, row
//! by row.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::arrays::{Column, Statement, column};
use crate::store::orders::{Course, Order};
use crate::store::person::RemarkRow;
use crate::store::schema::{courier_remark, order_events, orders, shipment_attempts};
use crate::store::shipments::{Attempt, Heard};
use crate::store::timeline::EventRow;
use crate::store::{AnyConn, StoreError};

/// Inserts entries of timelines.
///
/// # Errors
/// The database.
pub fn insert_entries(conn: &mut AnyConn, entries: &[EventRow]) -> Result<(), StoreError> {
    match conn {
        AnyConn::Sqlite(conn) => {
            for entry in entries {
                diesel::insert_into(order_events::table).values(entry).execute(conn)?;
            }
        }
        AnyConn::Postgres(conn) => {
            let columns = vec![
                column!(Text, entries, |row| row.order_id.as_str()),
                column!(Text, entries, |row| row.id.as_str()),
                column!(Timestamp, entries, |row| row.at),
                column!(Text, entries, |row| row.kind.as_str()),
                column!(Text, entries, |row| row.status.as_str()),
                column!(Text, entries, |row| row.actor.as_str()),
                column!(TextOrNull, entries, |row| row.code.as_deref()),
            ];
            let into = "INSERT INTO order_events (order_id, id, at, kind, status, actor, code) SELECT * FROM unnest(";
            <Statement>::over(into, columns, ")").execute(conn)?;
        }
    }
    Ok(())
}

/// Inserts couriers' remarks.
///
/// # Errors
/// The database.
pub fn insert_remarks(conn: &mut AnyConn, remarks: &[RemarkRow]) -> Result<(), StoreError> {
    match conn {
        AnyConn::Sqlite(conn) => {
            for remark in remarks {
                diesel::insert_into(courier_remark::table)
                    .values(remark)
                    .execute(conn)?;
            }
        }
        AnyConn::Postgres(conn) => {
            let columns = vec![
                column!(Text, remarks, |row| row.id.as_str()),
                column!(Text, remarks, |row| row.order_id.as_str()),
                column!(SmallInt, remarks, |row| row.attempt),
                column!(Timestamp, remarks, |row| row.at),
                column!(BigInt, remarks, |row| row.epoch),
                column!(Binary, remarks, |row| row.sealed.as_slice()),
                column!(Binary, remarks, |row| row.remark_print.as_slice()),
            ];
            let into = "INSERT INTO courier_remark (id, order_id, attempt, at, epoch, sealed, remark_print) \
                SELECT * FROM unnest(";
            <Statement>::over(into, columns, ")").execute(conn)?;
        }
    }
    Ok(())
}

/// Writes how far these orders are.
///
/// # Errors
/// The database.
pub fn update_courses(conn: &mut AnyConn, these: &[&Order]) -> Result<(), StoreError> {
    let courses: Vec<(String, Course)> = these
        .iter()
        .map(|order| (order.id.to_string(), Course::of(order)))
        .collect();
    match conn {
        AnyConn::Sqlite(conn) => {
            for (id, course) in &courses {
                diesel::update(orders::table.find(id)).set(course).execute(conn)?;
            }
        }
        AnyConn::Postgres(conn) => {
            let columns = vec![
                column!(Text, courses, |(id, _)| id.as_str()),
                column!(Text, courses, |(_, course)| course.status),
                column!(Timestamp, courses, |(_, course)| course.updated_at),
                column!(Timestamp, courses, |(_, course)| course.moved_at),
                column!(TimestampOrNull, courses, |(_, course)| course.ended_at),
                column!(TimestampOrNull, courses, |(_, course)| course.first_ended_at),
                column!(TimestampOrNull, courses, |(_, course)| course.purge_due_at),
            ];
            let update = "UPDATE orders o SET status = v.status, updated_at = v.updated_at, moved_at = v.moved_at, \
                ended_at = v.ended_at, first_ended_at = v.first_ended_at, purge_due_at = v.purge_due_at FROM unnest(";
            let these = ") AS v (id, status, updated_at, moved_at, ended_at, first_ended_at, purge_due_at) \
                WHERE o.id = v.id";
            <Statement>::over(update, columns, these).execute(conn)?;
        }
    }
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
    match conn {
        AnyConn::Sqlite(conn) => {
            for (id, heard) in &heard {
                diesel::update(shipment_attempts::table.find(id))
                    .set(heard)
                    .execute(conn)?;
            }
        }
        AnyConn::Postgres(conn) => {
            let columns = vec![
                column!(Text, heard, |(id, _)| id.as_str()),
                column!(TextOrNull, heard, |(_, heard)| heard.tracking_status),
                column!(TimestampOrNull, heard, |(_, heard)| heard.tracking_at),
                column!(TimestampOrNull, heard, |(_, heard)| heard.poll_at),
                column!(TextOrNull, heard, |(_, heard)| heard.end_reported),
                column!(TimestampOrNull, heard, |(_, heard)| heard.end_reported_at),
                column!(Timestamp, heard, |(_, heard)| heard.updated_at),
            ];
            let update = "UPDATE shipment_attempts a SET tracking_status = v.tracking_status, \
                tracking_at = v.tracking_at, poll_at = v.poll_at, end_reported = v.end_reported, \
                end_reported_at = v.end_reported_at, updated_at = v.updated_at FROM unnest(";
            let these = ") AS v (id, tracking_status, tracking_at, poll_at, end_reported, end_reported_at, updated_at) \
                WHERE a.id = v.id";
            <Statement>::over(update, columns, these).execute(conn)?;
        }
    }
    Ok(())
}
