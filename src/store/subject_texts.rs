//! What people wrote about data subjects' requests, sealed; it goes with the last order of a request, or a while after
//! its answer.

use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::ids::{OrderId, RequestId};
use crate::domain::subject_request::RequestState;
use crate::store::schema::{orders, subject_request_orders, subject_request_texts, subject_requests};
use crate::store::{AnyConn, StoreError, dialect, to_row};

/// What people wrote about a request, sealed.
#[derive(Debug, Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = subject_request_texts)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct TextRow {
    pub request_id: String,
    pub epoch: i64,
    pub sealed: Vec<u8>,
}

/// What was written about a request, sealed; `None` once it is gone.
///
/// # Errors
/// The database.
pub fn find(conn: &mut AnyConn, id: RequestId) -> Result<Option<TextRow>, StoreError> {
    Ok(subject_request_texts::table
        .find(id.to_string())
        .select(TextRow::as_select())
        .first(conn)
        .optional()?)
}

/// Stores what was written about a new request.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, row: &TextRow) -> Result<(), StoreError> {
    diesel::insert_into(subject_request_texts::table)
        .values(row)
        .execute(conn)?;
    Ok(())
}

/// Replaces what was written about a request; `false` where there is nothing to replace.
///
/// # Errors
/// The database.
pub fn replace_in_tx(conn: &mut AnyConn, row: &TextRow) -> Result<bool, StoreError> {
    let replaced = diesel::update(subject_request_texts::table.find(&row.request_id))
        .set(row)
        .execute(conn)?;
    Ok(replaced > 0)
}

/// Destroys what was written about ended requests that these orders, just purged, were the last ones of.
///
/// # Errors
/// The database.
pub fn forget_with_in_tx(conn: &mut AnyConn, purged: &[OrderId]) -> Result<usize, StoreError> {
    let purged: Vec<String> = purged.iter().map(ToString::to_string).collect();
    let query = "SELECT DISTINCT request_id AS id FROM subject_request_orders WHERE order_id";
    // Mostly none.
    let about = dialect::find_among(conn, query, &purged, "")?;
    if about.is_empty() {
        return Ok(0);
    }
    let ended = subject_requests::table
        .filter(subject_requests::state.ne(RequestState::Open.as_str()))
        .select(subject_requests::id);
    let living = subject_request_orders::table
        .inner_join(orders::table)
        .filter(orders::purged_at.is_null())
        .select(subject_request_orders::request_id);
    Ok(diesel::delete(
        subject_request_texts::table
            .filter(subject_request_texts::request_id.eq_any(about))
            .filter(subject_request_texts::request_id.eq_any(ended))
            .filter(subject_request_texts::request_id.ne_all(living)),
    )
    .execute(conn)?)
}

/// Destroys what was written about requests that ended before `cutoff` and have no living order.
///
/// # Errors
/// The database.
pub fn forget_before(conn: &mut AnyConn, cutoff: BusinessTime) -> Result<usize, StoreError> {
    let ended = subject_requests::table
        .filter(subject_requests::closed_at.le(to_row(cutoff)))
        .select(subject_requests::id);
    let living = subject_request_orders::table
        .inner_join(orders::table)
        .filter(orders::purged_at.is_null())
        .select(subject_request_orders::request_id);
    Ok(diesel::delete(
        subject_request_texts::table
            .filter(subject_request_texts::request_id.eq_any(ended))
            .filter(subject_request_texts::request_id.ne_all(living)),
    )
    .execute(conn)?)
}
