//! Everything that is held on the person of a request, as one portable document. Beside a reveal the only answer that holds
//! a person. These shapes have no `Debug`, and must not be kept or logged.

use std::iter::repeat;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::app::subject_requests::export::{self, Export, ExportedOrder, Exporting, Held, Remark};
use crate::domain::ids::{OrderId, RequestId, RowId};
use crate::domain::personal_record::{Note, PersonalRecord, TrackingNumber};
use crate::domain::shipment::Attempt;
use crate::domain::subject_request::SubjectRequest;
use crate::http::admin::orders::PrintBody;
use crate::http::admin::privacy::{DisclosureBody, RevealedBody};
use crate::http::admin::purges::ReceiptBody;
use crate::http::admin::subject_requests::RequestBody;
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Privacy};
use crate::http::extract::path::PathId;
use crate::http::orders::EventBody;
use crate::http::run_to_completion::run_to_completion;
use crate::privacy::Pii;
use crate::store::orders::ItemRow;
use crate::store::reveals::RevealRow;
use crate::store::subject_orders::ConsentRow;

/// Everything that is held on a person.
#[derive(Serialize, ToSchema)]
#[schema(as = SubjectExport)]
pub struct ExportBody {
    /// `safelight-subject-export/1`: fields are only ever added to it.
    format: &'static str,
    exported_at: DateTime<Utc>,
    request: RequestBody,
    /// Oldest first.
    orders: Vec<ExportedOrderBody>,
}

/// Everything that is held on the person of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedOrder)]
struct ExportedOrderBody {
    order_id: String,
    client: String,
    reference: String,
    status: &'static str,
    amount: String,
    currency: &'static str,
    courier: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    #[schema(required)]
    purge_due_at: Option<DateTime<Utc>>,
    #[schema(required)]
    hold_until: Option<DateTime<Utc>>,
    #[schema(required)]
    restricted_at: Option<DateTime<Utc>>,
    /// `held`, `unreadable` (its key no longer exists) or `purged`.
    person: &'static str,
    /// `null` where the person is not held.
    #[schema(required)]
    recipient: Option<RevealedBody>,
    consent: ConsentBody,
    items: Vec<ExportedItemBody>,
    shipments: Vec<ExportedShipmentBody>,
    courier_remarks: Vec<RemarkBody>,
    /// What people wrote about the order.
    notes: Vec<NoteBody>,
    timeline: Vec<EventBody>,
    prints: Vec<PrintBody>,
    /// Disclosures to third parties.
    disclosures: Vec<DisclosureBody>,
    /// Reveals that needed a second key's approval.
    reveals: Vec<RevealLineBody>,
    /// The person's own requests about this order.
    requests: Vec<RequestLineBody>,
    /// That, when and why the person was destroyed.
    #[schema(required)]
    receipt: Option<ReceiptBody>,
}

/// What was agreed to.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedConsent)]
struct ConsentBody {
    policy_version: String,
    accepted_at: DateTime<Utc>,
    legal_basis: String,
    /// Always: without it nothing is placed.
    courier_sharing: bool,
    cross_border: bool,
    minor: bool,
    guardian_consent: bool,
}

/// One line of an order, with its photo.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedItem)]
struct ExportedItemBody {
    line: i16,
    photo_size: String,
    copies: i16,
    sheets: i16,
    #[schema(required)]
    photo: Option<String>,
}

/// One booking attempt.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedShipment)]
struct ExportedShipmentBody {
    attempt: u8,
    courier: String,
    state: &'static str,
    booking_reference: String,
    /// The courier's own id of the booking.
    #[schema(required)]
    provider_ref: Option<String>,
    /// What was bought: carrier, service, price.
    #[schema(required)]
    service: Option<String>,
    tracking_numbers: Vec<String>,
    #[schema(required)]
    tracking_status: Option<&'static str>,
    #[schema(required)]
    booked_at: Option<DateTime<Utc>>,
}

/// What a courier wrote.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedRemark)]
struct RemarkBody {
    at: DateTime<Utc>,
    attempt: i16,
    text: String,
}

