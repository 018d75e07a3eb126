//! The vault's database as a type of its own: what reads and writes the vault takes a [`VaultConn`], what reads and writes
//! the orders does not, and nobody makes one of the other.

use crate::config::DatabaseUrl;
use crate::store::{AnyConn, Database, StoreError};

/// A connection to the vault's database.
pub struct VaultConn<'a>(&'a mut AnyConn);

impl VaultConn<'_> {
    /// What a statement runs on.
    pub(in crate::store) fn sql(&mut self) -> &mut AnyConn {
        self.0
    }
}

/// The vault's database.
#[derive(Debug, Clone)]
pub struct VaultDatabase(Database);

impl VaultDatabase {
    /// Prepares a pool of at most `size` connections; none is opened yet.
    pub fn new(url: DatabaseUrl, size: u32) -> Self {
        Self(Database::new(url, size))
    }

    /// For what is done alike to both databases: migrations, copies, health checks, the search for planted values.
    pub fn plain(&self) -> &Database {
        &self.0
    }

    /// As [`Database::read_blocking`].
    ///
    /// # Errors
    /// What the work says, or that no connection could be had.
    pub fn read_blocking<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut VaultConn<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.read_blocking(|conn| work(&mut VaultConn(conn)))
    }

    /// As [`Database::read`].
    ///
    /// # Errors
    /// What the work says, or that no connection could be had.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut VaultConn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.0.read(|conn| work(&mut VaultConn(conn))).await
    }

    /// As [`Database::write_blocking`].
    ///
    /// # Errors
    /// What the work says (it is rolled back), or that the transaction could not begin or commit.
    pub fn write_blocking<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut VaultConn<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.write_blocking(|conn| work(&mut VaultConn(conn)))
    }

    /// As [`Database::write`].
    ///
    /// # Errors
    /// What the work says (it is rolled back), or that the transaction could not begin or commit.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut VaultConn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.0.write(|conn| work(&mut VaultConn(conn))).await
    }
}
