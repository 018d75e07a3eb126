//! Rows as they lie in the database, whole, as text: for what must be there and for what must not.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use safelight::store::AnyConn;

use super::databases::Engine;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// How many rows `FROM` that and `WHERE` that; code, never input.
pub(crate) fn count(conn: &mut AnyConn, from_where: &str) -> i64 {
    let row: Count = diesel::sql_query(format!("SELECT count(*) AS count FROM {from_where}"))
        .get_result(conn)
        .unwrap();
    row.count
}

fn lines(conn: &mut AnyConn, sql: String) -> Vec<String> {
    let rows: Vec<Line> = diesel::sql_query(sql).load(conn).unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

/// One text value a row.
pub(crate) fn texts(conn: &mut AnyConn, expression: &str, from_where: &str) -> Vec<String> {
    lines(conn, format!("SELECT {expression} AS line FROM {from_where}"))
}

/// Every table.
pub(crate) fn tables(conn: &mut AnyConn, engine: Engine) -> Vec<String> {
    match engine {
        Engine::Sqlite => texts(conn, "name", "sqlite_master WHERE type = 'table' ORDER BY name"),
        Engine::Postgres => texts(
            conn,
            "table_name::text",
            "information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
        ),
    }
}

/// Every row of a table, every column of it, bytes in hexadecimal.
pub(crate) fn dump(conn: &mut AnyConn, engine: Engine, table: &str) -> Vec<String> {
    match engine {
        Engine::Sqlite => {
            let columns = texts(
                conn,
                "'quote(\"' || name || '\")'",
                &format!("pragma_table_info('{table}')"),
            );
            texts(conn, &columns.join(" || '|' || "), table)
        }
        Engine::Postgres => texts(conn, "t::text", &format!("{table} t")),
    }
}
