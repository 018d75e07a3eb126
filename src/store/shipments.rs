//! Booking attempts, their tracking fingerprints, and what third parties were told.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::{BusinessTime, WallTime};
use crate::domain::ids::{AttemptId, BookingReference, OrderId, RowId};
use crate::domain::shipment::{Attempt, CallingOff, Progress, ReportedEnd, ShipmentState, TrackingStatus};
use crate::store::dialect::{self, Fingerprints, update_rows};
use crate::store::schema::{disclosures, order_tracking, orders, shipment_attempts};
use crate::store::{AnyConn, StoreError, from_row, to_row};

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = shipment_attempts)]
struct AttemptRow {
    id: String,
    order_id: String,
    number: i16,
    courier: String,
    reference: String,
    state: String,
    provider_ref: Option<String>,
    tries: i16,
    first_sent_at: Option<NaiveDateTime>,
    network_deadline: Option<NaiveDateTime>,
    booked_at: Option<NaiveDateTime>,
    tracking_status: Option<String>,
    tracking_at: Option<NaiveDateTime>,
    last_error: Option<String>,
    service: Option<String>,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
    poll_at: Option<NaiveDateTime>,
    polled_at: Option<NaiveDateTime>,
    end_reported: Option<String>,
    end_reported_at: Option<NaiveDateTime>,
    calling_off: Option<String>,
}

impl TryFrom<AttemptRow> for Attempt {
    type Error = StoreError;

    fn try_from(row: AttemptRow) -> Result<Self, StoreError> {
        let corrupt = || StoreError::corrupt("shipment_attempts", &row.id);
        let progress = match (&row.tracking_status, row.tracking_at) {
            (Some(status), Some(at)) => Some(Progress {
                status: TrackingStatus::parse(status).ok_or_else(corrupt)?,
                at: from_row(at),
            }),
            (None, None) => None,
            _ => return Err(corrupt()),
        };
        let end_reported = match (&row.end_reported, row.end_reported_at) {
            (Some(status), Some(at)) => Some(ReportedEnd {
                status: TrackingStatus::parse(status).ok_or_else(corrupt)?,
                at: from_row(at),
            }),
            (None, None) => None,
            _ => return Err(corrupt()),
        };
        let calling_off = match &row.calling_off {
            Some(why) => Some(CallingOff::parse(why).ok_or_else(corrupt)?),
            None => None,
        };
        Ok(Self {
            end_reported,
            calling_off,
            poll_at: row.poll_at.map(from_row),
            polled_at: row.polled_at.map(from_row),
            id: row.id.parse().map_err(|_| corrupt())?,
            order_id: row.order_id.parse().map_err(|_| corrupt())?,
            number: u8::try_from(row.number).map_err(|_| corrupt())?,
            reference: BookingReference::parse(&row.reference).ok_or_else(corrupt)?,
            state: ShipmentState::parse(&row.state).ok_or_else(corrupt)?,
            tries: u16::try_from(row.tries).map_err(|_| corrupt())?,
            first_sent_at: row.first_sent_at.map(from_row),
            network_deadline: row.network_deadline.map(from_row),
            booked_at: row.booked_at.map(from_row),
            progress,
            courier: row.courier,
            provider_ref: row.provider_ref,
            last_error: row.last_error,
            service: row.service,
        })
    }
}

/// Writes a new attempt: pending, or, where it may have been sent by a database that this one is an old copy of,
/// unknown since `unknown_since` (wall time).
///
/// # Errors
/// The database.
pub fn add_in_tx(
    conn: &mut AnyConn,
    order: OrderId,
    number: u8,
    courier: &str,
    now: BusinessTime,
    unknown_since: Option<WallTime>,
) -> Result<AttemptId, StoreError> {
    let id = AttemptId::generate();
    let row = AttemptRow {
        id: id.to_string(),
        order_id: order.to_string(),
        number: number.into(),
        courier: courier.to_owned(),
        reference: BookingReference::new(order, number).to_string(),
        state: if unknown_since.is_some() {
            ShipmentState::Unknown
        } else {
            ShipmentState::Pending
        }
        .as_str()
        .to_owned(),
        provider_ref: None,
        tries: 0,
        first_sent_at: None,
        network_deadline: unknown_since.map(to_row),
        booked_at: None,
        tracking_status: None,
        tracking_at: None,
        last_error: None,
        service: None,
        created_at: to_row(now),
        updated_at: to_row(now),
        poll_at: None,
        polled_at: None,
        end_reported: None,
        end_reported_at: None,
        calling_off: None,
    };
    diesel::insert_into(shipment_attempts::table)
        .values(&row)
        .execute(conn)?;
    Ok(id)
}

