//! Readiness of this process, part by part. Asked often (probes, load balancers), so the answer is kept for a
//! second; must not say more about a failure than which part it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::app::App;
use crate::app::worker_heartbeat::Heartbeat;
use crate::config::DatabaseUrl;
use crate::store::migrate::{self, Which};
use crate::store::{Database, StoreError};

/// How long an answer is given again.
const FRESH: Duration = Duration::from_secs(1);

/// A database that takes longer is not one to send orders to.
const PATIENCE: Duration = Duration::from_secs(3);

/// A worker looks at the job table every few seconds; one that has not for a minute is stuck.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// Less free space than this, and the next checkpoint may not fit.
const FREE_BYTES: u64 = 64 * 1024 * 1024;

/// Every part of the service, `ok` or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Checks {
    /// `ok` or `unavailable`.
    pub database: &'static str,
    /// `ok`, `unavailable` or `schema_mismatch`.
    pub vault: &'static str,
    /// `ok`, `unknown` or `schema_mismatch`.
    pub migrations: &'static str,
    /// `ok`, `starting`, `stuck`, or `not_run_here` where the workers run in another process.
    pub worker: &'static str,
    /// `ok`, `low` or `unknown`; of the folder of an embedded database, `not_used` with another.
    pub disk: &'static str,
}

impl Checks {
    /// Whether requests may be sent here.
    pub fn ready(&self) -> bool {
        [self.database, self.vault, self.migrations, self.worker, self.disk]
            .iter()
            .all(|check| matches!(*check, "ok" | "not_run_here" | "not_used"))
    }
}

/// What readiness depends on.
#[derive(Debug)]
pub struct Health {
    app: App,
    worker: Option<Heartbeat>,
    disk: Option<PathBuf>,
    last: Mutex<Option<(Instant, Arc<Checks>)>>,
}

impl Health {
    /// `worker` is the heartbeat of the workers in this process, where they run here; `folder` is where an embedded
    /// `database` is.
    pub fn new(app: App, worker: Option<Heartbeat>, database: &DatabaseUrl, folder: &Path) -> Self {
        let disk = match database {
            DatabaseUrl::Sqlite(_) => Some(folder.to_owned()),
            DatabaseUrl::Postgres(_) => None,
        };
        Self {
            app,
            worker,
            disk,
            last: Mutex::new(None),
        }
    }

    /// The state of every part, at most a second old. Concurrent callers share one check.
    pub async fn checks(&self) -> Arc<Checks> {
        let mut last = self.last.lock().await;
        if let Some((at, checks)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            let _ = at;
            return checks.clone();
        }
        let checks = Arc::new(self.look().await);
        *last = Some((Instant::now(), checks.clone()));
        checks
    }

    async fn look(&self) -> Checks {
        let (orders, vault) = tokio::join!(
            schema_of(&self.app.orders, Which::Orders),
            schema_of(self.app.vault.database().plain(), Which::Vault),
        );
        let (database, migrations) = match orders {
            Ok(()) => ("ok", "ok"),
            Err("schema_mismatch") => ("ok", "schema_mismatch"),
            Err(_) => ("unavailable", "unknown"),
        };
        Checks {
            database,
            vault: vault.err().unwrap_or("ok"),
            migrations,
            worker: self.worker(),
            disk: self.disk(),
        }
    }

    fn worker(&self) -> &'static str {
        match &self.worker {
            None => "not_run_here",
            Some(heartbeat) => match heartbeat.age(self.app.clock.wall_now()) {
                None => "starting",
                Some(age) if age > HEARTBEAT => "stuck",
                Some(_) => "ok",
            },
        }
    }

    fn disk(&self) -> &'static str {
        let Some(folder) = &self.disk else {
            return "not_used";
        };
        match rustix::fs::statvfs(folder.as_path()) {
            Ok(found) if found.f_bavail.saturating_mul(found.f_frsize) < FREE_BYTES => "low",
            Ok(_) => "ok",
            Err(_) => "unknown",
        }
    }
}

async fn schema_of(database: &Database, which: Which) -> Result<(), &'static str> {
    let check = database.read(move |conn| migrate::check(conn, which));
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, ?which, "Database is not ready; readiness check failed");
            Err(if matches!(error, StoreError::Schema(_)) {
                "schema_mismatch"
            } else {
                "unavailable"
            })
        }
        Err(_) => {
            tracing::warn!(?which, "Database did not answer in time; readiness check failed");
            Err("unavailable")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failing_part_is_enough_to_be_unready() {
        let healthy = Checks {
            database: "ok",
            vault: "ok",
            migrations: "ok",
            worker: "not_run_here",
            disk: "not_used",
        };
        assert!(healthy.ready());
        for unready in [
            Checks {
                database: "unavailable",
                ..healthy.clone()
            },
            Checks {
                vault: "unavailable",
                ..healthy.clone()
            },
            Checks {
                migrations: "schema_mismatch",
                ..healthy.clone()
            },
            Checks {
                worker: "stuck",
                ..healthy.clone()
            },
            Checks {
                disk: "low",
                ..healthy.clone()
            },
        ] {
            assert!(!unready.ready(), "{unready:?}");
        }
    }
}
