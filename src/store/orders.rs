//! The facts of orders: rows, look-ups, lists, and the changes that the app's verbs make.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::{BusinessTime, WallTime};
use crate::domain::ids::OrderId;
use crate::domain::money::{Currency, Money};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::retention::PurgeReason;
use crate::domain::shipment::ShipmentState;
use crate::domain::subject_request::Restriction;
use crate::store::dialect::{per_engine, update_rows};
use crate::store::schema::{order_items, orders, shipment_attempts};
use crate::store::{AnyConn, StoreError, dialect, from_row, to_row};

/// A row of `orders`, exactly as stored.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = orders)]
pub struct OrderRow {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) reference: String,
    pub(crate) reference_free: bool,
    pub(crate) status: String,
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    pub(crate) courier: String,
    pub(crate) minor: bool,
    pub(crate) policy_version: String,
    pub(crate) consent_at: NaiveDateTime,
    pub(crate) legal_basis: String,
    pub(crate) cross_border: bool,
    pub(crate) guardian_consent: bool,
    pub(crate) created_at: NaiveDateTime,
    pub(crate) updated_at: NaiveDateTime,
    pub(crate) moved_at: NaiveDateTime,
    pub(crate) attempt: i16,
    pub(crate) print_lessee: Option<String>,
    pub(crate) print_lease_until: Option<NaiveDateTime>,
    pub(crate) ended_at: Option<NaiveDateTime>,
    pub(crate) first_ended_at: Option<NaiveDateTime>,
    pub(crate) purge_due_at: Option<NaiveDateTime>,
    pub(crate) hold_until: Option<NaiveDateTime>,
    pub(crate) first_held_at: Option<NaiveDateTime>,
    pub(crate) purge_decided_at: Option<NaiveDateTime>,
    pub(crate) purge_reason: Option<String>,
    pub(crate) purged_at: Option<NaiveDateTime>,
    pub(crate) restricted_at: Option<NaiveDateTime>,
    pub(crate) restriction: Option<String>,
}

impl TryFrom<OrderRow> for Order {
    type Error = StoreError;

    fn try_from(row: OrderRow) -> Result<Self, StoreError> {
        let corrupt = || StoreError::corrupt("orders", &row.id);
        let currency = Currency::parse(&row.currency).map_err(|_| corrupt())?;
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt())?,
            status: OrderStatus::parse(&row.status).ok_or_else(corrupt)?,
            amount: Money::from_minor(row.amount_minor, currency).map_err(|_| corrupt())?,
            attempt: u8::try_from(row.attempt).map_err(|_| corrupt())?,
            purge_reason: match &row.purge_reason {
                Some(reason) => Some(PurgeReason::parse(reason).ok_or_else(corrupt)?),
                None => None,
            },
            restriction: match &row.restriction {
                Some(restriction) => Some(Restriction::parse(restriction).ok_or_else(corrupt)?),
                None => None,
            },
            created_at: from_row(row.created_at),
            updated_at: from_row(row.updated_at),
            moved_at: from_row(row.moved_at),
            print_lease_until: row.print_lease_until.map(from_row),
            ended_at: row.ended_at.map(from_row),
            first_ended_at: row.first_ended_at.map(from_row),
            purge_due_at: row.purge_due_at.map(from_row),
            hold_until: row.hold_until.map(from_row),
            first_held_at: row.first_held_at.map(from_row),
            purge_decided_at: row.purge_decided_at.map(from_row),
            purged_at: row.purged_at.map(from_row),
            restricted_at: row.restricted_at.map(from_row),
            client: row.client,
            reference: row.reference,
            courier: row.courier,
            minor: row.minor,
            cross_border: row.cross_border,
            print_lessee: row.print_lessee,
        })
    }
}

/// One line of an order, without its photo reference.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = order_items)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct ItemRow {
    pub order_id: String,
    pub line: i16,
    pub photo_size: String,
    pub copies: i16,
    pub sheets: i16,
}

