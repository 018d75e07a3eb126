//! Recurring work: reconcilers without input that re-read the database, each safe beside the same one elsewhere.

use crate::app::orders::print_floor;
use crate::app::parcels::poll_tracking;
use crate::app::recovery::{housekeeping, restore, retire_key_epochs};
use crate::app::retention::{expiry, leftovers, purge};
use crate::app::subject_requests::{reconcile, remind};
use crate::app::{App, AppError, audit};
use crate::domain::actor::Actor;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// However fast business time runs, a loop leaves the databases this much air (wall time).
const AT_LEAST: Duration = Duration::from_millis(250);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How often work is done.
#[derive(Clone, Copy)]
enum Every {
    /// So much business time.
    Business(Duration),
    /// So much wall time.
    Wall(Duration),
    /// So many times an epoch, in business time.
    PartOfEpoch(i32),
}

impl Every {
    /// The wall time between two runs.
    fn period(self, app: &App) -> Duration {
        let scaled = |span| app.clock.wall_wait(span).max(AT_LEAST);
        match self {
            Self::Business(span) => scaled(span),
            Self::Wall(span) => span,
            Self::PartOfEpoch(runs) => scaled((app.vault.epoch_length() / runs).to_std().unwrap_or(HOUR)),
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), AppError>> + Send>>;

/// One line of the table.
struct Recurring {
    /// In the log.
    name: &'static str,
    every: Every,
    work: fn(App) -> Running,
}

/// All recurring work.
const TABLE: &[Recurring] = &[
    Recurring {
        name: "keys_ahead",
        every: Every::PartOfEpoch(4),
        work: |app| Box::pin(async move { housekeeping::make_keys_ahead(&app).await }),
    },
    Recurring {
        name: "retention",
        every: Every::Business(MINUTE.saturating_mul(10)),
        work: |app| Box::pin(async move { purge::sweep(&app, &Actor::System).await.map(drop) }),
    },
    Recurring {
        name: "drafts",
        every: Every::Business(MINUTE.saturating_mul(10)),
        work: |app| {
            Box::pin(async move {
                while expiry::expire_drafts(&app).await? > 0 {}
                Ok(())
            })
        },
    },
    Recurring {
        name: "stuck",
        every: Every::Business(HOUR),
        work: |app| Box::pin(async move { expiry::end_stuck(&app).await.map(drop) }),
    },
    Recurring {
        name: "poll",
        every: Every::Business(MINUTE.saturating_mul(5)),
        work: |app| Box::pin(async move { poll_tracking::sweep(&app).await.map(drop) }),
    },
    Recurring {
        name: "restricted",
        every: Every::Business(MINUTE),
        work: |app| Box::pin(async move { reconcile::pursue_all(&app).await.map(drop) }),
    },
    Recurring {
        name: "reminders",
        every: Every::Business(HOUR.saturating_mul(24)),
        work: |app| Box::pin(async move { remind::remind(&app).await.map(drop) }),
    },
    // What a process that died did not apply of the journal.
    Recurring {
        name: "journal",
        every: Every::Wall(MINUTE),
        work: |app| Box::pin(async move { restore::catch_up(&app).await.map(drop) }),
    },
    Recurring {
        name: "audit_head",
        every: Every::Wall(SECOND.saturating_mul(5)),
        work: |app| Box::pin(async move { audit::note_head(&app).await }),
    },
    Recurring {
        name: "forget",
        every: Every::Business(HOUR),
        work: |app| Box::pin(async move { housekeeping::forget(&app).await }),
    },
    Recurring {
        name: "retire",
        every: Every::PartOfEpoch(retire_key_epochs::RUNS_AN_EPOCH),
        work: |app| Box::pin(async move { retire_key_epochs::nightly(&app).await.map(drop) }),
    },
    Recurring {
        name: "erased",
        every: Every::PartOfEpoch(1),
        work: |app| {
            Box::pin(async move {
                leftovers::take_back(&app).await?;
                leftovers::decide_erased(&app).await.map(drop)
            })
        },
    },
    Recurring {
        name: "print_leases",
        every: Every::Wall(SECOND.saturating_mul(5)),
        work: |app| {
            Box::pin(async move {
                while print_floor::return_lapsed(&app).await? > 0 {}
                Ok(())
            })
        },
    },
];

/// Starts every loop.
pub(super) fn spawn_all(loops: &mut JoinSet<()>, app: &App, stop: &CancellationToken) {
    for line in TABLE {
        loops.spawn(run_every(line, line.every.period(app), app.clone(), stop.clone()));
    }
}

/// Runs the work of a line at once and then every `period` of wall time; what fails is logged and done again next time.
async fn run_every(line: &Recurring, period: Duration, app: App, stop: CancellationToken) {
    loop {
        if let Err(error) = (line.work)(app.clone()).await {
            tracing::error!(%error, work = line.name, "Recurring work failed; will run again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
    }
}
