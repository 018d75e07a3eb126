//! What can go wrong with a store, in terms of what the caller can do about it.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// A store that did not do what was asked. Messages never hold a row's content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or is too busy: try again later, nothing was done.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// COMMIT got no answer: it may or may not have happened.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(String),
    /// A stored row cannot be what it should be.
    #[error("row {id} of {table} is corrupt")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        id: String,
    },
    /// A statement failed: a fault of this program or of the schema.
    #[error("a statement failed: {0}")]
    Statement(String),
    /// The database's schema is newer than this program, or its migrations failed.
    #[error("{0}")]
    Schema(String),
}

impl StoreError {
    /// A row that cannot be read.
    pub fn corrupt(table: &'static str, id: impl ToString) -> Self {
        Self::Corrupt {
            table,
            id: id.to_string(),
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, info) => {
                Self::Unavailable(info.message().to_owned())
            }
            DieselError::DatabaseError(_, info) => {
                let message = info.message();
                // SQLite's busy and full, PostgreSQL's shutdown, failover and serialisation: conditions that pass.
                const PASSING: [&str; 14] = [
                    "database is locked",
                    "database table is locked",
                    "disk I/O error",
                    "database or disk is full",
                    "unable to open database",
                    "server closed the connection",
                    "terminating connection",
                    "connection to server",
                    "no connection to the server",
                    "the database system is",
                    "could not receive data",
                    "SSL connection has been closed",
                    "deadlock detected",
                    "could not serialize",
                ];
                if PASSING.iter().any(|passing| message.contains(passing)) {
                    Self::Unavailable(message.to_owned())
                } else {
                    Self::Statement(message.to_owned())
                }
            }
            DieselError::BrokenTransactionManager => Self::Unavailable("broken transaction".to_owned()),
            other => Self::Statement(other.to_string()),
        }
    }
}