/// What somebody wrote.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedNote)]
struct NoteBody {
    /// Such as `cancel_reason`, `reveal_reason`, `hold_reason`.
    kind: String,
    text: String,
}

/// A reveal that needed a second key.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedReveal)]
struct RevealLineBody {
    requested_by: String,
    requested_at: DateTime<Utc>,
    #[schema(required)]
    approved_by: Option<String>,
    #[schema(required)]
    approved_at: Option<DateTime<Utc>>,
    #[schema(required)]
    used_at: Option<DateTime<Utc>>,
}

/// A request about an order.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedRequest)]
struct RequestLineBody {
    id: String,
    kind: &'static str,
    state: &'static str,
    received_at: DateTime<Utc>,
}

impl From<Export> for ExportBody {
    fn from(export: Export) -> Self {
        Self {
            format: "safelight-subject-export/1",
            exported_at: export.at.into(),
            request: RequestBody::from(&export.request),
            orders: export.orders.into_iter().map(ExportedOrderBody::from).collect(),
        }
    }
}

impl From<ExportedOrder> for ExportedOrderBody {
    fn from(exported: ExportedOrder) -> Self {
        // Taken apart whole, the sealed record too: what is added to either must be put somewhere here to compile.
        let ExportedOrder {
            order,
            consent,
            items,
            held,
            remarks,
            shipments,
            timeline,
            prints,
            disclosures,
            reveals,
            requests,
            receipt,
        } = exported;
        let (person, record) = match held {
            Held::Person(record) => ("held", Some(*record)),
            Held::Unreadable => ("unreadable", None),
            Held::Purged => ("purged", None),
        };
        let (recipient, photos, tracking, notes) = match record {
            Some(PersonalRecord {
                recipient,
                photos,
                tracking,
                notes,
            }) => (Some(RevealedBody::from(&recipient)), photos, tracking, notes),
            None => (None, Vec::new(), Vec::new(), Vec::new()),
        };
        Self {
            order_id: order.id.to_string(),
            client: order.client,
            reference: order.reference,
            status: order.status.as_str(),
            amount: order.amount.amount(),
            currency: order.amount.currency().code(),
            courier: order.courier,
            created_at: order.created_at.into(),
            updated_at: order.updated_at.into(),
            ended_at: order.ended_at.map(Into::into),
            purge_due_at: order.purge_due_at.map(Into::into),
            hold_until: order.hold_until.map(Into::into),
            restricted_at: order.restricted_at.map(Into::into),
            person,
            recipient,
            consent: ConsentBody::from(consent),
            items: items_with_photos(items, photos),
            shipments: shipments
                .into_iter()
                .map(|attempt| ExportedShipmentBody::of(attempt, &tracking))
                .collect(),
            courier_remarks: all(remarks),
            notes: notes.into_iter().filter_map(NoteBody::of).collect(),
            timeline: all(timeline),
            prints: all(prints),
            disclosures: all(disclosures),
            reveals: all(reveals),
            requests: all(requests),
            receipt: receipt.map(ReceiptBody::from),
        }
    }
}

fn all<Row, Body: From<Row>>(rows: Vec<Row>) -> Vec<Body> {
    rows.into_iter().map(Body::from).collect()
}

/// The sealed record has the photos in the order of the items.
fn items_with_photos(items: Vec<ItemRow>, photos: Vec<Option<Pii<String>>>) -> Vec<ExportedItemBody> {
    let photos = photos
        .into_iter()
        .map(|photo| photo.map(Pii::into_exposed))
        .chain(repeat(None));
    let with_photo = items.into_iter().zip(photos);
    with_photo
        .map(|(item, photo)| ExportedItemBody::of(item, photo))
        .collect()
}

impl From<Remark> for RemarkBody {
    fn from(remark: Remark) -> Self {
        Self {
            at: remark.at.into(),
            attempt: remark.attempt,
            text: remark.text.into_exposed(),
        }
    }
}

