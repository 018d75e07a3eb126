//! An order's timeline: facts only, in codes; what people wrote is sealed elsewhere.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::ids::{OrderId, RowId};
use crate::domain::order::OrderStatus;
use crate::domain::timeline::TimelineKind;
use crate::store::dialect::insert_rows;
use crate::store::schema::order_events;
use crate::store::{AnyConn, StoreError, to_row};

/// One entry of a timeline.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = order_events)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct EventRow {
    pub id: String,
    pub order_id: String,
    pub at: NaiveDateTime,
    pub kind: String,
    pub status: String,
    pub actor: String,
    pub code: Option<String>,
}

impl EventRow {
    /// An entry: what happened (`placed`, `booked`, `tracking`, ...), the status after it, who did it (`key:<id>`,
    /// `courier:<name>`, `system`), and a stable code where there is one.
    pub fn new(
        order: OrderId,
        at: BusinessTime,
        kind: TimelineKind,
        status: OrderStatus,
        actor: &Actor,
        code: Option<&str>,
    ) -> Self {
        Self {
            id: RowId::generate().to_string(),
            order_id: order.to_string(),
            at: to_row(at),
            kind: kind.as_str().to_owned(),
            status: status.as_str().to_owned(),
            actor: actor.to_string(),
            code: code.map(|code| code.chars().take(100).collect()),
        }
    }
}

/// Adds an entry.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, event: &EventRow) -> Result<(), StoreError> {
    add_all_in_tx(conn, std::slice::from_ref(event))
}

/// Adds entries, of any orders.
///
/// # Errors
/// The database.
pub fn add_all_in_tx(conn: &mut AnyConn, events: &[EventRow]) -> Result<(), StoreError> {
    insert_entries(conn, events)
}

/// The code of a release that nobody asked for: the lease was over.
pub const LEASE_LAPSED: &str = "lease_lapsed";

/// Whether the last that the print floor did with an order was that a lease of `actor`'s lapsed.
///
/// # Errors
/// The database.
pub fn lapsed_from(conn: &mut AnyConn, order: OrderId, actor: &Actor) -> Result<bool, StoreError> {
    let last: Vec<(String, String, Option<String>)> = order_events::table
        .filter(order_events::order_id.eq(order.to_string()))
        .filter(order_events::kind.eq_any(["claimed", "released"]))
        .order(order_events::id.desc())
        .limit(2)
        .select((order_events::kind, order_events::actor, order_events::code))
        .load(conn)?;
    Ok(match last.as_slice() {
        [(released, _, Some(code)), (claimed, by, _)] => {
            released == "released" && code == LEASE_LAPSED && claimed == "claimed" && *by == actor.to_string()
        }
        _ => false,
    })
}

/// Whether an order's timeline has an entry of that kind.
///
/// # Errors
/// The database.
pub fn has(conn: &mut AnyConn, order: OrderId, kind: TimelineKind) -> Result<bool, StoreError> {
    let known: i64 = order_events::table
        .filter(order_events::order_id.eq(order.to_string()))
        .filter(order_events::kind.eq(kind.as_str()))
        .count()
        .get_result(conn)?;
    Ok(known > 0)
}

/// An order's timeline, oldest first, at most the last thousand entries.
///
/// # Errors
/// The database.
pub fn of_order(conn: &mut AnyConn, order: OrderId) -> Result<Vec<EventRow>, StoreError> {
    let mut rows: Vec<EventRow> = order_events::table
        .filter(order_events::order_id.eq(order.to_string()))
        .order(order_events::id.desc())
        .limit(1000)
        .select(EventRow::as_select())
        .load(conn)?;
    rows.reverse();
    Ok(rows)
}

/// Inserts entries of timelines.
///
/// # Errors
/// The database.
fn insert_entries(conn: &mut AnyConn, entries: &[EventRow]) -> Result<(), StoreError> {
    insert_rows!(conn, order_events, entries, |row| [
        order_id: Text = row.order_id.as_str(),
        id: Text = row.id.as_str(),
        at: Timestamp = row.at,
        kind: Text = row.kind.as_str(),
        status: Text = row.status.as_str(),
        actor: Text = row.actor.as_str(),
        code: TextOrNull = row.code.as_deref(),
    ]);
    Ok(())
}
