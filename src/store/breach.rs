//! Which orders a breach touched: those whose person was held in its time, by facts alone.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::audit::AuditAction;
use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::store::orders::{OrderRow, named, page_among};
use crate::store::schema::{audit_log, key_epochs, order_person, orders};
use crate::store::{AnyConn, StoreError, to_row};

/// Which orders.
#[derive(Debug, Clone)]
pub struct Window {
    /// Held at this moment or later.
    pub from: BusinessTime,
    /// Held before this moment.
    pub to: BusinessTime,
    /// Of these clients alone; every one of them must be the order's.
    pub clients: Vec<String>,
    /// Among these orders alone.
    pub among: Option<Vec<OrderId>>,
}

/// How many orders were affected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub orders: i64,
    /// Those of minors.
    pub minors: i64,
    /// Purged since.
    pub purged: i64,
    /// Not purged, and sealed under a key that no longer exists.
    pub unreadable: i64,
}

macro_rules! held_in {
    ($window:expr, $among:expr, $query:expr) => {{
        let (window, among): (&Window, Option<&[String]>) = ($window, $among);
        let mut query = $query
            .filter(orders::created_at.lt(to_row(window.to)))
            .filter(
                orders::purged_at
                    .is_null()
                    .or(orders::purged_at.ge(to_row(window.from))),
            )
            .into_boxed();
        for client in &window.clients {
            query = query.filter(orders::client.eq(client));
        }
        if let Some(among) = among {
            query = query.filter(orders::id.eq_any(among));
        }
        query
    }};
}

/// Counts the affected orders.
///
/// # Errors
/// The database.
pub fn count(conn: &mut AnyConn, window: &Window) -> Result<Counts, StoreError> {
    let Some(among) = &window.among else {
        return count_among(conn, window, None);
    };
    let mut all = Counts::default();
    for some in named(among, None) {
        let counts = count_among(conn, window, Some(&some))?;
        all.orders += counts.orders;
        all.minors += counts.minors;
        all.purged += counts.purged;
        all.unreadable += counts.unreadable;
    }
    Ok(all)
}

fn count_among(conn: &mut AnyConn, window: &Window, among: Option<&[String]>) -> Result<Counts, StoreError> {
    let retired = key_epochs::table
        .filter(key_epochs::state.eq("retired"))
        .select(key_epochs::id);
    let unreadable = order_person::table
        .filter(order_person::epoch.eq_any(retired))
        .select(order_person::order_id);
    Ok(Counts {
        orders: held_in!(window, among, orders::table.count()).get_result(conn)?,
        minors: held_in!(window, among, orders::table.count())
            .filter(orders::minor.eq(true))
            .get_result(conn)?,
        purged: held_in!(window, among, orders::table.count())
            .filter(orders::purged_at.is_not_null())
            .get_result(conn)?,
        unreadable: held_in!(window, among, orders::table.count())
            .filter(orders::purged_at.is_null())
            .filter(orders::id.eq_any(unreadable))
            .get_result(conn)?,
    })
}

/// A page of the affected orders, newest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn list(
    conn: &mut AnyConn,
    window: &Window,
    before: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Order>, StoreError> {
    match &window.among {
        None => page(conn, window, None, before, limit),
        Some(among) => page_among(among, before, limit, |some, left| {
            page(conn, window, Some(some), before, left)
        }),
    }
}

fn page(
    conn: &mut AnyConn,
    window: &Window,
    among: Option<&[String]>,
    before: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Order>, StoreError> {
    let mut query = held_in!(window, among, orders::table.select(OrderRow::as_select()))
        .order(orders::id.desc())
        .limit(limit);
    if let Some(before) = before {
        query = query.filter(orders::id.lt(before.to_string()));
    }
    let rows: Vec<OrderRow> = query.load(conn)?;
    rows.into_iter().map(Order::try_from).collect()
}

/// Those of these orders whose person is sealed under a key that no longer exists.
///
/// # Errors
/// The database.
pub fn unreadable(conn: &mut AnyConn, among: &[OrderId]) -> Result<Vec<String>, StoreError> {
    let ids: Vec<String> = among.iter().map(ToString::to_string).collect();
    let retired = key_epochs::table
        .filter(key_epochs::state.eq("retired"))
        .select(key_epochs::id);
    Ok(order_person::table
        .filter(order_person::order_id.eq_any(&ids))
        .filter(order_person::epoch.eq_any(retired))
        .select(order_person::order_id)
        .load(conn)?)
}

/// Orders whose person a key was shown whole in that time, by the audit log.
///
/// # Errors
/// The database.
pub fn seen_by(conn: &mut AnyConn, key_id: &str, window: &Window) -> Result<Vec<String>, StoreError> {
    let (from, to): (NaiveDateTime, NaiveDateTime) = (to_row(window.from), to_row(window.to));
    Ok(audit_log::table
        .filter(audit_log::actor.eq(Actor::Key(key_id.to_owned()).to_string()))
        .filter(audit_log::action.eq_any([AuditAction::Reveal, AuditAction::Export].map(AuditAction::as_str)))
        .filter(audit_log::at.ge(from))
        .filter(audit_log::at.lt(to))
        .select(audit_log::subject)
        .distinct()
        .load(conn)?)
}
