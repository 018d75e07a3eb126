//! Answering a request: done as asked, or refused with a reason. Said again it is the same answer; the opposite is a
//! conflict.

use crate::app::conflict::Conflict;
use crate::app::subject_requests::register::{self, RequestView};
use crate::app::subject_requests::{journalled, restrict};
use crate::app::{App, AppError, Caller, audit as chain};
use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::audit::AuditAction;
use crate::domain::ids::RequestId;
use crate::domain::subject_request::{RequestState, SubjectRequest};
use crate::privacy::Pii;
use crate::store::audit::{self, Act};
use crate::store::subject_requests::{self};
use crate::store::{AnyConn, subject_texts};
use crate::vault::record::RequestText;

/// Completes a request and does what it asks of its orders, as far as that can be done now; what cannot (a hold, a parcel
/// on its way, a courier that does not answer) follows by itself. The view says for each order what became of it.
///
/// # Errors
/// Not found, refused before, store or vault.
pub async fn complete(app: &App, caller: &Caller, id: RequestId) -> Result<RequestView, AppError> {
    let (actor, now) = (caller.actor(), app.clock.business_now());
    let by = actor.clone();
    let request = app
        .orders
        .write(move |conn| {
            let Some(request) = open(conn, id, RequestState::Completed)? else {
                return subject_requests::find(conn, id)?.ok_or(AppError::NotFound);
            };
            record(conn, &by, AuditAction::SubjectRequestComplete, &request, None, now)?;
            subject_requests::close_in_tx(conn, id, RequestState::Completed, &by.to_string(), now)?;
            Ok(request)
        })
        .await?;
    journalled::journal_one(app, id).await?;
    chain::note_act(app).await;
    if request.kind.restriction().is_some() {
        for order in register::find(app, id).await?.orders {
            // What fails is in the log and is done again by the recurring work; the answer says where it stands.
            if let Err(error) = restrict::pursue(app, order.id, &actor).await {
                tracing::warn!(%error, order = %order.id, "Failed to carry out a data subject's request on an order; will retry");
            }
        }
    }
    register::find(app, id).await
}

/// Refuses a request.
///
/// # Errors
/// Not found, completed before, store or vault.
pub async fn refuse(app: &App, caller: &Caller, id: RequestId, reason: Pii<String>) -> Result<RequestView, AppError> {
    let (actor, now) = (caller.actor(), app.clock.business_now());
    app.write_sealed(move |conn, ring| {
        let Some(request) = open(conn, id, RequestState::Refused)? else {
            return Ok(());
        };
        let (salt, hash) = chain::salted_hash(&reason);
        record(
            conn,
            &actor,
            AuditAction::SubjectRequestRefuse,
            &request,
            Some(hash),
            now,
        )?;
        let verified_by = register::text(conn, ring, id)?.and_then(|text| text.verified_by);
        let text = RequestText {
            verified_by,
            refusal: Some(reason.clone()),
            salt: Some(Pii::new(salt)),
        };
        let row = register::seal(conn, ring, id, &text, now)?;
        // An old copy that was put back may know the request and not what was written about it.
        if !subject_texts::replace_in_tx(conn, &row)? {
            subject_texts::add_in_tx(conn, &row)?;
        }
        subject_requests::close_in_tx(conn, id, RequestState::Refused, &actor.to_string(), now)?;
        Ok(())
    })
    .await?;
    journalled::journal_one(app, id).await?;
    chain::note_act(app).await;
    register::find(app, id).await
}

/// The request, locked, where it is open; `None` where it has ended as `wanted` already.
fn open(conn: &mut AnyConn, id: RequestId, wanted: RequestState) -> Result<Option<SubjectRequest>, AppError> {
    let request = subject_requests::lock_in_tx(conn, id)?.ok_or(AppError::NotFound)?;
    match request.state {
        RequestState::Open => Ok(Some(request)),
        state if state == wanted => Ok(None),
        RequestState::Completed => Err(AppError::Conflict(Conflict::AlreadyCompleted)),
        RequestState::Refused => Err(AppError::Conflict(Conflict::AlreadyRefused)),
    }
}

fn record(
    conn: &mut AnyConn,
    actor: &Actor,
    action: AuditAction,
    request: &SubjectRequest,
    reason_hash: Option<String>,
    now: BusinessTime,
) -> Result<(), AppError> {
    let act = Act {
        actor,
        action,
        subject: &request.id.to_string(),
        detail: &format!("kind={}", request.kind.as_str()),
        reason_hash,
    };
    audit::append_in_tx(conn, now, &act)?;
    Ok(())
}
