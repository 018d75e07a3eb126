//! Leased jobs: claimed in a short transaction, worked on with none open, ended by compare-and-set on the lease's owner.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::parcels::dispatch;
use crate::app::parcels::{cancel_at_courier, manual_operations, poll_tracking};
use crate::app::worker_heartbeat::Heartbeat;
use crate::app::{App, AppError};
use crate::clock::delta;
use crate::domain::ids::{JobId, RowId};
use crate::domain::job::{Job, MARGIN, Next, retry_wait};
use crate::jobs::JobSettings;
use crate::store::jobs::{self, Again, StoredJob};
use crate::store::{AnyConn, StoreError};

/// How long a stopping worker waits for what runs; the whole stop must fit into ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(6);

/// The worker's loop.
pub(super) async fn work(app: App, settings: JobSettings, heartbeat: Heartbeat, stop: CancellationToken) {
    let owner = RowId::generate().to_string();
    let slots = Arc::new(Semaphore::new(settings.concurrency.max(1)));
    let mut running = JoinSet::new();
    while !stop.is_cancelled() {
        while running.try_join_next().is_some() {}
        let free = i64::try_from(slots.available_permits()).unwrap_or(1);
        let mut found = 0;
        if free > 0 {
            match claim(&app, &owner, free).await {
                Ok(jobs) => {
                    heartbeat.beat(app.clock.wall_now());
                    found = jobs.len();
                    for job in jobs {
                        let Ok(slot) = slots.clone().acquire_owned().await else {
                            break;
                        };
                        let (app, owner) = (app.clone(), owner.clone());
                        running.spawn(async move {
                            run(&app, &owner, job).await;
                            drop(slot);
                        });
                    }
                }
                Err(error) => tracing::error!(%error, "Failed to claim jobs; will retry"),
            }
        } else {
            heartbeat.beat(app.clock.wall_now());
        }
        // A full hand means that there is more; otherwise wait for time to pass or for a slot to come free.
        if found == 0 || slots.available_permits() == 0 {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(settings.poll) => {}
                Some(_) = running.join_next() => {}
            }
        }
    }
    let finish = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, finish).await.is_err() {
        running.abort_all();
    }
    let released = app.orders.write(move |conn| jobs::release_all(conn, &owner)).await;
    if let Err(error) = released {
        tracing::warn!(%error, "Failed to release job leases; they expire by themselves");
    }
}

/// Runs what is due until nothing is.
pub(super) async fn run_due(app: &App) -> Result<usize, AppError> {
    let owner = RowId::generate().to_string();
    let mut count = 0;
    loop {
        let jobs = claim(app, &owner, 32).await?;
        if jobs.is_empty() {
            return Ok(count);
        }
        for job in jobs {
            run(app, &owner, job).await;
            count += 1;
        }
    }
}

async fn claim(app: &App, owner: &str, limit: i64) -> Result<Vec<StoredJob>, AppError> {
    let longest = app
        .couriers
        .names()
        .filter_map(|name| app.couriers.get(name))
        .map(|courier| courier.deadline())
        .max();
    let (now, wall) = (app.clock.business_now(), app.clock.wall_now());
    let lease_until = wall + delta(longest.unwrap_or_default()) + MARGIN;
    let owner = owner.to_owned();
    app.orders
        .write(move |conn| Ok(jobs::claim_in_tx(conn, &owner, now, wall, lease_until, limit)?))
        .await
}

/// Runs one job and writes down how it ended.
#[tracing::instrument(name = "job", skip_all, fields(kind = job.kind.as_str(), job = %job.id))]
async fn run(app: &App, owner: &str, job: StoredJob) {
    let next = perform(app, &job).await;
    let (id, failures) = (job.id, job.failures);
    if let Err(error) = end(app, owner, id, failures, next).await {
        // The lease lapses, and whoever takes the job next finds its subject in a state to go on from.
        tracing::error!(%error, "Failed to record job outcome; the lease will expire and the job will rerun");
    }
}

async fn perform(app: &App, job: &StoredJob) -> Result<Next, AppError> {
    let Some(what) = Job::read(job.kind, &job.subject) else {
        return Ok(Next::Stop {
            code: "bad_subject".to_owned(),
        });
    };
    match what {
        Job::Ship(order) => dispatch::drive(app, order, job.failures).await,
        Job::CancelParcel(attempt) => cancel_at_courier::cancel_duplicate(app, attempt).await,
        Job::CallOff(attempt) => cancel_at_courier::finish(app, attempt).await,
        Job::ConfirmEnd(attempt) => poll_tracking::confirm_end(app, attempt).await,
        Job::ConfirmCallOff(attempt) => poll_tracking::confirm_call_off(app, attempt).await,
        Job::Watch(attempt) => manual_operations::watch(app, attempt).await,
    }
}

async fn end(app: &App, owner: &str, id: JobId, failures: u32, next: Result<Next, AppError>) -> Result<(), StoreError> {
    let (now, wall) = (app.clock.business_now(), app.clock.wall_now());
    let again = match next {
        Ok(Next::Done) => None,
        Ok(Next::Now) => Some(Again::At {
            run_at: now,
            not_before: wall,
            failed: None,
        }),
        Ok(Next::At(not_before)) => Some(Again::At {
            run_at: now,
            not_before,
            failed: None,
        }),
        Ok(Next::Later { wait, not_before }) => Some(Again::At {
            run_at: now + wait,
            not_before,
            failed: None,
        }),
        Ok(Next::Retry {
            code,
            after: Some(after),
        }) => Some(Again::At {
            run_at: now,
            not_before: wall + delta(after),
            failed: Some(code),
        }),
        Ok(Next::Retry { code, after: None }) => Some(match retry_wait(failures.saturating_add(1), jitter()) {
            Some(wait) => Again::At {
                run_at: now + delta(wait),
                not_before: wall,
                failed: Some(code),
            },
            None => Again::Dead { code },
        }),
        Ok(Next::Stop { code }) => Some(Again::Dead { code }),
        // The store or the vault is in trouble, not the job: it is not counted as a failure.
        Err(error) => {
            tracing::error!(%error, "Job failed on the database or the vault; will retry");
            Some(Again::At {
                run_at: now,
                not_before: wall + TimeDelta::seconds(5),
                failed: None,
            })
        }
    };
    if let Some(Again::Dead { code }) = &again {
        tracing::error!(code, "Job exhausted its retries (state=dead); manual requeue required");
    }
    let owner = owner.to_owned();
    let kept = app
        .orders
        .write(move |conn: &mut AnyConn| match &again {
            None => jobs::finish(conn, id, &owner),
            Some(again) => jobs::give_back(conn, id, &owner, again),
        })
        .await?;
    if !kept {
        tracing::warn!("Job lease was lost while the job ran; another worker has it");
    }
    Ok(())
}

/// A number between 0 and 1 that spreads retries.
fn jitter() -> f64 {
    let mut byte = [0; 1];
    // Without randomness the wait is merely not spread.
    if getrandom::fill(&mut byte).is_err() {
        return 0.5;
    }
    let [byte] = byte;
    f64::from(byte) / 255.0
}
