//! News of parcels: read from couriers' webhooks, matched to an attempt, applied so that nothing ever moves backwards.

use std::time::Duration;

use crate::app::parcels::booking_attempts::{self, By, Now, duplicate_parcel, note_event, record_booked};
use crate::app::parcels::events::matching::{Holder, find_attempt, holder};
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::clock::BusinessTime;
use crate::couriers::{Booked, CourierEvent, News};
use crate::domain::actor::Actor;
use crate::domain::ids::{AttemptId, RowId};
use crate::domain::job::Job;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::shipment::{Attempt, Progress, ReportedEnd, ShipmentState, TrackingStatus, ask_again_at};
use crate::domain::timeline::TimelineKind;
use crate::privacy::Pii;
use crate::store::orders::save_progress_in_tx;
use crate::store::parked::{self, ParkedRow};
use crate::store::personal_records::{self, RemarkFingerprint, RemarkRow};
use crate::store::shipments::{self};
use crate::store::timeline::{self, EventRow};
use crate::store::{AnyConn, StoreError, to_row};
use crate::vault::VaultError;
use crate::vault::keyring::{Keyring, Kind, Table};
use crate::vault::record::StoredEvent;

/// How long an authentic event that matches nothing waits for its booking, in business time.
const PARKED_FOR: chrono::TimeDelta = chrono::TimeDelta::hours(72);

/// So many events of one number may wait; a parcel's whole life has fewer.
const PARKED_OF_ONE: usize = 100;

/// How far an event is to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Signed, or the courier's own answer to a question.
    Sure,
    /// A push that bears no signature: an end that it reports is confirmed before an order moves.
    Unsigned,
}

impl Trust {
    /// Of what this courier pushes.
    pub(super) fn in_pushes_of(app: &App, courier: &str) -> Self {
        match app.couriers.get(courier) {
            Some(courier) if courier.signs_webhooks() => Self::Sure,
            _ => Self::Unsigned,
        }
    }
}

/// An authentic event on its way in.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(super) courier: &'static str,
    pub(super) event: CourierEvent,
    pub(super) trust: Trust,
}

/// Takes one authentic event in: applied, parked, or dropped because its order is purged.
///
/// # Errors
/// Store or vault.
pub async fn ingest(app: &App, courier: &'static str, event: CourierEvent, trust: Trust) -> Result<(), AppError> {
    let app_ = app.clone();
    app.write_sealed(move |conn, ring| match_or_park(conn, ring, &app_, courier, &event, trust, Now::of(&app_.clock)))
        .await
}

/// Applies an event to the attempt that it is about, or keeps it until there is one.
///
/// # Errors
/// Keys or store.
pub(crate) fn match_or_park(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    courier: &str,
    event: &CourierEvent,
    trust: Trust,
    now: Now,
) -> Result<(), AppError> {
    match find_attempt(conn, ring, app, courier, event)? {
        Some(attempt) => apply_to(conn, ring, app, attempt.id, event, trust, now),
        None => park(conn, ring, courier, event, now.business),
    }
}

