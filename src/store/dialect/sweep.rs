//! The statements of a purge, for many orders at once: on PostgreSQL a column of the batch is one array.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamp};

use crate::privacy::classes;
use crate::store::journal::JournalRow;
use crate::store::purges::ReceiptRow;
use crate::store::schema::{journal, order_person, orders, purge_receipts};
use crate::store::{AnyConn, StoreError};

/// Those of these orders whose purge is decided and not done, each locked until the transaction ends; those that another
/// transaction holds are passed over.
///
/// # Errors
/// The database.
pub fn lock_open_purges(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<String>, StoreError> {
    match conn {
        AnyConn::Sqlite(conn) => Ok(orders::table
            .filter(orders::id.eq_any(ids))
            .filter(orders::purge_decided_at.is_not_null())
            .filter(orders::purged_at.is_null())
            .select(orders::id)
            .load(conn)?),
        AnyConn::Postgres(conn) => Ok(orders::table
            .filter(orders::id.eq_any(ids))
            .filter(orders::purge_decided_at.is_not_null())
            .filter(orders::purged_at.is_null())
            .select(orders::id)
            .for_update()
            .skip_locked()
            .load(conn)?),
    }
}

/// Id, reason, moment of the decision, and the epoch of the sealed person.
pub type OpenPurge = (String, Option<String>, Option<NaiveDateTime>, Option<i64>);

/// What is known of those of these orders whose purge is decided and not done.
///
/// # Errors
/// The database.
pub fn open_purges(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<OpenPurge>, StoreError> {
    let query = orders::table
        .left_join(order_person::table.on(order_person::order_id.eq(orders::id)))
        .filter(orders::id.eq_any(ids))
        .filter(orders::purge_decided_at.is_not_null())
        .filter(orders::purged_at.is_null())
        .select((
            orders::id,
            orders::purge_reason,
            orders::purge_decided_at,
            order_person::epoch.nullable(),
        ));
    match conn {
        AnyConn::Sqlite(conn) => Ok(query.load(conn)?),
        AnyConn::Postgres(conn) => Ok(query.load(conn)?),
    }
}

/// Marks orders as to be purged, those that are not yet.
///
/// # Errors
/// The database.
pub fn mark_decided(conn: &mut AnyConn, ids: &[String], reason: &str, at: NaiveDateTime) -> Result<(), StoreError> {
    let change = diesel::update(
        orders::table
            .filter(orders::id.eq_any(ids))
            .filter(orders::purge_decided_at.is_null()),
    )
    .set((
        orders::purge_decided_at.eq(at),
        orders::purge_reason.eq(reason),
        orders::updated_at.eq(at),
    ));
    match conn {
        AnyConn::Sqlite(conn) => change.execute(conn)?,
        AnyConn::Postgres(conn) => change.execute(conn)?,
    };
    Ok(())
}

/// Marks orders as purged.
///
/// # Errors
/// The database.
pub fn mark_purged(conn: &mut AnyConn, ids: &[&str], at: NaiveDateTime) -> Result<(), StoreError> {
    let change = diesel::update(orders::table.filter(orders::id.eq_any(ids)))
        .set((orders::purged_at.eq(at), orders::updated_at.eq(at)));
    match conn {
        AnyConn::Sqlite(conn) => change.execute(conn)?,
        AnyConn::Postgres(conn) => change.execute(conn)?,
    };
    Ok(())
}

/// Empties a table of everything derived or personal of these orders: deletes their rows, or clears the columns.
///
/// # Errors
/// The database.
pub fn empty_for_orders(
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
    match conn {
        AnyConn::Sqlite(conn) => {
            let places: Vec<String> = (1..=orders.len()).map(|place| format!("${place}")).collect();
            let statement = format!("{statement} IN ({})", places.join(","));
            let mut query = diesel::sql_query(statement).into_boxed();
            for order in orders {
                query = query.bind::<Text, _>(*order);
            }
            query.execute(conn)?;
        }
        AnyConn::Postgres(conn) => {
            diesel::sql_query(format!("{statement} = ANY($1)"))
                .bind::<Array<Text>, _>(orders)
                .execute(conn)?;
        }
    }
    Ok(())
}

/// Inserts receipts.
///
/// # Errors
/// The database.
pub fn insert_receipts(conn: &mut AnyConn, receipts: &[ReceiptRow]) -> Result<(), StoreError> {
    fn column<'a, T>(receipts: &'a [ReceiptRow], of: impl Fn(&'a ReceiptRow) -> T) -> Vec<T> {
        receipts.iter().map(of).collect()
    }
    match conn {
        AnyConn::Sqlite(conn) => {
            for receipt in receipts {
                diesel::insert_into(purge_receipts::table)
                    .values(receipt)
                    .execute(conn)?;
            }
        }
        AnyConn::Postgres(conn) => {
            diesel::sql_query(
                "INSERT INTO purge_receipts \
                 (order_id, reason, decided_at, purged_at, purged_columns, epoch, journal, hash, audit_seq) \
                 SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind::<Array<Text>, _>(column(receipts, |row| row.order_id.as_str()))
            .bind::<Array<Text>, _>(column(receipts, |row| row.reason.as_str()))
            .bind::<Array<Timestamp>, _>(column(receipts, |row| row.decided_at))
            .bind::<Array<Timestamp>, _>(column(receipts, |row| row.purged_at))
            .bind::<Array<Text>, _>(column(receipts, |row| row.purged_columns.as_str()))
            .bind::<Array<Nullable<BigInt>>, _>(column(receipts, |row| row.epoch))
            .bind::<Array<Nullable<BigInt>>, _>(column(receipts, |row| row.journal))
            .bind::<Array<Text>, _>(column(receipts, |row| row.hash.as_str()))
            .bind::<Array<BigInt>, _>(column(receipts, |row| row.audit_seq))
            .execute(conn)?;
        }
    }
    Ok(())
}

/// Inserts entries of the vault's journal.
///
/// # Errors
/// The database.
pub fn insert_journal(conn: &mut AnyConn, entries: &[JournalRow]) -> Result<(), StoreError> {
    fn column<'a, T>(entries: &'a [JournalRow], of: impl Fn(&'a JournalRow) -> T) -> Vec<T> {
        entries.iter().map(of).collect()
    }
    match conn {
        AnyConn::Sqlite(conn) => {
            for entry in entries {
                diesel::insert_into(journal::table).values(entry).execute(conn)?;
            }
        }
        AnyConn::Postgres(conn) => {
            diesel::sql_query(
                "INSERT INTO journal (number, at, kind, subject, detail) SELECT * FROM unnest($1, $2, $3, $4, $5)",
            )
            .bind::<Array<BigInt>, _>(column(entries, |row| row.number))
            .bind::<Array<Timestamp>, _>(column(entries, |row| row.at))
            .bind::<Array<Text>, _>(column(entries, |row| row.kind.as_str()))
            .bind::<Array<Text>, _>(column(entries, |row| row.subject.as_str()))
            .bind::<Array<Text>, _>(column(entries, |row| row.detail.as_str()))
            .execute(conn)?;
        }
    }
    Ok(())
}
