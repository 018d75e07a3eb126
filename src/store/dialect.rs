//! What cannot be said once for both engines. With `conn.rs` the only file that matches on the engine; each function
//! here means the same on both.

pub(in crate::store) mod among;
pub(in crate::store) mod arrays;
mod every_value;
mod fingerprints;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::store::{AnyConn, StoreError};

pub(in crate::store) use among::{among, as_json, find_among};
pub(in crate::store) use arrays::{insert_rows, update_rows};
pub use every_value::{all_tables, each_value_in_tx};
pub use fingerprints::{Fingerprints, find_by_fingerprints};

/// Locks a row until the transaction ends and says whether it exists; the table is code, never input. On SQLite the
/// transaction holds the database's only write lock already.
///
/// # Errors
/// The database.
pub fn lock_row(conn: &mut AnyConn, table: &'static str, id: &str) -> Result<bool, StoreError> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Text)]
        #[expect(dead_code, reason = "only its presence counts")]
        id: String,
    }
    let select = format!("SELECT id FROM {table} WHERE id = $1");
    let found: Option<Found> = match conn {
        AnyConn::Sqlite(conn) => diesel::sql_query(select)
            .bind::<Text, _>(id)
            .get_result(conn)
            .optional()?,
        AnyConn::Postgres(conn) => diesel::sql_query(select + " FOR UPDATE")
            .bind::<Text, _>(id)
            .get_result(conn)
            .optional()?,
    };
    Ok(found.is_some())
}

/// Locks the row of how a courier stands until the transaction ends and says whether it exists.
///
/// # Errors
/// The database.
pub fn lock_courier_row(conn: &mut AnyConn, courier: &str) -> Result<bool, StoreError> {
    const SELECT: &str = "SELECT courier AS id FROM courier_state WHERE courier = $1";
    let keys: Vec<Key> = match conn {
        AnyConn::Sqlite(conn) => diesel::sql_query(SELECT).bind::<Text, _>(courier).load(conn)?,
        AnyConn::Postgres(conn) => diesel::sql_query(format!("{SELECT} FOR UPDATE"))
            .bind::<Text, _>(courier)
            .load(conn)?,
    };
    Ok(!keys.is_empty())
}

/// Ids of at most `limit` parcels of a courier that are to be asked for by `now` (business) and were not asked for since
/// `asked_before` (wall), longest due first, each locked; those that another transaction holds are passed over.
///
/// # Errors
/// The database.
pub fn pick_due_polls(
    conn: &mut AnyConn,
    courier: &str,
    now: chrono::NaiveDateTime,
    asked_before: chrono::NaiveDateTime,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    use diesel::sql_types::Timestamp;
    const SELECT: &str = "SELECT id FROM shipment_attempts WHERE courier = $1 AND poll_at <= $2 \
        AND (polled_at IS NULL OR polled_at <= $3) ORDER BY poll_at LIMIT $4";
    let keys: Vec<Key> = match conn {
        AnyConn::Sqlite(conn) => diesel::sql_query(SELECT)
            .bind::<Text, _>(courier)
            .bind::<Timestamp, _>(now)
            .bind::<Timestamp, _>(asked_before)
            .bind::<BigInt, _>(limit)
            .load(conn)?,
        AnyConn::Postgres(conn) => diesel::sql_query(format!("{SELECT} FOR UPDATE SKIP LOCKED"))
            .bind::<Text, _>(courier)
            .bind::<Timestamp, _>(now)
            .bind::<Timestamp, _>(asked_before)
            .bind::<BigInt, _>(limit)
            .load(conn)?,
    };
    Ok(keys.into_iter().map(|key| key.id).collect())
}

/// A row's text key.
#[derive(QueryableByName)]
pub(in crate::store) struct Key {
    #[diesel(sql_type = Text)]
    pub(in crate::store) id: String,
}

