//! The audit log: each entry carries the hash of the one before it. No personal data.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use sha2::{Digest, Sha256};

use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::audit::AuditAction;
use crate::store::schema::audit_log;
use crate::store::{AnyConn, StoreError, dialect, meta, to_row};

/// One entry, as stored.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct EntryRow {
    pub seq: i64,
    pub at: NaiveDateTime,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: String,
    pub reason_hash: Option<String>,
    pub prev_hash: String,
    pub hash: String,
}

impl EntryRow {
    /// What the entry's hash must be: over every other column, each preceded by its length.
    pub fn expected_hash(&self) -> String {
        let mut hasher = Sha256::new();
        let seq = self.seq.to_string();
        let at = self.at.and_utc().timestamp_micros().to_string();
        let reason = self.reason_hash.as_deref().unwrap_or("");
        for part in [
            &seq,
            &at,
            &self.actor,
            &self.action,
            &self.subject,
            &self.detail,
            reason,
            &self.prev_hash,
        ] {
            hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        data_encoding::HEXLOWER.encode(&hasher.finalize())
    }
}

/// A privileged act to be recorded.
#[derive(Debug, Clone)]
pub struct Act<'a> {
    /// Who did it.
    pub actor: &'a Actor,
    /// What was done.
    pub action: AuditAction,
    /// The id it was done to.
    pub subject: &'a str,
    /// Facts, never personal data.
    pub detail: &'a str,
    /// Salted hash of the reason that was given, where one was.
    pub reason_hash: Option<String>,
}

/// Appends an entry; the chain's head is locked until the transaction ends. Returns its number and hash.
///
/// # Errors
/// The database, or a head that cannot be read.
pub fn append_in_tx(conn: &mut AnyConn, at: BusinessTime, act: &Act<'_>) -> Result<(i64, String), StoreError> {
    meta::get_or_set_in_tx(conn, meta::AUDIT_HEAD, "0 ")?;
    let head = dialect::lock_fact(conn, dialect::Facts::Orders, meta::AUDIT_HEAD)?.unwrap_or_default();
    let corrupt = || StoreError::corrupt("meta", meta::AUDIT_HEAD);
    let (seq, prev_hash) = head.split_once(' ').ok_or_else(corrupt)?;
    let seq: i64 = seq.parse().map_err(|_| corrupt())?;
    let mut row = EntryRow {
        seq: seq.saturating_add(1),
        at: to_row(at),
        actor: act.actor.to_string(),
        action: act.action.as_str().to_owned(),
        subject: act.subject.to_owned(),
        detail: act.detail.to_owned(),
        reason_hash: act.reason_hash.clone(),
        prev_hash: prev_hash.to_owned(),
        hash: String::new(),
    };
    row.hash = row.expected_hash();
    diesel::insert_into(audit_log::table).values(&row).execute(conn)?;
    meta::set_in_tx(conn, meta::AUDIT_HEAD, &format!("{} {}", row.seq, row.hash))?;
    Ok((row.seq, row.hash))
}

/// Entries before `before` (or the newest), newest first.
///
/// # Errors
/// The database.
pub fn list(conn: &mut AnyConn, before: Option<i64>, limit: i64) -> Result<Vec<EntryRow>, StoreError> {
    let mut query = audit_log::table
        .order(audit_log::seq.desc())
        .limit(limit)
        .select(EntryRow::as_select())
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(audit_log::seq.lt(before));
    }
    Ok(query.load(conn)?)
}

/// How many entries there are of these actions.
///
/// # Errors
/// The database.
pub fn count_of(conn: &mut AnyConn, actions: &[AuditAction]) -> Result<i64, StoreError> {
    Ok(audit_log::table
        .filter(audit_log::action.eq_any(actions.iter().map(|action| action.as_str())))
        .count()
        .get_result(conn)?)
}

/// Entries after `after`, oldest first.
///
/// # Errors
/// The database.
pub fn after(conn: &mut AnyConn, after: i64, limit: i64) -> Result<Vec<EntryRow>, StoreError> {
    Ok(audit_log::table
        .filter(audit_log::seq.gt(after))
        .order(audit_log::seq)
        .limit(limit)
        .select(EntryRow::as_select())
        .load(conn)?)
}