/// Keeps an event sealed until its booking becomes known.
fn park(
    conn: &mut AnyConn,
    ring: &Keyring,
    courier: &str,
    event: &CourierEvent,
    now: BusinessTime,
) -> Result<(), AppError> {
    let Some(number) = &event.tracking_no else {
        tracing::warn!(
            courier,
            code = event.code,
            "Courier event has no known reference and no tracking number; event ignored"
        );
        return Ok(());
    };
    let epoch = personal_record::current_epoch(conn, ring, now)?;
    let id = RowId::generate().to_string();
    let stored = StoredEvent {
        tracking_no: Some(number.expose().clone()),
        new_tracking_no: event.new_tracking_no.as_ref().map(|number| number.expose().clone()),
        status: event.news.as_str().map(str::to_owned),
        code: event.code.clone(),
        at: event.at,
        remark: event.remark.as_ref().map(|remark| remark.expose().clone()),
    };
    let stored = stored.to_bytes();
    let fingerprints = ring.fingerprints(
        &personal_record::living_epochs(conn, ring)?,
        Kind::Tracking,
        number.expose(),
    );
    let waiting = parked::of_fingerprints(conn, courier, &fingerprints)?;
    for row in &waiting {
        if *ring.open(row.epoch, Table::ParkedEvents, &row.id, &row.sealed)? == *stored {
            return Ok(());
        }
    }
    if waiting.len() >= PARKED_OF_ONE {
        tracing::warn!(
            courier,
            code = event.code,
            "Unmatched-event limit reached for this tracking number; event dropped"
        );
        return Ok(());
    }
    parked::add_in_tx(
        conn,
        &ParkedRow {
            courier: courier.to_owned(),
            tracking_print: ring.fingerprint(epoch, Kind::Tracking, number.expose())?,
            epoch,
            sealed: ring.seal(epoch, Table::ParkedEvents, &id, &stored)?,
            expires_at: to_row(now + PARKED_FOR),
            id,
        },
    )?;
    tracing::info!(
        courier,
        code = event.code,
        "Courier event matches no booking yet; kept sealed for 72 hours"
    );
    Ok(())
}

/// Applies what was parked for a parcel whose booking has just become known.
///
/// # Errors
/// Keys or store.
pub(crate) fn apply_parked(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    order: Order,
    attempt: Attempt,
    tracking_no: Option<&Pii<String>>,
    now: Now,
) -> Result<(), AppError> {
    let Some(number) = tracking_no else { return Ok(()) };
    let fingerprints = ring.fingerprints(
        &personal_record::living_epochs(conn, ring)?,
        Kind::Tracking,
        number.expose(),
    );
    let (mut order, mut attempt) = (order, attempt);
    // Only pushes are parked.
    let trust = Trust::in_pushes_of(app, &attempt.courier);
    for row in parked::take_in_tx(conn, &attempt.courier, &fingerprints)? {
        let plain = ring.open(row.epoch, Table::ParkedEvents, &row.id, &row.sealed)?;
        let stored = StoredEvent::from_bytes(&plain).ok_or_else(|| StoreError::corrupt("parked_events", &row.id))?;
        let event = CourierEvent {
            reference: None,
            provider_ref: None,
            tracking_no: stored.tracking_no.map(Pii::new),
            new_tracking_no: stored.new_tracking_no.map(Pii::new),
            new_provider_ref: None,
            news: News::parse(stored.status.as_deref()),
            code: stored.code,
            at: stored.at,
            remark: stored.remark.map(Pii::new),
        };
        take_numbers(conn, ring, &order, &attempt, &event, now)?;
        apply(conn, ring, app, &mut order, &mut attempt, &event, trust, now)?;
    }
    Ok(())
}

