//! How each courier stands, one row each, shared by all replicas; and what waits for it.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamp};

use crate::clock::{BusinessTime, WallTime};
use crate::domain::circuit_breaker::{Breaker, Call, State};
use crate::store::schema::courier_state;
use crate::store::{AnyConn, StoreError, dialect, from_row, to_row};

#[derive(Debug, Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = courier_state, treat_none_as_null = true)]
struct StateRow {
    courier: String,
    state: String,
    since: NaiveDateTime,
    paused_until: Option<NaiveDateTime>,
    pauses: i64,
    caused_by: Option<String>,
    failures: i64,
    last_success_at: Option<NaiveDateTime>,
    last_failure_at: Option<NaiveDateTime>,
    last_error: Option<String>,
    window_started_at: NaiveDateTime,
    calls: i64,
    failed: i64,
    calls_before: i64,
    failed_before: i64,
}

impl StateRow {
    fn of(courier: &str, breaker: &Breaker) -> Self {
        Self {
            courier: courier.to_owned(),
            state: breaker.state.as_str().to_owned(),
            since: to_row(breaker.since),
            paused_until: breaker.paused_until.map(to_row),
            pauses: breaker.pauses,
            caused_by: breaker.caused_by.map(|call| call.as_str().to_owned()),
            failures: breaker.failures,
            last_success_at: breaker.last_success_at.map(to_row),
            last_failure_at: breaker.last_failure_at.map(to_row),
            last_error: breaker.last_error.clone(),
            window_started_at: to_row(breaker.window_started_at),
            calls: breaker.calls,
            failed: breaker.failed,
            calls_before: breaker.calls_before,
            failed_before: breaker.failed_before,
        }
    }
}

impl TryFrom<StateRow> for Breaker {
    type Error = StoreError;

    fn try_from(row: StateRow) -> Result<Self, StoreError> {
        let corrupt = || StoreError::corrupt("courier_state", &row.courier);
        Ok(Self {
            state: State::parse(&row.state).ok_or_else(corrupt)?,
            caused_by: match &row.caused_by {
                Some(call) => Some(Call::parse(call).ok_or_else(corrupt)?),
                None => None,
            },
            since: from_row(row.since),
            paused_until: row.paused_until.map(from_row),
            pauses: row.pauses,
            failures: row.failures,
            last_success_at: row.last_success_at.map(from_row),
            last_failure_at: row.last_failure_at.map(from_row),
            last_error: row.last_error,
            window_started_at: from_row(row.window_started_at),
            calls: row.calls,
            failed: row.failed,
            calls_before: row.calls_before,
            failed_before: row.failed_before,
        })
    }
}

/// How a courier stands; `None` where nobody has called it yet.
///
/// # Errors
/// The database, or a corrupt row.
pub fn find(conn: &mut AnyConn, courier: &str) -> Result<Option<Breaker>, StoreError> {
    let row: Option<StateRow> = courier_state::table
        .find(courier)
        .select(StateRow::as_select())
        .first(conn)
        .optional()?;
    row.map(Breaker::try_from).transpose()
}

/// Locks a courier's row until the transaction ends, makes it where it is not there yet, and reads it. Taken after the
/// order's row, never before it.
///
/// # Errors
/// The database, or a corrupt row.
pub fn lock_in_tx(conn: &mut AnyConn, courier: &str, wall: WallTime) -> Result<Breaker, StoreError> {
    if !dialect::lock_courier_row(conn, courier)? {
        let fresh = StateRow::of(courier, &Breaker::new(wall));
        dialect::insert_or_pass!(conn, courier_state::table, &[fresh][..]);
        dialect::lock_courier_row(conn, courier)?;
    }
    find(conn, courier)?.ok_or_else(|| StoreError::corrupt("courier_state", courier))
}

/// Writes how a courier stands, whose row this transaction has locked.
///
/// # Errors
/// The database.
pub fn save_in_tx(conn: &mut AnyConn, courier: &str, breaker: &Breaker) -> Result<(), StoreError> {
    diesel::update(courier_state::table.find(courier))
        .set(StateRow::of(courier, breaker))
        .execute(conn)?;
    Ok(())
}

