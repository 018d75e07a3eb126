//! `src/store/schema.rs` against the tables that the migrations really make, on both engines and in both databases.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use macro_rules_attribute::apply;
use safelight::store::AnyConn;

use crate::harness::databases::{Databases, Engine};

/// One table: columns in their order, and the primary key's columns.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Table {
    columns: Vec<(String, String, bool)>,
    key: Vec<String>,
}

type Tables = BTreeMap<String, Table>;

/// The `table!` macros, read as text: their tuples cannot be listed from outside.
fn declared() -> Tables {
    let text = include_str!("../../src/store/schema.rs");
    let mut tables = Tables::new();
    for block in text.split("diesel::table! {").skip(1) {
        let head = block.lines().map(str::trim).find(|line| !line.is_empty()).unwrap();
        let (name, rest) = head.split_once(" (").unwrap();
        let key = rest.split(')').next().unwrap().split(", ").map(str::to_owned).collect();
        let columns = block
            .lines()
            .map(str::trim)
            .filter_map(|line| line.strip_suffix(',')?.split_once(" -> "))
            .map(|(column, kind)| match kind.strip_prefix("Nullable<") {
                Some(inner) => (column.to_owned(), inner.trim_end_matches('>').to_owned(), true),
                None => (column.to_owned(), kind.to_owned(), false),
            })
            .collect();
        tables.insert(name.to_owned(), Table { columns, key });
    }
    tables
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Bool)]
    nullable: bool,
    #[diesel(sql_type = Bool)]
    in_key: bool,
}

const OF_SQLITE: &str = "SELECT m.name AS table_name, c.name AS column_name, c.type AS kind, c.\"notnull\" = 0 AS nullable, \
    c.pk > 0 AS in_key FROM sqlite_master m JOIN pragma_table_info(m.name) c \
    WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.cid";

const OF_POSTGRES: &str = "SELECT c.table_name::text AS table_name, c.column_name::text AS column_name, \
    c.data_type::text AS kind, c.is_nullable = 'YES' AS nullable, EXISTS (SELECT 1 FROM \
    information_schema.table_constraints t JOIN information_schema.key_column_usage k USING (constraint_name, table_name) \
    WHERE t.constraint_type = 'PRIMARY KEY' AND k.table_name = c.table_name AND k.column_name = c.column_name) AS in_key \
    FROM information_schema.columns c WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\\_\\_%' \
    ORDER BY c.table_name, c.ordinal_position";

/// The type classes that both engines share, by diesel's names.
fn class(kind: &str) -> &'static str {
    match kind.to_ascii_lowercase().as_str() {
        "text" => "Text",
        "bigint" => "BigInt",
        "smallint" => "SmallInt",
        "boolean" => "Bool",
        "bytea" => "Binary",
        "timestamp" | "timestamp without time zone" => "Timestamp",
        other => panic!("a type that is not portable: {other}"),
    }
}

fn real(conn: &mut AnyConn, engine: Engine) -> Tables {
    let sql = match engine {
        Engine::Sqlite => OF_SQLITE,
        Engine::Postgres => OF_POSTGRES,
    };
    let columns: Vec<Column> = diesel::sql_query(sql).load(conn).unwrap();
    let mut tables = Tables::new();
    for column in columns {
        let table = tables.entry(column.table_name).or_insert_with(|| Table {
            columns: Vec::new(),
            key: Vec::new(),
        });
        if column.in_key {
            table.key.push(column.column_name.clone());
        }
        table
            .columns
            .push((column.column_name, class(&column.kind).to_owned(), column.nullable));
    }
    tables
}

#[apply(on_both_engines)]
fn the_declared_schema_is_what_the_migrations_make(engine: Engine) {
    let databases = Databases::migrated(engine);
    let mut found = real(&mut databases.open_orders(), engine);
    let vault = real(&mut databases.open_vault(), engine);
    assert!(found.contains_key("orders") && vault.contains_key("vault_keys"));
    for (name, table) in vault {
        assert!(
            found.insert(name.clone(), table).is_none(),
            "{name} is in both databases"
        );
    }
    // Portable code never relies on the columns' order, but `table!` prints them in it.
    assert_eq!(found, declared());
}

/// Of `privacy.toml`, with a reason each.
#[apply(on_both_engines)]
fn every_column_has_a_class_and_every_class_a_column(engine: Engine) {
    let text = include_str!("../../privacy.toml");
    let classes: toml::Table = text.parse().unwrap();
    let databases = Databases::migrated(engine);
    for (name, mut conn) in [("orders", databases.open_orders()), ("vault", databases.open_vault())] {
        let classed = classes[name].as_table().unwrap();
        let mut found = real(&mut conn, engine);
        for (table, facts) in classed {
            let real = found
                .remove(table)
                .unwrap_or_else(|| panic!("{name}.{table} is classed and not there"));
            let columns = facts["columns"].as_table().unwrap();
            let mut has_personal = false;
            for (column, class) in columns {
                let kind = class["class"].as_str().unwrap();
                assert!(
                    ["fact", "derived", "personal"].contains(&kind),
                    "{table}.{column}: {kind}"
                );
                assert!(
                    class["why"].as_str().is_some_and(|why| !why.trim().is_empty()),
                    "{table}.{column} says no reason"
                );
                has_personal |= kind != "fact";
            }
            assert_eq!(
                facts.get("purge").is_some(),
                has_personal,
                "{name}.{table}: what is personal must be purged"
            );
            let mut real: Vec<&String> = real.columns.iter().map(|(column, ..)| column).collect();
            let mut columns: Vec<&String> = columns.keys().collect();
            real.sort();
            columns.sort();
            assert_eq!(real, columns, "{name}.{table}");
        }
        assert!(found.is_empty(), "tables of {name} without classes: {:?}", found.keys());
    }
}
