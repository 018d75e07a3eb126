//! What the service does: one verb, one file, one transaction (or a chain of them, each of which leaves a state that the
//! next can start from). Both doors, `http` and `jobs`, come here; neither reaches past it.

pub mod access;
pub mod audit;
pub mod conflict;
pub mod error;
pub mod group_commit;
pub mod orders;
pub mod parcels;
pub mod privacy;
pub mod records;
pub mod recovery;
pub mod retention;
pub mod subject_requests;
pub mod worker_heartbeat;

use std::sync::Arc;
use std::time::Duration;

pub use error::AppError;

use crate::clock::Clock;
use crate::couriers::{Couriers, Parcel, Sender};
use crate::domain::actor::Actor;
use crate::domain::scope::Scopes;
use crate::store::{AnyConn, Database};
use crate::vault::keyring::Keyring;
use crate::vault::{Vault, VaultError};

/// The rules of the shop that the verbs follow, from the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Business time between an order's end and its purge.
    pub window: Duration,
    /// Business time without a step forward after which an order is ended.
    pub stuck_after: Duration,
    /// Business time that a draft may wait for its confirmation.
    pub draft_after: Duration,
    /// Business time that a hold may last at most.
    pub max_hold: Duration,
    /// Wall time that the floor may keep a claimed order.
    pub print_lease: Duration,
    /// Wall time after an attempt's network deadline before "not there" counts.
    pub settle_time: Duration,
    /// Couriers that an order goes on to where its own refuses it or stays paused, in this order.
    pub fallbacks: Vec<String>,
    /// Who sends every parcel.
    pub sender: Arc<Sender>,
    /// What every parcel is.
    pub parcel: Arc<Parcel>,
}

/// Everything that the verbs work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The orders database.
    pub orders: Database,
    /// The keys.
    pub vault: Arc<Vault>,
    /// The configured couriers.
    pub couriers: Couriers,
    /// Time.
    pub clock: Clock,
    /// The rules of the shop.
    pub settings: Arc<Settings>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The API key's id.
    pub key_id: String,
    /// Whose orders it sees.
    pub client: String,
    /// What it may do.
    pub scopes: Scopes,
}

impl Caller {
    /// How the caller is named in timelines and in the audit log.
    pub fn actor(&self) -> Actor {
        Actor::Key(self.key_id.clone())
    }

    /// Whether the caller may see orders of all clients.
    pub fn sees_all(&self) -> bool {
        self.scopes.see_all()
    }
}

impl App {
    /// Runs a writing transaction that seals or opens personal data, with the keys it needs. Runs it again where a key
    /// turned out to be newer than the cached ones.
    ///
    /// # Errors
    /// What the work says; [`AppError::Vault`] where the keys cannot be had.
    pub async fn write_sealed<T: Send + 'static>(
        &self,
        work: impl Fn(&mut AnyConn, &Keyring) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let vault = self.vault.clone();
        let orders = self.orders.clone();
        self.blocking(move || with_keys(&vault, |ring| orders.write_blocking(|conn| work(conn, ring))))
            .await
    }

    /// The same without a transaction, for reading.
    ///
    /// # Errors
    /// As [`write_sealed`](Self::write_sealed).
    pub async fn read_sealed<T: Send + 'static>(
        &self,
        work: impl Fn(&mut AnyConn, &Keyring) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let vault = self.vault.clone();
        let orders = self.orders.clone();
        self.blocking(move || with_keys(&vault, |ring| orders.read_blocking(|conn| work(conn, ring))))
            .await
    }

    /// Runs blocking work off the async threads, keeping the log's span.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(work))
            .await
            .map_err(|_| AppError::Internal("a blocking task panicked".to_owned()))?
    }
}

/// Runs `work` with the cached keys, and once more with fresh ones where it asks for an epoch they lack.
fn with_keys<T>(vault: &Vault, work: impl Fn(&Keyring) -> Result<T, AppError>) -> Result<T, AppError> {
    let ring = vault.ring()?;
    match work(&ring) {
        Err(AppError::NeedsEpoch(epoch)) => {
            let ring = vault.ring_with(epoch)?;
            match work(&ring) {
                Err(AppError::NeedsEpoch(_)) => Err(VaultError::KeyGone.into()),
                done => done,
            }
        }
        done => done,
    }
}
