//! The writers: a few threads that each take what is waiting and write it in one transaction, so that many orders share
//! one commit. What arrives while a commit is under way goes into the next.
//!
//! A submission is answered only after COMMIT. A batch that fails is run again one order at a time, so that only the
//! culprit fails. A COMMIT that gets no answer is 503 for the whole batch: the idempotency key makes trying again safe.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::app::people;
use crate::app::place::Written;
use crate::app::view::{OrderView, PersonView};
use crate::app::{App, AppError, with_keys};
use crate::clock::Instant;
use crate::domain::checkout::NewOrder;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::domain::person::PersonRecord;
use crate::privacy::Pii;
use crate::store::idempotency::{self, IdempotencyRow};
use crate::store::intake::{NewOrderRows, Outcome, by_reference, insert_batch_in_tx};
use crate::store::orders::{ItemRow, Order, OrderRow};
use crate::store::timeline::EventRow;
use crate::store::{AnyConn, StoreError, to_row};
use crate::vault::VaultError;
use crate::vault::keyring::Keyring;

/// An order on its way in.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) id: OrderId,
    pub(crate) client: String,
    pub(crate) actor: String,
    pub(crate) key: Pii<String>,
    pub(crate) courier: String,
    pub(crate) order: NewOrder,
    pub(crate) now: Instant,
    pub(crate) reply: oneshot::Sender<Result<Written, AppError>>,
}

/// How much is written at once.
#[derive(Debug, Clone, Copy)]
pub struct IntakeSettings {
    /// Orders that may wait; more are answered 503.
    pub queue: usize,
    /// Orders in one transaction at most.
    pub batch: usize,
    /// Writer threads. One serves SQLite, which has one writer anyway.
    pub writers: usize,
}

/// The door to the writers. Dropping the last clone lets them finish what waits and end.
#[derive(Debug, Clone)]
pub struct Intake {
    queue: SyncSender<Submission>,
}

/// The writer threads, to be joined when the last [`Intake`] is gone.
#[derive(Debug)]
pub struct Writers(Vec<JoinHandle<()>>);

impl Writers {
    /// Waits until everything that was accepted is written and answered.
    pub fn join(self) {
        for writer in self.0 {
            if writer.join().is_err() {
                tracing::error!("an intake writer panicked");
            }
        }
    }
}

impl Intake {
    /// Starts the writers.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(app: &App, settings: IntakeSettings) -> std::io::Result<(Self, Writers)> {
        let (queue, waiting) = sync_channel(settings.queue.max(1));
        let waiting = Arc::new(Mutex::new(waiting));
        let writers = (0..settings.writers.max(1))
            .map(|number| {
                let (app, waiting) = (app.clone(), waiting.clone());
                std::thread::Builder::new().name(format!("intake-{number}")).spawn(move || {
                    while let Some(batch) = next_batch(&waiting, settings.batch.max(1)) {
                        write(&app, batch);
                    }
                })
            })
            .collect::<Result<_, _>>()?;
        Ok((Self { queue }, Writers(writers)))
    }

    /// Hands an order to the writers.
    ///
    /// # Errors
    /// Too many wait already, or the service is stopping.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), AppError> {
        self.queue.try_send(submission).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => AppError::Overloaded { part: "intake" },
        })
    }
}

/// Waits for one submission, then takes what else is there; `None` when no more will come.
fn next_batch(waiting: &Mutex<Receiver<Submission>>, limit: usize) -> Option<Vec<Submission>> {
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

/// Writes a batch and answers every submission of it.
fn write(app: &App, batch: Vec<Submission>) {
    let mut rest = batch;
    while !rest.is_empty() {
        // Two that share a key or a reference cannot go into one statement: the later one waits for the next round.
        let mut keys = HashSet::new();
        let mut references = HashSet::new();
        let (round, later): (Vec<_>, Vec<_>) = rest.into_iter().partition(|new| {
            let fresh_key = keys.insert((new.client.clone(), new.key.clone()));
            let fresh_reference = references.insert((new.client.clone(), new.order.reference.clone()));
            fresh_key && fresh_reference
        });
        rest = later;
        match write_round(app, &round) {
            Ok(answers) => answer(round.into_iter().zip(answers.into_iter().map(Ok))),
            // The whole database or the vault is in trouble: trying one by one would only take longer to say so.
            Err(error) if round.len() == 1 || is_general(&error) => {
                let mut error = Some(error);
                answer(round.into_iter().map(|new| {
                    let own = error.take().unwrap_or(AppError::Overloaded { part: "database" });
                    (new, Err(own))
                }));
            }
            Err(error) => {
                tracing::warn!(%error, orders = round.len(), "a batch failed; writing its orders one by one");
                for new in round {
                    let written = write_round(app, std::slice::from_ref(&new));
                    let written = written.and_then(|mut one| {
                        one.pop().unwrap_or_else(|| Err(AppError::Internal("a round lost its order".to_owned())))
                    });
                    answer(std::iter::once((new, written.map(Ok).unwrap_or_else(Err))).map(|(new, w)| (new, w)));
                }
            }
        }
    }
}

fn is_general(error: &AppError) -> bool {
    matches!(
        error,
        AppError::Vault(VaultError::Unavailable(_))
            | AppError::Store(StoreError::Unavailable(_) | StoreError::CommitUnknown(_))
    )
}
