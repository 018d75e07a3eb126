//! Group commit: a few threads take what is waiting and write it in one transaction, so that many callers share one
//! commit. What arrives while a commit is under way goes into the next.
//!
//! A caller is answered only after COMMIT. A batch that fails is run again one item at a time, so that only the culprit
//! fails; where the database or the vault itself is in trouble every caller of the batch gets that very error at once.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::app::AppError;
use crate::store::StoreError;
use crate::vault::VaultError;

/// What a kind of item does at its commit.
pub(crate) trait Batched: Clone + Send + 'static {
    /// What waits to be written.
    type Item: Send + 'static;
    /// What a caller is answered.
    type Written: Send + 'static;

    /// Names the threads, and the part of the service that is overloaded when the queue is full.
    const NAME: &'static str;

    /// Splits off what must not share a transaction with what stands before it. It goes into the next.
    fn split(&self, items: Vec<Entry<Self>>) -> (Vec<Entry<Self>>, Vec<Entry<Self>>) {
        (items, Vec::new())
    }

    /// Writes these items in one transaction; one answer for each, in their order.
    ///
    /// # Errors
    /// Nothing is written.
    fn write(&self, items: &[&Self::Item]) -> Result<Vec<Result<Self::Written, AppError>>, AppError>;
}

/// How much is written at once.
#[derive(Debug, Clone, Copy)]
pub struct BatchSettings {
    /// Items that may wait; more are answered 503.
    pub queue: usize,
    /// Items in one transaction at most: every caller waits for the whole batch.
    pub batch: usize,
    /// Writer threads. One serves SQLite, which has one writer anyway.
    pub writers: usize,
}

/// An item, and who waits for it.
pub(crate) struct Entry<B: Batched> {
    pub(crate) item: B::Item,
    reply: oneshot::Sender<Result<B::Written, AppError>>,
}

impl<B: Batched> Entry<B> {
    fn answer(self, answer: Result<B::Written, AppError>) {
        // Nobody waits any more when the connection was closed; what is written is written all the same.
        let _gone = self.reply.send(answer);
    }
}

/// The way in. Dropping the last clone lets the threads finish what waits and end.
pub(crate) struct Queue<B: Batched>(SyncSender<Entry<B>>);

impl<B: Batched> Clone for Queue<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B: Batched> std::fmt::Debug for Queue<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", B::NAME)
    }
}

/// Writer threads, to be joined when the last clone of their queue is gone.
#[derive(Debug)]
pub struct Writers(Vec<JoinHandle<()>>);

impl Writers {
    /// Waits until everything that was accepted is written and answered.
    pub fn join(self) {
        for writer in self.0 {
            let name = writer.thread().name().unwrap_or_default().to_owned();
            if writer.join().is_err() {
                tracing::error!(
                    thread = name,
                    "Writer thread panicked; its queued items were not answered"
                );
            }
        }
    }
}

/// Starts the threads.
///
/// # Errors
/// The operating system gives no thread.
pub(crate) fn start<B: Batched>(work: &B, settings: BatchSettings) -> std::io::Result<(Queue<B>, Writers)> {
    let (queue, waiting) = sync_channel(settings.queue.max(1));
    let waiting = Arc::new(Mutex::new(waiting));
    let writers = (0..settings.writers.max(1))
        .map(|number| {
            let (work, waiting) = (work.clone(), waiting.clone());
            std::thread::Builder::new()
                .name(format!("{}-{number}", B::NAME))
                .spawn(move || {
                    while let Some(batch) = next_batch(&waiting, settings.batch.max(1)) {
                        write(&work, batch);
                    }
                })
        })
        .collect::<Result<_, _>>()?;
    Ok((Queue(queue), Writers(writers)))
}

impl<B: Batched> Queue<B> {
    /// Hands an item to the threads; returns when it is committed.
    ///
    /// # Errors
    /// Too many wait already, or the service is stopping; what writing it said.
    pub(crate) async fn submit(&self, item: B::Item) -> Result<B::Written, AppError> {
        let overloaded = || AppError::Overloaded { part: B::NAME };
        let (reply, answer) = oneshot::channel();
        self.0
            .try_send(Entry { item, reply })
            .map_err(|_full_or_stopping| overloaded())?;
        answer.await.map_err(|_stopped| overloaded())?
    }
}

