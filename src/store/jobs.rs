//! The job table: leases taken and given back by compare-and-set on their owner.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::{BusinessTime, WallTime};
use crate::domain::ids::JobId;
use crate::domain::job::{Job, JobKind};
use crate::store::schema::jobs;
use crate::store::{AnyConn, StoreError, dialect, from_row, to_row};

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = jobs)]
struct JobRow {
    id: String,
    kind: String,
    subject: String,
    state: String,
    run_at: NaiveDateTime,
    not_before: NaiveDateTime,
    failures: i16,
    poked: bool,
    lease_owner: Option<String>,
    lease_until: Option<NaiveDateTime>,
    last_error: Option<String>,
    created_at: NaiveDateTime,
}

/// A job as an operator sees it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of migrations/orders, where each is explained")]
pub struct StoredJob {
    pub id: JobId,
    pub kind: JobKind,
    pub subject: String,
    pub state: String,
    pub run_at: BusinessTime,
    pub failures: u32,
    pub last_error: Option<String>,
    pub created_at: BusinessTime,
}

impl TryFrom<JobRow> for StoredJob {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self, StoreError> {
        let corrupt = || StoreError::corrupt("jobs", &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt())?,
            kind: JobKind::parse(&row.kind).ok_or_else(corrupt)?,
            run_at: from_row(row.run_at),
            failures: u32::try_from(row.failures).map_err(|_| corrupt())?,
            created_at: from_row(row.created_at),
            subject: row.subject,
            state: row.state,
            last_error: row.last_error,
        })
    }
}

/// Makes sure that there is that job and that it is due at once: a new one, or the one that waits. One that is running just now is poked: when it would end, it runs once more.
///
/// # Errors
/// The database.
pub fn enqueue_in_tx(conn: &mut AnyConn, job: Job, now: BusinessTime, wall: WallTime) -> Result<(), StoreError> {
    let (kind, subject) = (job.kind().as_str(), job.subject());
    let row = JobRow {
        id: JobId::generate().to_string(),
        kind: kind.to_owned(),
        subject: subject.clone(),
        state: "ready".to_owned(),
        run_at: to_row(now),
        not_before: to_row(wall),
        failures: 0,
        poked: false,
        lease_owner: None,
        lease_until: None,
        last_error: None,
        created_at: to_row(now),
    };
    if dialect::insert_or_pass!(conn, jobs::table, &[row][..]) == 0 {
        let same = jobs::table
            .filter(jobs::kind.eq(kind))
            .filter(jobs::subject.eq(subject.as_str()));
        let waiting = diesel::update(same.filter(jobs::state.ne("leased")))
            .set((
                jobs::state.eq("ready"),
                jobs::run_at.eq(to_row(now)),
                jobs::not_before.eq(to_row(wall)),
                jobs::failures.eq(0),
            ))
            .execute(conn)?;
        if waiting == 0 {
            diesel::update(same).set(jobs::poked.eq(true)).execute(conn)?;
        }
    }
    Ok(())
}

/// The kinds that this program knows. A job that a newer one made waits for a newer worker, and stops nobody else's.
const LEASED_AND_OVER: &str = "state = 'leased' AND lease_until <= $1 AND kind IN ('ship', 'cancel_parcel', 'call_off', \
     'confirm_end', 'confirm_call_off', 'watch')";

