//! An order as it is shown: its facts, its current parcel, and what may be known of the person.

use std::collections::HashMap;

use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::clock::BusinessTime;
use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::domain::personal_record::PersonalRecord;
use crate::domain::shipment::Attempt;
use crate::privacy::Pii;
use crate::store::orders::{self, ItemRow};
use crate::store::shipments::{self};
use crate::store::{AnyConn, StoreError, personal_records};
use crate::vault::VaultError;
use crate::vault::keyring::Keyring;

/// What is known of the person of an order.
#[derive(Debug, Clone)]
pub enum PersonalRecordView {
    /// Sealed and open to this service; shown masked.
    Known(Box<PersonalRecord>),
    /// Destroyed, or about to be.
    Purged,
    /// Its key no longer exists (an old copy was restored).
    Unreadable,
    /// The keys cannot be had just now.
    Unavailable,
}

/// An order as it is shown.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the parts of the contract's order object")]
pub struct OrderView {
    pub order: Order,
    pub items: Vec<ItemRow>,
    pub person: PersonalRecordView,
    pub shipment: Option<Attempt>,
    pub held: bool,
}

impl OrderView {
    /// The current parcel's tracking number.
    pub fn tracking_no(&self) -> Option<&Pii<String>> {
        match (&self.person, &self.shipment) {
            (PersonalRecordView::Known(person), Some(shipment)) => person.tracking_of(shipment.number),
            _ => None,
        }
    }

    /// The photo reference of an item.
    pub fn photo(&self, line: i16) -> Option<&Pii<String>> {
        match &self.person {
            PersonalRecordView::Known(person) => usize::try_from(line)
                .ok()
                .and_then(|line| person.photos.get(line))
                .and_then(Option::as_ref),
            _ => None,
        }
    }
}

/// Views of these orders, in the order given. Without a ring the facts are shown and the persons are unavailable.
///
/// # Errors
/// The store; [`AppError::NeedsEpoch`] where the ring is too old.
pub(crate) fn of(
    conn: &mut AnyConn,
    ring: Option<&Keyring>,
    orders: Vec<Order>,
    now: BusinessTime,
) -> Result<Vec<OrderView>, AppError> {
    let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
    let mut items: HashMap<String, Vec<ItemRow>> = HashMap::new();
    for item in orders::items_of(conn, &ids)? {
        items.entry(item.order_id.clone()).or_default().push(item);
    }
    let mut persons: HashMap<String, PersonalRecordView> = HashMap::new();
    for row in personal_records::of_orders(conn, &ids)? {
        let view = match ring.map(|ring| personal_record::open(ring, &row)) {
            None => PersonalRecordView::Unavailable,
            Some(Ok(person)) => PersonalRecordView::Known(Box::new(person)),
            Some(Err(AppError::Vault(VaultError::KeyGone))) => PersonalRecordView::Unreadable,
            Some(Err(
                error @ (AppError::Vault(VaultError::Corrupt { .. }) | AppError::Store(StoreError::Corrupt { .. })),
            )) => {
                tracing::error!(%error, "Sealed row is corrupt; order shown without its recipient");
                PersonalRecordView::Unreadable
            }
            Some(Err(error)) => return Err(error),
        };
        persons.insert(row.order_id, view);
    }
    let mut attempts: HashMap<OrderId, Vec<Attempt>> = HashMap::new();
    for attempt in shipments::of_orders(conn, &ids)? {
        attempts.entry(attempt.order_id).or_default().push(attempt);
    }
    Ok(orders
        .into_iter()
        .map(|order| {
            let key = order.id.to_string();
            let person = match persons.remove(&key) {
                Some(known) if order.purge_decided_at.is_none() => known,
                _ => PersonalRecordView::Purged,
            };
            let shipment = attempts
                .remove(&order.id)
                .and_then(|all| all.into_iter().find(|attempt| attempt.number == order.attempt));
            OrderView {
                items: items.remove(&key).unwrap_or_default(),
                person,
                shipment,
                held: order.is_held(now),
                order,
            }
        })
        .collect())
}

/// The view of one order.
///
/// # Errors
/// As [`of`].
pub(crate) fn one(
    conn: &mut AnyConn,
    ring: Option<&Keyring>,
    order: Order,
    now: BusinessTime,
) -> Result<OrderView, AppError> {
    of(conn, ring, vec![order], now)?.pop().ok_or(AppError::NotFound)
}

impl App {
    /// Reads views with the keys where they can be had, and without them (persons unavailable) where the vault is down.
    pub(crate) async fn read_views<T: Send + 'static>(
        &self,
        work: impl Fn(&mut AnyConn, Option<&Keyring>) -> Result<T, AppError> + Clone + Send + 'static,
    ) -> Result<T, AppError> {
        let with_ring = work.clone();
        match self.read_sealed(move |conn, ring| with_ring(conn, Some(ring))).await {
            Err(AppError::Vault(VaultError::Unavailable(cause))) => {
                tracing::warn!(%cause, "Vault unavailable; orders shown without their recipients");
                self.orders.read(move |conn| work(conn, None)).await
            }
            done => done,
        }
    }
}