/// An attempt by its id.
///
/// # Errors
/// The database, or a corrupt row.
pub fn find(conn: &mut AnyConn, id: AttemptId) -> Result<Option<Attempt>, StoreError> {
    let row: Option<AttemptRow> = shipment_attempts::table
        .find(id.to_string())
        .select(AttemptRow::as_select())
        .first(conn)
        .optional()?;
    row.map(Attempt::try_from).transpose()
}

/// An order's attempt of that number.
///
/// # Errors
/// The database, or a corrupt row.
pub fn of_order(conn: &mut AnyConn, order: OrderId, number: u8) -> Result<Option<Attempt>, StoreError> {
    let row: Option<AttemptRow> = shipment_attempts::table
        .filter(shipment_attempts::order_id.eq(order.to_string()))
        .filter(shipment_attempts::number.eq(i16::from(number)))
        .select(AttemptRow::as_select())
        .first(conn)
        .optional()?;
    row.map(Attempt::try_from).transpose()
}

/// Every attempt of these orders, oldest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn of_orders(conn: &mut AnyConn, orders: &[OrderId]) -> Result<Vec<Attempt>, StoreError> {
    let ids: Vec<String> = orders.iter().map(ToString::to_string).collect();
    let theirs = shipment_attempts::table
        .filter(shipment_attempts::order_id.eq_any(&ids))
        .order((shipment_attempts::order_id, shipment_attempts::number));
    let rows: Vec<AttemptRow> = dialect::on_engine!(conn, |conn| theirs.select(AttemptRow::as_select()).load(conn))?;
    rows.into_iter().map(Attempt::try_from).collect()
}

/// The attempt that carries our reference.
///
/// # Errors
/// The database, or a corrupt row.
pub fn by_reference(conn: &mut AnyConn, reference: &BookingReference) -> Result<Option<Attempt>, StoreError> {
    let row: Option<AttemptRow> = shipment_attempts::table
        .filter(shipment_attempts::reference.eq(reference.as_str()))
        .select(AttemptRow::as_select())
        .first(conn)
        .optional()?;
    row.map(Attempt::try_from).transpose()
}

/// The newest attempt with that courier to which the courier gave that id.
///
/// # Errors
/// The database, or a corrupt row.
pub fn by_provider_ref(conn: &mut AnyConn, courier: &str, provider_ref: &str) -> Result<Option<Attempt>, StoreError> {
    let row: Option<AttemptRow> = shipment_attempts::table
        .filter(shipment_attempts::provider_ref.eq(provider_ref))
        .filter(shipment_attempts::courier.eq(courier))
        .order(shipment_attempts::id.desc())
        .select(AttemptRow::as_select())
        .first(conn)
        .optional()?;
    row.map(Attempt::try_from).transpose()
}

/// The attempts to which couriers gave these ids, oldest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn by_provider_refs(conn: &mut AnyConn, provider_refs: &[&str]) -> Result<Vec<Attempt>, StoreError> {
    let these = shipment_attempts::table
        .filter(shipment_attempts::provider_ref.eq_any(provider_refs))
        .order(shipment_attempts::id);
    let rows: Vec<AttemptRow> = dialect::on_engine!(conn, |conn| these.select(AttemptRow::as_select()).load(conn))?;
    rows.into_iter().map(Attempt::try_from).collect()
}

