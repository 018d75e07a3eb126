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

use crate::app::records::order_view::{OrderView, PersonalRecordView};
use crate::app::records::personal_record;
use crate::app::{App, AppError, with_keys};
use crate::clock::BusinessTime;
use crate::domain::checkout::NewOrder;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::domain::personal_record::PersonalRecord;
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
    pub(crate) now: BusinessTime,
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
                std::thread::Builder::new()
                    .name(format!("intake-{number}"))
                    .spawn(move || {
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
            Ok(answers) => round
                .into_iter()
                .zip(answers)
                .for_each(|(new, answer)| reply(new, answer)),
            // The whole database or the vault is in trouble: trying one by one would only take longer to say so.
            Err(error) if is_general(&error) => {
                tracing::error!(%error, orders = round.len(), "a batch of orders could not be written");
                round.into_iter().for_each(|new| reply(new, Err(again(&error))));
            }
            Err(error) if round.len() == 1 => round.into_iter().for_each(|new| reply(new, Err(again(&error)))),
            Err(error) => {
                tracing::warn!(%error, orders = round.len(), "a batch failed; writing its orders one by one");
                for new in round {
                    let answer = match write_round(app, std::slice::from_ref(&new)) {
                        Ok(mut answers) => answers.pop().unwrap_or(Err(AppError::Overloaded { part: "database" })),
                        Err(error) => Err(error),
                    };
                    reply(new, answer);
                }
            }
        }
    }
}

fn reply(new: Submission, answer: Result<Written, AppError>) {
    // Nobody waits any more when the connection was closed; the order is in all the same.
    let _gone = new.reply.send(answer);
}

fn is_general(error: &AppError) -> bool {
    matches!(
        error,
        AppError::Vault(VaultError::Unavailable(_))
            | AppError::Store(StoreError::Unavailable(_) | StoreError::CommitUnknown(_))
    )
}

/// The same error for one more submission of the batch.
fn again(error: &AppError) -> AppError {
    match error {
        AppError::Vault(VaultError::Unavailable(cause)) => VaultError::Unavailable(cause.clone()).into(),
        AppError::Store(StoreError::CommitUnknown(cause)) => StoreError::CommitUnknown(cause.clone()).into(),
        AppError::Store(StoreError::Unavailable(cause)) => StoreError::Unavailable(cause.clone()).into(),
        other => AppError::Internal(other.to_string()),
    }
}

/// What a round's transaction finds out about one submission.
enum Fate {
    Placed,
    Known { order_id: OrderId, same_body: bool },
    ReferenceTaken(OrderId),
}

/// Writes submissions that share neither key nor reference, in one transaction.
fn write_round(app: &App, round: &[Submission]) -> Result<Vec<Result<Written, AppError>>, AppError> {
    app.vault.ensure_today(&app.orders)?;
    let days = app.vault.idempotency_days();
    let fates = with_keys(&app.vault, |ring| {
        app.orders
            .write_foreground(|conn| write_round_in_tx(conn, ring, days, round, app.clock.business_now()))
    })?;
    Ok(round
        .iter()
        .zip(fates)
        .map(|(new, fate)| match fate {
            Fate::Placed => Ok(Written::New(Box::new(fresh_view(new)))),
            Fate::Known {
                order_id,
                same_body: true,
            } => Ok(Written::Known(order_id)),
            Fate::Known { .. } => Err(AppError::IdempotencyReused),
            Fate::ReferenceTaken(order_id) => Err(AppError::ReferenceTaken { order_id }),
        })
        .collect())
}

fn write_round_in_tx(
    conn: &mut AnyConn,
    ring: &Keyring,
    days: [i64; 2],
    round: &[Submission],
    now: BusinessTime,
) -> Result<Vec<Fate>, AppError> {
    let epoch = personal_record::current_epoch(conn, ring, now)?;
    let records: Vec<Vec<IdempotencyRow>> = round
        .iter()
        .map(|new| records(ring, days, new))
        .collect::<Result<_, _>>()?;
    // Yesterday's keys are other keys: a repeat across midnight is found by asking, today's by the UNIQUE.
    let earlier: Vec<Vec<u8>> = records
        .iter()
        .flat_map(|all| all.iter().skip(1))
        .map(|record| record.key_hash.clone())
        .collect();
    let earlier = idempotency::find(conn, &earlier)?;
    let was_earlier = |records: &[IdempotencyRow]| {
        earlier
            .iter()
            .find(|known| records.iter().skip(1).any(|record| record.key_hash == known.key_hash))
            .cloned()
    };
    let mut batch = Vec::with_capacity(round.len());
    for (new, records) in round.iter().zip(&records) {
        if was_earlier(records).is_none()
            && let Some(today) = records.first()
        {
            batch.push(rows(ring, epoch, new, today)?);
        }
    }
    let mut outcomes = insert_batch_in_tx(conn, &batch)?.into_iter();
    let mut fates = Vec::with_capacity(round.len());
    for (new, records) in round.iter().zip(&records) {
        let fate = match was_earlier(records) {
            Some(known) => known_fate(&known, records)?,
            None => match outcomes.next() {
                Some(Outcome::Placed) => Fate::Placed,
                Some(Outcome::KeyTaken) => {
                    let hashes: Vec<Vec<u8>> = records.iter().map(|record| record.key_hash.clone()).collect();
                    match idempotency::find(conn, &hashes)?.pop() {
                        Some(known) => known_fate(&known, records)?,
                        // It was there a moment ago: its order was refused and the key is free again.
                        None => return Err(StoreError::Unavailable("an idempotency key was given back".into()).into()),
                    }
                }
                Some(Outcome::ReferenceTaken) | None => {
                    let id = by_reference(conn, &new.client, &new.order.reference)?
                        .ok_or_else(|| StoreError::Unavailable("a reference was given back".into()))?;
                    Fate::ReferenceTaken(id.parse().map_err(|_| StoreError::corrupt("orders", &id))?)
                }
            },
        };
        fates.push(fate);
    }
    Ok(fates)
}

