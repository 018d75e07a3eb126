//! Seeing a recipient whole: needs a scope and a reason, is recorded before it is shown, and for a minor or a held or
//! restricted order needs a second key's approval.

use chrono::TimeDelta;

use crate::app::conflict::Conflict;
use crate::app::records::{notes, personal_record};
use crate::app::{App, AppError, Caller, audit as chain};
use crate::clock::BusinessTime;
use crate::domain::audit::AuditAction;
use crate::domain::contact::Recipient;
use crate::domain::ids::{OrderId, RowId};
use crate::domain::order::Order;
use crate::privacy::Pii;
use crate::store::audit::{self, Act};
use crate::store::reveals::{self, RevealRow};
use crate::store::{AnyConn, from_row};
use crate::vault::keyring::Keyring;

/// Business time that an approval may be used in. Whoever approves answers for a look that is about to be taken: a day
/// covers the shift that asked and the one that approved, and leaves no open door for a reason long forgotten.
const APPROVAL_LASTS: TimeDelta = TimeDelta::hours(24);

/// What a reveal shows.
#[derive(Debug)]
pub enum Revealed {
    /// The whole recipient.
    Recipient(Box<Recipient>),
    /// A second key must approve this request first; then ask again.
    NeedsApproval {
        /// The request.
        reveal_id: RowId,
    },
}

/// Shows the whole recipient, or records the request for approval.
///
/// # Errors
/// Not found, 410 `purged` or `unreadable`, store or vault.
pub async fn reveal(app: &App, caller: &Caller, id: OrderId, reason: Pii<String>) -> Result<Revealed, AppError> {
    let (now, caller) = (app.clock.business_now(), caller.clone());
    let revealed = app
        .write_sealed(move |conn, ring| reveal_in_tx(conn, ring, &caller, id, &reason, now))
        .await?;
    chain::note_act(app).await;
    Ok(revealed)
}

fn reveal_in_tx(
    conn: &mut AnyConn,
    ring: &Keyring,
    caller: &Caller,
    id: OrderId,
    reason: &Pii<String>,
    now: BusinessTime,
) -> Result<Revealed, AppError> {
    let order = personal_record::lock(conn, id)?;
    let recipient = personal_record::find(conn, ring, id)?.recipient;
    let mut approval = None;
    if takes_two(&order, now) {
        match asked_for(conn, id, &caller.key_id, now)? {
            Some(request) if request.approved_at.is_some() => approval = Some(request.id),
            // Asked for already, and nobody has approved it yet.
            Some(request) => {
                let reveal_id = request.id.parse().map_err(|_| AppError::NotFound)?;
                return Ok(Revealed::NeedsApproval { reveal_id });
            }
            None => {
                let reveal_id = reveals::add_in_tx(conn, id, &caller.key_id, now)?;
                record_with_reason(conn, ring, caller, AuditAction::RevealRequest, id, reason, now)?;
                return Ok(Revealed::NeedsApproval { reveal_id });
            }
        }
    }
    if let Some(approval) = &approval {
        reveals::use_in_tx(conn, approval, now)?;
    }
    record_with_reason(conn, ring, caller, AuditAction::Reveal, id, reason, now)?;
    Ok(Revealed::Recipient(Box::new(recipient)))
}

/// Whether a second key must approve before the person of this order is shown: a minor's, a held one's, and where nothing
/// but the delivery may go on.
pub(crate) fn takes_two(order: &Order, now: BusinessTime) -> bool {
    order.minor || order.is_held(now) || order.restriction.is_some()
}

/// A key's request for an order that was not used yet; one that was approved and not used in time is over, and is asked
/// for anew.
pub(crate) fn asked_for(
    conn: &mut AnyConn,
    id: OrderId,
    key: &str,
    now: BusinessTime,
) -> Result<Option<RevealRow>, AppError> {
    let request = reveals::unused(conn, id, key)?;
    Ok(request.filter(|request| {
        request
            .approved_at
            .is_none_or(|at| now < from_row::<BusinessTime>(at) + APPROVAL_LASTS)
    }))
}

/// Approves another key's request; the approval lasts a day.
///
/// # Errors
/// Not found, one's own request, approved already, store.
pub async fn approve(app: &App, caller: &Caller, reveal: RowId) -> Result<(), AppError> {
    let (now, caller) = (app.clock.business_now(), caller.clone());
    app.orders
        .write(move |conn| {
            let request = reveals::find(conn, reveal)?.ok_or(AppError::NotFound)?;
            personal_record::lock(conn, request.order_id.parse().map_err(|_| AppError::NotFound)?)?;
            // Read again under the order's lock: two approvals of one request do not both count.
            let request = reveals::find(conn, reveal)?.ok_or(AppError::NotFound)?;
            if request.requested_by == caller.key_id {
                return Err(AppError::Conflict(Conflict::SameKey));
            }
            if request.approved_at.is_some() {
                return Err(AppError::Conflict(Conflict::AlreadyApproved));
            }
            reveals::approve_in_tx(conn, reveal, &caller.key_id, now)?;
            record(conn, &caller, AuditAction::RevealApprove, &request.order_id, None, now)?;
            Ok(())
        })
        .await?;
    chain::note_act(app).await;
    Ok(())
}

/// Records an act, a salted hash of its reason in the chain and the reason itself sealed with the person.
fn record_with_reason(
    conn: &mut AnyConn,
    ring: &Keyring,
    caller: &Caller,
    action: AuditAction,
    id: OrderId,
    reason: &Pii<String>,
    now: BusinessTime,
) -> Result<(), AppError> {
    let (salt, hash) = chain::salted_hash(reason);
    let seq = record(conn, caller, action, &id.to_string(), Some(hash), now)?;
    let note = |what: &str, text: &Pii<String>| notes::note(&format!("{}_{what}", action.as_str()), seq, text);
    notes::add(conn, ring, id, note("reason", reason), now)?;
    notes::add(conn, ring, id, note("salt", &Pii::new(salt)), now)
}

fn record(
    conn: &mut AnyConn,
    caller: &Caller,
    action: AuditAction,
    subject: &str,
    reason_hash: Option<String>,
    now: BusinessTime,
) -> Result<i64, AppError> {
    let actor = caller.actor();
    let act = Act {
        actor: &actor,
        action,
        subject,
        detail: "",
        reason_hash,
    };
    Ok(audit::append_in_tx(conn, now, &act)?.0)
}
