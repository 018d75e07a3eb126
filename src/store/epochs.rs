//! The orders database's side of the key epochs: the fence.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::store::schema::key_epochs;
use crate::store::{AnyConn, StoreError, dialect, to_row};

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = key_epochs)]
struct EpochRow {
    id: i64,
    state: String,
    starts_at: NaiveDateTime,
    closed_at: Option<NaiveDateTime>,
    retired_at: Option<NaiveDateTime>,
}

/// Makes epochs known here, open; those already known stay as they are.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, epochs: &[(i64, BusinessTime)]) -> Result<(), StoreError> {
    let rows: Vec<EpochRow> = epochs
        .iter()
        .map(|(id, starts_at)| EpochRow {
            id: *id,
            state: "open".to_owned(),
            starts_at: to_row(*starts_at),
            closed_at: None,
            retired_at: None,
        })
        .collect();
    dialect::insert_or_pass!(conn, key_epochs::table, &rows);
    Ok(())
}

/// The epoch that new sealed values must be under, held open until the transaction ends.
///
/// # Errors
/// The database; [`StoreError::Unavailable`] where no epoch is open (they are made ahead, so this passes).
pub fn current_in_tx(conn: &mut AnyConn, now: BusinessTime) -> Result<i64, StoreError> {
    dialect::share_current_epoch(conn, to_row(now))?
        .ok_or_else(|| StoreError::Unavailable("no key epoch is open".to_owned()))
}

/// Ids of every epoch that is not retired.
///
/// # Errors
/// The database.
pub fn living(conn: &mut AnyConn) -> Result<Vec<i64>, StoreError> {
    Ok(key_epochs::table
        .filter(key_epochs::state.ne("retired"))
        .order(key_epochs::id)
        .select(key_epochs::id)
        .load(conn)?)
}

/// The newest epoch that is known here and not retired; `None` where there is none.
///
/// # Errors
/// The database.
pub fn newest(conn: &mut AnyConn) -> Result<Option<i64>, StoreError> {
    Ok(key_epochs::table
        .filter(key_epochs::state.ne("retired"))
        .select(diesel::dsl::max(key_epochs::id))
        .first(conn)?)
}

/// The newest epoch that had begun at `horizon` and is not the one that is current at `now`.
///
/// # Errors
/// The database.
pub fn begun_before(conn: &mut AnyConn, horizon: BusinessTime, now: BusinessTime) -> Result<Option<i64>, StoreError> {
    let current: Option<i64> = key_epochs::table
        .filter(key_epochs::starts_at.le(to_row(now)))
        .filter(key_epochs::state.eq("open"))
        .select(diesel::dsl::max(key_epochs::id))
        .first(conn)?;
    let Some(current) = current else { return Ok(None) };
    Ok(key_epochs::table
        .filter(key_epochs::id.lt(current))
        .filter(key_epochs::starts_at.le(to_row(horizon)))
        .filter(key_epochs::state.ne("retired"))
        .select(diesel::dsl::max(key_epochs::id))
        .first(conn)?)
}

/// Closes the epochs up to `until`: waits for every transaction that holds one open, and from then on nothing new is
/// sealed under them. Returns how many were open.
///
/// # Errors
/// The database.
pub fn close_in_tx(conn: &mut AnyConn, until: i64, now: BusinessTime) -> Result<usize, StoreError> {
    Ok(diesel::update(
        key_epochs::table
            .filter(key_epochs::id.le(until))
            .filter(key_epochs::state.eq("open")),
    )
    .set((key_epochs::state.eq("closed"), key_epochs::closed_at.eq(to_row(now))))
    .execute(conn)?)
}

/// Whether there are epochs that are closed and not retired yet.
///
/// # Errors
/// The database.
pub fn any_closed(conn: &mut AnyConn) -> Result<bool, StoreError> {
    let closed = key_epochs::table.filter(key_epochs::state.eq("closed"));
    Ok(closed.count().get_result::<i64>(conn)? > 0)
}

/// Gives up the closed epochs; only where no row is left that needs them.
///
/// # Errors
/// The database.
pub fn retire_closed_in_tx(conn: &mut AnyConn, now: BusinessTime) -> Result<usize, StoreError> {
    Ok(diesel::update(key_epochs::table.filter(key_epochs::state.eq("closed")))
        .set((key_epochs::state.eq("retired"), key_epochs::retired_at.eq(to_row(now))))
        .execute(conn)?)
}

/// Gives up epochs whose keys no longer exist, whatever this database (an old copy, perhaps) believes of them.
///
/// # Errors
/// The database.
pub fn give_up_in_tx(conn: &mut AnyConn, destroyed: &[i64], now: BusinessTime) -> Result<usize, StoreError> {
    if destroyed.is_empty() {
        return Ok(0);
    }
    Ok(diesel::update(
        key_epochs::table
            .filter(key_epochs::id.eq_any(destroyed))
            .filter(key_epochs::state.ne("retired")),
    )
    .set((key_epochs::state.eq("retired"), key_epochs::retired_at.eq(to_row(now))))
    .execute(conn)?)
}

/// Ids of the retired epochs.
///
/// # Errors
/// The database.
pub fn retired(conn: &mut AnyConn) -> Result<Vec<i64>, StoreError> {
    Ok(key_epochs::table
        .filter(key_epochs::state.eq("retired"))
        .order(key_epochs::id)
        .select(key_epochs::id)
        .load(conn)?)
}

/// Every epoch with its state and beginning, oldest first.
///
/// # Errors
/// The database.
pub fn all(conn: &mut AnyConn) -> Result<Vec<(i64, String, BusinessTime)>, StoreError> {
    let rows: Vec<EpochRow> = key_epochs::table
        .order(key_epochs::id)
        .select(EpochRow::as_select())
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.state, crate::store::from_row(row.starts_at)))
        .collect())
}
