//! The worker: leases due jobs and runs recurring work, until it is told to stop. The second door to the same verbs as
//! `http`; any number of replicas run it side by side, and there is no leader.

mod leased;
mod recurring;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::worker_heartbeat::Heartbeat;

/// How hard a worker works.
#[derive(Debug, Clone, Copy)]
pub struct JobSettings {
    /// Jobs running at once in this process.
    pub concurrency: usize,
    /// Wall time between looks at the job table when there was nothing to do.
    pub poll: Duration,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    stop: CancellationToken,
    loops: JoinSet<()>,
}

impl Worker {
    /// Starts the loops on the current tokio runtime.
    pub fn start(app: &App, settings: JobSettings, heartbeat: Heartbeat) -> Self {
        let stop = CancellationToken::new();
        let mut loops = JoinSet::new();
        loops.spawn(leased::work(app.clone(), settings, heartbeat, stop.clone()));
        recurring::spawn_all(&mut loops, app, &stop);
        Self { stop, loops }
    }

    /// Takes nothing new, lets what runs finish for a few seconds, gives back what did not.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.loops.join_next().await {
            if ended.is_err() {
                tracing::error!("Worker loop panicked; its work stops until the restart");
            }
        }
    }
}

/// Runs every job that is due now, one after another, and says how many ran: for the command line and for tests.
///
/// # Errors
/// The store.
pub async fn run_due(app: &App) -> Result<usize, crate::app::AppError> {
    leased::run_due(app).await
}