/// Which orders a list shows. Newest first, by id.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the filters of the contract, by their names")]
pub struct Filter {
    pub client: Option<String>,
    pub reference: Option<String>,
    pub status: Option<OrderStatus>,
    pub courier: Option<String>,
    pub shipment_state: Option<ShipmentState>,
    /// Only orders with a reported end that has been waiting to be confirmed since before this moment.
    pub end_unconfirmed_since: Option<BusinessTime>,
    pub created_after: Option<BusinessTime>,
    pub created_before: Option<BusinessTime>,
    /// Only these orders, where a search by fingerprint found some.
    pub among: Option<Vec<OrderId>>,
    /// Only orders before this one (the last of the page before).
    pub before: Option<OrderId>,
}

/// One order.
///
/// # Errors
/// The database, or a corrupt row.
pub fn find(conn: &mut AnyConn, id: OrderId) -> Result<Option<Order>, StoreError> {
    let row: Option<OrderRow> = orders::table
        .find(id.to_string())
        .select(OrderRow::as_select())
        .first(conn)
        .optional()?;
    row.map(Order::try_from).transpose()
}

/// Locks an order's row until the transaction ends, then reads it: every change starts here.
///
/// # Errors
/// The database, or a corrupt row.
pub fn lock_in_tx(conn: &mut AnyConn, id: OrderId) -> Result<Option<Order>, StoreError> {
    Ok(lock_all_in_tx(conn, &[id])?.pop())
}

/// Locks these orders' rows until the transaction ends, in the order of their ids, and reads them.
///
/// # Errors
/// The database, or a corrupt row.
pub fn lock_all_in_tx(conn: &mut AnyConn, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let rows = lock_rows(conn, &ids)?;
    rows.into_iter().map(Order::try_from).collect()
}

/// A page of orders, newest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn list(conn: &mut AnyConn, filter: &Filter, limit: i64) -> Result<Vec<Order>, StoreError> {
    match &filter.among {
        None => page(conn, filter, None, limit),
        Some(among) => page_among(among, filter.before, limit, |some, left| {
            page(conn, filter, Some(some), left)
        }),
    }
}

/// Orders that one statement may name: SQLite has 32,766 places in one.
pub(super) const NAMED_AT_ONCE: usize = 1000;

/// A page of those of `among` before `before` that `page` finds, newest first. It gets as many ids as one statement may name,
/// and how many orders are still wanted.
pub(super) fn page_among(
    among: &[OrderId],
    before: Option<OrderId>,
    limit: i64,
    mut page: impl FnMut(&[String], i64) -> Result<Vec<Order>, StoreError>,
) -> Result<Vec<Order>, StoreError> {
    let mut found = Vec::new();
    for some in named(among, before) {
        let left = limit.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        if left <= 0 {
            break;
        }
        found.extend(page(&some, left)?);
    }
    Ok(found)
}

/// Those of `among` before `before`, newest first and each once, in pieces that one statement may name.
pub(super) fn named(among: &[OrderId], before: Option<OrderId>) -> Vec<Vec<String>> {
    let wanted: BTreeSet<OrderId> = among
        .iter()
        .filter(|id| before.is_none_or(|before| **id < before))
        .copied()
        .collect();
    let ids: Vec<String> = wanted.iter().rev().map(ToString::to_string).collect();
    ids.chunks(NAMED_AT_ONCE).map(<[String]>::to_vec).collect()
}

