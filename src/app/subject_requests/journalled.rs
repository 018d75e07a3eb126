//! A request's state told to the vault's journal, and put on its orders, so that an old copy that is put back knows both
//! again: a withdrawal stays a withdrawal. A reconciler: what is not settled has no journal number yet, and whoever finds
//! it goes on from there.

use serde::{Deserialize, Serialize};

use crate::app::records::personal_record;
use crate::app::subject_requests::restrict;
use crate::app::{App, AppError};
use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::ids::{OrderId, RequestId};
use crate::domain::journal::JournalKind;
use crate::domain::subject_request::{RequestKind, RequestState, Restriction, Role, SubjectRequest};
use crate::store::subject_requests::{self};
use crate::store::vault::journal::{JournalRow, NewEntry};
use crate::store::{AnyConn, meta, orders};

/// A request as the journal keeps it: ids and facts. The short names are forever.
#[derive(Serialize, Deserialize)]
struct Noted {
    kind: String,
    state: String,
    role: String,
    phone: bool,
    received: i64,
    due: String,
    official: bool,
    made: i64,
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closer: Option<String>,
    orders: Vec<String>,
}

impl Noted {
    fn of(request: &SubjectRequest, about: &[OrderId]) -> Self {
        Self {
            kind: request.kind.as_str().to_owned(),
            state: request.state.as_str().to_owned(),
            role: request.role.as_str().to_owned(),
            phone: request.by_phone,
            received: request.received_at.timestamp_micros(),
            due: request.due_on.to_string(),
            official: request.due_official,
            made: request.created_at.timestamp_micros(),
            by: request.created_by.clone(),
            closed: request.closed_at.map(|at| at.timestamp_micros()),
            closer: request.closed_by.clone(),
            orders: about.iter().map(ToString::to_string).collect(),
        }
    }

    fn read(self, id: RequestId, number: i64) -> Option<(SubjectRequest, Vec<OrderId>)> {
        let request = SubjectRequest {
            id,
            kind: RequestKind::parse(&self.kind)?,
            state: RequestState::parse(&self.state)?,
            role: Role::parse(&self.role)?,
            by_phone: self.phone,
            received_at: BusinessTime::from_timestamp_micros(self.received)?,
            due_on: self.due.parse().ok()?,
            due_official: self.official,
            created_at: BusinessTime::from_timestamp_micros(self.made)?,
            created_by: self.by,
            closed_at: self.closed.and_then(BusinessTime::from_timestamp_micros),
            closed_by: self.closer,
            journal: Some(number),
        };
        let about = self.orders.iter().filter_map(|id| id.parse().ok()).collect();
        Some((request, about))
    }
}

/// Journals a request's state, first what it puts on its orders, then itself; and puts it on them.
///
/// # Errors
/// Store or vault; what was done stays done.
pub(super) async fn journal_one(app: &App, id: RequestId) -> Result<(), AppError> {
    let found = app
        .orders
        .read(move |conn| {
            let request = subject_requests::find(conn, id)?.ok_or(AppError::NotFound)?;
            let about = subject_requests::orders_of(conn, &[id])?;
            let about: Vec<OrderId> = about.into_iter().map(|(_, order)| order).collect();
            let restriction = request
                .kind
                .restriction()
                .filter(|_| request.state == RequestState::Completed);
            let mut to_restrict = Vec::new();
            if let (Some(restriction), None) = (restriction, request.journal) {
                for order in &about {
                    let asked = orders::find(conn, *order)?.filter(|order| order.purge_decided_at.is_none());
                    if asked.is_some_and(|order| restriction.adds_to(order.restriction)) {
                        to_restrict.push((*order, restriction));
                    }
                }
            }
            Ok::<_, AppError>((request, about, to_restrict))
        })
        .await?;
    let (request, about, to_restrict) = found;
    if request.journal.is_some() {
        return Ok(());
    }
    let detail = serde_json::to_string(&Noted::of(&request, &about))
        .map_err(|error| AppError::Internal(format!("a request cannot be written: {error}")))?;
    let mut entries: Vec<NewEntry> = to_restrict
        .iter()
        .map(|(order, restriction)| NewEntry {
            kind: JournalKind::Restrict,
            subject: order.to_string(),
            detail: restriction.as_str().to_owned(),
        })
        .collect();
    entries.push(NewEntry {
        kind: JournalKind::SubjectRequest,
        subject: id.to_string(),
        detail,
    });
    let vault = app.vault.clone();
    let (first, last) = app.blocking(move || Ok(vault.journal(entries)?)).await?;
    let actor = request.closed_by.as_deref().unwrap_or(&request.created_by);
    let actor = Actor::parse(actor).unwrap_or(Actor::System);
    for (number, (order, restriction)) in (first..).zip(to_restrict) {
        let (actor, clock) = (actor.clone(), app.clock.clone());
        app.orders
            .write(move |conn| {
                let now = clock.business_now();
                match personal_record::lock_unless_purged(conn, order) {
                    Ok(Some(order)) => restrict::mark_in_tx(conn, &order, restriction, Some((&actor, id)), now)?,
                    // Purged meanwhile: there is nobody left to protect.
                    Ok(None) | Err(AppError::NotFound) => {}
                    Err(error) => return Err(error),
                }
                Ok(meta::applied_in_tx(conn, number, number)?)
            })
            .await?;
    }
    let state = request.state;
    app.orders
        .write(move |conn| {
            subject_requests::note_journal_in_tx(conn, id, state, last)?;
            meta::applied_in_tx(conn, last, last)
        })
        .await?;
    Ok(())
}

/// Applies a journal entry of a request, or of a restriction, to an old copy; each may have been applied before.
///
/// # Errors
/// Store.
pub(crate) fn replay(conn: &mut AnyConn, entry: &JournalRow, now: BusinessTime) -> Result<(), AppError> {
    let corrupt = || {
        tracing::error!(
            number = entry.number,
            kind = entry.kind,
            "Journal entry is corrupt; entry skipped"
        )
    };
    if entry.kind() == Some(JournalKind::Restrict) {
        let (Ok(id), Some(restriction)) = (entry.subject.parse(), Restriction::parse(&entry.detail)) else {
            corrupt();
            return Ok(());
        };
        // The copy may be from before the order.
        match personal_record::lock_unless_purged(conn, id) {
            Ok(Some(order)) => restrict::mark_in_tx(conn, &order, restriction, None, now),
            Ok(None) | Err(AppError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    } else {
        let noted = serde_json::from_str::<Noted>(&entry.detail).ok();
        let read = entry.subject.parse().ok().and_then(|id| noted?.read(id, entry.number));
        let Some((request, about)) = read else {
            corrupt();
            return Ok(());
        };
        Ok(subject_requests::restore_in_tx(conn, &request, &about)?)
    }
}
