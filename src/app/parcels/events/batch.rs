//! Events that are plainly about parcels we know, many at once: what they need is read together, and what they change is
//! written together, so that a batch costs a dozen statements however many events it holds. An event that needs more (a
//! new number, a parcel that nobody was sure of, a doubtful reference) is left for the one by one.

use std::collections::{BTreeSet, HashMap};

use crate::app::parcels::booking_attempts::Now;
use crate::app::parcels::events::apply::{self, Arrival, Moved};
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::couriers::{CourierEvent, News};
use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::domain::personal_record::PersonalRecord;
use crate::domain::shipment::{Attempt, ShipmentState};
use crate::privacy::Pii;
use crate::store::orders::{self};
use crate::store::personal_records::{self, RemarkFingerprint, RemarkRow};
use crate::store::shipments::{self};
use crate::store::{AnyConn, StoreError};
use crate::vault::VaultError;
use crate::vault::keyring::{Keyring, Kind};

/// Applies the plain ones of a batch. Returns the others, and what comes after them for the same order.
///
/// # Errors
/// Keys or store; nothing is applied then.
pub(super) fn apply<'a>(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    batch: &[&'a Arrival],
    now: Now,
) -> Result<Vec<&'a Arrival>, AppError> {
    if batch.len() < 2 {
        return Ok(batch.to_vec());
    }
    let named = Named::read(conn, ring, batch)?;
    let mut known = read_known(conn, ring, &named.orders)?;
    let mut changes = Changes::default();
    if batch.iter().any(|arrival| arrival.event.remark.is_some()) {
        let ids: Vec<OrderId> = known.keys().copied().collect();
        changes.known_remarks = personal_records::remark_fingerprints(conn, &ids)?;
        changes.epoch = personal_record::current_epoch(conn, ring, now.business)?;
    }
    let mut others = Vec::new();
    // Parcels of which an event must be taken one by one: those after it too.
    let mut left = BTreeSet::new();
    for &arrival in batch {
        let order = named.order_of(arrival);
        match order.and_then(|order| known.get_mut(&order)) {
            Some(parcel) if !left.contains(&parcel.order.id) && parcel.is_plainly_meant(arrival) => {
                changes.add(ring, app, parcel, arrival, now)?;
            }
            _ => {
                left.extend(order);
                others.push(arrival);
            }
        }
    }
    changes.write(conn, &known, now)?;
    Ok(others)
}

/// Which orders a batch's events name, and how.
struct Named {
    orders: Vec<OrderId>,
    by_provider_ref: HashMap<(String, String), OrderId>,
    by_number: HashMap<(String, Pii<String>), OrderId>,
}

impl Named {
    fn read(conn: &mut AnyConn, ring: &Keyring, batch: &[&Arrival]) -> Result<Self, AppError> {
        let unreferenced = || batch.iter().filter(|arrival| arrival.event.reference.is_none());
        let mut orders: BTreeSet<OrderId> = batch
            .iter()
            .filter_map(|arrival| Some(arrival.event.reference.as_ref()?.order()))
            .collect();
        let provider_refs: Vec<&str> = unreferenced()
            .filter_map(|arrival| arrival.event.provider_ref.as_deref())
            .collect();
        let mut by_provider_ref = HashMap::new();
        if !provider_refs.is_empty() {
            // Oldest first: the newest that has it counts.
            for attempt in shipments::by_provider_refs(conn, &provider_refs)? {
                if let Some(provider_ref) = attempt.provider_ref {
                    by_provider_ref.insert((attempt.courier, provider_ref), attempt.order_id);
                }
            }
        }
        let numbers: Vec<&Pii<String>> = unreferenced()
            .filter(|arrival| arrival.event.provider_ref.is_none())
            .filter_map(|arrival| arrival.event.tracking_no.as_ref())
            .collect();
        let by_number = find_numbers(conn, ring, &numbers)?;
        orders.extend(by_provider_ref.values().chain(by_number.values()));
        Ok(Self {
            orders: orders.into_iter().collect(),
            by_provider_ref,
            by_number,
        })
    }

    /// The order that an event names.
    fn order_of(&self, arrival: &Arrival) -> Option<OrderId> {
        let (courier, event) = (arrival.courier.to_owned(), &arrival.event);
        if let Some(reference) = &event.reference {
            return Some(reference.order());
        }
        if let Some(provider_ref) = &event.provider_ref {
            return self.by_provider_ref.get(&(courier, provider_ref.clone())).copied();
        }
        let number = event.tracking_no.clone()?;
        self.by_number.get(&(courier, number)).copied()
    }
}

