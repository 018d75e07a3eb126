//! Counts for operators and gauges.

use chrono::{NaiveDate, NaiveDateTime};
use diesel::dsl::count_star;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::circuit_breaker::State;
use crate::store::orders::unmoved_since;
use crate::store::schema::{jobs, orders, parked_events, shipment_attempts};
use crate::store::{AnyConn, StoreError, courier_state, from_row, purges, shipments, subject_requests};

/// How things stand.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "counts named as in the contract")]
pub struct Stats {
    pub by_status: Vec<(String, i64)>,
    pub oldest_unprinted: Option<BusinessTime>,
    pub shipments_unknown: i64,
    pub shipments_failed: i64,
    pub jobs_ready: i64,
    pub jobs_leased: i64,
    pub jobs_dead: i64,
    pub events_parked: i64,
    pub purge_due: i64,
    pub purge_held: i64,
    /// Due for more than a day: the sweep does not keep up, or does not run.
    pub purge_overdue: i64,
    pub purge_done: i64,
    /// Not ended and without a step forward since the given moment.
    pub nearly_stuck: i64,
    /// Ends that only an unsigned push reported, not confirmed in time.
    pub ends_unconfirmed: i64,
    /// Couriers whose queue is paused, by name, and why.
    pub couriers_in_trouble: Vec<(String, State)>,
    /// Requests of data subjects.
    pub requests: subject_requests::Open,
}

/// Counts everything, at `now`; `stuck_since` is the moment before which an order without a step is in trouble,
/// `unconfirmed_since` the one before which a reported end is, `today` and `soon` the days in China until which answers to
/// data subjects are late or due soon.
///
/// # Errors
/// The database.
pub fn read(
    conn: &mut AnyConn,
    now: BusinessTime,
    stuck_since: BusinessTime,
    unconfirmed_since: BusinessTime,
    (today, soon): (NaiveDate, NaiveDate),
) -> Result<Stats, StoreError> {
    let by_status: Vec<(String, i64)> = orders::table
        .group_by(orders::status)
        .select((orders::status, count_star()))
        .load(conn)?;
    let oldest: Option<NaiveDateTime> = orders::table
        .filter(orders::status.eq("placed"))
        .order(orders::id)
        .select(orders::created_at)
        .first(conn)
        .optional()?;
    let attempts: Vec<(String, i64)> = shipment_attempts::table
        .inner_join(orders::table)
        .filter(shipment_attempts::number.eq(orders::attempt))
        .filter(shipment_attempts::state.eq_any(["unknown", "failed"]))
        .filter(orders::ended_at.is_null())
        .group_by(shipment_attempts::state)
        .select((shipment_attempts::state, count_star()))
        .load(conn)?;
    let job_counts: Vec<(String, i64)> = jobs::table
        .group_by(jobs::state)
        .select((jobs::state, count_star()))
        .load(conn)?;
    let due = purges::count_due(conn, now)?;
    let of = |counts: &[(String, i64)], name: &str| {
        counts
            .iter()
            .find(|(state, _)| state == name)
            .map_or(0, |(_, count)| *count)
    };
    Ok(Stats {
        oldest_unprinted: oldest.map(from_row),
        shipments_unknown: of(&attempts, "unknown"),
        shipments_failed: of(&attempts, "failed"),
        jobs_ready: of(&job_counts, "ready"),
        jobs_leased: of(&job_counts, "leased"),
        jobs_dead: of(&job_counts, "dead"),
        events_parked: parked_events::table.count().get_result(conn)?,
        purge_due: due.due,
        purge_held: due.held,
        purge_overdue: purges::count_due(conn, now - chrono::TimeDelta::days(1))?.due,
        purge_done: orders::table
            .filter(orders::purged_at.is_not_null())
            .count()
            .get_result(conn)?,
        nearly_stuck: unmoved_since(stuck_since).count().get_result(conn)?,
        ends_unconfirmed: shipments::count_unconfirmed_ends(conn, unconfirmed_since)?,
        couriers_in_trouble: courier_state::in_trouble(conn)?,
        requests: subject_requests::count_open(conn, today, soon)?,
        by_status,
    })
}
