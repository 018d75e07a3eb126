//! `safelight serve` and `safelight work`: starts everything, waits, and stops it in the right order.

use std::fs::{File, TryLockError};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::group_commit::{BatchSettings, Writers};
use crate::app::orders::write_new::Intake;
use crate::app::parcels::events::inbox::Inbox;
use crate::app::recovery::restore;
use crate::app::retention::purge;
use crate::app::worker_heartbeat::Heartbeat;
use crate::cli::{Failure, embedded, first_key, out, reachable, runtime, setup};
use crate::config::{Config, DatabaseUrl};
use crate::couriers::adapter::Endpoint;
use crate::domain::actor::Actor;
use crate::http::health::Health;
use crate::http::server::{self, ServerParts};
use crate::jobs::{JobSettings, Worker};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// HTTP and workers.
    Both,
    /// Only HTTP.
    HttpOnly,
    /// Only workers.
    WorkOnly,
}

/// Runs until SIGTERM or SIGINT; then answers what was accepted, finishes or releases what is leased, and returns.
///
/// # Errors
/// In words for whoever runs the service.
pub(super) fn run(config: Config, role: Role) -> Result<(), Failure> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let _lock = lock_sqlite(&config, role)?;
    runtime()?.block_on(async {
        let running = Running::start(&config, role).await?;
        told_to_stop().await?;
        tracing::info!("Stopping");
        running.stop().await;
        tracing::info!("Stopped");
        Ok(())
    })
}

/// A service that runs in this process.
pub(super) struct Running {
    app: App,
    address: Option<SocketAddr>,
    server: Option<actix_web::dev::ServerHandle>,
    worker: Option<Worker>,
    queues: Option<(Intake, Inbox)>,
    writers: Vec<Writers>,
    background: tokio::task::JoinSet<()>,
    stop: CancellationToken,
}

impl Running {
    /// Starts everything that the role needs.
    ///
    /// # Errors
    /// In words for whoever runs the service.
    pub(super) async fn start(config: &Config, role: Role) -> Result<Self, Failure> {
        let folder = setup::data_folder(config);
        let (simulated, embedded) = simulated_courier(config, &folder)?;
        let app = assemble(config, simulated).await?;
        let listener = match role {
            Role::WorkOnly => None,
            Role::Both | Role::HttpOnly => Some(listen(config)?),
        };
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let heartbeat = Heartbeat::default();
        let worker = (role != Role::HttpOnly).then(|| Worker::start(&app, job_settings(config), heartbeat.clone()));
        let mut running = Self {
            app,
            address,
            server: None,
            worker,
            queues: None,
            writers: Vec::new(),
            background: tokio::task::JoinSet::new(),
            stop: CancellationToken::new(),
        };
        let reached_at = reachable(address.unwrap_or(config.http.listen));
        if let Some((courier_listen, endpoint)) = embedded {
            running.background.spawn(embedded::host(
                folder.clone(),
                courier_listen,
                endpoint,
                format!("http://{reached_at}/webhooks/simulated"),
                running.app.clock.clone(),
                running.stop.clone(),
            ));
        }
        if let Some(listener) = listener {
            running.serve_http(config, listener, &folder, &heartbeat).await?;
            tracing::info!(address = %reached_at, "Listening");
            out::error(&format!(
                "Safelight listens on http://{reached_at} (API document: http://{reached_at}/docs/)"
            ));
        }
        Ok(running)
    }

    /// Serves the API on that listener; makes the first key where there is none.
    async fn serve_http(
        &mut self,
        config: &Config,
        listener: TcpListener,
        folder: &Path,
        heartbeat: &Heartbeat,
    ) -> Result<(), Failure> {
        {
            let (app, folder) = (self.app.clone(), folder.to_owned());
            tokio::task::spawn_blocking(move || first_key::make(&app, &folder)).await??;
        }
        let (intake, intake_writers) = Intake::start(&self.app, intake_settings(config))?;
        let (inbox, inbox_writers) = Inbox::start(&self.app, inbox_settings(config))?;
        let worker = self.worker.is_some().then(|| heartbeat.clone());
        let health = Health::new(self.app.clone(), worker, &config.database.url, folder);
        let parts = ServerParts::new(config, &self.app, intake.clone(), inbox.clone(), health)?;
        let server = server::bind(parts, listener, 2)?;
        self.server = Some(server.handle());
        self.queues = Some((intake, inbox));
        self.writers = vec![intake_writers, inbox_writers];
        self.background.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "HTTP server stopped with an error");
            }
        });
        Ok(())
    }

    /// The address that the HTTP server listens on.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The verbs, for the demo's closing proof.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Stops in the right order: no new calls, then no new work, then the writers, each having finished what it had.
    pub(super) async fn stop(mut self) {
        let http = async {
            if let Some(server) = &self.server {
                server.stop(true).await;
            }
        };
        let worker = async {
            if let Some(worker) = self.worker.take() {
                worker.stop().await;
            }
        };
        tokio::join!(http, worker);
        self.stop.cancel();
        while self.background.join_next().await.is_some() {}
        drop(self.queues.take());
        let writers = self.writers;
        let joined = tokio::task::spawn_blocking(move || writers.into_iter().for_each(Writers::join)).await;
        if joined.is_err() {
            tracing::error!("Writer threads could not be joined; the process exits without waiting for them");
        }
    }
}

