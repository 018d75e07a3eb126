//! What data subjects ask for: requests without persons, and the orders they are about.

use std::collections::BTreeSet;

use chrono::{NaiveDate, NaiveDateTime};
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::ids::{OrderId, RequestId};
use crate::domain::subject_request::{RequestKind, RequestState, Role, SubjectRequest};
use crate::store::orders::{NAMED_AT_ONCE, named};
use crate::store::schema::{orders, subject_request_orders, subject_requests};
use crate::store::{AnyConn, StoreError, dialect, from_row, to_row};

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = subject_requests)]
struct RequestRow {
    id: String,
    kind: String,
    state: String,
    role: String,
    by_phone: bool,
    received_at: NaiveDateTime,
    due_on: String,
    due_official: bool,
    created_at: NaiveDateTime,
    created_by: String,
    closed_at: Option<NaiveDateTime>,
    closed_by: Option<String>,
    journal: Option<i64>,
}

impl TryFrom<RequestRow> for SubjectRequest {
    type Error = StoreError;

    fn try_from(row: RequestRow) -> Result<Self, StoreError> {
        let corrupt = || StoreError::corrupt("subject_requests", &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt())?,
            kind: RequestKind::parse(&row.kind).ok_or_else(corrupt)?,
            state: RequestState::parse(&row.state).ok_or_else(corrupt)?,
            role: Role::parse(&row.role).ok_or_else(corrupt)?,
            due_on: row.due_on.parse().map_err(|_| corrupt())?,
            by_phone: row.by_phone,
            received_at: from_row(row.received_at),
            due_official: row.due_official,
            created_at: from_row(row.created_at),
            closed_at: row.closed_at.map(from_row),
            journal: row.journal,
            created_by: row.created_by,
            closed_by: row.closed_by,
        })
    }
}

impl From<&SubjectRequest> for RequestRow {
    fn from(request: &SubjectRequest) -> Self {
        Self {
            id: request.id.to_string(),
            kind: request.kind.as_str().to_owned(),
            state: request.state.as_str().to_owned(),
            role: request.role.as_str().to_owned(),
            by_phone: request.by_phone,
            received_at: to_row(request.received_at),
            due_on: request.due_on.to_string(),
            due_official: request.due_official,
            created_at: to_row(request.created_at),
            created_by: request.created_by.clone(),
            closed_at: request.closed_at.map(to_row),
            closed_by: request.closed_by.clone(),
            journal: request.journal,
        }
    }
}

#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = subject_request_orders)]
struct LinkRow {
    request_id: String,
    order_id: String,
}

/// Stores a new request about these orders.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, request: &SubjectRequest, orders: &[OrderId]) -> Result<(), StoreError> {
    diesel::insert_into(subject_requests::table)
        .values(&RequestRow::from(request))
        .execute(conn)?;
    let links: Vec<LinkRow> = orders
        .iter()
        .map(|order| LinkRow {
            request_id: request.id.to_string(),
            order_id: order.to_string(),
        })
        .collect();
    for some in links.chunks(NAMED_AT_ONCE) {
        dialect::insert_or_pass!(conn, subject_request_orders::table, some);
    }
    Ok(())
}

/// A request.
///
/// # Errors
/// The database, or a corrupt row.
pub fn find(conn: &mut AnyConn, id: RequestId) -> Result<Option<SubjectRequest>, StoreError> {
    let row: Option<RequestRow> = subject_requests::table
        .find(id.to_string())
        .select(RequestRow::as_select())
        .first(conn)
        .optional()?;
    row.map(SubjectRequest::try_from).transpose()
}

/// Locks a request's row until the transaction ends, then reads it.
///
/// # Errors
/// The database, or a corrupt row.
pub fn lock_in_tx(conn: &mut AnyConn, id: RequestId) -> Result<Option<SubjectRequest>, StoreError> {
    if dialect::lock_row(conn, "subject_requests", &id.to_string())? {
        find(conn, id)
    } else {
        Ok(None)
    }
}

