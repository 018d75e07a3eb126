//! The orders database's side of the key epochs: the fence.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::Instant;
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
pub fn add_in_tx(conn: &mut AnyConn, epochs: &[(i64, Instant)]) -> Result<(), StoreError> {
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
pub fn current_in_tx(conn: &mut AnyConn, now: Instant) -> Result<i64, StoreError> {
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

/// The highest epoch id known here and when the last of them starts, if there is one.
///
/// # Errors
/// The database.
pub fn newest(conn: &mut AnyConn) -> Result<Option<i64>, StoreError> {
    Ok(key_epochs::table.select(diesel::dsl::max(key_epochs::id)).first(conn)?)
}