/// Leases at most `limit` due jobs to `owner`: ready ones, and leased ones whose lease is over.
///
/// # Errors
/// The database, or a corrupt row.
pub fn claim_in_tx(
    conn: &mut AnyConn,
    owner: &str,
    now: BusinessTime,
    wall: WallTime,
    lease_until: WallTime,
    limit: i64,
) -> Result<Vec<StoredJob>, StoreError> {
    let mut ids = dialect::pick_and_lock(conn, "jobs", LEASED_AND_OVER, "lease_until", &[to_row(wall)], limit)?;
    let left = limit.saturating_sub(i64::try_from(ids.len()).unwrap_or(limit));
    if left > 0 {
        ids.extend(dialect::pick_due_jobs(conn, to_row(now), to_row(wall), left)?);
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    diesel::update(jobs::table.filter(jobs::id.eq_any(&ids)))
        .set((
            jobs::state.eq("leased"),
            jobs::lease_owner.eq(owner),
            jobs::lease_until.eq(to_row(lease_until)),
        ))
        .execute(conn)?;
    let rows: Vec<JobRow> = jobs::table
        .filter(jobs::id.eq_any(&ids))
        .select(JobRow::as_select())
        .load(conn)?;
    rows.into_iter().map(StoredJob::try_from).collect()
}

/// Ends a job that `owner` still holds, or makes it ready again where it was poked. `false`: the lease was lost, and
/// somebody else has the job.
///
/// # Errors
/// The database.
pub fn finish(conn: &mut AnyConn, id: JobId, owner: &str) -> Result<bool, StoreError> {
    let mine = jobs::table
        .filter(jobs::id.eq(id.to_string()))
        .filter(jobs::lease_owner.eq(owner));
    if diesel::delete(mine.filter(jobs::poked.eq(false))).execute(conn)? > 0 {
        return Ok(true);
    }
    again_if_poked(conn, id, owner)
}

/// Makes a job that `owner` still holds due at once where somebody asked for it while it ran: whatever it found out may
/// be about a state that is gone. `false`: nobody asked, or the lease was lost.
fn again_if_poked(conn: &mut AnyConn, id: JobId, owner: &str) -> Result<bool, StoreError> {
    let poked = jobs::table
        .filter(jobs::id.eq(id.to_string()))
        .filter(jobs::lease_owner.eq(owner))
        .filter(jobs::poked.eq(true));
    let again = diesel::update(poked)
        .set((
            jobs::state.eq("ready"),
            jobs::poked.eq(false),
            jobs::failures.eq(0),
            jobs::lease_owner.eq(None::<String>),
            jobs::lease_until.eq(None::<NaiveDateTime>),
        ))
        .execute(conn)?;
    Ok(again > 0)
}

/// When and how a job comes back.
#[derive(Debug, Clone)]
pub enum Again {
    /// Due after both moments (business, wall); `failed` counts it as a failed try with that code.
    At {
        /// Business time.
        run_at: BusinessTime,
        /// Wall time.
        not_before: WallTime,
        /// A failed try's stable code.
        failed: Option<String>,
    },
    /// All tries are used up, or a person must act: kept, counted, and requeued by hand.
    Dead {
        /// Stable code.
        code: String,
    },
}

/// Gives back a job that `owner` still holds; one that was poked comes back at once, whatever `again` says.
///
/// # Errors
/// The database.
pub fn give_back(conn: &mut AnyConn, id: JobId, owner: &str, again: &Again) -> Result<bool, StoreError> {
    if again_if_poked(conn, id, owner)? {
        return Ok(true);
    }
    let mine = jobs::table
        .filter(jobs::id.eq(id.to_string()))
        .filter(jobs::lease_owner.eq(owner));
    let released = (
        jobs::poked.eq(false),
        jobs::lease_owner.eq(None::<String>),
        jobs::lease_until.eq(None::<NaiveDateTime>),
    );
    let done = match again {
        Again::At {
            run_at,
            not_before,
            failed: None,
        } => diesel::update(mine)
            .set((
                released,
                jobs::state.eq("ready"),
                jobs::run_at.eq(to_row(*run_at)),
                jobs::not_before.eq(to_row(*not_before)),
            ))
            .execute(conn)?,
        Again::At {
            run_at,
            not_before,
            failed: Some(code),
        } => diesel::update(mine)
            .set((
                released,
                jobs::state.eq("ready"),
                jobs::run_at.eq(to_row(*run_at)),
                jobs::not_before.eq(to_row(*not_before)),
                jobs::failures.eq(jobs::failures + 1),
                jobs::last_error.eq(code),
            ))
            .execute(conn)?,
        Again::Dead { code } => diesel::update(mine)
            .set((released, jobs::state.eq("dead"), jobs::last_error.eq(code)))
            .execute(conn)?,
    };
    Ok(done > 0)
}

/// Gives back everything that `owner` holds, untouched: a graceful stop.
///
/// # Errors
/// The database.
pub fn release_all(conn: &mut AnyConn, owner: &str) -> Result<usize, StoreError> {
    Ok(diesel::update(
        jobs::table
            .filter(jobs::lease_owner.eq(owner))
            .filter(jobs::state.eq("leased")),
    )
    .set((
        jobs::state.eq("ready"),
        jobs::lease_owner.eq(None::<String>),
        jobs::lease_until.eq(None::<NaiveDateTime>),
    ))
    .execute(conn)?)
}

/// A page of jobs in that state, newest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn list(
    conn: &mut AnyConn,
    state: Option<&str>,
    before: Option<JobId>,
    limit: i64,
) -> Result<Vec<StoredJob>, StoreError> {
    let mut query = jobs::table
        .order(jobs::id.desc())
        .limit(limit)
        .select(JobRow::as_select())
        .into_boxed();
    if let Some(state) = state {
        query = query.filter(jobs::state.eq(state.to_owned()));
    }
    if let Some(before) = before {
        query = query.filter(jobs::id.lt(before.to_string()));
    }
    let rows: Vec<JobRow> = query.load(conn)?;
    rows.into_iter().map(StoredJob::try_from).collect()
}

/// Makes a dead job due at once, with its failures forgotten. `false`: there is no such dead job.
///
/// # Errors
/// The database.
pub fn requeue(conn: &mut AnyConn, id: JobId, now: BusinessTime, wall: WallTime) -> Result<bool, StoreError> {
    let done = diesel::update(
        jobs::table
            .filter(jobs::id.eq(id.to_string()))
            .filter(jobs::state.eq("dead")),
    )
    .set((
        jobs::state.eq("ready"),
        jobs::failures.eq(0),
        jobs::run_at.eq(to_row(now)),
        jobs::not_before.eq(to_row(wall)),
    ))
    .execute(conn)?;
    Ok(done > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_claims_every_kind_that_this_program_knows() {
        for claimed in [LEASED_AND_OVER, dialect::DUE_JOBS] {
            let kinds: Vec<String> = JobKind::ALL.iter().map(|kind| format!("'{}'", kind.as_str())).collect();
            assert!(
                claimed.contains(&format!("kind IN ({})", kinds.join(", "))),
                "{claimed}"
            );
        }
    }
}