/// Locks the attempt's order and applies an event to both.
///
/// # Errors
/// Keys or store.
pub(crate) fn apply_to(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    id: AttemptId,
    event: &CourierEvent,
    trust: Trust,
    now: Now,
) -> Result<(), AppError> {
    let found = shipments::find(conn, id)?.ok_or(AppError::NotFound)?;
    let Some(mut order) = personal_record::lock_unless_purged(conn, found.order_id)? else {
        tracing::info!(
            courier = found.courier,
            code = event.code,
            "Courier event for a purged order acknowledged; nothing stored"
        );
        return Ok(());
    };
    let mut attempt = shipments::find(conn, id)?.ok_or(AppError::NotFound)?;
    let current = order.attempt == attempt.number;
    let was_booked = attempt.state == ShipmentState::Booked;
    match attempt.state {
        ShipmentState::Booked => {}
        // Called off: that it was taken on, told late or again, says nothing; a parcel that moves is alive after all.
        ShipmentState::Failed if attempt.booked_at.is_some() && event.news != News::Revived && !moves(event) => {
            return Ok(());
        }
        // There is no parcel, and none was thought to be.
        _ if event.news == News::CalledOff && !attempt.state.is_in_flight() => return Ok(()),
        // The courier speaks of a parcel that we were not sure of: that settles it.
        _ if current && attempt.state != ShipmentState::Cancelled && order.status == OrderStatus::Printed => {
            let actor = Actor::courier(&attempt.courier);
            let booked = Booked {
                provider_ref: event.provider_ref.clone(),
                ..Booked::under(event.tracking_no.clone())
            };
            record_booked(conn, ring, &order, &mut attempt, &booked, &actor, now.business)?;
        }
        // It moves although it was called off, or was given up.
        _ => {
            if moves(event) {
                duplicate_parcel(conn, ring, &order, &attempt, event.tracking_no.as_ref(), now)?;
            }
            return Ok(());
        }
    }
    let numbers = take_numbers(conn, ring, &order, &attempt, event, now)?;
    apply(conn, ring, app, &mut order, &mut attempt, event, trust, now)?;
    // A number that was not known before may have news waiting under it.
    for (number, _) in numbers.into_iter().filter(|(_, added)| *added || !was_booked) {
        apply_parked(conn, ring, app, order.clone(), attempt.clone(), Some(number), now)?;
    }
    Ok(())
}

/// Whether an event tells of a parcel that was really there to be moved.
fn moves(event: &CourierEvent) -> bool {
    matches!(event.news, News::Moved(status) if status != TrackingStatus::Accepted)
}

/// Adds the numbers that an event names to its parcel; returns each, and whether it was new. News under a number that the
/// courier changed to are asked for.
fn take_numbers<'a>(
    conn: &mut AnyConn,
    ring: &Keyring,
    order: &Order,
    attempt: &Attempt,
    event: &'a CourierEvent,
    now: Now,
) -> Result<Vec<(&'a Pii<String>, bool)>, AppError> {
    let mut numbers = Vec::new();
    let its_new = new_number(conn, ring, attempt, event)?;
    for number in [event.tracking_no.as_ref(), its_new].into_iter().flatten() {
        let added = booking_attempts::add_tracking(conn, ring, order, attempt, number, now.business)?;
        if added && its_new == Some(number) {
            booking_attempts::enqueue(conn, Job::Watch(attempt.id), now)?;
        }
        numbers.push((number, added));
    }
    Ok(numbers)
}

/// The new number that an event gives a parcel; not one that is another parcel's, whose news would end the wrong order.
fn new_number<'a>(
    conn: &mut AnyConn,
    ring: &Keyring,
    attempt: &Attempt,
    event: &'a CourierEvent,
) -> Result<Option<&'a Pii<String>>, AppError> {
    let number = event.new_tracking_no.as_ref();
    if holder(conn, ring, attempt, number)? == Holder::Another {
        tracing::error!(
            order = %attempt.order_id,
            courier = attempt.courier,
            code = event.code,
            "Courier event assigns another parcel's tracking number; number ignored"
        );
        return Ok(None);
    }
    Ok(number)
}

/// Applies an event, whose numbers are taken in already, to a locked order and its booked attempt.
///
/// # Errors
/// Keys or store.
#[expect(clippy::too_many_arguments, reason = "what one event meets in one transaction")]
fn apply(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    order: &mut Order,
    attempt: &mut Attempt,
    event: &CourierEvent,
    trust: Trust,
    now: Now,
) -> Result<(), AppError> {
    if let Some(remark) = &event.remark {
        let known = personal_records::remark_fingerprints(conn, &[order.id])?;
        let epoch = personal_record::current_epoch(conn, ring, now.business)?;
        if let Some(row) = remark_row(ring, epoch, &known, attempt, event, remark)? {
            personal_records::add_remarks_in_tx(conn, &[row])?;
        }
    }
    if let Some(provider_ref) = &event.new_provider_ref {
        let change = shipments::Change::at(now.business).provider_ref(provider_ref);
        shipments::change_in_tx(conn, attempt.id, &change)?;
    }
    match event.news {
        News::CalledOff => return called_off(conn, order, attempt, event, trust, now),
        News::Unchanged => {
            note_unmapped(app, attempt, event);
            return Ok(());
        }
        News::Moved(_) | News::NotCollected | News::Revived => {}
    }
    let moved = advance(order, attempt, event, trust, now.business, app.settings.window)?;
    write_moved(conn, &moved.into_iter().collect::<Vec<_>>(), &[order], &[attempt], now)
}

