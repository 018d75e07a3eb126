//! Purges: one at once, all that are due, and the receipts that prove them.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::app::retention::purge;
use crate::domain::ids::OrderId;
use crate::domain::invalid::FieldErrors;
use crate::domain::retention::PurgeReason;
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody, WithQuery};
use crate::http::errors::app_error::invalid;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Privacy};
use crate::http::extract::filters::one_of;
use crate::http::extract::json::Json;
use crate::http::extract::page::{Page, PageQuery, PageRequest};
use crate::http::extract::path::{PathId, segment};
use crate::http::extract::query::Query;
use crate::http::reason;
use crate::http::run_to_completion::run_to_completion;
use crate::privacy::Pii;
use crate::store::purges::ReceiptRow;

/// That, when and why what identified a person was destroyed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PurgeReceipt)]
pub struct ReceiptBody {
    order_id: String,
    /// `retention`, `draft_expired`, `stuck`, `request`, `consent_withdrawn`, `minor_without_guardian`, `key_destroyed` or
    /// `operator`.
    reason: String,
    decided_at: DateTime<Utc>,
    purged_at: DateTime<Utc>,
    /// The columns that were emptied.
    purged_columns: Vec<String>,
    /// The epoch of the key that had sealed the person.
    #[schema(required)]
    key_epoch: Option<i64>,
    /// Over the facts above; the audit entry carries it.
    hash: String,
    /// The entry of the audit log that carries it.
    audit_seq: i64,
}

impl From<ReceiptRow> for ReceiptBody {
    fn from(row: ReceiptRow) -> Self {
        Self {
            order_id: row.order_id,
            reason: row.reason,
            decided_at: row.decided_at.and_utc(),
            purged_at: row.purged_at.and_utc(),
            purged_columns: row.purged_columns.split(',').map(str::to_owned).collect(),
            key_epoch: row.epoch,
            hash: row.hash,
            audit_seq: row.audit_seq,
        }
    }
}

/// Why an order is purged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Purge)]
pub struct PurgeBody {
    /// Why, in words; of it only a salted hash stays.
    #[schema(value_type = String, min_length = 1, max_length = 500)]
    reason: Pii<String>,
    /// What the receipt says: `operator` (when it is left out), `request` (the person asked) or `minor_without_guardian`
    /// (collected from a minor without a guardian's consent).
    cause: Option<String>,
}

impl PurgeBody {
    fn read(self) -> Result<(PurgeReason, Pii<String>), Problem> {
        const CAUSES: [PurgeReason; 3] = [
            PurgeReason::Operator,
            PurgeReason::Request,
            PurgeReason::MinorWithoutGuardian,
        ];
        let mut errors = FieldErrors::new();
        let reason = reason::parse(&self.reason, &mut errors);
        let cause = match self.cause {
            None => Some(PurgeReason::Operator),
            Some(text) => {
                let known = CAUSES.into_iter().find(|cause| cause.as_str() == text);
                errors.take("/cause", known.ok_or_else(|| one_of(&CAUSES.map(PurgeReason::as_str))))
            }
        };
        match (cause, reason) {
            (Some(cause), Some(reason)) => Ok((cause, reason)),
            _ => Err(invalid(errors.into_vec())),
        }
    }
}

/// Purge an order now
///
/// Draft and placed orders are cancelled first; ended ones are purged at once.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/purge", operation_id = "purge_order", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = PurgeBody,
    responses(
        (status = 200, description = "Purged.", body = ReceiptBody), WithBody,
        (status = 409, description = "`in_fulfilment` or `held`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`: it was already.",
            body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn purge_one(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Privacy, (PathId<OrderId>, Json<PurgeBody>)>,
) -> Result<HttpResponse, Problem> {
    let (cause, reason) = body.read()?;
    let app = app.get_ref().clone();
    let receipt = run_to_completion(async move { purge::on_request(&app, &caller, id, cause, reason).await }).await?;
    Ok(HttpResponse::Ok().json(ReceiptBody::from(receipt)))
}

/// List receipts, newest order first
#[utoipa::path(get, path = "/admin/v1/purges", operation_id = "list_purges", tag = "Privacy", security(("api_key" = ["privacy"])), params(PageQuery),
    responses((status = 200, description = "A page.", body = Page<ReceiptBody>), WithQuery, ByKey))]
pub(in crate::http) async fn list(
    app: Data<App>,
    Keyed {
        given: Query(asked), ..
    }: Keyed<Privacy, Query<PageQuery>>,
) -> Result<HttpResponse, Problem> {
    let page: PageRequest<OrderId> = asked.page()?;
    let found = purge::receipts(&app, page.after, page.fetch()).await?;
    let mut ids = Vec::with_capacity(found.len());
    for receipt in found {
        let id: OrderId = receipt
            .order_id
            .parse()
            .map_err(|_| Problem::internal("a receipt's order id is corrupt"))?;
        ids.push((id, receipt));
    }
    let shown = page.page(ids, |(id, _)| *id);
    Ok(HttpResponse::Ok().json(shown.map(|(_, receipt)| ReceiptBody::from(receipt))))
}

/// Read an order's receipt
#[utoipa::path(get, path = "/admin/v1/purges/{order_id}", operation_id = "read_purge", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("order_id" = String, Path, description = "The order's id.")),
    responses((status = 200, description = "The receipt.", body = ReceiptBody), OfOne, ByKey))]
pub(in crate::http) async fn read(
    app: Data<App>,
    Keyed { given: request, .. }: Keyed<Privacy, actix_web::HttpRequest>,
) -> Result<HttpResponse, Problem> {
    let id: OrderId = segment(&request, "order_id")?;
    let receipt = purge::receipt(&app, id).await?;
    Ok(HttpResponse::Ok().json(ReceiptBody::from(receipt)))
}

/// How to run retention.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunQuery {
    /// `true`: only say what would be purged. Required: nothing is destroyed because a parameter was forgotten.
    dry_run: bool,
}

/// What a run of retention did, or would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetentionRun)]
pub struct RunBody {
    /// Orders whose clock had run out and that nothing held.
    due: i64,
    /// Orders purged by this run.
    purged: i64,
    /// Orders whose clock had run out and that are held.
    held: i64,
}

/// Purge everything that is due, or say what would be
#[utoipa::path(post, path = "/admin/v1/retention/run", operation_id = "run_retention", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(RunQuery),
    responses((status = 200, description = "Done.", body = RunBody), WithQuery, ByKey))]
pub(in crate::http) async fn run(
    app: Data<App>,
    Keyed {
        caller,
        given: Query(asked),
        ..
    }: Keyed<Privacy, Query<RunQuery>>,
) -> Result<HttpResponse, Problem> {
    let app = app.get_ref().clone();
    let report = run_to_completion(async move { purge::run(&app, &caller.actor(), asked.dry_run).await }).await?;
    Ok(HttpResponse::Ok().json(RunBody {
        due: report.due,
        purged: report.purged,
        held: report.held,
    }))
}