/// Takes the probe of a paused courier: `true` for one caller alone, who may call it until `until`.
///
/// # Errors
/// The database.
pub fn take_probe_in_tx(
    conn: &mut AnyConn,
    courier: &str,
    wall: WallTime,
    until: WallTime,
) -> Result<bool, StoreError> {
    let due = courier_state::table
        .filter(courier_state::courier.eq(courier))
        .filter(courier_state::state.ne(State::Closed.as_str()))
        .filter(courier_state::paused_until.le(to_row(wall)));
    let taken = diesel::update(due)
        .set(courier_state::paused_until.eq(to_row(until)))
        .execute(conn)?;
    Ok(taken == 1)
}

/// Every courier's state that is not `ok`.
///
/// # Errors
/// The database, or a corrupt row.
pub fn in_trouble(conn: &mut AnyConn) -> Result<Vec<(String, State)>, StoreError> {
    let rows: Vec<(String, String)> = courier_state::table
        .filter(courier_state::state.ne(State::Closed.as_str()))
        .select((courier_state::courier, courier_state::state))
        .load(conn)?;
    rows.into_iter()
        .map(|(courier, state)| match State::parse(&state) {
            Some(state) => Ok((courier, state)),
            None => Err(StoreError::corrupt("courier_state", &courier)),
        })
        .collect()
}

/// What waits for a courier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Parcels to be booked, due now.
    pub ready: i64,
    /// Parcels to be booked, due later: retried, or held back by a pause.
    pub waiting: i64,
    /// Bookings under way, or of unknown outcome.
    pub unknown: i64,
}

/// What waits, by courier.
///
/// # Errors
/// The database.
pub fn queues(conn: &mut AnyConn, now: BusinessTime, wall: WallTime) -> Result<BTreeMap<String, Queue>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        courier: String,
        #[diesel(sql_type = BigInt)]
        ready: i64,
        #[diesel(sql_type = BigInt)]
        waiting: i64,
        #[diesel(sql_type = BigInt)]
        unknown: i64,
    }
    // Over the partial index of what is open, never over all parcels.
    const QUERY: &str = "SELECT a.courier AS courier,
            SUM(CASE WHEN a.state = 'pending' AND j.run_at <= $1 AND j.not_before <= $2 THEN 1 ELSE 0 END) AS ready,
            SUM(CASE WHEN a.state = 'pending' AND (j.run_at > $1 OR j.not_before > $2) THEN 1 ELSE 0 END) AS waiting,
            SUM(CASE WHEN a.state <> 'pending' THEN 1 ELSE 0 END) AS unknown
        FROM shipment_attempts a
        JOIN orders o ON o.id = a.order_id AND o.attempt = a.number
        LEFT JOIN jobs j ON j.subject = a.order_id AND j.kind = 'ship'
        WHERE a.state IN ('pending', 'booking', 'unknown')
        GROUP BY a.courier";
    let rows: Vec<Row> = diesel::sql_query(QUERY)
        .bind::<Timestamp, _>(to_row(now))
        .bind::<Timestamp, _>(to_row(wall))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let queue = Queue {
                ready: row.ready,
                waiting: row.waiting,
                unknown: row.unknown,
            };
            (row.courier, queue)
        })
        .collect())
}

/// Makes the booking jobs that wait for a courier due at once.
///
/// # Errors
/// The database.
pub fn hasten_jobs_in_tx(
    conn: &mut AnyConn,
    courier: &str,
    now: BusinessTime,
    wall: WallTime,
) -> Result<usize, StoreError> {
    Ok(diesel::sql_query(
        "UPDATE jobs SET run_at = $1, not_before = $2 WHERE kind = 'ship' AND state = 'ready'
            AND (run_at > $1 OR not_before > $2)
            AND subject IN (SELECT order_id FROM shipment_attempts WHERE courier = $3
                AND state IN ('pending', 'booking', 'unknown'))",
    )
    .bind::<Timestamp, _>(to_row(now))
    .bind::<Timestamp, _>(to_row(wall))
    .bind::<Text, _>(courier)
    .execute(conn)?)
}
