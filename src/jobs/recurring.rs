//! Recurring work: reconcilers without input that re-read the database, each safe beside the same one elsewhere.
//!
//! | what | every | in |
//! |---|---|---|
//! | keys made ahead | a quarter of an epoch | business time |
//! | retention sweep | 10 min | business time |
//! | drafts that expired | 10 min | business time |
//! | stuck orders | 1 h | business time |
//! | restricted orders and unsettled requests gone on with | 1 min | business time |
//! | data subjects' requests that are due, said in the log | 1 day | business time |
//! | idempotency keys and parked events forgotten | 1 h | business time |
//! | parcels without news asked for | 5 min | business time |
//! | key epochs past the copy horizon retired | 1/24 of an epoch | business time |
//! | what is there again of what was purged, or is erased in the journal, purged again | an epoch | business time |
//! | journal entries that nobody applied, applied | 1 min | wall time |
//! | the audit chain's head told to the vault | 5 s | wall time |
//! | lapsed print leases returned | 5 s | wall time |

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::orders::print_floor;
use crate::app::parcels::poll;
use crate::app::recovery::{restore, retire_epochs, upkeep};
use crate::app::retention::{expiry, leftovers, purge};
use crate::app::subject_requests::{reconcile, remind};
use crate::app::{App, AppError, audit};
use crate::domain::actor::Actor;

/// However fast business time runs, a loop leaves the databases this much air (wall time).
const AT_LEAST: Duration = Duration::from_millis(250);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Starts every loop.
pub(super) fn spawn_all(loops: &mut JoinSet<()>, app: &App, stop: &CancellationToken) {
    let scaled = |span| app.clock.wall_wait(span).max(AT_LEAST);
    let quarter_epoch = app.vault.epoch_length().to_std().unwrap_or(HOUR) / 4;
    loops.spawn(every(
        "keys_ahead",
        scaled(quarter_epoch),
        app.clone(),
        stop.clone(),
        |app| async move { upkeep::make_keys_ahead(&app).await },
    ));
    loops.spawn(every(
        "retention",
        scaled(10 * MINUTE),
        app.clone(),
        stop.clone(),
        |app| async move { purge::sweep(&app, &Actor::System).await.map(drop) },
    ));
    loops.spawn(every(
        "drafts",
        scaled(10 * MINUTE),
        app.clone(),
        stop.clone(),
        |app| async move {
            while expiry::expire_drafts(&app).await? > 0 {}
            Ok(())
        },
    ));
    loops.spawn(every(
        "stuck",
        scaled(HOUR),
        app.clone(),
        stop.clone(),
        |app| async move { expiry::end_stuck(&app).await.map(drop) },
    ));
    loops.spawn(every(
        "poll",
        scaled(5 * MINUTE),
        app.clone(),
        stop.clone(),
        |app| async move { poll::sweep(&app).await.map(drop) },
    ));
    loops.spawn(every(
        "restricted",
        scaled(MINUTE),
        app.clone(),
        stop.clone(),
        |app| async move { reconcile::pursue_all(&app).await.map(drop) },
    ));
    loops.spawn(every(
        "reminders",
        scaled(24 * HOUR),
        app.clone(),
        stop.clone(),
        |app| async move { remind::remind(&app).await.map(drop) },
    ));
    loops.spawn(every("journal", MINUTE, app.clone(), stop.clone(), |app| async move {
        restore::catch_up(&app).await.map(drop)
    }));
    loops.spawn(every(
        "audit_head",
        Duration::from_secs(5),
        app.clone(),
        stop.clone(),
        |app| async move { audit::note_head(&app).await },
    ));
    loops.spawn(every(
        "forget",
        scaled(HOUR),
        app.clone(),
        stop.clone(),
        |app| async move { upkeep::forget(&app).await },
    ));
    let part = (app.vault.epoch_length() / retire_epochs::RUNS_AN_EPOCH)
        .to_std()
        .unwrap_or(HOUR);
    loops.spawn(every(
        "retire",
        scaled(part),
        app.clone(),
        stop.clone(),
        |app| async move { retire_epochs::nightly(&app).await.map(drop) },
    ));
    let epoch = app.vault.epoch_length().to_std().unwrap_or(24 * HOUR);
    loops.spawn(every(
        "erased",
        scaled(epoch),
        app.clone(),
        stop.clone(),
        |app| async move {
            leftovers::take_back(&app).await?;
            leftovers::decide_erased(&app).await.map(drop)
        },
    ));
    loops.spawn(every(
        "print_leases",
        Duration::from_secs(5),
        app.clone(),
        stop.clone(),
        |app| async move {
            while print_floor::return_lapsed(&app).await? > 0 {}
            Ok(())
        },
    ));
}

/// Runs `work` at once and then every `period` of wall time; what fails is logged and done again next time.
async fn every<F, W>(name: &'static str, period: Duration, app: App, stop: CancellationToken, work: F)
where
    F: Fn(App) -> W + Send + 'static,
    W: Future<Output = Result<(), AppError>> + Send,
{
    loop {
        if let Err(error) = work(app.clone()).await {
            tracing::error!(%error, work = name, "Recurring work failed; will run again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
    }
}
