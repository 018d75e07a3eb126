//! Statements about many ids at once.

use super::Key;
use crate::store::{AnyConn, StoreError};
use diesel::prelude::*;

/// Runs a statement about these ids, its last place: SQLite numbers places as they come, whatever they are called. `$these`
/// is how the engine says "among them", `$locked` how a SELECT locks what it finds and passes over what others hold.
macro_rules! among {
    ($conn:expr, $ids:expr, $place:literal, |$these:ident, $locked:ident| $sql:expr, [$($kind:ty: $value:expr),*], $run:ident) => {
        match $conn {
            $crate::store::AnyConn::Sqlite(conn) => {
                let ($these, $locked) = (concat!("IN (SELECT value FROM json_each(", $place, "))"), "");
                diesel::sql_query($sql)$(.bind::<$kind, _>($value))*.bind::<diesel::sql_types::Text, _>($crate::store::dialect::as_json($ids)?).$run(conn)?
            }
            $crate::store::AnyConn::Postgres(conn) => {
                let ($these, $locked) = (concat!("= ANY(", $place, ")"), " FOR UPDATE SKIP LOCKED");
                diesel::sql_query($sql)$(.bind::<$kind, _>($value))*.bind::<diesel::sql_types::Array<diesel::sql_types::Text>, _>($ids).$run(conn)?
            }
        }
    };
}

pub(in crate::store) fn as_json<T: AsRef<str>>(ids: &[T]) -> Result<String, StoreError> {
    let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
    serde_json::to_string(&ids).map_err(|error| StoreError::Statement(error.to_string()))
}

pub(in crate::store) use among;

/// What a query finds among these ids: it ends before "among them", `rest` goes on after. Both are code, never input.
///
/// # Errors
/// The database.
pub(in crate::store) fn find_among(
    conn: &mut AnyConn,
    query: &'static str,
    ids: &[String],
    rest: &'static str,
) -> Result<Vec<String>, StoreError> {
    let keys: Vec<Key> = among!(
        conn,
        ids,
        "$1",
        |these, _locked| format!("{query} {these}{rest}"),
        [],
        load
    );
    Ok(keys.into_iter().map(|key| key.id).collect())
}