/// What a step writes into an attempt's row; what is not set stays.
#[derive(Debug, Default, AsChangeset)]
#[diesel(table_name = shipment_attempts)]
pub struct Change {
    state: Option<&'static str>,
    provider_ref: Option<Option<String>>,
    tries: Option<i16>,
    first_sent_at: Option<NaiveDateTime>,
    network_deadline: Option<NaiveDateTime>,
    booked_at: Option<NaiveDateTime>,
    last_error: Option<Option<String>>,
    service: Option<String>,
    updated_at: Option<NaiveDateTime>,
    poll_at: Option<Option<NaiveDateTime>>,
    polled_at: Option<NaiveDateTime>,
    end_reported: Option<Option<&'static str>>,
    end_reported_at: Option<Option<NaiveDateTime>>,
    calling_off: Option<Option<&'static str>>,
}

impl Change {
    /// A change made at `now`.
    pub fn at(now: BusinessTime) -> Self {
        Self {
            updated_at: Some(to_row(now)),
            ..Self::default()
        }
    }

    /// Sets the state.
    pub fn state(mut self, state: ShipmentState) -> Self {
        self.state = Some(state.as_str());
        self
    }

    /// Notes a send that begins at `wall` and whose network calls end before `deadline`.
    pub fn sending(mut self, attempt: &Attempt, wall: WallTime, deadline: WallTime) -> Self {
        self.state = Some(ShipmentState::Booking.as_str());
        self.tries = Some(i16::try_from(attempt.tries).unwrap_or(i16::MAX).saturating_add(1));
        if attempt.first_sent_at.is_none() {
            self.first_sent_at = Some(to_row(wall));
        }
        self.network_deadline = Some(to_row(deadline));
        self
    }

    /// Notes the courier's own id.
    pub fn provider_ref(mut self, provider_ref: &str) -> Self {
        self.provider_ref = Some(Some(provider_ref.to_owned()));
        self
    }

    /// Notes that the parcel exists.
    pub fn booked(mut self, now: BusinessTime) -> Self {
        self.state = Some(ShipmentState::Booked.as_str());
        self.booked_at = Some(to_row(now));
        self.last_error = Some(None);
        self
    }

    /// Sets when the courier is next asked about it (business time); `None`: not any more.
    pub fn poll_at(mut self, at: Option<BusinessTime>) -> Self {
        self.poll_at = Some(at.map(to_row));
        self
    }

    /// Notes that the courier is asked about it at `wall`.
    pub fn polled(mut self, wall: WallTime) -> Self {
        self.polled_at = Some(to_row(wall));
        self
    }

    /// Notes an end that is to be confirmed, or that there is none any more.
    pub fn end_reported(mut self, end: Option<ReportedEnd>) -> Self {
        self.end_reported = Some(end.map(|end| end.status.as_str()));
        self.end_reported_at = Some(end.map(|end| to_row(end.at)));
        self
    }

    /// Notes that it is being called off, or that it is not any more.
    pub fn calling_off(mut self, why: Option<CallingOff>) -> Self {
        self.calling_off = Some(why.map(CallingOff::as_str));
        self
    }

    /// Notes what was bought.
    pub fn service(mut self, service: &str) -> Self {
        self.service = Some(service.chars().take(100).collect());
        self
    }

    /// Notes why the last try did not succeed: a stable code.
    pub fn error(mut self, code: &str) -> Self {
        self.last_error = Some(Some(code.chars().take(100).collect()));
        self
    }
}

/// What was heard of an attempt's parcel, and when its courier is asked next.
#[derive(Debug, AsChangeset)]
#[diesel(table_name = shipment_attempts, treat_none_as_null = true)]
pub(in crate::store) struct Heard {
    pub(in crate::store) tracking_status: Option<&'static str>,
    pub(in crate::store) tracking_at: Option<NaiveDateTime>,
    pub(in crate::store) poll_at: Option<NaiveDateTime>,
    pub(in crate::store) end_reported: Option<&'static str>,
    pub(in crate::store) end_reported_at: Option<NaiveDateTime>,
    pub(in crate::store) updated_at: NaiveDateTime,
}