/// Whose these numbers are, of those that one parcel of a courier alone bears.
fn find_numbers(
    conn: &mut AnyConn,
    ring: &Keyring,
    numbers: &[&Pii<String>],
) -> Result<HashMap<(String, Pii<String>), OrderId>, AppError> {
    let mut found = HashMap::new();
    if numbers.is_empty() {
        return Ok(found);
    }
    let living = personal_record::living_epochs(conn, ring)?;
    let mut of_print = HashMap::new();
    for number in numbers {
        for fingerprint in ring.fingerprints(&living, Kind::Tracking, number.expose()) {
            of_print.insert(fingerprint, *number);
        }
    }
    let fingerprints: Vec<(i64, Vec<u8>)> = of_print.keys().cloned().collect();
    let mut several = Vec::new();
    for row in shipments::by_tracking(conn, &fingerprints, None)? {
        let order: OrderId = row
            .order_id
            .parse()
            .map_err(|_| StoreError::corrupt("order_tracking", &row.id))?;
        if let Some(number) = of_print.get(&(row.epoch, row.tracking_print)) {
            let key = (row.courier, (*number).clone());
            if found.insert(key.clone(), order).is_some_and(|other| other != order) {
                several.push(key);
            }
        }
    }
    for key in several {
        found.remove(&key);
    }
    Ok(found)
}

/// What is known of an order whose parcel's news came, locked: its current attempt and its person.
struct Known {
    order: Order,
    attempt: Attempt,
    person: PersonalRecord,
    moved: bool,
}

impl Known {
    /// Whether an event is about this very parcel and says nothing new of its numbers: the rule, which needs no look-ups.
    fn is_plainly_meant(&self, arrival: &Arrival) -> bool {
        let CourierEvent {
            reference,
            provider_ref,
            tracking_no,
            new_tracking_no,
            new_provider_ref,
            news,
            ..
        } = &arrival.event;
        let knows = |number: &Pii<String>| {
            let mut numbers = self.person.tracking.iter();
            numbers.any(|known| known.attempt == self.attempt.number && known.number == *number)
        };
        // Another id of the courier's may be its other word for the same booking, or another parcel's.
        let same_booking = provider_ref.is_none() || *provider_ref == self.attempt.provider_ref;
        self.attempt.state == ShipmentState::Booked
            && self.attempt.courier == arrival.courier
            && reference.as_ref().is_none_or(|named| *named == self.attempt.reference)
            && tracking_no.as_ref().is_none_or(knows)
            && same_booking
            && new_tracking_no.is_none()
            && new_provider_ref.is_none()
            && *news != News::CalledOff
    }
}

/// Locks these orders and reads what belongs to them. Without those whose purge is decided, and those that cannot be
/// opened any more.
fn read_known(conn: &mut AnyConn, ring: &Keyring, ids: &[OrderId]) -> Result<HashMap<OrderId, Known>, AppError> {
    let mut known = HashMap::new();
    if ids.is_empty() {
        return Ok(known);
    }
    let orders: Vec<Order> = orders::lock_all_in_tx(conn, ids)?
        .into_iter()
        .filter(|order| order.purge_decided_at.is_none())
        .collect();
    let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
    let mut persons = HashMap::new();
    for row in personal_records::of_orders(conn, &ids)? {
        match personal_record::open(ring, &row) {
            Ok(person) => _ = persons.insert(row.order_id, person),
            Err(AppError::Vault(VaultError::KeyGone)) => {}
            Err(error) => return Err(error),
        }
    }
    let mut attempts: HashMap<(OrderId, u8), Attempt> = shipments::of_orders(conn, &ids)?
        .into_iter()
        .map(|attempt| ((attempt.order_id, attempt.number), attempt))
        .collect();
    for order in orders {
        if let Some(attempt) = attempts.remove(&(order.id, order.attempt))
            && let Some(person) = persons.remove(&order.id.to_string())
        {
            let moved = false;
            known.insert(
                order.id,
                Known {
                    order,
                    attempt,
                    person,
                    moved,
                },
            );
        }
    }
    Ok(known)
}

/// What a batch is going to write.
#[derive(Default)]
struct Changes {
    /// The epoch that remarks are sealed under.
    epoch: i64,
    known_remarks: Vec<RemarkFingerprint>,
    remarks: Vec<RemarkRow>,
    moved: Vec<Moved>,
}

impl Changes {
    fn add(
        &mut self,
        ring: &Keyring,
        app: &App,
        parcel: &mut Known,
        arrival: &Arrival,
        now: Now,
    ) -> Result<(), AppError> {
        let Known { order, attempt, .. } = parcel;
        let Arrival { event, trust, .. } = arrival;
        if let Some(remark) = &event.remark
            && let Some(row) = apply::remark_row(ring, self.epoch, &self.known_remarks, attempt, event, remark)?
        {
            let fingerprint = (row.order_id.clone(), row.epoch, row.remark_print.clone());
            self.known_remarks.push(fingerprint);
            self.remarks.push(row);
        }
        if event.news == News::Unchanged {
            apply::note_unmapped(app, attempt, event);
        }
        let moved = apply::advance(order, attempt, event, *trust, now.business, app.settings.window)?;
        parcel.moved |= moved.is_some();
        self.moved.extend(moved);
        Ok(())
    }

    fn write(self, conn: &mut AnyConn, known: &HashMap<OrderId, Known>, now: Now) -> Result<(), AppError> {
        if !self.remarks.is_empty() {
            personal_records::add_remarks_in_tx(conn, &self.remarks)?;
        }
        let moved = || known.values().filter(|parcel| parcel.moved);
        let orders: Vec<&Order> = moved().map(|parcel| &parcel.order).collect();
        let attempts: Vec<&Attempt> = moved().map(|parcel| &parcel.attempt).collect();
        apply::write_moved(conn, &self.moved, &orders, &attempts, now)
    }
}
