//! PostgreSQL statements about many rows at once: every column of the rows is one array. Prepared once per connection
//! whatever the number of rows, and one round trip, where Diesel's own UPDATE and raw SQL are parsed and planned anew each
//! time.

use std::borrow::Cow;
use std::marker::PhantomData;

use chrono::NaiveDateTime;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, SmallInt, Text, Timestamp};

/// One column of all rows.
pub(in crate::store) enum Column<'a> {
    Text(Vec<&'a str>),
    TextOrNull(Vec<Option<&'a str>>),
    Binary(Vec<&'a [u8]>),
    Bool(Vec<bool>),
    SmallInt(Vec<i16>),
    BigInt(Vec<i64>),
    BigIntOrNull(Vec<Option<i64>>),
    Timestamp(Vec<NaiveDateTime>),
    TimestampOrNull(Vec<Option<NaiveDateTime>>),
}

/// A piece of a statement.
pub(in crate::store) enum Part<'a> {
    /// SQL: code, never input.
    Sql(Cow<'static, str>),
    /// Arrays, with commas between them.
    Columns(Vec<Column<'a>>),
}

/// A statement; `Row` is the SQL type of what it returns.
pub(in crate::store) struct Statement<'a, Row = ()> {
    parts: Vec<Part<'a>>,
    returns: PhantomData<Row>,
}

impl<'a, Row> Statement<'a, Row> {
    /// The pieces, as they follow each other.
    pub(in crate::store) const fn new(parts: Vec<Part<'a>>) -> Self {
        Self {
            parts,
            returns: PhantomData,
        }
    }

    /// `before`, the columns, `after`.
    pub(in crate::store) fn over(before: &'static str, columns: Vec<Column<'a>>, after: &'static str) -> Self {
        Self::new(vec![
            Part::Sql(before.into()),
            Part::Columns(columns),
            Part::Sql(after.into()),
        ])
    }
}

/// A column of all rows, out of each row.
macro_rules! column {
    ($kind:ident, $rows:expr, $of:expr) => {
        $crate::store::dialect::arrays::Column::$kind($rows.iter().map($of).collect())
    };
}

/// Inserts rows into a table: on PostgreSQL over these columns, each out of every row; on SQLite, where a statement is a
/// function call, row by row.
macro_rules! insert_rows {
    ($conn:expr, $table:ident, $rows:expr, |$row:ident| [$first:ident: $of_first:ident = $value_of_first:expr $(, $name:ident: $kind:ident = $value:expr)* $(,)?]) => {
        match $conn {
            $crate::store::AnyConn::Sqlite(conn) => {
                for row in $rows {
                    diesel::insert_into($table::table).values(row).execute(conn)?;
                }
            }
            $crate::store::AnyConn::Postgres(conn) => {
                let columns = vec![
                    $crate::store::dialect::arrays::column!($of_first, $rows, |$row| $value_of_first),
                    $($crate::store::dialect::arrays::column!($kind, $rows, |$row| $value)),*
                ];
                let into = concat!(
                    "INSERT INTO ", stringify!($table), " (", stringify!($first), $(", ", stringify!($name),)*
                    ") SELECT * FROM unnest("
                );
                <$crate::store::dialect::arrays::Statement>::over(into, columns, ")").execute(conn)?;
            }
        }
    };
}

/// Writes columns of rows, each a key and what its row becomes: on PostgreSQL over these columns, on SQLite row by row.
macro_rules! update_rows {
    ($conn:expr, $table:ident, $rows:expr, |$row:ident| [$first:ident: $of_first:ident = $value_of_first:expr $(, $name:ident: $kind:ident = $value:expr)* $(,)?]) => {
        match $conn {
            $crate::store::AnyConn::Sqlite(conn) => {
                for (id, row) in $rows {
                    diesel::update($table::table.find(id)).set(row).execute(conn)?;
                }
            }
            $crate::store::AnyConn::Postgres(conn) => {
                let columns = vec![
                    $crate::store::dialect::arrays::column!(Text, $rows, |(id, _)| id.as_str()),
                    $crate::store::dialect::arrays::column!($of_first, $rows, |(_, $row)| $value_of_first),
                    $($crate::store::dialect::arrays::column!($kind, $rows, |(_, $row)| $value)),*
                ];
                let update = concat!(
                    "UPDATE ", stringify!($table), " t SET ", stringify!($first), " = v.", stringify!($first),
                    $(", ", stringify!($name), " = v.", stringify!($name),)* " FROM unnest("
                );
                let these = concat!(
                    ") AS v (id, ", stringify!($first), $(", ", stringify!($name),)* ") WHERE t.id = v.id"
                );
                <$crate::store::dialect::arrays::Statement>::over(update, columns, these).execute(conn)?;
            }
        }
    };
}

pub(in crate::store) use {column, insert_rows, update_rows};

// Told apart by its text.
impl<Row: 'static> QueryId for Statement<'_, Row> {
    type QueryId = Statement<'static, Row>;
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Statement<'_, Row> {
    type SqlType = Row;
}

impl<Row> RunQueryDsl<PgConnection> for Statement<'_, Row> {}

impl<Row> QueryFragment<Pg> for Statement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for part in &self.parts {
            match part {
                Part::Sql(sql) => out.push_sql(sql),
                Part::Columns(columns) => {
                    let mut comma = "";
                    for column in columns {
                        out.push_sql(comma);
                        comma = ", ";
                        match column {
                            Column::Text(values) => out.push_bind_param::<Array<Text>, _>(values),
                            Column::TextOrNull(values) => out.push_bind_param::<Array<Nullable<Text>>, _>(values),
                            Column::Binary(values) => out.push_bind_param::<Array<Binary>, _>(values),
                            Column::Bool(values) => out.push_bind_param::<Array<Bool>, _>(values),
                            Column::SmallInt(values) => out.push_bind_param::<Array<SmallInt>, _>(values),
                            Column::BigInt(values) => out.push_bind_param::<Array<BigInt>, _>(values),
                            Column::BigIntOrNull(values) => out.push_bind_param::<Array<Nullable<BigInt>>, _>(values),
                            Column::Timestamp(values) => out.push_bind_param::<Array<Timestamp>, _>(values),
                            Column::TimestampOrNull(values) => {
                                out.push_bind_param::<Array<Nullable<Timestamp>>, _>(values)
                            }
                        }?;
                    }
                }
            }
        }
        Ok(())
    }
}