/// Where the simulated courier is, and where this process has to host it, where it does.
#[expect(clippy::type_complexity, reason = "two halves of one answer, taken apart at once")]
fn simulated_courier(
    config: &Config,
    folder: &Path,
) -> Result<(Option<Endpoint>, Option<(SocketAddr, Endpoint)>), Failure> {
    let settings = setup::simulated_settings(config)?;
    match settings.elsewhere()? {
        Some(elsewhere) => Ok((Some(elsewhere), None)),
        None if settings.embedded => {
            let (listen, endpoint) = embedded::place(folder, settings.webhook_secret.as_ref())?;
            Ok((Some(endpoint.clone()), Some((listen, endpoint))))
        }
        None => Ok((None, None)),
    }
}

/// Opens everything, and purges what was purged before anybody can ask.
async fn assemble(config: &Config, simulated: Option<Endpoint>) -> Result<App, Failure> {
    let config = config.clone();
    let app = tokio::task::spawn_blocking(move || setup::app(&config, simulated)).await??;
    let started = {
        let app = app.clone();
        tokio::task::spawn_blocking(move || restore::check_pair(&app)).await??
    };
    // What was purged is purged again before anybody can ask; also where the one who replayed it died in between.
    if started.replayed > 0 {
        purge::sweep(&app, &Actor::System).await?;
    } else {
        purge::finish(&app, &Actor::System).await?;
    }
    Ok(app)
}

fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(config.http.listen)
        .map_err(|error| format!("cannot listen on {}: {error}", config.http.listen))?;
    Ok(listener)
}

fn job_settings(config: &Config) -> JobSettings {
    JobSettings {
        concurrency: usize::try_from(config.jobs.concurrency).unwrap_or(1),
        poll: config.jobs.poll,
    }
}

fn intake_settings(config: &Config) -> BatchSettings {
    let size = |value| usize::try_from(value).unwrap_or(1);
    BatchSettings {
        queue: size(config.intake.queue),
        batch: size(config.intake.batch),
        writers: writers(config, size(config.intake.writers)),
    }
}

/// A courier that resends a day's news at once is taken in within seconds; what does not fit is sent again.
fn inbox_settings(config: &Config) -> BatchSettings {
    BatchSettings {
        queue: 4096,
        batch: 64,
        writers: writers(config, 2),
    }
}

/// SQLite has one writer: a second thread would only wait for the first.
const fn writers(config: &Config, on_postgres: usize) -> usize {
    match config.database.url {
        DatabaseUrl::Sqlite(_) => 1,
        DatabaseUrl::Postgres(_) => on_postgres,
    }
}

/// Completes when the process is told to stop.
///
/// # Errors
/// Signals cannot be listened to.
pub(super) async fn told_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// One `serve` at a time on one SQLite file, any number of `work` beside it, and none of them beside a restore. The locks are
/// the operating system's: they go with the process.
pub(super) fn lock_sqlite(config: &Config, role: Role) -> Result<Vec<File>, Failure> {
    let DatabaseUrl::Sqlite(path) = &config.database.url else {
        return Ok(Vec::new());
    };
    let used = lock_file(path, ".used")?;
    taken(used.try_lock_shared(), || {
        format!("{} is being restored", path.display())
    })?;
    let mut locks = vec![used];
    if role != Role::WorkOnly {
        locks.push(lock_alone(path)?);
    }
    Ok(locks)
}

/// Nobody may use a SQLite file that is replaced: whoever has it open would go on in a file that has no name any more.
///
/// # Errors
/// It is in use.
pub(super) fn lock_for_restore(config: &Config) -> Result<Vec<File>, Failure> {
    let DatabaseUrl::Sqlite(path) = &config.database.url else {
        return Ok(Vec::new());
    };
    let served = lock_alone(path)?;
    let used = lock_file(path, ".used")?;
    taken(used.try_lock(), || {
        format!("`safelight work` is running on {}", path.display())
    })?;
    Ok(vec![served, used])
}

fn lock_alone(path: &Path) -> Result<File, Failure> {
    let file = lock_file(path, ".lock")?;
    taken(file.try_lock(), || {
        format!("another `safelight serve` is running on {}", path.display())
    })?;
    Ok(file)
}

fn lock_file(database: &Path, end: &str) -> std::io::Result<File> {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    if let Some(folder) = Path::new(&name).parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::options().create(true).truncate(false).write(true).open(name)
}

fn taken(lock: Result<(), TryLockError>, why: impl Fn() -> String) -> Result<(), Failure> {
    match lock {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(why().into()),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