/// What an event that changed something leaves to be written beside the order and the attempt.
#[derive(Debug)]
pub(crate) struct Moved {
    entries: Vec<EventRow>,
    /// The attempt whose end is to be confirmed.
    unconfirmed: Option<AttemptId>,
}

/// Writes what events have changed: these orders, these attempts, and what they leave.
///
/// # Errors
/// The store.
pub(crate) fn write_moved(
    conn: &mut AnyConn,
    moved: &[Moved],
    orders: &[&Order],
    attempts: &[&Attempt],
    now: Now,
) -> Result<(), AppError> {
    if moved.is_empty() {
        return Ok(());
    }
    shipments::save_heard_in_tx(conn, attempts, now.business)?;
    save_progress_in_tx(conn, orders)?;
    let entries: Vec<EventRow> = moved.iter().flat_map(|moved| &moved.entries).cloned().collect();
    timeline::add_all_in_tx(conn, &entries)?;
    for attempt in moved.iter().filter_map(|moved| moved.unconfirmed) {
        booking_attempts::enqueue(conn, Job::ConfirmEnd(attempt), now)?;
    }
    Ok(())
}

/// Counts and logs a code that moves nothing.
pub(crate) fn note_unmapped(app: &App, attempt: &Attempt, event: &CourierEvent) {
    app.couriers.count_unmapped(&attempt.courier, &event.code);
    tracing::info!(
        courier = attempt.courier,
        code = event.code,
        "Courier status code is not mapped; event ignored"
    );
}

/// Moves a parcel, and its order with it, as far as an event goes, in memory; `None` where it changes nothing.
///
/// # Errors
/// None in practice: a step is asked for only where it is possible.
pub(crate) fn advance(
    order: &mut Order,
    attempt: &mut Attempt,
    event: &CourierEvent,
    trust: Trust,
    now: BusinessTime,
    window: Duration,
) -> Result<Option<Moved>, AppError> {
    let status = match event.news {
        News::Moved(status) => status,
        // Told late, of a parcel that was collected after all.
        News::NotCollected if order.status.is_shipped() => return Ok(None),
        News::NotCollected => TrackingStatus::Exception,
        News::Revived => TrackingStatus::Accepted,
        News::CalledOff | News::Unchanged => return Ok(None),
    };
    let Some(progress) = Progress::after(attempt.progress, Progress { status, at: event.at }) else {
        return Ok(None);
    };
    let (status, actor) = (progress.status, Actor::courier(&attempt.courier));
    let entry = |order: &Order, kind| EventRow::new(order.id, now, kind, order.status, &actor, Some(status.as_str()));
    if trust == Trust::Unsigned && status.is_end() {
        // Noted, and the courier is asked whether it is true.
        if attempt.end_reported.is_some_and(|known| known.status == status) {
            return Ok(None);
        }
        attempt.end_reported = Some(ReportedEnd { status, at: now });
        return Ok(Some(Moved {
            entries: vec![entry(order, TimelineKind::EndReported)],
            unconfirmed: Some(attempt.id),
        }));
    }
    attempt.progress = Some(progress);
    if status.is_end() {
        attempt.end_reported = None;
        attempt.poll_at = None;
    } else {
        attempt.poll_at = Some(ask_again_at(now));
    }
    let mut entries = vec![entry(order, TimelineKind::Tracking)];
    // Only the current parcel moves its order.
    if order.attempt == attempt.number {
        match OrderStatus::step_for(status).filter(|_| event.news != News::NotCollected) {
            Some(step) if order.status.after(step).is_ok() => {
                let by = By {
                    actor: &actor,
                    code: None,
                    now,
                    window,
                };
                entries.push(booking_attempts::stepped(order, step, &by)?);
            }
            // No step of the order, but the parcel moves: it is not stuck.
            _ if !order.status.is_ended() => {
                order.moved_at = now;
                order.updated_at = now;
            }
            _ => {}
        }
    }
    Ok(Some(Moved {
        entries,
        unconfirmed: None,
    }))
}

