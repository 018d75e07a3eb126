//! The vault's journal: what must be done again after an old copy of the orders is put back. Ids and facts only.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::journal::JournalKind;
use crate::store::dialect::insert_rows;
use crate::store::schema::{journal, vault_meta};
use crate::store::vault::{VaultConn, meta};
use crate::store::{StoreError, to_row};

/// The number of the newest entry.
const LAST: &str = "journal";
/// Turned before every booking, at every start and every epoch.
const COUNTER: &str = "counter";

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = journal)]
#[expect(missing_docs, reason = "the columns of migrations/vault")]
pub struct JournalRow {
    pub number: i64,
    pub at: NaiveDateTime,
    pub kind: String,
    pub subject: String,
    pub detail: String,
}

impl JournalRow {
    /// What the entry is about; `None` for a kind that a newer program wrote.
    pub fn kind(&self) -> Option<JournalKind> {
        JournalKind::parse(&self.kind)
    }
}

/// What is journalled, before it has a number.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// What it is about.
    pub kind: JournalKind,
    /// The id it is about.
    pub subject: String,
    /// Facts.
    pub detail: String,
}

fn number(conn: &mut VaultConn<'_>, key: &str) -> Result<i64, StoreError> {
    let text: Option<String> = vault_meta::table
        .find(key)
        .select(vault_meta::value)
        .first(conn.sql())
        .optional()?;
    match text {
        Some(text) => text.parse().map_err(|_| StoreError::corrupt("vault_meta", key)),
        None => Ok(0),
    }
}

fn set(conn: &mut VaultConn<'_>, key: &str, value: i64) -> Result<(), StoreError> {
    diesel::update(vault_meta::table.find(key))
        .set(vault_meta::value.eq(value.to_string()))
        .execute(conn.sql())?;
    Ok(())
}

fn lock(conn: &mut VaultConn<'_>, key: &str) -> Result<i64, StoreError> {
    meta::get_or_set_in_tx(conn, key, "0")?;
    meta::lock_in_tx(conn, key)?;
    number(conn, key)
}

/// Appends entries; returns them with their numbers, which follow each other.
///
/// # Errors
/// The database.
pub fn append_in_tx(
    conn: &mut VaultConn<'_>,
    entries: Vec<NewEntry>,
    at: BusinessTime,
) -> Result<Vec<JournalRow>, StoreError> {
    let last = lock(conn, LAST)?;
    let rows: Vec<JournalRow> = (last.saturating_add(1)..)
        .zip(entries)
        .map(|(number, entry)| JournalRow {
            number,
            at: to_row(at),
            kind: entry.kind.as_str().to_owned(),
            subject: entry.subject,
            detail: entry.detail,
        })
        .collect();
    insert_journal(conn, &rows)?;
    if let Some(newest) = rows.last() {
        set(conn, LAST, newest.number)?;
    }
    Ok(rows)
}

/// Puts entries back that a mirror kept and this vault lost; returns how many.
///
/// # Errors
/// The database.
pub fn import_in_tx(conn: &mut VaultConn<'_>, rows: &[JournalRow]) -> Result<usize, StoreError> {
    let last = lock(conn, LAST)?;
    let missing: Vec<JournalRow> = rows.iter().filter(|row| row.number > last).cloned().collect();
    insert_journal(conn, &missing)?;
    if let Some(newest) = missing.last() {
        set(conn, LAST, newest.number)?;
    }
    Ok(missing.len())
}

/// The number of the newest entry; 0 where there is none.
///
/// # Errors
/// The database.
pub fn last(conn: &mut VaultConn<'_>) -> Result<i64, StoreError> {
    number(conn, LAST)
}

/// Entries after `after`, oldest first.
///
/// # Errors
/// The database.
pub fn after(conn: &mut VaultConn<'_>, after: i64, limit: i64) -> Result<Vec<JournalRow>, StoreError> {
    Ok(journal::table
        .filter(journal::number.gt(after))
        .order(journal::number)
        .limit(limit)
        .select(JournalRow::as_select())
        .load(conn.sql())?)
}

/// The detail of the newest entry of that kind about that subject, from the number `from` on.
///
/// # Errors
/// The database.
pub fn last_about(
    conn: &mut VaultConn<'_>,
    kind: JournalKind,
    subject: &str,
    from: i64,
) -> Result<Option<String>, StoreError> {
    Ok(journal::table
        .filter(journal::number.ge(from))
        .filter(journal::kind.eq(kind.as_str()))
        .filter(journal::subject.eq(subject))
        .order(journal::number.desc())
        .select(journal::detail)
        .first(conn.sql())
        .optional()?)
}

/// The counter.
///
/// # Errors
/// The database.
pub fn counter(conn: &mut VaultConn<'_>) -> Result<i64, StoreError> {
    number(conn, COUNTER)
}

/// Turns the counter by one, or to at least `floor`; returns it.
///
/// # Errors
/// The database.
pub fn turn_in_tx(conn: &mut VaultConn<'_>, floor: i64) -> Result<i64, StoreError> {
    let next = lock(conn, COUNTER)?.saturating_add(1).max(floor);
    set(conn, COUNTER, next)?;
    Ok(next)
}

/// Makes the journal go on after `number`: an older vault is taken into service, and what it missed is lost.
///
/// # Errors
/// The database.
pub fn skip_to_in_tx(conn: &mut VaultConn<'_>, number: i64) -> Result<(), StoreError> {
    if lock(conn, LAST)? < number {
        set(conn, LAST, number)?;
    }
    Ok(())
}

/// The entries with these numbers.
///
/// # Errors
/// The database.
pub fn numbered(conn: &mut VaultConn<'_>, numbers: &[i64]) -> Result<Vec<JournalRow>, StoreError> {
    Ok(journal::table
        .filter(journal::number.eq_any(numbers))
        .select(JournalRow::as_select())
        .load(conn.sql())?)
}

/// The details of every entry of a kind.
///
/// # Errors
/// The database.
pub fn details_of(conn: &mut VaultConn<'_>, kind: JournalKind) -> Result<Vec<String>, StoreError> {
    Ok(journal::table
        .filter(journal::kind.eq(kind.as_str()))
        .order(journal::number)
        .select(journal::detail)
        .load(conn.sql())?)
}

/// Inserts entries of the vault's journal.
///
/// # Errors
/// The database.
fn insert_journal(conn: &mut VaultConn<'_>, entries: &[JournalRow]) -> Result<(), StoreError> {
    insert_rows!(conn.sql(), journal, entries, |row| [
        number: BigInt = row.number,
        at: Timestamp = row.at,
        kind: Text = row.kind.as_str(),
        subject: Text = row.subject.as_str(),
        detail: Text = row.detail.as_str(),
    ]);
    Ok(())
}
