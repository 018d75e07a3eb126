//! Every value of every table, whether this program knows the table or not: for the search for planted values.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::Key;
use crate::store::{AnyConn, StoreError};

/// Every table of the database, as SQL names it, whether this program knows it or not.
///
/// # Errors
/// The database.
pub fn all_tables(conn: &mut AnyConn) -> Result<Vec<String>, StoreError> {
    let keys: Vec<Key> = match conn {
        AnyConn::Sqlite(conn) => diesel::sql_query(
            "SELECT '\"' || replace(name, '\"', '\"\"') || '\"' AS id FROM sqlite_master WHERE type = 'table' ORDER BY name",
        )
        .load(conn)?,
        AnyConn::Postgres(conn) => diesel::sql_query(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS id FROM pg_tables \
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
        )
        .load(conn)?,
    };
    Ok(keys.into_iter().map(|key| key.id).collect())
}

/// Gives every value of a table from [`all_tables`] to `each`, as its own bytes, nothing in them escaped; row by row, so
/// that memory stays flat. Inside a transaction.
///
/// # Errors
/// The database.
pub fn each_value_in_tx(conn: &mut AnyConn, table: &str, mut each: impl FnMut(&[u8])) -> Result<(), StoreError> {
    use diesel::connection::{DefaultLoadingMode, SimpleConnection};
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        line: String,
    }
    match conn {
        AnyConn::Sqlite(conn) => {
            // `table` is quoted already; as a text it is wanted bare.
            let columns: Vec<Key> = diesel::sql_query(
                "SELECT 'hex(CAST(\"' || replace(name, '\"', '\"\"') || '\" AS BLOB))' AS id FROM pragma_table_info($1)",
            )
            .bind::<Text, _>(table.trim_matches('"').replace("\"\"", "\""))
            .load(conn)?;
            let columns: Vec<String> = columns
                .into_iter()
                .map(|key| format!("coalesce({}, '')", key.id))
                .collect();
            let query = format!("SELECT {} AS line FROM {table}", columns.join(" || ',' || "));
            for line in diesel::sql_query(query).load_iter::<Line, DefaultLoadingMode>(conn)? {
                for value in line?.line.split(',').filter(|value| !value.is_empty()) {
                    if let Ok(bytes) = data_encoding::HEXUPPER.decode(value.as_bytes()) {
                        each(&bytes);
                    }
                }
            }
        }
        AnyConn::Postgres(conn) => {
            // A policy that hides rows from this role is an error, and not an absence.
            conn.batch_execute(&format!(
                "SET LOCAL row_security = off; DECLARE every_value CURSOR FOR SELECT v.value AS line FROM {table} t, jsonb_each_text(to_jsonb(t)) v \
                 WHERE v.value IS NOT NULL"
            ))?;
            loop {
                let lines: Vec<Line> = diesel::sql_query("FETCH 1000 FROM every_value").load(conn)?;
                if lines.is_empty() {
                    break;
                }
                for Line { line } in lines {
                    each(line.as_bytes());
                    // Bytes are told in hexadecimal; what stands in them is looked for as it is, too.
                    if let Some(bytes) = line
                        .strip_prefix("\\x")
                        .and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok())
                    {
                        each(&bytes);
                    }
                }
            }
            conn.batch_execute("CLOSE every_value")?;
        }
    }
    Ok(())
}
