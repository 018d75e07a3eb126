//! What data subjects ask for: taken in, shown with what became of their orders, answered or refused.
//!
//! A request names nobody: its orders are found by the phone's fingerprints, and the phone is not kept. What people write
//! about it (how the requester was verified, why it was refused) is sealed in a row of its own, which goes with the
//! purge of the request's last order, or the retention window after its end where no order is left. How somebody was
//! verified is free text in which numbers of identity cards turn up, so it is personal and not a fact.

use std::collections::HashMap;

use chrono::NaiveDate;

use crate::app::records::personal_record;
use crate::app::subject_requests::{journalled, restrict};
use crate::app::{App, AppError, Caller, audit as chain};
use crate::clock::BusinessTime;
use crate::domain::audit::AuditAction;
use crate::domain::ids::{OrderId, RequestId};
use crate::domain::invalid::{FieldError, Invalid};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::retention::PurgeReason;
use crate::domain::subject_request::{NextStep, RequestKind, RequestState, Restriction, Role, SubjectRequest};
use crate::domain::workdays::{self, ANSWER_WITHIN};
use crate::privacy::Pii;
use crate::store::audit::{self, Act};
use crate::store::orders::{self, Filter};
use crate::store::subject_requests::{self};
use crate::store::subject_texts::{self, TextRow};
use crate::store::{AnyConn, StoreError, personal_records};
use crate::vault::VaultError;
use crate::vault::keyring::{Keyring, Kind, Table};
use crate::vault::record::RequestText;

/// Whose orders a request is about.
#[derive(Debug, Clone)]
pub enum Whose {
    /// Every order with this phone, in E.164, of all clients.
    Phone(Pii<String>),
    /// These orders.
    Orders(Vec<OrderId>),
}

/// A request as it comes in.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// What is asked for.
    pub kind: RequestKind,
    /// Who asks.
    pub role: Role,
    /// How that was verified.
    pub verified_by: Pii<String>,
    /// When it was received; business time.
    pub received_at: BusinessTime,
    /// About whom.
    pub whose: Whose,
}

/// An order of a request, as it stands.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "facts of the order, by their names")]
pub struct OrderStands {
    pub id: OrderId,
    pub reference: String,
    pub status: OrderStatus,
    pub outcome: Outcome,
    pub restriction: Option<Restriction>,
    pub hold_until: Option<BusinessTime>,
    pub purge_reason: Option<PurgeReason>,
    pub purged_at: Option<BusinessTime>,
}

/// What became of an order of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was asked of it that changes it, or the request is not answered yet.
    Unchanged,
    /// A hold stops what was asked; it follows when the hold ends.
    Held,
    /// It is on its way: nothing but the delivery goes on, and it is purged at its end.
    Restricted,
    /// Being called off or destroyed; tried again until it is done.
    Pending,
    /// Its person is destroyed.
    Purged,
}

impl Outcome {
    /// `refused`: its courier no longer calls its parcel off.
    fn of(order: &Order, refused: bool, now: BusinessTime) -> Self {
        if order.purged_at.is_some() {
            return Self::Purged;
        }
        let Some(restriction) = order.restriction else {
            return if order.purge_decided_at.is_some() {
                Self::Pending
            } else {
                Self::Unchanged
            };
        };
        match restriction.next(order.status) {
            _ if order.purge_decided_at.is_some() => Self::Pending,
            _ if order.is_held(now) => Self::Held,
            NextStep::Wait => Self::Restricted,
            NextStep::CallOff if refused => Self::Restricted,
            NextStep::CallOff | NextStep::Cancel | NextStep::Purge => Self::Pending,
        }
    }

    /// As it is answered.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Held => "held",
            Self::Restricted => "restricted",
            Self::Pending => "pending",
            Self::Purged => "purged",
        }
    }
}

/// A request as it is shown.
#[derive(Debug, Clone)]
pub struct RequestView {
    /// Its facts.
    pub request: SubjectRequest,
    /// Working days from today to its due day, below zero once that is past; `None` once it is answered.
    pub days_left: Option<i64>,
    /// Its orders, oldest first.
    pub orders: Vec<OrderStands>,
    /// What was written about it, where it was asked for and is not gone.
    pub text: Option<RequestText>,
}

/// Takes a request in: finds its orders, works out when it is due, and journals it.
///
/// # Errors
/// An unknown order, store or vault.
pub async fn receive(app: &App, caller: &Caller, new: NewRequest) -> Result<RequestView, AppError> {
    let due = workdays::due_after(new.received_at, ANSWER_WITHIN);
    let now = app.clock.business_now();
    let actor = caller.actor();
    let request = SubjectRequest {
        id: RequestId::generate(),
        kind: new.kind,
        state: RequestState::Open,
        role: new.role,
        by_phone: matches!(new.whose, Whose::Phone(_)),
        received_at: new.received_at,
        due_on: due.on,
        due_official: due.official,
        created_at: now,
        created_by: actor.to_string(),
        closed_at: None,
        closed_by: None,
        journal: None,
    };
    let id = request.id;
    app.write_sealed(move |conn, ring| {
        let about = match &new.whose {
            Whose::Phone(phone) => by_phone(conn, ring, phone)?,
            Whose::Orders(orders) => known(conn, orders)?,
        };
        subject_requests::add_in_tx(conn, &request, &about)?;
        let text = RequestText {
            verified_by: Some(new.verified_by.clone()),
            refusal: None,
            salt: None,
        };
        let row = seal(conn, ring, id, &text, now)?;
        subject_texts::add_in_tx(conn, &row)?;
        let detail = format!(
            "kind={} role={} orders={} due={}",
            request.kind.as_str(),
            request.role.as_str(),
            about.len(),
            request.due_on
        );
        let act = Act {
            actor: &actor,
            action: AuditAction::SubjectRequest,
            subject: &id.to_string(),
            detail: &detail,
            reason_hash: None,
        };
        audit::append_in_tx(conn, now, &act)?;
        Ok(())
    })
    .await?;
    journalled::journal_one(app, id).await?;
    chain::note_act(app).await;
    find(app, id).await
}

