//! Look-ups by fingerprints.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::store::dialect::Key;
use crate::store::dialect::arrays::{Part, Statement, column};
use crate::store::{AnyConn, StoreError};

/// Which fingerprints to look in.
#[derive(Debug, Clone, Copy)]
pub enum Fingerprints {
    /// Of phones: finds orders.
    Phone,
    /// Of tracking numbers: finds rows of `order_tracking`.
    Tracking,
}

/// What stands under one of these fingerprints, each under its epoch; `rest` is code, never input, and sees `id`.
///
/// # Errors
/// The database.
pub fn find_by_fingerprints(
    conn: &mut AnyConn,
    which: Fingerprints,
    fingerprints: &[(i64, Vec<u8>)],
    rest: &'static str,
) -> Result<Vec<String>, StoreError> {
    if fingerprints.is_empty() {
        return Ok(Vec::new());
    }
    let (id, table, fingerprint) = match which {
        Fingerprints::Phone => ("order_id", "order_person", "phone_print"),
        Fingerprints::Tracking => ("id", "order_tracking", "tracking_print"),
    };
    // The fingerprints are asked for one by one, in the index: CROSS JOIN says so to SQLite, which would else rather go
    // through the table in the order that `rest` asks for.
    let of = format!("CROSS JOIN {table} t WHERE t.epoch = v.epoch AND t.{fingerprint} = v.fingerprint{rest}");
    match conn {
        AnyConn::Sqlite(conn) => {
            let pairs = vec!["(?, ?)"; fingerprints.len()].join(",");
            let select = format!("WITH v (epoch, fingerprint) AS (VALUES {pairs}) SELECT t.{id} AS id FROM v {of}");
            let mut query = diesel::sql_query(select).into_boxed();
            for (epoch, fingerprint) in fingerprints {
                query = query.bind::<BigInt, _>(*epoch).bind::<Binary, _>(fingerprint);
            }
            let keys: Vec<Key> = query.load(conn)?;
            Ok(keys.into_iter().map(|key| key.id).collect())
        }
        AnyConn::Postgres(conn) => {
            let columns = vec![
                column!(BigInt, fingerprints, |(epoch, _)| *epoch),
                column!(Binary, fingerprints, |(_, fingerprint)| fingerprint.as_slice()),
            ];
            let before = format!("SELECT t.{id} AS id FROM unnest(");
            let parts = vec![
                Part::Sql(before.into()),
                Part::Columns(columns),
                Part::Sql(format!(") AS v (epoch, fingerprint) {of}").into()),
            ];
            Ok(Statement::<Text>::new(parts).load(conn)?)
        }
    }
}