/// Ids of at most `limit` rows that `condition` picks from `table`, in `order`, each locked until the transaction ends;
/// rows that another transaction holds are passed over. `$1`, `$2` in the condition are `times`.
///
/// Table, condition and order are code, never input.
///
/// # Errors
/// The database.
pub fn pick_and_lock(
    conn: &mut AnyConn,
    table: &'static str,
    condition: &'static str,
    order: &'static str,
    times: &[chrono::NaiveDateTime],
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    use diesel::sql_types::Timestamp;
    let select = format!("SELECT id FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit}");
    let keys: Vec<Key> = match conn {
        AnyConn::Sqlite(conn) => {
            let mut query = diesel::sql_query(select).into_boxed();
            for time in times {
                query = query.bind::<Timestamp, _>(*time);
            }
            query.load(conn)?
        }
        AnyConn::Postgres(conn) => {
            let mut query = diesel::sql_query(select + " FOR UPDATE SKIP LOCKED").into_boxed();
            for time in times {
                query = query.bind::<Timestamp, _>(*time);
            }
            query.load(conn)?
        }
    };
    Ok(keys.into_iter().map(|key| key.id).collect())
}

/// Ready jobs that are due by both clocks, of the kinds that this program knows: one that a newer program made waits for a
/// newer worker.
pub(in crate::store) const DUE_JOBS: &str = "SELECT id FROM jobs WHERE state = 'ready' AND run_at <= $1 AND not_before <= $2 \
     AND kind IN ('ship', 'cancel_parcel', 'call_off', 'confirm_end', 'confirm_call_off', 'watch') ORDER BY run_at LIMIT $3";

/// Ids of at most `limit` ready jobs that are due by both clocks, longest due first, each locked; those that another
/// transaction holds are passed over.
///
/// # Errors
/// The database.
pub fn pick_due_jobs(
    conn: &mut AnyConn,
    now: chrono::NaiveDateTime,
    wall: chrono::NaiveDateTime,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    use diesel::sql_types::Timestamp;
    let keys: Vec<Key> = match conn {
        AnyConn::Sqlite(conn) => diesel::sql_query(DUE_JOBS)
            .bind::<Timestamp, _>(now)
            .bind::<Timestamp, _>(wall)
            .bind::<BigInt, _>(limit)
            .load(conn)?,
        AnyConn::Postgres(conn) => diesel::sql_query(format!("{DUE_JOBS} FOR UPDATE SKIP LOCKED"))
            .bind::<Timestamp, _>(now)
            .bind::<Timestamp, _>(wall)
            .bind::<BigInt, _>(limit)
            .load(conn)?,
    };
    Ok(keys.into_iter().map(|key| key.id).collect())
}

/// The newest open epoch that has begun, its row held against being closed until the transaction ends.
///
/// # Errors
/// The database.
pub fn share_current_epoch(conn: &mut AnyConn, now: chrono::NaiveDateTime) -> Result<Option<i64>, StoreError> {
    use crate::store::schema::key_epochs;
    let newest = || {
        key_epochs::table
            .filter(key_epochs::state.eq("open"))
            .filter(key_epochs::starts_at.le(now))
            .order((key_epochs::starts_at.desc(), key_epochs::id.desc()))
            .select(key_epochs::id)
            .limit(1)
    };
    Ok(match conn {
        AnyConn::Sqlite(conn) => newest().first(conn).optional()?,
        AnyConn::Postgres(conn) => match newest().for_share().first(conn).optional()? {
            // A row that is closed while we wait for it drops out of the result: ask once more.
            None => newest().for_share().first(conn).optional()?,
            found => found,
        },
    })
}

/// Lets nobody else add, change or destroy keys of the vault until the transaction ends; they can be read.
///
/// # Errors
/// The database.
pub fn lock_vault_keys(conn: &mut AnyConn) -> Result<(), StoreError> {
    match conn {
        // Its writing transactions exclude each other anyway.
        AnyConn::Sqlite(_) => Ok(()),
        AnyConn::Postgres(conn) => Ok(diesel::connection::SimpleConnection::batch_execute(
            conn,
            "LOCK TABLE vault_keys IN SHARE ROW EXCLUSIVE MODE",
        )?),
    }
}

/// A table of small facts, by name.
#[derive(Debug, Clone, Copy)]
pub enum Facts {
    /// `meta`, of the orders database.
    Orders,
    /// `vault_meta`, of the vault.
    Vault,
}