impl Heard {
    pub(in crate::store) fn of(attempt: &Attempt, now: NaiveDateTime) -> Self {
        Self {
            tracking_status: attempt.progress.map(|progress| progress.status.as_str()),
            tracking_at: attempt.progress.map(|progress| to_row(progress.at)),
            poll_at: attempt.poll_at.map(to_row),
            end_reported: attempt.end_reported.map(|end| end.status.as_str()),
            end_reported_at: attempt.end_reported.map(|end| to_row(end.at)),
            updated_at: now,
        }
    }
}

/// Writes what was heard of these attempts' parcels, whose orders' rows this transaction has locked.
///
/// # Errors
/// The database.
pub fn save_heard_in_tx(conn: &mut AnyConn, attempts: &[&Attempt], now: BusinessTime) -> Result<(), StoreError> {
    update_heard(conn, attempts, to_row(now))
}

/// Writes a change to an attempt whose order's row this transaction has locked.
///
/// # Errors
/// The database.
pub fn change_in_tx(conn: &mut AnyConn, id: AttemptId, change: &Change) -> Result<(), StoreError> {
    diesel::update(shipment_attempts::table.find(id.to_string()))
        .set(change)
        .execute(conn)?;
    Ok(())
}

/// Parcels of a courier that are to be asked for by `now` (business) and were not asked for since `asked_before` (wall),
/// at most `limit`, each locked; what another replica is just taking is passed over.
///
/// # Errors
/// The database, or a corrupt row.
pub fn pick_due_polls_in_tx(
    conn: &mut AnyConn,
    courier: &str,
    now: BusinessTime,
    asked_before: WallTime,
    limit: i64,
) -> Result<Vec<Attempt>, StoreError> {
    let ids = dialect::pick_due_polls(conn, courier, to_row(now), to_row(asked_before), limit)?;
    let rows: Vec<AttemptRow> = shipment_attempts::table
        .filter(shipment_attempts::id.eq_any(&ids))
        .select(AttemptRow::as_select())
        .load(conn)?;
    rows.into_iter().map(Attempt::try_from).collect()
}

/// How many current parcels have a reported end that waits to be confirmed since `since` or longer.
///
/// # Errors
/// The database.
pub fn count_unconfirmed_ends(conn: &mut AnyConn, since: BusinessTime) -> Result<i64, StoreError> {
    Ok(shipment_attempts::table
        .inner_join(orders::table)
        .filter(shipment_attempts::number.eq(orders::attempt))
        .filter(shipment_attempts::end_reported_at.le(to_row(since)))
        .filter(orders::purge_decided_at.is_null())
        .count()
        .get_result(conn)?)
}

/// Makes every attempt that is to be sent, or may have been, one of unknown outcome: an old copy does not know what
/// became of it. No request for one of them can still be under way after `deadline` (wall time). Returns the orders, so
/// that they can be driven on.
///
/// # Errors
/// The database, or a corrupt row.
pub fn mark_unknown_in_tx(
    conn: &mut AnyConn,
    now: BusinessTime,
    deadline: WallTime,
) -> Result<Vec<OrderId>, StoreError> {
    let open = || shipment_attempts::table.filter(shipment_attempts::state.eq_any(["pending", "booking", "unknown"]));
    let ids: Vec<String> = open().select(shipment_attempts::order_id).distinct().load(conn)?;
    diesel::update(open())
        .set((
            shipment_attempts::state.eq(ShipmentState::Unknown.as_str()),
            shipment_attempts::network_deadline.eq(to_row(deadline)),
            shipment_attempts::last_error.eq("restored"),
            shipment_attempts::updated_at.eq(to_row(now)),
        ))
        .execute(conn)?;
    ids.into_iter()
        .map(|id| id.parse().map_err(|_| StoreError::corrupt("shipment_attempts", &id)))
        .collect()
}

/// A tracking number's fingerprint, and whose it is.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = order_tracking)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct TrackingRow {
    pub id: String,
    pub order_id: String,
    pub attempt: i16,
    pub courier: String,
    pub epoch: i64,
    pub tracking_print: Vec<u8>,
}

