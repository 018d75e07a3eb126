//! Couriers' events on their way in: a few threads take what is waiting and apply it in one transaction, so that many
//! events share one commit. The courier is told only after COMMIT; what fails is told too, and it sends again.
//!
//! A batch that fails is run again one event at a time, so that only the culprit fails.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::app::parcels::attempts::Now;
use crate::app::parcels::events::apply::{self, Trust};
use crate::app::parcels::events::{batch, matching};
use crate::app::{App, AppError, with_keys};
use crate::couriers::CourierEvent;
use crate::store::{AnyConn, StoreError};
use crate::vault::VaultError;
use crate::vault::keyring::Keyring;

/// How much is taken at once.
#[derive(Debug, Clone, Copy)]
pub struct InboxSettings {
    /// Events that may wait; more are answered with the courier's own "send it again".
    pub queue: usize,
    /// Events in one transaction at most: a courier waits for the whole batch.
    pub batch: usize,
    /// Writer threads. One serves SQLite, which has one writer anyway.
    pub writers: usize,
}

/// An event on its way in.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) courier: &'static str,
    pub(super) event: CourierEvent,
    pub(super) trust: Trust,
    pub(super) reply: oneshot::Sender<Result<(), AppError>>,
}

/// The door to the writers. Dropping the last clone lets them finish what waits and end; nobody was told yet of what they
/// have not committed.
#[derive(Debug, Clone)]
pub struct Inbox {
    queue: SyncSender<Arrival>,
}

impl Inbox {
    /// Starts the writers.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(app: &App, settings: InboxSettings) -> std::io::Result<Self> {
        let (queue, waiting) = sync_channel(settings.queue.max(1));
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..settings.writers.max(1) {
            let (app, waiting) = (app.clone(), waiting.clone());
            std::thread::Builder::new()
                .name(format!("inbox-{number}"))
                .spawn(move || {
                    while let Some(batch) = next_batch(&waiting, settings.batch.max(1)) {
                        ingest(&app, batch);
                    }
                })?;
        }
        Ok(Self { queue })
    }

    /// Takes an event in; returns when it is committed.
    ///
    /// # Errors
    /// Too many wait already; store or vault.
    pub(crate) async fn ingest(
        &self,
        courier: &'static str,
        event: CourierEvent,
        trust: Trust,
    ) -> Result<(), AppError> {
        const FULL: AppError = AppError::Overloaded { part: "inbox" };
        let (reply, answer) = oneshot::channel();
        let arrival = Arrival {
            courier,
            event,
            trust,
            reply,
        };
        self.queue.try_send(arrival).map_err(|_| FULL)?;
        answer.await.map_err(|_| FULL)?
    }
}

/// Waits for one event, then takes what else is there; `None` when no more will come.
fn next_batch(waiting: &Mutex<Receiver<Arrival>>, limit: usize) -> Option<Vec<Arrival>> {
    let queue = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = vec![queue.recv().ok()?];
    while batch.len() < limit {
        match queue.try_recv() {
            Ok(next) => batch.push(next),
            Err(_) => break,
        }
    }
    Some(batch)
}

/// Applies a batch and answers every event of it.
fn ingest(app: &App, batch: Vec<Arrival>) {
    match apply(app, &batch) {
        Ok(()) => batch.into_iter().for_each(|arrival| reply(arrival, Ok(()))),
        // The whole database or the vault is in trouble: trying one by one would only take longer to say so.
        Err(error) if batch.len() == 1 || is_general(&error) => {
            let cause = error.to_string();
            let mut first = Some(error);
            for arrival in batch {
                let error = first.take().unwrap_or_else(|| AppError::Internal(cause.clone()));
                reply(arrival, Err(error));
            }
        }
        Err(error) => {
            tracing::warn!(%error, events = batch.len(), "a batch of events failed; taking them in one by one");
            for arrival in batch {
                let outcome = apply(app, std::slice::from_ref(&arrival));
                reply(arrival, outcome);
            }
        }
    }
}

fn reply(arrival: Arrival, outcome: Result<(), AppError>) {
    // Nobody waits any more when the connection was closed; the courier sends it again, and it changes nothing twice.
    let _gone = arrival.reply.send(outcome);
}

fn is_general(error: &AppError) -> bool {
    matches!(
        error,
        AppError::Vault(VaultError::Unavailable(_))
            | AppError::Store(StoreError::Unavailable(_) | StoreError::CommitUnknown(_))
    )
}

fn apply(app: &App, batch: &[Arrival]) -> Result<(), AppError> {
    with_keys(&app.vault, |ring| {
        app.orders.write_blocking(|conn| apply_in_tx(conn, ring, app, batch))
    })
}

/// Orders are locked in the order of their ids, so that no two batches wait for each other; events of one order keep
/// theirs.
fn apply_in_tx(conn: &mut AnyConn, ring: &Keyring, app: &App, batch: &[Arrival]) -> Result<(), AppError> {
    let now = Now::of(&app.clock);
    let others = batch::apply(conn, ring, app, batch, now)?;
    let mut found = Vec::with_capacity(others.len());
    for arrival in others {
        let attempt = matching::find_attempt(conn, ring, app, arrival.courier, &arrival.event)?;
        found.push((attempt.map(|attempt| (attempt.order_id, attempt.id)), arrival));
    }
    found.sort_by_key(|(attempt, _)| attempt.map(|(order, _)| order));
    // Those that match nothing come last: an event before them may have brought the number they name.
    let unknown = found.iter().take_while(|(attempt, _)| attempt.is_none()).count();
    found.rotate_left(unknown);
    for (attempt, arrival) in found {
        let Arrival {
            courier, event, trust, ..
        } = arrival;
        match attempt {
            Some((_, attempt)) => apply::apply_to(conn, ring, app, attempt, event, *trust, now)?,
            None => apply::match_or_park(conn, ring, app, courier, event, *trust, now)?,
        }
    }
    Ok(())
}
