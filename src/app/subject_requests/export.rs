//! Everything that is held on a person, order by order. What belongs in it is said by `privacy.toml`, and a test holds the
//! two together. Every order's export is recorded before it is shown; one that takes two keys to be revealed takes two
//! keys to be exported.

use crate::app::conflict::Conflict;
use crate::app::privacy::reveal::{asked_for, takes_two};
use crate::app::records::personal_record;
use crate::app::subject_requests::register::{self, RequestView};
use crate::app::{App, AppError, Caller, audit as chain};
use crate::clock::BusinessTime;
use crate::domain::audit::AuditAction;
use crate::domain::ids::{OrderId, RequestId, RowId};
use crate::domain::order::Order;
use crate::domain::personal_record::PersonalRecord;
use crate::domain::shipment::Attempt;
use crate::domain::subject_request::{RequestState, SubjectRequest};
use crate::privacy::Pii;
use crate::store::audit::{self, Act};
use crate::store::orders::{self, ItemRow};
use crate::store::prints::{self, PrintRow};
use crate::store::purges::{self, ReceiptRow};
use crate::store::reveals::{self, RevealRow};
use crate::store::shipments::{self, DisclosureRow};
use crate::store::subject_orders::{self, ConsentRow};
use crate::store::subject_requests::{self};
use crate::store::timeline::{self, EventRow};
use crate::store::{AnyConn, StoreError, from_row, personal_records};
use crate::vault::VaultError;
use crate::vault::keyring::{Keyring, Table};

/// What an export comes to.
#[derive(Debug)]
pub enum Exporting {
    /// Everything.
    Done(Box<Export>),
    /// A second key must approve these orders' requests first; then ask again.
    NeedsApproval(Vec<(OrderId, RowId)>),
}

/// Everything that is held on the person of a request.
#[derive(Debug)]
#[expect(missing_docs, reason = "the parts of the document, by their names")]
pub struct Export {
    pub request: RequestView,
    pub at: BusinessTime,
    pub orders: Vec<ExportedOrder>,
}

/// What is left of the person of an order.
#[derive(Debug)]
pub enum Held {
    /// All of it.
    Person(Box<PersonalRecord>),
    /// Its key no longer exists.
    Unreadable,
    /// It is destroyed, or about to be.
    Purged,
}

/// A courier's remark.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct Remark {
    pub at: BusinessTime,
    pub attempt: i16,
    pub text: Pii<String>,
}

/// Everything that is held on the person of one order.
#[derive(Debug)]
#[expect(missing_docs, reason = "the parts of the document, by their names")]
pub struct ExportedOrder {
    pub order: Order,
    pub consent: ConsentRow,
    pub items: Vec<ItemRow>,
    pub held: Held,
    pub remarks: Vec<Remark>,
    pub shipments: Vec<Attempt>,
    pub timeline: Vec<EventRow>,
    pub prints: Vec<PrintRow>,
    pub disclosures: Vec<DisclosureRow>,
    pub reveals: Vec<RevealRow>,
    pub requests: Vec<SubjectRequest>,
    pub receipt: Option<ReceiptRow>,
}

/// Exports the orders of a request.
///
/// # Errors
/// Not found, refused, store or vault.
pub async fn export(app: &App, caller: &Caller, id: RequestId) -> Result<Exporting, AppError> {
    let request = register::find(app, id).await?;
    if request.request.state == RequestState::Refused {
        return Err(AppError::Conflict(Conflict::AlreadyRefused));
    }
    let about: Vec<OrderId> = request.orders.iter().map(|order| order.id).collect();
    let missing = approvals(app, caller, id, &about).await?;
    if !missing.is_empty() {
        return Ok(Exporting::NeedsApproval(missing));
    }
    let mut exported = Vec::with_capacity(about.len());
    for order in about {
        match one(app, caller, id, order).await? {
            Some(order) => exported.push(order),
            // The approval was used up, or the order was held, a moment ago.
            None => return Ok(Exporting::NeedsApproval(approvals(app, caller, id, &[order]).await?)),
        }
    }
    let at = app.clock.business_now();
    let (caller, purged) = (
        caller.clone(),
        exported.iter().filter(|order| order.receipt.is_some()).count(),
    );
    let count = exported.len();
    app.orders
        .write(move |conn| {
            let detail = format!("orders={count} purged={purged}");
            record(
                conn,
                &caller,
                AuditAction::SubjectRequestExport,
                &id.to_string(),
                &detail,
                at,
            )
        })
        .await?;
    chain::note_act(app).await;
    Ok(Exporting::Done(Box::new(Export {
        request,
        at,
        orders: exported,
    })))
}