/// Notes a tracking number's fingerprint for an attempt.
///
/// # Errors
/// The database.
pub fn add_tracking_in_tx(conn: &mut AnyConn, row: &TrackingRow) -> Result<(), StoreError> {
    diesel::insert_into(order_tracking::table).values(row).execute(conn)?;
    Ok(())
}

/// Everything that carries one of these fingerprints, newest first; of one courier or of all.
///
/// # Errors
/// The database.
pub fn by_tracking(
    conn: &mut AnyConn,
    fingerprints: &[(i64, Vec<u8>)],
    courier: Option<&str>,
) -> Result<Vec<TrackingRow>, StoreError> {
    let found = dialect::find_by_fingerprints(conn, Fingerprints::Tracking, fingerprints, "")?;
    let these = order_tracking::table
        .filter(order_tracking::id.eq_any(found))
        .order(order_tracking::id.desc());
    let mut rows: Vec<TrackingRow> =
        dialect::on_engine!(conn, |conn| these.select(TrackingRow::as_select()).load(conn))?;
    if let Some(courier) = courier {
        rows.retain(|row| row.courier == courier);
    }
    Ok(rows)
}

/// Whether an attempt has a tracking number at all.
///
/// # Errors
/// The database.
pub fn has_tracking(conn: &mut AnyConn, attempt: &Attempt) -> Result<bool, StoreError> {
    let of_attempt = order_tracking::table
        .filter(order_tracking::order_id.eq(attempt.order_id.to_string()))
        .filter(order_tracking::attempt.eq(i16::from(attempt.number)));
    let found: i64 = of_attempt.count().get_result(conn)?;
    Ok(found > 0)
}

/// A hand-over of personal fields to a third party.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = disclosures)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct DisclosureRow {
    pub id: String,
    pub order_id: String,
    pub attempt: i16,
    pub recipient: String,
    pub fields: String,
    pub purpose: String,
    pub at: NaiveDateTime,
}

/// Records that a courier is being told these fields for this attempt; `purpose` is `delivery` or `tracking`.
///
/// # Errors
/// The database.
pub fn disclose_in_tx(
    conn: &mut AnyConn,
    attempt: &Attempt,
    fields: &str,
    purpose: &str,
    at: BusinessTime,
) -> Result<(), StoreError> {
    let row = DisclosureRow {
        id: RowId::generate().to_string(),
        order_id: attempt.order_id.to_string(),
        attempt: attempt.number.into(),
        recipient: attempt.courier.clone(),
        fields: fields.to_owned(),
        purpose: purpose.to_owned(),
        at: to_row(at),
    };
    diesel::insert_into(disclosures::table).values(&row).execute(conn)?;
    Ok(())
}

/// The hand-overs of an order, oldest first.
///
/// # Errors
/// The database.
pub fn disclosures_of(conn: &mut AnyConn, order: OrderId) -> Result<Vec<DisclosureRow>, StoreError> {
    Ok(disclosures::table
        .filter(disclosures::order_id.eq(order.to_string()))
        .order(disclosures::id)
        .select(DisclosureRow::as_select())
        .load(conn)?)
}

/// Writes what was heard of these attempts' parcels.
///
/// # Errors
/// The database.
fn update_heard(conn: &mut AnyConn, these: &[&Attempt], now: NaiveDateTime) -> Result<(), StoreError> {
    let heard: Vec<(String, Heard)> = these
        .iter()
        .map(|attempt| (attempt.id.to_string(), Heard::of(attempt, now)))
        .collect();
    update_rows!(conn, shipment_attempts, &heard, |heard| [
        tracking_status: TextOrNull = heard.tracking_status,
        tracking_at: TimestampOrNull = heard.tracking_at,
        poll_at: TimestampOrNull = heard.poll_at,
        end_reported: TextOrNull = heard.end_reported,
        end_reported_at: TimestampOrNull = heard.end_reported_at,
        updated_at: Timestamp = heard.updated_at,
    ]);
    Ok(())
}
