//! Seeing a recipient whole: needs a scope and a reason, is recorded before it is shown, and for a minor or a held or
//! restricted order needs a second key's approval.

use crate::app::purge::salted_hash;
use crate::app::{App, AppError, Caller, notes, people};
use crate::clock::Instant;
use crate::domain::contact::Recipient;
use crate::domain::ids::{OrderId, RowId};
use crate::privacy::Pii;
use crate::store::audit::{self, Act};
use crate::store::orders::Order;
use crate::store::{AnyConn, reveals};

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
    app.write_sealed(move |conn, ring| {
        let order = people::lock(conn, id)?;
        let recipient = people::find(conn, ring, id)?.recipient;
        let mut approval = None;
        if takes_two(&order, now) {
            match reveals::unused(conn, id, &caller.key_id)? {
                Some(request) if request.approved_at.is_some() => approval = Some(request.id),
                // Asked for already, and nobody has approved it yet.
                Some(request) => {
                    let reveal_id = request.id.parse().map_err(|_| AppError::NotFound)?;
                    return Ok(Revealed::NeedsApproval { reveal_id });
                }
                None => {
                    let reveal_id = reveals::add_in_tx(conn, id, &caller.key_id, now)?;
                    record(conn, &caller, "reveal_request", &id.to_string(), None, now)?;
                    return Ok(Revealed::NeedsApproval { reveal_id });
                }
            }
        }
        let (salt, hash) = salted_hash(&reason);
        if let Some(approval) = &approval {
            reveals::use_in_tx(conn, approval, now)?;
        }
        let seq = record(conn, &caller, "reveal", &id.to_string(), Some(hash), now)?;
        notes::add(conn, ring, id, notes::note("reveal_reason", seq, &reason), now)?;
        notes::add(conn, ring, id, notes::note("reveal_salt", seq, &Pii::new(salt)), now)?;
        Ok(Revealed::Recipient(Box::new(recipient)))
    })
    .await
}

/// Whether a second key must approve before the person of this order is shown: a minor's, a held one's, and where nothing
/// but the delivery may go on.
pub(crate) fn takes_two(order: &Order, now: Instant) -> bool {
    order.minor || order.is_held(now) || order.restriction.is_some()
}

/// Approves another key's request.
///
/// # Errors
/// Not found, one's own request, approved already, store.
pub async fn approve(app: &App, caller: &Caller, reveal: RowId) -> Result<(), AppError> {
    let (now, caller) = (app.clock.business_now(), caller.clone());
    app.orders
        .write(move |conn| {
            let request = reveals::find(conn, reveal)?.ok_or(AppError::NotFound)?;
            people::lock(conn, request.order_id.parse().map_err(|_| AppError::NotFound)?)?;
            // Read again under the order's lock: two approvals of one request do not both count.
            let request = reveals::find(conn, reveal)?.ok_or(AppError::NotFound)?;
            if request.requested_by == caller.key_id {
                return Err(AppError::conflict(
                    "same_key",
                    "a request is approved by another key than the one that made it",
                ));
            }
            if request.approved_at.is_some() {
                return Err(AppError::conflict(
                    "already_approved",
                    "the request is approved already",
                ));
            }
            reveals::approve_in_tx(conn, reveal, &caller.key_id, now)?;
            record(conn, &caller, "reveal_approve", &request.order_id, None, now)?;
            Ok(())
        })
        .await
}

fn record(
    conn: &mut AnyConn,
    caller: &Caller,
    action: &str,
    subject: &str,
    reason_hash: Option<String>,
    now: Instant,
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