/// The orders that another key must approve first, with its request, made where there is none yet.
async fn approvals(
    app: &App,
    caller: &Caller,
    request: RequestId,
    about: &[OrderId],
) -> Result<Vec<(OrderId, RowId)>, AppError> {
    let mut missing = Vec::new();
    for id in about.iter().copied() {
        let (caller, now) = (caller.clone(), app.clock.business_now());
        let waits = app
            .orders
            .write(move |conn| {
                let Some(order) = personal_record::lock_unless_purged(conn, id)? else {
                    return Ok(None);
                };
                if !takes_two(&order, now) {
                    return Ok(None);
                }
                match asked_for(conn, id, &caller.key_id, now)? {
                    Some(request) if request.approved_at.is_some() => Ok(None),
                    Some(request) => Ok(Some(
                        request
                            .id
                            .parse()
                            .map_err(|_| StoreError::corrupt("reveals", &request.id))?,
                    )),
                    None => {
                        let reveal = reveals::add_in_tx(conn, id, &caller.key_id, now)?;
                        // Its reason is the data subject's request.
                        let detail = format!("request={request}");
                        record(conn, &caller, AuditAction::RevealRequest, &id.to_string(), &detail, now)?;
                        Ok::<_, AppError>(Some(reveal))
                    }
                }
            })
            .await?;
        missing.extend(waits.map(|reveal| (id, reveal)));
    }
    Ok(missing)
}

/// One order, recorded before it is shown; `None` where it takes an approval that is not there.
async fn one(app: &App, caller: &Caller, request: RequestId, id: OrderId) -> Result<Option<ExportedOrder>, AppError> {
    let (caller, now) = (caller.clone(), app.clock.business_now());
    app.write_sealed(move |conn, ring| {
        let locked = personal_record::lock_unless_purged(conn, id)?;
        let Some(order) = locked else {
            let order = orders::find(conn, id)?.ok_or(AppError::NotFound)?;
            return Ok(Some(facts(conn, order, Held::Purged, Vec::new())?));
        };
        if takes_two(&order, now) {
            match asked_for(conn, id, &caller.key_id, now)? {
                Some(approval) if approval.approved_at.is_some() => reveals::use_in_tx(conn, &approval.id, now)?,
                _ => return Ok(None),
            }
        }
        record(
            conn,
            &caller,
            AuditAction::Export,
            &id.to_string(),
            &format!("request={request}"),
            now,
        )?;
        let held = match personal_record::find(conn, ring, id) {
            Ok(person) => Held::Person(Box::new(person)),
            Err(AppError::Gone(_)) => Held::Unreadable,
            Err(error) => return Err(error),
        };
        let remarks = remarks(conn, ring, id)?;
        Ok(Some(facts(conn, order, held, remarks)?))
    })
    .await
}

fn facts(conn: &mut AnyConn, order: Order, held: Held, remarks: Vec<Remark>) -> Result<ExportedOrder, AppError> {
    let id = order.id;
    Ok(ExportedOrder {
        consent: subject_orders::consent_of(conn, id)?,
        items: orders::items_of(conn, &[id])?,
        held,
        remarks,
        shipments: shipments::of_orders(conn, &[id])?,
        timeline: timeline::of_order(conn, id)?,
        prints: prints::of_order(conn, id)?,
        disclosures: shipments::disclosures_of(conn, id)?,
        reveals: reveals::of_order(conn, id)?,
        requests: subject_requests::of_order(conn, id)?,
        receipt: purges::receipt(conn, id)?,
        order,
    })
}

fn remarks(conn: &mut AnyConn, ring: &Keyring, id: OrderId) -> Result<Vec<Remark>, AppError> {
    let mut remarks = Vec::new();
    for row in personal_records::remarks_of(conn, id)? {
        let plain = match ring.open(row.epoch, Table::CourierRemark, &row.id, &row.sealed) {
            Ok(plain) => plain,
            Err(VaultError::KeyGone) if ring.is_older_than(row.epoch) => {
                return Err(AppError::NeedsEpoch(row.epoch));
            }
            // What nobody can read is not held on anybody.
            Err(VaultError::KeyGone) => continue,
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8(plain.to_vec()).map_err(|_| StoreError::corrupt("courier_remark", &row.id))?;
        remarks.push(Remark {
            at: from_row(row.at),
            attempt: row.attempt,
            text: Pii::new(text),
        });
    }
    Ok(remarks)
}

fn record(
    conn: &mut AnyConn,
    caller: &Caller,
    action: AuditAction,
    subject: &str,
    detail: &str,
    now: BusinessTime,
) -> Result<(), AppError> {
    let act = Act {
        actor: &caller.actor(),
        action,
        subject,
        detail,
        reason_hash: None,
    };
    audit::append_in_tx(conn, now, &act)?;
    Ok(())
}
