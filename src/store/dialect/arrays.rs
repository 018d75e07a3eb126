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
pub(super) enum Column<'a> {
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
pub(super) enum Part<'a> {
    /// SQL: code, never input.
    Sql(Cow<'static, str>),
    /// Arrays, with commas between them.
    Columns(Vec<Column<'a>>),
}

/// A statement; `Row` is the SQL type of what it returns.
pub(super) struct Statement<'a, Row = ()> {
    parts: Vec<Part<'a>>,
    returns: PhantomData<Row>,
}

impl<'a, Row> Statement<'a, Row> {
    /// The pieces, as they follow each other.
    pub(super) const fn new(parts: Vec<Part<'a>>) -> Self {
        Self {
            parts,
            returns: PhantomData,
        }
    }

    /// `before`, the columns, `after`.
    pub(super) fn over(before: &'static str, columns: Vec<Column<'a>>, after: &'static str) -> Self {
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
        Column::$kind($rows.iter().map($of).collect())
    };
}
pub(super) use column;

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