fn by_phone(conn: &mut AnyConn, ring: &Keyring, phone: &Pii<String>) -> Result<Vec<OrderId>, AppError> {
    let fingerprints = ring.fingerprints(
        &personal_record::living_epochs(conn, ring)?,
        Kind::Phone,
        phone.expose(),
    );
    Ok(personal_records::orders_by_phone(conn, &fingerprints)?)
}

/// Those orders, each of which must be there.
fn known(conn: &mut AnyConn, asked: &[OrderId]) -> Result<Vec<OrderId>, AppError> {
    let mut errors = Vec::new();
    for (place, id) in asked.iter().enumerate() {
        if orders::find(conn, *id)?.is_none() {
            errors.push(FieldError {
                pointer: format!("/order_ids/{place}"),
                invalid: Invalid::new("unknown_order", "there is no such order"),
            });
        }
    }
    if errors.is_empty() {
        Ok(asked.to_vec())
    } else {
        Err(AppError::Invalid(errors))
    }
}

/// A request with everything that is known of it.
///
/// # Errors
/// Not found; store.
pub async fn find(app: &App, id: RequestId) -> Result<RequestView, AppError> {
    let now = app.clock.business_now();
    app.read_views(move |conn, ring| {
        let request = subject_requests::find(conn, id)?.ok_or(AppError::NotFound)?;
        let text = match ring {
            Some(ring) => text(conn, ring, id)?,
            None => None,
        };
        let mut view = views(conn, vec![request], now)?.pop().ok_or(AppError::NotFound)?;
        view.text = text;
        Ok(view)
    })
    .await
}

/// A page of requests, newest first, without what was written about them.
///
/// # Errors
/// Store.
pub async fn list(
    app: &App,
    state: Option<RequestState>,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<RequestView>, AppError> {
    let now = app.clock.business_now();
    app.orders
        .read(move |conn| {
            let found = subject_requests::list(conn, state, before, limit)?;
            views(conn, found, now)
        })
        .await
}

fn views(conn: &mut AnyConn, requests: Vec<SubjectRequest>, now: BusinessTime) -> Result<Vec<RequestView>, AppError> {
    let ids: Vec<RequestId> = requests.iter().map(|request| request.id).collect();
    let links = subject_requests::orders_of(conn, &ids)?;
    let filter = Filter {
        among: Some(links.iter().map(|(_, order)| *order).collect()),
        ..Filter::default()
    };
    let found = orders::list(conn, &filter, i64::MAX)?;
    let found: HashMap<OrderId, Order> = found.into_iter().map(|order| (order.id, order)).collect();
    let mut about: HashMap<RequestId, Vec<OrderStands>> = HashMap::new();
    for (request, order) in links {
        let Some(order) = found.get(&order) else { continue };
        let refused = restrict::no_longer_called_off(conn, order)?;
        about.entry(request).or_default().push(OrderStands {
            id: order.id,
            reference: order.reference.clone(),
            status: order.status,
            outcome: Outcome::of(order, refused, now),
            restriction: order.restriction,
            hold_until: order.hold_until.filter(|until| *until > now),
            purge_reason: order.purge_reason,
            purged_at: order.purged_at,
        });
    }
    let today = workdays::day_of(now);
    let left = |request: &SubjectRequest| days_left(request, today);
    Ok(requests
        .into_iter()
        .map(|request| RequestView {
            days_left: left(&request),
            orders: about.remove(&request.id).unwrap_or_default(),
            text: None,
            request,
        })
        .collect())
}

fn days_left(request: &SubjectRequest, today: NaiveDate) -> Option<i64> {
    (request.state == RequestState::Open).then(|| workdays::days_left(today, request.due_on))
}

/// What was written about a request; `None` once it or its key is gone.
pub(super) fn text(conn: &mut AnyConn, ring: &Keyring, id: RequestId) -> Result<Option<RequestText>, AppError> {
    let Some(row) = subject_texts::find(conn, id)? else {
        return Ok(None);
    };
    let plain = match ring.open(row.epoch, Table::RequestTexts, &row.request_id, &row.sealed) {
        Ok(plain) => plain,
        Err(VaultError::KeyGone) if ring.is_older_than(row.epoch) => {
            return Err(AppError::NeedsEpoch(row.epoch));
        }
        Err(VaultError::KeyGone) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let text = RequestText::from_bytes(&plain);
    Ok(Some(text.ok_or_else(|| {
        StoreError::corrupt(Table::RequestTexts.name(), &row.request_id)
    })?))
}

pub(super) fn seal(
    conn: &mut AnyConn,
    ring: &Keyring,
    id: RequestId,
    text: &RequestText,
    now: BusinessTime,
) -> Result<TextRow, AppError> {
    let epoch = personal_record::current_epoch(conn, ring, now)?;
    let request_id = id.to_string();
    Ok(TextRow {
        sealed: ring.seal(epoch, Table::RequestTexts, &request_id, &text.to_bytes())?,
        epoch,
        request_id,
    })
}