/// Waits for one item, then takes what else is there; `None` when no more will come.
fn next_batch<T>(waiting: &Mutex<Receiver<T>>, limit: usize) -> Option<Vec<T>> {
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

/// Writes a batch and answers every caller of it.
fn write<B: Batched>(work: &B, batch: Vec<Entry<B>>) {
    let mut rest = batch;
    while !rest.is_empty() {
        let (round, later) = work.split(rest);
        rest = later;
        match write_together(work, &round) {
            Ok(answers) => round
                .into_iter()
                .zip(answers)
                .for_each(|(entry, answer)| entry.answer(answer)),
            // The whole database or the vault is in trouble: trying one by one would only take longer to say so.
            Err(error) if is_general(&error) || round.len() == 1 => {
                tracing::error!(%error, queue = B::NAME, items = round.len(), "Batch not written; its callers get the error");
                round.into_iter().for_each(|entry| entry.answer(Err(error.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, queue = B::NAME, items = round.len(), "Batch failed; writing its items one by one");
                for entry in round {
                    let answer = write_together(work, std::slice::from_ref(&entry))
                        .and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(unanswered())));
                    entry.answer(answer);
                }
            }
        }
    }
}

fn write_together<B: Batched>(work: &B, round: &[Entry<B>]) -> Result<Vec<Result<B::Written, AppError>>, AppError> {
    let items: Vec<&B::Item> = round.iter().map(|entry| &entry.item).collect();
    let answers = work.write(&items)?;
    if answers.len() == items.len() {
        Ok(answers)
    } else {
        Err(unanswered())
    }
}

fn unanswered() -> AppError {
    AppError::Internal("a batch was written with another number of answers than of items".to_owned())
}

fn is_general(error: &AppError) -> bool {
    matches!(
        error,
        AppError::Vault(VaultError::Unavailable(_))
            | AppError::Store(StoreError::Unavailable(_) | StoreError::CommitUnknown(_))
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Notes every transaction; fails those that hold one of `poison`; waits at each for `gate`.
    #[derive(Clone)]
    struct Notes {
        written: Sender<Vec<u32>>,
        gate: Arc<Mutex<Receiver<()>>>,
        fail: fn(&[u32]) -> Option<AppError>,
    }

    impl Batched for Notes {
        type Item = u32;
        type Written = u32;
        const NAME: &'static str = "notes";

        /// Equal numbers do not share a transaction.
        fn split(&self, items: Vec<Entry<Self>>) -> (Vec<Entry<Self>>, Vec<Entry<Self>>) {
            let mut seen = std::collections::HashSet::new();
            items.into_iter().partition(|entry| seen.insert(entry.item))
        }

        fn write(&self, items: &[&u32]) -> Result<Vec<Result<u32, AppError>>, AppError> {
            self.gate.lock().unwrap().recv().unwrap();
            let items: Vec<u32> = items.iter().map(|item| **item).collect();
            self.written.send(items.clone()).unwrap();
            match (self.fail)(&items) {
                Some(error) => Err(error),
                None => Ok(items.into_iter().map(|item| Ok(item * 10)).collect()),
            }
        }
    }

    struct Started {
        queue: Queue<Notes>,
        writers: Writers,
        written: Receiver<Vec<u32>>,
        open: Sender<()>,
    }

    fn started(fail: fn(&[u32]) -> Option<AppError>, queue: usize) -> Started {
        let ((written, read), (open, gate)) = (channel(), channel());
        let gate = Arc::new(Mutex::new(gate));
        let work = Notes { written, gate, fail };
        let settings = BatchSettings {
            queue,
            batch: 8,
            writers: 1,
        };
        let (queue, writers) = start(&work, settings).unwrap();
        Started {
            queue,
            writers,
            written: read,
            open,
        }
    }

    /// Submits `0`, which is written alone, and while it is, the others; returns their answers.
    async fn submitted(started: &Started, items: &[u32]) -> Vec<Result<u32, AppError>> {
        let first = started.queue.submit(0);
        let others = async {
            let others = futures_util::future::join_all(items.iter().map(|item| started.queue.submit(*item)));
            // The first is taken by the thread before the others are polled: it stands at the gate.
            while started.written.try_recv().is_err() {
                let _open = started.open.send(());
                tokio::task::yield_now().await;
            }
            others.await
        };
        let (first, others) = futures_util::future::join(first, others).await;
        assert_eq!(first.unwrap(), 0);
        others
    }

    fn opened(count: usize, started: &Started) {
        for _ in 0..count {
            started.open.send(()).unwrap();
        }
    }

    #[tokio::test]
    async fn every_waiter_of_a_failed_batch_gets_the_true_error() {
        let down = |items: &[u32]| {
            (items != [0]).then(|| AppError::Store(StoreError::Unavailable("connection refused".to_owned())))
        };
        let started = started(down, 16);
        opened(8, &started);
        for answer in submitted(&started, &[1, 2, 3]).await {
            let error = answer.unwrap_err();
            assert!(
                matches!(&error, AppError::Store(StoreError::Unavailable(why)) if why == "connection refused"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn of_a_failed_batch_only_the_culprit_fails() {
        let poisoned = |items: &[u32]| items.contains(&2).then(|| AppError::Internal("poison".to_owned()));
        let started = started(poisoned, 16);
        opened(16, &started);
        let answers = submitted(&started, &[1, 2, 3]).await;
        let ok: Vec<Option<u32>> = answers.into_iter().map(Result::ok).collect();
        assert_eq!(ok, [Some(10), None, Some(30)]);
    }

    #[tokio::test]
    async fn what_must_not_share_a_transaction_is_written_in_the_next() {
        let started = started(|_| None, 16);
        opened(16, &started);
        let answers = submitted(&started, &[5, 5, 6]).await;
        assert_eq!(
            answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
            [50, 50, 60]
        );
        let rounds: Vec<Vec<u32>> = started.written.try_iter().collect();
        assert!(
            rounds
                .iter()
                .all(|round| round.iter().filter(|item| **item == 5).count() < 2),
            "{rounds:?}"
        );
    }

    #[tokio::test]
    async fn a_full_queue_is_overloaded_and_the_threads_end_with_the_last_queue() {
        let Started {
            queue,
            writers,
            written,
            open,
        } = started(|_| None, 1);
        // One stands at the gate at most, one waits at most: of four at least two find no room.
        let answers = futures_util::future::join(
            futures_util::future::join_all((1..=4).map(|item| queue.submit(item))),
            async {
                tokio::task::yield_now().await;
                for _ in 0..4 {
                    open.send(()).unwrap();
                }
            },
        );
        let (answers, ()) = answers.await;
        let refused = answers
            .iter()
            .filter(|answer| matches!(answer, Err(AppError::Overloaded { part: "notes" })));
        assert!(refused.count() >= 2);
        drop(queue);
        tokio::task::spawn_blocking(|| writers.join()).await.unwrap();
        // What was accepted was written before the threads ended.
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(written.iter().flatten().count(), accepted);
    }
}