/// Ends a request that this transaction has locked; its end is to be journalled.
///
/// # Errors
/// The database.
pub fn close_in_tx(
    conn: &mut AnyConn,
    id: RequestId,
    state: RequestState,
    actor: &str,
    now: BusinessTime,
) -> Result<(), StoreError> {
    diesel::update(subject_requests::table.find(id.to_string()))
        .set((
            subject_requests::state.eq(state.as_str()),
            subject_requests::closed_at.eq(to_row(now)),
            subject_requests::closed_by.eq(actor),
            subject_requests::journal.eq(None::<i64>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes the journal's entry of a state, where it still is the request's.
///
/// # Errors
/// The database.
pub fn note_journal_in_tx(
    conn: &mut AnyConn,
    id: RequestId,
    state: RequestState,
    number: i64,
) -> Result<(), StoreError> {
    diesel::update(
        subject_requests::table
            .find(id.to_string())
            .filter(subject_requests::state.eq(state.as_str())),
    )
    .set(subject_requests::journal.eq(number))
    .execute(conn)?;
    Ok(())
}

/// Requests whose state is not journalled yet, or not acted upon.
///
/// # Errors
/// The database, or a corrupt row.
pub fn unsettled(conn: &mut AnyConn, limit: i64) -> Result<Vec<RequestId>, StoreError> {
    let ids: Vec<String> = subject_requests::table
        .filter(subject_requests::journal.is_null())
        .order(subject_requests::id)
        .limit(limit)
        .select(subject_requests::id)
        .load(conn)?;
    ids.into_iter()
        .map(|id| id.parse().map_err(|_| StoreError::corrupt("subject_requests", &id)))
        .collect()
}

/// A page of requests, newest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn list(
    conn: &mut AnyConn,
    state: Option<RequestState>,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<SubjectRequest>, StoreError> {
    let mut query = subject_requests::table
        .select(RequestRow::as_select())
        .order(subject_requests::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(state) = state {
        query = query.filter(subject_requests::state.eq(state.as_str()));
    }
    if let Some(before) = before {
        query = query.filter(subject_requests::id.lt(before.to_string()));
    }
    let rows: Vec<RequestRow> = query.load(conn)?;
    rows.into_iter().map(SubjectRequest::try_from).collect()
}

/// Puts a request back as the journal knows it; about those of its orders that are here.
///
/// # Errors
/// The database.
pub fn restore_in_tx(conn: &mut AnyConn, request: &SubjectRequest, about: &[OrderId]) -> Result<(), StoreError> {
    let mut here: BTreeSet<String> = BTreeSet::new();
    for some in named(about, None) {
        let found: Vec<String> = orders::table
            .filter(orders::id.eq_any(&some))
            .select(orders::id)
            .load(conn)?;
        here.extend(found);
    }
    match lock_in_tx(conn, request.id)? {
        None => {
            let here = about
                .iter()
                .filter(|id| here.contains(&id.to_string()))
                .copied()
                .collect::<Vec<_>>();
            add_in_tx(conn, request, &here)
        }
        // What is ended here stays ended: an older entry is only read again.
        Some(known) if known.state != RequestState::Open => Ok(()),
        Some(_) => {
            diesel::update(subject_requests::table.find(request.id.to_string()))
                .set((
                    subject_requests::state.eq(request.state.as_str()),
                    subject_requests::closed_at.eq(request.closed_at.map(to_row)),
                    subject_requests::closed_by.eq(request.closed_by.as_deref()),
                    subject_requests::journal.eq(request.journal),
                ))
                .execute(conn)?;
            Ok(())
        }
    }
}

/// The orders of these requests: request and order, by both.
///
/// # Errors
/// The database, or a corrupt row.
pub fn orders_of(conn: &mut AnyConn, requests: &[RequestId]) -> Result<Vec<(RequestId, OrderId)>, StoreError> {
    let ids: Vec<String> = requests.iter().map(ToString::to_string).collect();
    let rows: Vec<(String, String)> = subject_request_orders::table
        .filter(subject_request_orders::request_id.eq_any(&ids))
        .order((subject_request_orders::request_id, subject_request_orders::order_id))
        .select((subject_request_orders::request_id, subject_request_orders::order_id))
        .load(conn)?;
    rows.into_iter()
        .map(|(request, order)| {
            let corrupt = || StoreError::corrupt("subject_request_orders", &request);
            Ok((
                request.parse().map_err(|_| corrupt())?,
                order.parse().map_err(|_| corrupt())?,
            ))
        })
        .collect()
}

/// The requests that are about an order, oldest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn of_order(conn: &mut AnyConn, order: OrderId) -> Result<Vec<SubjectRequest>, StoreError> {
    let rows: Vec<RequestRow> = subject_requests::table
        .filter(
            subject_requests::id.eq_any(
                subject_request_orders::table
                    .filter(subject_request_orders::order_id.eq(order.to_string()))
                    .select(subject_request_orders::request_id),
            ),
        )
        .order(subject_requests::id)
        .select(RequestRow::as_select())
        .load(conn)?;
    rows.into_iter().map(SubjectRequest::try_from).collect()
}

/// How many requests are open, and of those how many were due before `today` and until `soon` (the others excluded).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// Not answered yet.
    pub open: i64,
    /// Due before today.
    pub overdue: i64,
    /// Due from today until soon.
    pub due_soon: i64,
}

/// Counts open requests; days in China.
///
/// # Errors
/// The database.
pub fn count_open(conn: &mut AnyConn, today: NaiveDate, soon: NaiveDate) -> Result<Open, StoreError> {
    let open = || subject_requests::table.filter(subject_requests::state.eq(RequestState::Open.as_str()));
    let before = subject_requests::due_on.lt(today.to_string());
    Ok(Open {
        open: open().count().get_result(conn)?,
        overdue: open().filter(before).count().get_result(conn)?,
        due_soon: open()
            .filter(subject_requests::due_on.between(today.to_string(), soon.to_string()))
            .count()
            .get_result(conn)?,
    })
}

/// Open requests that are due until `soon`, the most urgent first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn due_until(conn: &mut AnyConn, soon: NaiveDate, limit: i64) -> Result<Vec<SubjectRequest>, StoreError> {
    let rows: Vec<RequestRow> = subject_requests::table
        .filter(subject_requests::state.eq(RequestState::Open.as_str()))
        .filter(subject_requests::due_on.le(soon.to_string()))
        .order((subject_requests::due_on, subject_requests::id))
        .limit(limit)
        .select(RequestRow::as_select())
        .load(conn)?;
    rows.into_iter().map(SubjectRequest::try_from).collect()
}
