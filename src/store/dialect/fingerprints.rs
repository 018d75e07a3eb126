//! Look-ups by fingerprints.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::store::dialect::Key;
use crate::store::dialect::arrays::{Column, Part, Statement, column};
use crate::store::{AnyConn, StoreError};

/// Which fingerprints to look in.
#[derive(Debug, Clone, Copy)]
pub enum Prints {
    /// Of phones: finds orders.
    Phone,
    /// Of tracking numbers: finds rows of `order_tracking`.
    Tracking,
}

/// What stands under one of these fingerprints, each under its epoch; `rest` is code, never input, and sees `id`.
///
/// # Errors
/// The database.
pub fn find_by_prints(
    conn: &mut AnyConn,
    which: Prints,
    prints: &[(i64, Vec<u8>)],
    rest: &'static str,
) -> Result<Vec<String>, StoreError> {
    if prints.is_empty() {
        return Ok(Vec::new());
    }
    let (id, table, print) = match which {
        Prints::Phone => ("order_id", "order_person", "phone_print"),
        Prints::Tracking => ("id", "order_tracking", "tracking_print"),
    };
    // The fingerprints are asked for one by one, in the index: CROSS JOIN says so to SQLite, which would else rather go
    // through the table in the order that `rest` asks for.
    let of = format!("CROSS JOIN {table} t WHERE t.epoch = v.epoch AND t.{print} = v.print{rest}");
    match conn {
        AnyConn::Sqlite(conn) => {
            let pairs = vec!["(?, ?)"; prints.len()].join(",");
            let select = format!("WITH v (epoch, print) AS (VALUES {pairs}) SELECT t.{id} AS id FROM v {of}");
            let mut query = diesel::sql_query(select).into_boxed();
            for (epoch, print) in prints {
                query = query.bind::<BigInt, _>(*epoch).bind::<Binary, _>(print);
            }
            let keys: Vec<Key> = query.load(conn)?;
            Ok(keys.into_iter().map(|key| key.id).collect())
        }
        AnyConn::Postgres(conn) => {
            let columns = vec![
                column!(BigInt, prints, |(epoch, _)| *epoch),
                column!(Binary, prints, |(_, print)| print.as_slice()),
            ];
            let before = format!("SELECT t.{id} AS id FROM unnest(");
            let parts = vec![
                Part::Sql(before.into()),
                Part::Columns(columns),
                Part::Sql(format!(") AS v (epoch, print) {of}").into()),
            ];
            Ok(Statement::<Text>::new(parts).load(conn)?)
        }
    }
}
