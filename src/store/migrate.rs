//! Brings a database to this program's schema, under a lock, and refuses one that is newer.

use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, HarnessWithOutput, MigrationHarness, embed_migrations};

use crate::store::conn::Engine;
use crate::store::{AnyConn, StoreError};

const ORDERS: EmbeddedMigrations = embed_migrations!("migrations/orders");
const VAULT: EmbeddedMigrations = embed_migrations!("migrations/vault");

/// Which of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Orders and everything about them.
    Orders,
    /// Keys and the journal.
    Vault,
}

impl Which {
    const fn migrations(self) -> EmbeddedMigrations {
        match self {
            Self::Orders => ORDERS,
            Self::Vault => VAULT,
        }
    }

    /// Advisory locks are per database on PostgreSQL; two numbers for those who keep both in one.
    const fn lock(self) -> i64 {
        match self {
            Self::Orders => 0x5afe_1197,
            Self::Vault => 0x5afe_1198,
        }
    }
}

/// Runs the migrations that are missing; returns how many. Safe beside other replicas doing the same.
///
/// # Errors
/// The schema is newer than this program, or a migration failed.
pub fn run(conn: &mut AnyConn, which: Which) -> Result<usize, StoreError> {
    refuse_newer(conn, which)?;
    let engine = conn.engine();
    if engine == Engine::Postgres {
        conn.batch_execute(&format!("SELECT pg_advisory_lock({})", which.lock()))?;
    }
    let result = run_locked(conn, which);
    if engine == Engine::Postgres {
        conn.batch_execute(&format!("SELECT pg_advisory_unlock({})", which.lock()))?;
    }
    result
}

fn run_locked(conn: &mut AnyConn, which: Which) -> Result<usize, StoreError> {
    refuse_newer(conn, which)?;
    let mut harness = HarnessWithOutput::new(conn, std::io::sink());
    let done = harness
        .run_pending_migrations(which.migrations())
        .map_err(|error| StoreError::Schema(format!("a migration failed: {error}")))?;
    Ok(done.len())
}

/// Whether everything that this program knows has been run, and nothing else.
///
/// # Errors
/// The schema is newer or older than this program.
pub fn check(conn: &mut AnyConn, which: Which) -> Result<(), StoreError> {
    refuse_newer(conn, which)?;
    match conn.has_pending_migration(which.migrations()) {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Schema(
            "the schema is older than this program: run `safelight migrate`".to_owned(),
        )),
        Err(error) => Err(StoreError::Schema(error.to_string())),
    }
}

/// Refuses a database whose schema has something that this program does not know.
///
/// # Errors
/// The schema is newer than this program.
pub fn refuse_newer(conn: &mut AnyConn, which: Which) -> Result<(), StoreError> {
    use diesel::migration::MigrationSource;
    type Backend = <AnyConn as diesel::Connection>::Backend;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Schema(error.to_string());
    let known: Vec<String> = MigrationSource::<Backend>::migrations(&which.migrations())
        .map_err(failed)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let applied = conn.applied_migrations().map_err(failed)?;
    if applied.iter().any(|version| !known.contains(&version.to_string())) {
        return Err(StoreError::Schema("the schema is newer than this program".to_owned()));
    }
    Ok(())
}