/// The courier will not carry it after all. Before it left, a person decides how it goes on; afterwards the courier's
/// tracking speaks, and not its order desk. Where nobody signed it the courier is asked first: while the parcel may be
/// carried all the same, there must not be a second one.
fn called_off(
    conn: &mut AnyConn,
    order: &Order,
    attempt: &mut Attempt,
    event: &CourierEvent,
    trust: Trust,
    now: Now,
) -> Result<(), AppError> {
    if order.status.is_shipped() || order.status.is_ended() || attempt.state != ShipmentState::Booked {
        return Ok(());
    }
    if trust == Trust::Unsigned {
        tracing::info!(order = %order.id, courier = attempt.courier, code = event.code, "Unsigned push reports a cancelled booking; asking the courier to confirm it");
        return booking_attempts::enqueue(conn, Job::ConfirmCallOff(attempt.id), now);
    }
    let change = shipments::Change::at(now.business)
        .state(ShipmentState::Failed)
        .poll_at(None)
        .error("called_off_by_courier");
    shipments::change_in_tx(conn, attempt.id, &change)?;
    attempt.state = ShipmentState::Failed;
    let actor = Actor::courier(&attempt.courier);
    note_event(
        conn,
        order,
        TimelineKind::BookingFailed,
        &actor,
        Some("called_off_by_courier"),
        now.business,
    )?;
    tracing::warn!(order = %order.id, courier = attempt.courier, code = event.code, "Courier cancelled a booked parcel; manual decision required");
    Ok(())
}

/// What makes two remarks the same: the parcel, the moment and the words.
pub(crate) fn remark_identity(attempt: u8, at: BusinessTime, text: &str) -> String {
    format!("{attempt}|{}|{text}", at.timestamp_micros())
}

/// Seals what the courier wrote, unless its order has it among the `known` remarks already.
///
/// # Errors
/// Keys.
pub(crate) fn remark_row(
    ring: &Keyring,
    epoch: i64,
    known: &[RemarkFingerprint],
    attempt: &Attempt,
    event: &CourierEvent,
    remark: &Pii<String>,
) -> Result<Option<RemarkRow>, AppError> {
    let identity = remark_identity(attempt.number, event.at, remark.expose());
    let order_id = attempt.order_id.to_string();
    for (_, under, fingerprint) in known.iter().filter(|(order, ..)| *order == order_id) {
        match ring.fingerprint(*under, Kind::Remark, &identity) {
            Ok(same) if same == *fingerprint => return Ok(None),
            // A replica sealed it under a key that is newer than these.
            Err(VaultError::KeyGone) if ring.is_older_than(*under) => {
                return Err(AppError::NeedsEpoch(*under));
            }
            Ok(_) | Err(VaultError::KeyGone) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let id = RowId::generate().to_string();
    Ok(Some(RemarkRow {
        attempt: attempt.number.into(),
        at: to_row(event.at),
        epoch,
        sealed: ring.seal(epoch, Table::CourierRemark, &id, remark.expose().as_bytes())?,
        remark_print: ring.fingerprint(epoch, Kind::Remark, &identity)?,
        order_id,
        id,
    }))
}
