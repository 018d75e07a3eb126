//! Connections: opened by the URL's scheme, pooled, and the one way to write.
//!
//! With `dialect.rs` the only file that matches on the engine.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, Pool};
use parking_lot::{FairMutex, Mutex};
use tokio::sync::Semaphore;

use crate::config::DatabaseUrl;
use crate::store::StoreError;

pub use any::AnyConn;

mod any {
    /// A connection to either engine; queries written once run on both.
    #[derive(diesel::MultiConnection)]
    pub enum AnyConn {
        /// SQLite, the embedded default.
        Sqlite(diesel::SqliteConnection),
        /// PostgreSQL.
        Postgres(diesel::PgConnection),
    }
}

/// Which engine a database runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl AnyConn {
    /// The engine behind this connection.
    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Opens the database that `url` names, never another engine's.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => open_sqlite(path).map(Self::Sqlite),
            DatabaseUrl::Postgres(url) => open_postgres(url.expose()).map(Self::Postgres),
        }
    }
}

/// A process that is frozen in the middle of a transaction (a virtual machine that is moved, a stopped container) would
/// hold its locks until it wakes up, and with them every replica. No transaction waits for anything but the database, so
/// one in which nothing has come for this long is rolled back; its process, if it ever wakes up, fails and tries again.
const POSTGRES_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s'";

fn open_postgres(url: &str) -> Result<diesel::PgConnection, StoreError> {
    let mut conn =
        diesel::PgConnection::establish(url).map_err(|error| StoreError::Unavailable(connect_message(&error)))?;
    conn.batch_execute(POSTGRES_SETTINGS)?;
    Ok(conn)
}

/// Milliseconds that a statement waits for another connection's lock.
pub(in crate::store) const SQLITE_PATIENCE: u32 = 10_000;

/// WAL with FULL sync: an acknowledged commit survives a power cut. `secure_delete` overwrites what is deleted.
const SQLITE_PRAGMAS: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;";

fn open_sqlite(path: &Path) -> Result<diesel::SqliteConnection, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            StoreError::Unavailable(format!("cannot make the folder of the database file: {error}"))
        })?;
    }
    let Some(name) = path.to_str() else {
        return Err(StoreError::Unavailable(
            "the path of the database file is not UTF-8".to_owned(),
        ));
    };
    let mut conn =
        diesel::SqliteConnection::establish(name).map_err(|error| StoreError::Unavailable(connect_message(&error)))?;
    conn.batch_execute(SQLITE_PRAGMAS)?;
    Ok(conn)
}

/// libpq's messages name the host and never the password, except when the URL itself could not be read.
fn connect_message(error: &diesel::ConnectionError) -> String {
    match error {
        diesel::ConnectionError::BadConnection(message) => message.trim().replace('\n', " "),
        _ => "the database URL could not be read".to_owned(),
    }
}

/// A pooled connection and what is known of its health.
pub struct Pooled {
    conn: AnyConn,
    used_at: Instant,
    suspect: bool,
}

/// Makes and checks pooled connections.
#[derive(Debug)]
pub struct Manager(DatabaseUrl);

/// A connection used this recently is taken to be alive without asking: asking would cost a round trip per request.
const FRESH: Duration = Duration::from_secs(1);

impl ManageConnection for Manager {
    type Connection = Pooled;
    type Error = StoreError;

    fn connect(&self) -> Result<Pooled, StoreError> {
        Ok(Pooled {
            conn: AnyConn::open(&self.0)?,
            used_at: Instant::now(),
            suspect: false,
        })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), StoreError> {
        if pooled.used_at.elapsed() > FRESH {
            pooled.conn.batch_execute("SELECT 1")?;
        }
        Ok(())
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        std::thread::panicking() || (pooled.suspect && pooled.conn.batch_execute("SELECT 1").is_err())
    }
}

/// One of the two databases: a pool, and a limit so that waiting happens in async code rather than in threads.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool<Manager>,
    permits: Arc<Semaphore>,
    /// Who writes next, on SQLite. Its own `busy_timeout` sleeps and looks again, so that whoever writes without a pause
    /// (intake) would starve everyone else in this process.
    pub(in crate::store) turn: Option<Arc<FairMutex<()>>>,
    /// When somebody last wrote whom a caller waits for.
    foreground_at: Arc<Mutex<Option<Instant>>>,
    engine: Engine,
    url: DatabaseUrl,
}