/// Locks one fact until the transaction ends and returns its value.
///
/// # Errors
/// The database.
pub fn lock_fact(conn: &mut AnyConn, facts: Facts, key: &str) -> Result<Option<String>, StoreError> {
    #[derive(QueryableByName)]
    struct Value {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let select = match facts {
        Facts::Orders => "SELECT value FROM meta WHERE key = $1",
        Facts::Vault => "SELECT value FROM vault_meta WHERE key = $1",
    };
    let value: Option<Value> = match conn {
        AnyConn::Sqlite(conn) => diesel::sql_query(select)
            .bind::<Text, _>(key)
            .get_result(conn)
            .optional()?,
        AnyConn::Postgres(conn) => diesel::sql_query(format!("{select} FOR UPDATE"))
            .bind::<Text, _>(key)
            .get_result(conn)
            .optional()?,
    };
    Ok(value.map(|value| value.value))
}

/// Inserts rows, passing over those that break a UNIQUE; returns how many went in. One statement on PostgreSQL.
macro_rules! insert_or_pass {
    ($conn:expr, $table:expr, $rows:expr) => {{
        let rows = $rows;
        match $conn {
            $crate::store::AnyConn::Sqlite(conn) => {
                let mut inserted = 0;
                for row in rows {
                    inserted += diesel::insert_into($table)
                        .values(row)
                        .on_conflict_do_nothing()
                        .execute(conn)?;
                }
                inserted
            }
            $crate::store::AnyConn::Postgres(conn) if !rows.is_empty() => diesel::insert_into($table)
                .values(rows)
                .on_conflict_do_nothing()
                .execute(conn)?,
            $crate::store::AnyConn::Postgres(_) => 0,
        }
    }};
}

/// As `insert_or_pass`, returning `$column` of the rows that went in.
macro_rules! insert_or_pass_returning {
    ($conn:expr, $table:expr, $rows:expr, $column:expr) => {{
        let rows = $rows;
        let mut inserted = Vec::with_capacity(rows.len());
        match $conn {
            $crate::store::AnyConn::Sqlite(conn) => {
                for row in rows {
                    inserted.extend(
                        diesel::insert_into($table)
                            .values(row)
                            .on_conflict_do_nothing()
                            .returning($column)
                            .get_result(conn)
                            .optional()?,
                    );
                }
            }
            $crate::store::AnyConn::Postgres(conn) if !rows.is_empty() => {
                inserted = diesel::insert_into($table)
                    .values(rows)
                    .on_conflict_do_nothing()
                    .returning($column)
                    .get_results(conn)?;
            }
            $crate::store::AnyConn::Postgres(_) => {}
        }
        inserted
    }};
}

/// Inserts rows; one statement on PostgreSQL.
macro_rules! insert_all {
    ($conn:expr, $table:expr, $rows:expr) => {{
        let rows = $rows;
        match $conn {
            $crate::store::AnyConn::Sqlite(conn) => {
                for row in rows {
                    diesel::insert_into($table).values(row).execute(conn)?;
                }
            }
            $crate::store::AnyConn::Postgres(conn) if !rows.is_empty() => {
                diesel::insert_into($table).values(rows).execute(conn)?;
            }
            $crate::store::AnyConn::Postgres(_) => {}
        }
    }};
}

/// Runs a query on the engine's own connection: there PostgreSQL takes a list as one array, and the statement is prepared
/// once.
macro_rules! on_engine {
    ($conn:expr, |$own:ident| $query:expr) => {
        match $conn {
            $crate::store::AnyConn::Sqlite($own) => $query,
            $crate::store::AnyConn::Postgres($own) => $query,
        }
    };
}

/// What each engine is asked in its own way; both arms mean the same.
macro_rules! per_engine {
    ($conn:expr, sqlite |$sqlite:ident| $on_sqlite:expr, postgres |$postgres:ident| $on_postgres:expr $(,)?) => {
        match $conn {
            $crate::store::AnyConn::Sqlite($sqlite) => $on_sqlite,
            $crate::store::AnyConn::Postgres($postgres) => $on_postgres,
        }
    };
}

pub(crate) use {insert_all, insert_or_pass, insert_or_pass_returning, on_engine, per_engine};
