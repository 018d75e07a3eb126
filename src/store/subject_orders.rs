//! What data subjects' requests ask of the orders: what was agreed to, and which restricted ones can go on.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::ids::OrderId;
use crate::domain::subject_request::Restriction;
use crate::store::schema::orders;
use crate::store::{AnyConn, StoreError, to_row};

/// What was agreed to when an order was placed.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = orders)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct ConsentRow {
    pub policy_version: String,
    pub consent_at: NaiveDateTime,
    pub legal_basis: String,
    pub cross_border: bool,
    pub minor: bool,
    pub guardian_consent: bool,
}

/// The consent of an order.
///
/// # Errors
/// The database.
pub fn consent_of(conn: &mut AnyConn, id: OrderId) -> Result<ConsentRow, StoreError> {
    Ok(orders::table
        .find(id.to_string())
        .select(ConsentRow::as_select())
        .first(conn)?)
}

/// Orders after `after` whose restriction asks for something now: neither held nor waiting for their end. Not locked.
///
/// # Errors
/// The database.
pub fn restricted(
    conn: &mut AnyConn,
    now: BusinessTime,
    after: Option<OrderId>,
    limit: i64,
) -> Result<Vec<OrderId>, StoreError> {
    let waits = orders::status.eq("shipped").or(orders::status
        .eq_any(["printing", "printed"])
        .and(orders::restriction.eq(Restriction::Request.as_str())));
    let ids: Vec<String> = orders::table
        .filter(orders::restricted_at.is_not_null())
        .filter(orders::purge_decided_at.is_null())
        .filter(orders::hold_until.is_null().or(orders::hold_until.le(to_row(now))))
        .filter(diesel::dsl::not(waits))
        .filter(orders::id.gt(after.map_or_else(String::new, |id| id.to_string())))
        .order(orders::id)
        .limit(limit)
        .select(orders::id)
        .load(conn)?;
    ids.into_iter()
        .map(|id| id.parse().map_err(|_| StoreError::corrupt("orders", &id)))
        .collect()
}