fn known_fate(known: &IdempotencyRow, records: &[IdempotencyRow]) -> Result<Fate, AppError> {
    Ok(Fate::Known {
        order_id: known
            .order_id
            .parse()
            .map_err(|_| StoreError::corrupt("idempotency_keys", &known.order_id))?,
        same_body: records
            .iter()
            .any(|record| record.day == known.day && record.body_hash == known.body_hash),
    })
}

/// The record of a submission under each day's key that exists, today's first.
fn records(ring: &Keyring, days: [i64; 2], new: &Submission) -> Result<Vec<IdempotencyRow>, AppError> {
    let identity = new.order.identity();
    let body: Vec<&[u8]> = identity.iter().map(Vec::as_slice).collect();
    let [today, _] = days;
    days.iter()
        .filter(|day| **day == today || ring.knows_day(**day))
        .map(|day| {
            Ok(IdempotencyRow {
                key_hash: ring.idempotency_hash(*day, &[b"key", new.client.as_bytes(), new.key.expose().as_bytes()])?,
                day: *day,
                body_hash: ring.idempotency_hash(*day, &body)?,
                order_id: new.id.to_string(),
            })
        })
        .collect()
}

fn status_of(new: &Submission) -> OrderStatus {
    if new.order.confirm {
        OrderStatus::Placed
    } else {
        OrderStatus::Draft
    }
}

fn person_of(new: &Submission) -> PersonalRecord {
    PersonalRecord {
        recipient: new.order.recipient.clone(),
        photos: new.order.items.iter().map(|item| item.photo.clone()).collect(),
        tracking: Vec::new(),
        notes: Vec::new(),
    }
}

fn items_of(new: &Submission) -> Vec<ItemRow> {
    (0..)
        .zip(&new.order.items)
        .map(|(line, item)| ItemRow {
            order_id: new.id.to_string(),
            line,
            photo_size: item.size.code.to_owned(),
            copies: item.copies,
            sheets: item.sheets,
        })
        .collect()
}

fn order_row(new: &Submission) -> OrderRow {
    let consent = &new.order.consent;
    let now = to_row(new.now);
    OrderRow {
        id: new.id.to_string(),
        client: new.client.clone(),
        reference: new.order.reference.clone(),
        reference_free: false,
        status: status_of(new).as_str().to_owned(),
        amount_minor: new.order.amount.minor(),
        currency: new.order.amount.currency().code().to_owned(),
        courier: new.courier.clone(),
        minor: consent.minor,
        policy_version: consent.policy_version.clone(),
        consent_at: to_row(consent.accepted_at),
        legal_basis: consent.legal_basis.as_str().to_owned(),
        cross_border: consent.cross_border,
        guardian_consent: consent.guardian_consent,
        created_at: now,
        updated_at: now,
        moved_at: now,
        attempt: 0,
        print_lessee: None,
        print_lease_until: None,
        ended_at: None,
        first_ended_at: None,
        purge_due_at: None,
        hold_until: None,
        first_held_at: None,
        purge_decided_at: None,
        purge_reason: None,
        purged_at: None,
        restricted_at: None,
        restriction: None,
    }
}

fn rows(ring: &Keyring, epoch: i64, new: &Submission, record: &IdempotencyRow) -> Result<NewOrderRows, AppError> {
    let status = status_of(new);
    Ok(NewOrderRows {
        idempotency: record.clone(),
        order: order_row(new),
        items: items_of(new),
        person: personal_record::seal(ring, epoch, new.id, &person_of(new))?,
        event: EventRow::new(new.id, new.now, status.as_str(), status, &new.actor, None),
    })
}

/// The answer to a new order, from what was just written: asking the database again would cost a round trip.
fn fresh_view(new: &Submission) -> OrderView {
    OrderView {
        order: Order {
            id: new.id,
            client: new.client.clone(),
            reference: new.order.reference.clone(),
            status: status_of(new),
            amount: new.order.amount,
            courier: new.courier.clone(),
            minor: new.order.consent.minor,
            cross_border: new.order.consent.cross_border,
            created_at: new.now,
            updated_at: new.now,
            moved_at: new.now,
            attempt: 0,
            print_lessee: None,
            print_lease_until: None,
            ended_at: None,
            first_ended_at: None,
            purge_due_at: None,
            hold_until: None,
            first_held_at: None,
            purge_decided_at: None,
            purge_reason: None,
            purged_at: None,
            restricted_at: None,
            restriction: None,
        },
        items: items_of(new),
        person: PersonalRecordView::Known(Box::new(person_of(new))),
        shipment: None,
        held: false,
    }
}

/// What the writers answer.
#[derive(Debug)]
pub(crate) enum Written {
    /// A new order.
    New(Box<OrderView>),
    /// The order that this request made before.
    Known(OrderId),
}
