//! What cannot be said once for both engines. With `conn.rs` the only file that matches on the engine; each function
//! here means the same on both.

mod arrays;
mod batch;
mod fingerprints;
mod parcel_events;
mod sweep;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::store::conn::SQLITE_PATIENCE;
use crate::store::intake::NewOrderRows;
use crate::store::orders::OrderRow;
use crate::store::{AnyConn, StoreError};

pub use fingerprints::{Fingerprints, find_by_fingerprints};
pub use parcel_events::{insert_entries, insert_remarks, update_heard, update_order_progress};
pub use sweep::{
    OpenPurge, empty_for_orders, find_among, insert_journal, insert_receipts, lock_open_purges, mark_decided,
    mark_purged, open_purges,
};

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

/// Locks these orders' rows until the transaction ends, in the order of their ids, and reads them.
///
/// # Errors
/// The database.
pub fn lock_orders(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<OrderRow>, StoreError> {
    use crate::store::schema::orders;
    let these = orders::table.filter(orders::id.eq_any(ids)).order(orders::id);
    Ok(match conn {
        // The transaction holds the database's only write lock already.
        AnyConn::Sqlite(conn) => these.select(OrderRow::as_select()).load(conn)?,
        AnyConn::Postgres(conn) => these.select(OrderRow::as_select()).for_update().load(conn)?,
    })
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
struct Key {
    #[diesel(sql_type = Text)]
    id: String,
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
    const SELECT: &str =
        "SELECT id FROM jobs WHERE state = 'ready' AND run_at <= $1 AND not_before <= $2 ORDER BY run_at LIMIT $3";
    let keys: Vec<Key> = match conn {
        AnyConn::Sqlite(conn) => diesel::sql_query(SELECT)
            .bind::<Timestamp, _>(now)
            .bind::<Timestamp, _>(wall)
            .bind::<BigInt, _>(limit)
            .load(conn)?,
        AnyConn::Postgres(conn) => diesel::sql_query(format!("{SELECT} FOR UPDATE SKIP LOCKED"))
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

/// What a batch of new orders found free: each key that was, and the order that went in under it, if its reference was.
pub type FreeKeys = Vec<(Vec<u8>, Option<String>)>;

/// Writes a batch of new orders in one statement, where the engine has one for it; `None` where it has not (SQLite, where a
/// statement is a function call) and the rows are to be written table by table.
///
/// # Errors
/// The database.
pub fn insert_batch(conn: &mut AnyConn, batch: &[NewOrderRows]) -> Result<Option<FreeKeys>, StoreError> {
    match conn {
        AnyConn::Sqlite(_) => Ok(None),
        AnyConn::Postgres(conn) => Ok(Some(batch::insert(batch).load(conn)?)),
    }
}

/// Every table of the database, as SQL names it, whether this program knows it or not.
///
/// # Errors
/// The database.
pub fn all_tables(conn: &mut AnyConn) -> Result<Vec<String>, StoreError> {
    let keys: Vec<Key> = match conn {
        AnyConn::Sqlite(conn) => diesel::sql_query(
            "SELECT '\"' || replace(name, '\"', '\"\"') || '\"' AS id FROM sqlite_master WHERE type = 'table' ORDER BY name",
        )
        .load(conn)?,
        AnyConn::Postgres(conn) => diesel::sql_query(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS id FROM pg_tables \
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
        )
        .load(conn)?,
    };
    Ok(keys.into_iter().map(|key| key.id).collect())
}

/// Gives every value of a table from [`all_tables`] to `each`, as its own bytes, nothing in them escaped; row by row, so
/// that memory stays flat. Inside a transaction.
///
/// # Errors
/// The database.
pub fn each_value_in_tx(conn: &mut AnyConn, table: &str, mut each: impl FnMut(&[u8])) -> Result<(), StoreError> {
    use diesel::connection::{DefaultLoadingMode, SimpleConnection};
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        line: String,
    }
    match conn {
        AnyConn::Sqlite(conn) => {
            // `table` is quoted already; as a text it is wanted bare.
            let columns: Vec<Key> = diesel::sql_query(
                "SELECT 'hex(CAST(\"' || replace(name, '\"', '\"\"') || '\" AS BLOB))' AS id FROM pragma_table_info($1)",
            )
            .bind::<Text, _>(table.trim_matches('"').replace("\"\"", "\""))
            .load(conn)?;
            let columns: Vec<String> = columns
                .into_iter()
                .map(|key| format!("coalesce({}, '')", key.id))
                .collect();
            let query = format!("SELECT {} AS line FROM {table}", columns.join(" || ',' || "));
            for line in diesel::sql_query(query).load_iter::<Line, DefaultLoadingMode>(conn)? {
                for value in line?.line.split(',').filter(|value| !value.is_empty()) {
                    if let Ok(bytes) = data_encoding::HEXUPPER.decode(value.as_bytes()) {
                        each(&bytes);
                    }
                }
            }
        }
        AnyConn::Postgres(conn) => {
            // A policy that hides rows from this role is an error, and not an absence.
            conn.batch_execute(&format!(
                "SET LOCAL row_security = off; DECLARE every_value CURSOR FOR SELECT v.value AS line FROM {table} t, jsonb_each_text(to_jsonb(t)) v \
                 WHERE v.value IS NOT NULL"
            ))?;
            loop {
                let lines: Vec<Line> = diesel::sql_query("FETCH 1000 FROM every_value").load(conn)?;
                if lines.is_empty() {
                    break;
                }
                for Line { line } in lines {
                    each(line.as_bytes());
                    // Bytes are told in hexadecimal; what stands in them is looked for as it is, too.
                    if let Some(bytes) = line
                        .strip_prefix("\\x")
                        .and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok())
                    {
                        each(&bytes);
                    }
                }
            }
            conn.batch_execute("CLOSE every_value")?;
        }
    }
    Ok(())
}

/// Writes a consistent copy of a SQLite database into a new file while others go on reading and writing; free pages are
/// not copied. `false` on PostgreSQL, which has tools of its own.
///
/// # Errors
/// The file exists already or cannot be written; the database.
pub fn copy_into(conn: &mut AnyConn, file: &str) -> Result<bool, StoreError> {
    match conn {
        AnyConn::Sqlite(conn) => {
            diesel::sql_query("VACUUM INTO $1")
                .bind::<Text, _>(file)
                .execute(conn)?;
            Ok(true)
        }
        AnyConn::Postgres(_) => Ok(false),
    }
}

/// Whether SQLite finds its file whole. `true` on PostgreSQL, whose files are its own.
///
/// # Errors
/// The file is no database at all.
pub fn is_whole(conn: &mut AnyConn) -> Result<bool, StoreError> {
    #[derive(QueryableByName)]
    struct Check {
        #[diesel(sql_type = Text)]
        quick_check: String,
    }
    match conn {
        AnyConn::Sqlite(conn) => {
            let checks: Vec<Check> = diesel::sql_query("PRAGMA quick_check").load(conn)?;
            Ok(checks.iter().all(|check| check.quick_check == "ok"))
        }
        AnyConn::Postgres(_) => Ok(true),
    }
}

/// Copies SQLite's write-ahead log into the database's file, beside readers and writers and without waiting for any of
/// them. `false`: a reader needs a part of the log, ask again. PostgreSQL's log is its own; there is nothing to do.
///
/// # Errors
/// The database.
pub fn checkpoint_wal(conn: &mut AnyConn) -> Result<bool, StoreError> {
    match conn {
        AnyConn::Sqlite(conn) => checkpoint(conn, "PASSIVE"),
        AnyConn::Postgres(_) => Ok(true),
    }
}

/// Cuts SQLite's write-ahead log to nothing, so that no old page is left in it. `false`: somebody reads or writes, ask
/// again. It never waits: while it did, it would hold the lock that every writer needs.
///
/// # Errors
/// The database.
pub fn cut_wal(conn: &mut AnyConn) -> Result<bool, StoreError> {
    use diesel::connection::SimpleConnection;
    match conn {
        AnyConn::Sqlite(conn) => {
            conn.batch_execute("PRAGMA busy_timeout = 0")?;
            let done = checkpoint(conn, "TRUNCATE");
            conn.batch_execute(&format!("PRAGMA busy_timeout = {SQLITE_PATIENCE}"))?;
            done
        }
        AnyConn::Postgres(_) => Ok(true),
    }
}

fn checkpoint(conn: &mut diesel::SqliteConnection, how: &str) -> Result<bool, StoreError> {
    use diesel::sql_types::Integer;
    #[derive(QueryableByName)]
    struct Checkpoint {
        #[diesel(sql_type = Integer)]
        busy: i32,
        #[diesel(sql_type = Integer)]
        log: i32,
        #[diesel(sql_type = Integer)]
        checkpointed: i32,
    }
    let done: Result<Checkpoint, _> = diesel::sql_query(format!("PRAGMA wal_checkpoint({how})")).get_result(conn);
    match done {
        Ok(done) => Ok(done.busy == 0 && done.log == done.checkpointed),
        // A checkpoint that another connection is in the middle of.
        Err(diesel::result::Error::DatabaseError(_, information)) if information.message().contains("locked") => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
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

pub(crate) use {insert_all, insert_or_pass, insert_or_pass_returning, on_engine};
