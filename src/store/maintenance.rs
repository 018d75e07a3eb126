//! Care of the database's own files: SQLite's write-ahead log, copies, and whether a file is whole.

use diesel::prelude::*;
use diesel::sql_types::Text;
use parking_lot::FairMutex;

use crate::store::conn::SQLITE_PATIENCE;
use crate::store::dialect::per_engine;
use crate::store::{AnyConn, Database, StoreError};

impl Database {
    /// Empties SQLite's write-ahead log, so that nothing that was deleted stands in it any more. `false`: somebody is in
    /// the way, ask again. Nobody who writes waits for it longer than it takes to cut the file.
    ///
    /// # Errors
    /// The database.
    pub async fn truncate_wal(&self) -> Result<bool, StoreError> {
        let turn = self.turn.clone();
        self.read(move |conn| truncate_wal(turn.as_deref(), conn)).await
    }

    /// [`truncate_wal`](Self::truncate_wal) for callers that are allowed to block.
    ///
    /// # Errors
    /// As `truncate_wal`.
    pub fn truncate_wal_blocking(&self) -> Result<bool, StoreError> {
        self.read_blocking(|conn| truncate_wal(self.turn.as_deref(), conn))
    }
}

fn truncate_wal(turn: Option<&FairMutex<()>>, conn: &mut AnyConn) -> Result<bool, StoreError> {
    // Copied while everybody goes on; only the cut wants the writers of this process to pause.
    if !checkpoint_wal(conn)? {
        return Ok(false);
    }
    let _mine = turn.map(FairMutex::lock);
    cut_wal(conn)
}

/// Writes a consistent copy of a SQLite database into a new file while others go on reading and writing; free pages are
/// not copied. `false` on PostgreSQL, which has tools of its own.
///
/// # Errors
/// The file exists already or cannot be written; the database.
pub fn copy_into(conn: &mut AnyConn, file: &str) -> Result<bool, StoreError> {
    per_engine!(
        conn,
        sqlite | conn | {
            diesel::sql_query("VACUUM INTO $1")
                .bind::<Text, _>(file)
                .execute(conn)?;
            Ok(true)
        },
        postgres | _conn | Ok(false)
    )
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
    per_engine!(
        conn,
        sqlite | conn | {
            let checks: Vec<Check> = diesel::sql_query("PRAGMA quick_check").load(conn)?;
            Ok(checks.iter().all(|check| check.quick_check == "ok"))
        },
        postgres | _conn | Ok(true)
    )
}

/// Copies SQLite's write-ahead log into the database's file, beside readers and writers and without waiting for any of
/// them. `false`: a reader needs a part of the log, ask again. PostgreSQL's log is its own; there is nothing to do.
///
/// # Errors
/// The database.
fn checkpoint_wal(conn: &mut AnyConn) -> Result<bool, StoreError> {
    per_engine!(
        conn,
        sqlite | conn | checkpoint(conn, "PASSIVE"),
        postgres | _conn | Ok(true)
    )
}

/// Cuts SQLite's write-ahead log to nothing, so that no old page is left in it. `false`: somebody reads or writes, ask
/// again. It never waits: while it did, it would hold the lock that every writer needs.
///
/// # Errors
/// The database.
fn cut_wal(conn: &mut AnyConn) -> Result<bool, StoreError> {
    use diesel::connection::SimpleConnection;
    per_engine!(
        conn,
        sqlite | conn | {
            conn.batch_execute("PRAGMA busy_timeout = 0")?;
            let done = checkpoint(conn, "TRUNCATE");
            conn.batch_execute(&format!("PRAGMA busy_timeout = {SQLITE_PATIENCE}"))?;
            done
        },
        postgres | _conn | Ok(true)
    )
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
