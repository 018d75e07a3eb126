//! What every column holds, from `privacy.toml`, compiled in: the purge, its receipts and the proof are driven by it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// What a column says of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Nothing by itself; it stays.
    Fact,
    /// Made from personal data; it goes with it.
    Derived,
    /// It identifies a person, or could; it is sealed.
    Personal,
}

/// How a purge empties a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purge {
    /// The order's rows are deleted.
    Delete,
    /// The order's rows lose their derived and personal columns.
    Clear,
    /// Rows go by themselves, soon.
    Expire,
}

/// One column.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What it says of a person.
    pub class: Class,
    /// Why it is there.
    pub why: String,
    /// Where it stands when a person's data is exported (see [`exported_at`]), or `no: ` and why it does not.
    pub export: Option<String>,
}

/// One table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// How a purge empties it; `None` where it holds facts alone.
    pub purge: Option<Purge>,
    /// When what is derived or personal goes.
    pub goes: Option<String>,
    /// Where its facts stand when a person's data is exported (see [`exported_at`]), or `no: ` and why they do not.
    pub export: Option<String>,
    /// Its columns, by name.
    pub columns: BTreeMap<String, Column>,
}

impl Table {
    /// The columns that must be empty after a purge.
    pub fn gone(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .filter(|(_, column)| column.class != Class::Fact)
            .map(|(name, _)| name.as_str())
    }
}

/// Every table of both databases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// The orders database, by table.
    pub orders: BTreeMap<String, Table>,
    /// The vault, by table.
    pub vault: BTreeMap<String, Table>,
}

/// The places in an export (JSON pointers, of its first order) that an `export` names; none where it says `no: `.
pub fn exported_at(export: &str) -> Vec<&str> {
    if export.starts_with("no: ") {
        Vec::new()
    } else {
        export.split_whitespace().collect()
    }
}

static CLASSES: LazyLock<Classes> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant of the program, read by a test")]
    toml::from_str(include_str!("../../privacy.toml")).expect("privacy.toml is well formed")
});

/// Every table of both databases.
pub fn classes() -> &'static Classes {
    &CLASSES
}

impl Classes {
    /// The tables that the purge of an order empties, with how.
    pub fn purged(&self) -> impl Iterator<Item = (&str, &Table, Purge)> {
        self.orders.iter().filter_map(|(name, table)| match table.purge {
            Some(how @ (Purge::Delete | Purge::Clear)) => Some((name.as_str(), table, how)),
            Some(Purge::Expire) | None => None,
        })
    }

    /// The columns that a purge empties, as receipts name them: `table.column`, with commas between.
    pub fn purged_columns(&self) -> String {
        let columns: Vec<String> = self
            .purged()
            .flat_map(|(name, table, _)| table.gone().map(move |column| format!("{name}.{column}")))
            .collect();
        columns.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_no_fact_always_has_a_way_to_go() {
        for (name, table) in classes().orders.iter().chain(&classes().vault) {
            let leaves = table.gone().next().is_some();
            assert_eq!(
                leaves,
                table.purge.is_some(),
                "{name}: purge and classes do not fit together"
            );
            assert_eq!(leaves, table.goes.is_some(), "{name}: says not when its data goes");
            if matches!(table.purge, Some(Purge::Delete | Purge::Clear)) {
                assert!(
                    table.columns.contains_key("order_id"),
                    "{name}: a purge finds rows by order_id"
                );
            }
            assert!(
                table.columns.values().all(|column| !column.why.is_empty()),
                "{name}: a column without a reason"
            );
        }
        assert!(
            classes().vault.values().all(|table| table.purge.is_none()),
            "the vault holds no personal data"
        );
    }

    /// A new personal column, or a new table about orders, is not forgotten in what a person is shown.
    #[test]
    fn whatever_is_kept_of_a_person_says_where_it_stands_in_an_export_or_why_not() {
        let said = |export: &Option<String>| {
            let export = export.as_deref().unwrap_or_default();
            let places = exported_at(export);
            places.iter().all(|place| place.starts_with('/')) && (!places.is_empty() || export.len() > "no: ".len())
        };
        for (name, table) in &classes().orders {
            for (column, classed) in &table.columns {
                match classed.class {
                    Class::Fact => assert!(classed.export.is_none(), "{name}.{column}: facts are exported by table"),
                    Class::Derived | Class::Personal => {
                        assert!(said(&classed.export), "{name}.{column} says nothing of the export");
                    }
                }
            }
            if table.columns.contains_key("order_id") {
                assert!(said(&table.export), "{name} says nothing of the export");
            }
        }
    }

    #[test]
    fn receipts_name_every_column_that_goes() {
        let columns = classes().purged_columns();
        for expected in [
            "order_person.sealed",
            "order_person.phone_print",
            "order_tracking.tracking_print",
        ] {
            assert!(columns.split(',').any(|column| column == expected), "{columns}");
        }
        assert!(!columns.contains("order_id"));
    }
}