fn page(conn: &mut AnyConn, filter: &Filter, among: Option<&[String]>, limit: i64) -> Result<Vec<Order>, StoreError> {
    let mut query = orders::table
        .select(OrderRow::as_select())
        .order(orders::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(client) = &filter.client {
        query = query.filter(orders::client.eq(client));
    }
    if let Some(reference) = &filter.reference {
        query = query.filter(orders::reference.eq(reference));
    }
    if let Some(status) = filter.status {
        query = query.filter(orders::status.eq(status.as_str()));
    }
    if let Some(courier) = &filter.courier {
        query = query.filter(orders::courier.eq(courier));
    }
    if let Some(state) = filter.shipment_state {
        let current = shipment_attempts::table
            .filter(shipment_attempts::order_id.eq(orders::id))
            .filter(shipment_attempts::number.eq(orders::attempt))
            .filter(shipment_attempts::state.eq(state.as_str()));
        query = query.filter(diesel::dsl::exists(current));
    }
    if let Some(since) = filter.end_unconfirmed_since {
        let reported = shipment_attempts::table
            .filter(shipment_attempts::order_id.eq(orders::id))
            .filter(shipment_attempts::number.eq(orders::attempt))
            .filter(shipment_attempts::end_reported_at.le(to_row(since)));
        query = query.filter(diesel::dsl::exists(reported));
        query = query.filter(orders::purge_decided_at.is_null());
    }
    if let Some(after) = filter.created_after {
        query = query.filter(orders::created_at.ge(to_row(after)));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(orders::created_at.lt(to_row(before)));
    }
    if let Some(among) = among {
        query = query.filter(orders::id.eq_any(among));
    }
    if let Some(before) = filter.before {
        query = query.filter(orders::id.lt(before.to_string()));
    }
    let rows: Vec<OrderRow> = query.load(conn)?;
    rows.into_iter().map(Order::try_from).collect()
}

/// The items of these orders, in their lines' order.
///
/// # Errors
/// The database.
pub fn items_of(conn: &mut AnyConn, orders: &[OrderId]) -> Result<Vec<ItemRow>, StoreError> {
    let ids: Vec<String> = orders.iter().map(ToString::to_string).collect();
    Ok(order_items::table
        .filter(order_items::order_id.eq_any(&ids))
        .order((order_items::order_id, order_items::line))
        .select(ItemRow::as_select())
        .load(conn)?)
}

/// How far an order is, and its clocks.
#[derive(Debug, AsChangeset)]
#[diesel(table_name = orders, treat_none_as_null = true)]
pub(in crate::store) struct OrderProgress {
    pub(in crate::store) status: &'static str,
    pub(in crate::store) updated_at: NaiveDateTime,
    pub(in crate::store) moved_at: NaiveDateTime,
    pub(in crate::store) ended_at: Option<NaiveDateTime>,
    pub(in crate::store) first_ended_at: Option<NaiveDateTime>,
    pub(in crate::store) purge_due_at: Option<NaiveDateTime>,
}

impl OrderProgress {
    pub(in crate::store) fn of(order: &Order) -> Self {
        Self {
            status: order.status.as_str(),
            updated_at: to_row(order.updated_at),
            moved_at: to_row(order.moved_at),
            ended_at: order.ended_at.map(to_row),
            first_ended_at: order.first_ended_at.map(to_row),
            purge_due_at: order.purge_due_at.map(to_row),
        }
    }
}

/// What a step writes into an order's row. `None` in an outer option leaves the column as it is.
#[derive(Debug, Default, AsChangeset)]
#[diesel(table_name = orders)]
pub struct Change {
    status: Option<&'static str>,
    updated_at: Option<NaiveDateTime>,
    moved_at: Option<NaiveDateTime>,
    attempt: Option<i16>,
    courier: Option<String>,
    reference_free: Option<bool>,
    print_lessee: Option<Option<String>>,
    print_lease_until: Option<Option<NaiveDateTime>>,
    ended_at: Option<Option<NaiveDateTime>>,
    first_ended_at: Option<Option<NaiveDateTime>>,
    purge_due_at: Option<Option<NaiveDateTime>>,
    hold_until: Option<Option<NaiveDateTime>>,
    first_held_at: Option<NaiveDateTime>,
    restricted_at: Option<NaiveDateTime>,
    restriction: Option<&'static str>,
}

impl Change {
    /// A change made at `now`.
    pub fn at(now: BusinessTime) -> Self {
        Self {
            updated_at: Some(to_row(now)),
            ..Self::default()
        }
    }

    /// Sets how far the order is, and its clocks, as they are in `order`.
    pub fn progress(mut self, order: &Order) -> Self {
        let progress = OrderProgress::of(order);
        self.status = Some(progress.status);
        self.updated_at = Some(progress.updated_at);
        self.moved_at = Some(progress.moved_at);
        self.ended_at = Some(progress.ended_at);
        self.first_ended_at = Some(progress.first_ended_at);
        self.purge_due_at = Some(progress.purge_due_at);
        self
    }

    /// Sets the current booking attempt and the courier it goes to.
    pub fn attempt(mut self, number: u8, courier: &str) -> Self {
        self.attempt = Some(i16::from(number));
        self.courier = Some(courier.to_owned());
        self
    }

    /// Sets who is to carry it, where there is no attempt yet.
    pub fn courier(mut self, courier: &str) -> Self {
        self.courier = Some(courier.to_owned());
        self
    }

    /// Gives the reference back to the client.
    pub fn free_reference(mut self) -> Self {
        self.reference_free = Some(true);
        self
    }

    /// Leases the order to the floor.
    pub fn lease(mut self, lessee: &str, until: WallTime) -> Self {
        self.print_lessee = Some(Some(lessee.to_owned()));
        self.print_lease_until = Some(Some(to_row(until)));
        self
    }

    /// Ends the floor's lease and forgets who held it.
    pub fn end_lease(mut self) -> Self {
        self.print_lease_until = Some(None);
        self.print_lessee = Some(None);
        self
    }

    /// Lets nothing but the delivery go on; an order that has ended is due at once.
    pub fn restrict(mut self, restriction: Restriction, now: BusinessTime, ended: bool) -> Self {
        self.restricted_at = Some(to_row(now));
        self.restriction = Some(restriction.as_str());
        if ended {
            self.purge_due_at = Some(Some(to_row(now)));
        }
        self
    }

    /// Sets or lifts a hold. It stopped the clock that takes an order which does not move: lifted, that begins anew.
    pub fn hold(mut self, until: Option<BusinessTime>) -> Self {
        self.hold_until = Some(until.map(to_row));
        if until.is_none() {
            self.moved_at = self.updated_at;
        }
        self
    }

    /// Notes when the order was held first.
    pub fn first_held(mut self, at: BusinessTime) -> Self {
        self.first_held_at = Some(to_row(at));
        self
    }
}

/// Writes how far these orders are, whose rows this transaction has locked.
///
/// # Errors
/// The database.
pub fn save_progress_in_tx(conn: &mut AnyConn, orders: &[&Order]) -> Result<(), StoreError> {
    update_order_progress(conn, orders)
}

/// Writes a change to an order whose row this transaction has locked.
///
/// # Errors
/// The database.
pub fn change_in_tx(conn: &mut AnyConn, id: OrderId, change: &Change) -> Result<(), StoreError> {
    diesel::update(orders::table.find(id.to_string()))
        .set(change)
        .execute(conn)?;
    Ok(())
}

fn parse_ids(ids: Vec<String>) -> Result<Vec<OrderId>, StoreError> {
    ids.into_iter()
        .map(|id| id.parse().map_err(|_| StoreError::corrupt("orders", &id)))
        .collect()
}

/// Orders for the print floor, oldest first, each locked: leased ones whose lease is over at `wall`, then those placed
/// until `now`. Held ones are passed over here: however many there are, they keep nobody else waiting.
///
/// # Errors
/// The database.
pub fn pick_printable_in_tx(
    conn: &mut AnyConn,
    now: BusinessTime,
    wall: WallTime,
    limit: i64,
) -> Result<Vec<OrderId>, StoreError> {
    let lapsed = dialect::pick_and_lock(
        conn,
        "orders",
        "status = 'printing' AND print_lease_until <= $1 AND purge_decided_at IS NULL AND restricted_at IS NULL \
         AND (hold_until IS NULL OR hold_until <= $2)",
        "print_lease_until",
        &[to_row(wall), to_row(now)],
        limit,
    )?;
    let left = limit.saturating_sub(i64::try_from(lapsed.len()).unwrap_or(limit));
    let placed = if left > 0 {
        dialect::pick_and_lock(
            conn,
            "orders",
            "status = 'placed' AND purge_decided_at IS NULL AND restricted_at IS NULL AND created_at <= $1 \
             AND (hold_until IS NULL OR hold_until <= $1)",
            "id",
            &[to_row(now)],
            left,
        )?
    } else {
        Vec::new()
    };
    parse_ids(lapsed.into_iter().chain(placed).collect())
}

/// Leased orders whose lease is over at `wall`, each locked.
///
/// # Errors
/// The database.
pub fn pick_lapsed_in_tx(conn: &mut AnyConn, wall: WallTime, limit: i64) -> Result<Vec<OrderId>, StoreError> {
    parse_ids(dialect::pick_and_lock(
        conn,
        "orders",
        "status = 'printing' AND print_lease_until <= $1",
        "print_lease_until",
        &[to_row(wall)],
        limit,
    )?)
}

/// Drafts older than `cutoff` that nothing holds at `now`, each locked.
///
/// # Errors
/// The database.
pub fn pick_expired_drafts_in_tx(
    conn: &mut AnyConn,
    cutoff: BusinessTime,
    limit: i64,
) -> Result<Vec<OrderId>, StoreError> {
    parse_ids(dialect::pick_and_lock(
        conn,
        "orders",
        "ended_at IS NULL AND created_at <= $1 AND moved_at <= $1 AND status = 'draft' AND purge_decided_at IS NULL \
         AND (hold_until IS NULL OR hold_until <= $1)",
        "created_at",
        &[to_row(cutoff)],
        limit,
    )?)
}

/// Orders that have not ended, and have neither moved nor been held since `cutoff`; drafts expire by themselves.
pub(super) fn unmoved_since<'a>(cutoff: BusinessTime) -> orders::BoxedQuery<'a, <AnyConn as Connection>::Backend> {
    orders::table
        .filter(orders::ended_at.is_null())
        // What has not moved since was made before: this is what the index is by.
        .filter(orders::created_at.le(to_row(cutoff)))
        .filter(orders::moved_at.le(to_row(cutoff)))
        .filter(orders::status.ne("draft"))
        .filter(orders::hold_until.is_null().or(orders::hold_until.le(to_row(cutoff))))
        .into_boxed()
}

/// Those whose purge is not decided. Not locked: ending one may ask the courier first.
///
/// # Errors
/// The database.
pub fn stuck(conn: &mut AnyConn, cutoff: BusinessTime, limit: i64) -> Result<Vec<OrderId>, StoreError> {
    let ids: Vec<String> = unmoved_since(cutoff)
        .filter(orders::purge_decided_at.is_null())
        .order(orders::created_at)
        .limit(limit)
        .select(orders::id)
        .load(conn)?;
    parse_ids(ids)
}

/// Locks these orders' rows until the transaction ends, in the order of their ids, and reads them.
fn lock_rows(conn: &mut AnyConn, ids: &[String]) -> Result<Vec<OrderRow>, StoreError> {
    let these = orders::table.filter(orders::id.eq_any(ids)).order(orders::id);
    Ok(per_engine!(
        conn,
        // The transaction holds the database's only write lock already.
        sqlite | conn | these.select(OrderRow::as_select()).load(conn)?,
        postgres | conn | these.select(OrderRow::as_select()).for_update().load(conn)?
    ))
}

/// Writes how far these orders are.
///
/// # Errors
/// The database.
fn update_order_progress(conn: &mut AnyConn, these: &[&Order]) -> Result<(), StoreError> {
    let progresses: Vec<(String, OrderProgress)> = these
        .iter()
        .map(|order| (order.id.to_string(), OrderProgress::of(order)))
        .collect();
    update_rows!(conn, orders, &progresses, |progress| [
        status: Text = progress.status,
        updated_at: Timestamp = progress.updated_at,
        moved_at: Timestamp = progress.moved_at,
        ended_at: TimestampOrNull = progress.ended_at,
        first_ended_at: TimestampOrNull = progress.first_ended_at,
        purge_due_at: TimestampOrNull = progress.purge_due_at,
    ]);
    Ok(())
}
