//! New orders on their way in: written together, so that many share one commit (`group_commit`).
//!
//! A COMMIT that gets no answer is 503 for the whole batch: the idempotency key makes trying again safe.

use std::collections::HashSet;

use crate::app::group_commit::{self, BatchSettings, Batched, Entry, Queue, Writers};
use crate::app::records::order_view::{OrderView, PersonalRecordView};
use crate::app::records::personal_record;
use crate::app::{App, AppError, with_keys};
use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::checkout::NewOrder;
use crate::domain::ids::OrderId;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::personal_record::PersonalRecord;
use crate::domain::timeline::TimelineKind;
use crate::privacy::Pii;
use crate::store::idempotency::{self, IdempotencyRow};
use crate::store::intake::{NewOrderRows, Outcome, by_reference, insert_batch_in_tx};
use crate::store::orders::{ItemRow, OrderRow};
use crate::store::timeline::EventRow;
use crate::store::{AnyConn, StoreError, to_row};
use crate::vault::keyring::Keyring;

/// An order on its way in.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) id: OrderId,
    pub(crate) client: String,
    pub(crate) actor: Actor,
    pub(crate) key: Pii<String>,
    pub(crate) courier: String,
    pub(crate) order: NewOrder,
    pub(crate) now: BusinessTime,
}

/// The way to the writers. Dropping the last clone lets them finish what waits and end.
#[derive(Debug, Clone)]
pub struct Intake(Queue<Orders>);

impl Intake {
    /// Starts the writers.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(app: &App, settings: BatchSettings) -> std::io::Result<(Self, Writers)> {
        let (queue, writers) = group_commit::start(&Orders(app.clone()), settings)?;
        Ok((Self(queue), writers))
    }

    /// Hands an order to the writers; returns when it is committed.
    ///
    /// # Errors
    /// Too many wait already, or the service is stopping; key or reference taken; store or vault.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<Written, AppError> {
        self.0.submit(submission).await
    }
}

/// New orders as they are written together.
#[derive(Debug, Clone)]
struct Orders(App);

impl Batched for Orders {
    type Item = Submission;
    type Written = Written;

    const NAME: &'static str = "intake";

    /// Two that share a key or a reference cannot go into one statement.
    fn split(&self, items: Vec<Entry<Self>>) -> (Vec<Entry<Self>>, Vec<Entry<Self>>) {
        let mut keys = HashSet::new();
        let mut references = HashSet::new();
        items.into_iter().partition(|Entry { item: new, .. }| {
            let fresh_key = keys.insert((new.client.clone(), new.key.clone()));
            let fresh_reference = references.insert((new.client.clone(), new.order.reference.clone()));
            fresh_key && fresh_reference
        })
    }

    fn write(&self, items: &[&Submission]) -> Result<Vec<Result<Written, AppError>>, AppError> {
        write_round(&self.0, items)
    }
}

/// What a round's transaction finds out about one submission.
enum Fate {
    Placed,
    Known { order_id: OrderId, same_body: bool },
    ReferenceTaken(OrderId),
}

/// Writes submissions that share neither key nor reference, in one transaction.
fn write_round(app: &App, round: &[&Submission]) -> Result<Vec<Result<Written, AppError>>, AppError> {
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
    round: &[&Submission],
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
        event: EventRow::new(new.id, new.now, TimelineKind::Reached(status), status, &new.actor, None),
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