impl From<ConsentRow> for ConsentBody {
    fn from(row: ConsentRow) -> Self {
        Self {
            policy_version: row.policy_version,
            accepted_at: row.consent_at.and_utc(),
            legal_basis: row.legal_basis,
            courier_sharing: true,
            cross_border: row.cross_border,
            minor: row.minor,
            guardian_consent: row.guardian_consent,
        }
    }
}

impl ExportedItemBody {
    fn of(row: ItemRow, photo: Option<String>) -> Self {
        Self {
            line: row.line,
            photo_size: row.photo_size,
            copies: row.copies,
            sheets: row.sheets,
            photo,
        }
    }
}

impl ExportedShipmentBody {
    fn of(attempt: Attempt, tracking: &[TrackingNumber]) -> Self {
        let tracking_numbers = tracking
            .iter()
            .filter(|known| known.attempt == attempt.number)
            .map(|known| known.number.expose().clone())
            .collect();
        Self {
            attempt: attempt.number,
            state: attempt.state.as_str(),
            booking_reference: attempt.reference.to_string(),
            provider_ref: attempt.provider_ref,
            service: attempt.service,
            tracking_numbers,
            tracking_status: attempt.progress.map(|progress| progress.status.as_str()),
            booked_at: attempt.booked_at.map(Into::into),
            courier: attempt.courier,
        }
    }
}

impl NoteBody {
    /// The salts of reasons are random and say nothing of anybody.
    fn of(note: Note) -> Option<Self> {
        let Note { kind, about: _, text } = note;
        (!kind.ends_with("_salt")).then(|| Self {
            kind,
            text: text.into_exposed(),
        })
    }
}

impl From<RevealRow> for RevealLineBody {
    fn from(row: RevealRow) -> Self {
        Self {
            requested_by: row.requested_by,
            requested_at: row.requested_at.and_utc(),
            approved_by: row.approved_by,
            approved_at: row.approved_at.map(|at| at.and_utc()),
            used_at: row.used_at.map(|at| at.and_utc()),
        }
    }
}

impl From<SubjectRequest> for RequestLineBody {
    fn from(request: SubjectRequest) -> Self {
        Self {
            id: request.id.to_string(),
            kind: request.kind.as_str(),
            state: request.state.as_str(),
            received_at: request.received_at.into(),
        }
    }
}

/// Which orders another key must approve first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportApprovals)]
struct ApprovalsBody {
    /// `approval_required`.
    status: &'static str,
    approvals: Vec<ApprovalBody>,
}

/// A request to be approved with `POST /admin/v1/reveals/{id}/approve`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportApproval)]
struct ApprovalBody {
    order_id: String,
    reveal_id: String,
}

impl From<(OrderId, RowId)> for ApprovalBody {
    fn from((order, reveal): (OrderId, RowId)) -> Self {
        Self {
            order_id: order.to_string(),
            reveal_id: reveal.to_string(),
        }
    }
}

/// Export everything that is held on the person of a request
///
/// Orders, recipients, photo references, tracking numbers, courier remarks, notes, timelines, prints, disclosures, consents;
/// of purged orders the facts and the receipt. Recorded in the audit log, an entry an order. Orders of minors, held and
/// restricted ones need another key's approval first.
#[utoipa::path(get, path = "/admin/v1/subject-requests/{id}/export", operation_id = "export_subject_request", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The request's id.")),
    responses(
        (status = 200, description = "Everything.", body = ExportBody),
        (status = 202, description = "Another key must approve these orders; then ask again.", body = ApprovalsBody),
        (status = 409, description = "`already_refused`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn read(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Privacy, PathId<RequestId>>,
) -> Result<HttpResponse, Problem> {
    let app = app.get_ref().clone();
    match run_to_completion(async move { export::export(&app, &caller, id).await }).await? {
        Exporting::Done(export) => Ok(HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((
                CONTENT_DISPOSITION,
                format!("attachment; filename=\"subject-request-{id}.json\""),
            ))
            .json(ExportBody::from(*export))),
        Exporting::NeedsApproval(missing) => Ok(HttpResponse::Accepted().json(ApprovalsBody {
            status: "approval_required",
            approvals: missing.into_iter().map(ApprovalBody::from).collect(),
        })),
    }
}