impl Database {
    /// Prepares a pool of at most `size` connections; none is opened yet.
    pub fn new(url: DatabaseUrl, size: u32) -> Self {
        let engine = match &url {
            DatabaseUrl::Sqlite(_) => Engine::Sqlite,
            DatabaseUrl::Postgres(_) => Engine::Postgres,
        };
        let size = size.max(1);
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(Duration::from_secs(5))
            .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
            .build_unchecked(Manager(url.clone()));
        let permits = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1)));
        Self {
            pool,
            permits,
            turn: (engine == Engine::Sqlite).then(Arc::default),
            foreground_at: Arc::default(),
            engine,
            url,
        }
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// How many orders one transaction of a sweep may take. On PostgreSQL only whoever wants one of them waits for it. On
    /// SQLite nobody else writes meanwhile: few while orders are being taken, many while none are, for every transaction
    /// waits for the disk and writes again the pages that the one before wrote.
    pub fn sweep_size(&self) -> usize {
        match self.engine {
            Engine::Postgres => 600,
            Engine::Sqlite if self.is_busy() => 25,
            Engine::Sqlite => 2000,
        }
    }

    /// Whether somebody writes just now whom a caller waits for.
    fn is_busy(&self) -> bool {
        const BUSY: Duration = Duration::from_secs(1);
        self.foreground_at.lock().is_some_and(|at| at.elapsed() < BUSY)
    }

    /// Where it is.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Runs a piece of work with a connection on this thread; for callers that are allowed to block.
    ///
    /// # Errors
    /// What the work says, or that no connection could be had in five seconds.
    pub fn read_blocking<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut AnyConn) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut pooled = self
            .pool
            .get()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let result = work(&mut pooled.conn);
        pooled.used_at = Instant::now();
        // Only a failure is worth a round trip to find out whether the connection is still there.
        pooled.suspect = result.is_err();
        result
    }

    /// Runs a blocking piece of work with a connection, off the async threads.
    ///
    /// # Errors
    /// What the work says, or that no connection could be had.
    pub async fn read<T, E>(&self, work: impl FnOnce(&mut AnyConn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| StoreError::Unavailable("stopping".to_owned()))?;
        let this = self.clone();
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| this.read_blocking(work)))
            .await
            .map_err(|_| StoreError::Statement("a database task panicked".to_owned()))?
    }

    /// [`read`](Self::read) inside one writing transaction.
    ///
    /// # Errors
    /// What the work says (it is rolled back), or that the transaction could not begin or commit.
    pub async fn write<T, E>(&self, work: impl FnOnce(&mut AnyConn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let turn = self.turn.clone();
        self.read(move |conn| in_turn(turn.as_deref(), conn, work)).await
    }

    /// [`write_blocking`](Self::write_blocking) for what somebody waits for: sweeps make themselves small beside it.
    ///
    /// # Errors
    /// As `write`.
    pub fn write_foreground<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut AnyConn) -> Result<T, E>,
    ) -> Result<T, E> {
        *self.foreground_at.lock() = Some(Instant::now());
        self.write_blocking(work)
    }

    /// [`write`](Self::write) for whom nobody waits, in many steps: while orders are taken, as much time is left to them
    /// after each. On SQLite that is beside the turns that writers take: whoever waits for one waits for a whole step.
    ///
    /// # Errors
    /// As `write`.
    pub async fn write_background<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut AnyConn) -> Result<T, E> + Send + 'static,
    {
        let started = Instant::now();
        let result = self.write(work).await;
        if self.is_busy() {
            tokio::time::sleep(started.elapsed().min(Duration::from_millis(200))).await;
        }
        result
    }

    /// [`write`](Self::write) for callers that are allowed to block (the command line, writer threads).
    ///
    /// # Errors
    /// As `write`.
    pub fn write_blocking<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut AnyConn) -> Result<T, E>,
    ) -> Result<T, E> {
        self.read_blocking(|conn| in_turn(self.turn.as_deref(), conn, work))
    }
}

fn in_turn<T, E: From<StoreError>>(
    turn: Option<&FairMutex<()>>,
    conn: &mut AnyConn,
    work: impl FnOnce(&mut AnyConn) -> Result<T, E>,
) -> Result<T, E> {
    let _mine = turn.map(FairMutex::lock);
    write_tx(conn, work)
}

/// Runs `work` in the one kind of writing transaction: `BEGIN IMMEDIATE` on SQLite (a plain BEGIN that reads and then
/// writes fails under concurrency), READ COMMITTED on PostgreSQL with the row locks that `work` takes.
///
/// # Errors
/// What `work` says, after a rollback; [`StoreError::CommitUnknown`] where the commit got no answer.
pub fn write_tx<T, E: From<StoreError>>(
    conn: &mut AnyConn,
    work: impl FnOnce(&mut AnyConn) -> Result<T, E>,
) -> Result<T, E> {
    let begin = match conn {
        AnyConn::Sqlite(_) => "BEGIN IMMEDIATE",
        AnyConn::Postgres(_) => "BEGIN",
    };
    conn.batch_execute(begin).map_err(StoreError::from)?;
    let mut open = OpenTx { conn, done: false };
    let value = work(open.conn)?;
    open.done = true;
    match open.conn.batch_execute("COMMIT") {
        Ok(()) => Ok(value),
        Err(error) => {
            let message = error.to_string();
            let engine = open.conn.engine();
            open.done = false;
            drop(open);
            // SQLite answers from inside this process: a refused COMMIT did not happen.
            Err(match engine {
                Engine::Sqlite => StoreError::from(error),
                Engine::Postgres => StoreError::CommitUnknown(message),
            }
            .into())
        }
    }
}

/// Rolls back on every way out but COMMIT, a panic included.
struct OpenTx<'a> {
    conn: &'a mut AnyConn,
    done: bool,
}

impl Drop for OpenTx<'_> {
    fn drop(&mut self) {
        if !self.done && self.conn.batch_execute("ROLLBACK").is_err() {
            tracing::warn!("Rollback failed; the connection is dropped");
        }
    }
}
