//! The audit log: what privileged keys did, chained by hashes, without personal data.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, audit};
use crate::http::docs::documented::{ByKey, WithQuery};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Admin, Keyed};
use crate::http::extract::page::{Page, PageQuery, PageRequest};
use crate::http::extract::query::Query;
use crate::store::audit::EntryRow;

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct EntryBody {
    seq: i64,
    at: DateTime<Utc>,
    /// `key:<id>`, `cli` or `system`.
    actor: String,
    /// Such as `reveal`, `purge`, `key_create`.
    action: String,
    /// The id it was done to.
    subject: String,
    detail: String,
    /// Salted; the reason and the salt go with the order.
    #[schema(required)]
    reason_hash: Option<String>,
    prev_hash: String,
    hash: String,
}

impl From<EntryRow> for EntryBody {
    fn from(row: EntryRow) -> Self {
        Self {
            seq: row.seq,
            at: row.at.and_utc(),
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            detail: row.detail,
            reason_hash: row.reason_hash,
            prev_hash: row.prev_hash,
            hash: row.hash,
        }
    }
}

/// List entries, newest first
#[utoipa::path(get, path = "/admin/v1/audit", operation_id = "list_audit", tag = "Administration", security(("api_key" = ["admin"])), params(PageQuery),
    responses((status = 200, description = "A page.", body = Page<EntryBody>), WithQuery, ByKey))]
pub(in crate::http) async fn list(
    app: Data<App>,
    Keyed {
        given: Query(asked), ..
    }: Keyed<Admin, Query<PageQuery>>,
) -> Result<HttpResponse, Problem> {
    let page: PageRequest<i64> = asked.page()?;
    let found = audit::list(&app, page.after, page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.page(found, |entry| entry.seq).map(EntryBody::from)))
}

/// What a check of the chain found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verification {
    /// Whether every entry is as it was written and none is missing.
    ok: bool,
    /// Entries that hold.
    entries: i64,
    /// The first entry at which the chain does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_at: Option<i64>,
}

/// Check the whole chain
#[utoipa::path(get, path = "/admin/v1/audit/verify", operation_id = "verify_audit", tag = "Administration", security(("api_key" = ["admin"])),
    responses((status = 200, description = "Checked; `ok` says whether it holds.", body = Verification), ByKey))]
pub(in crate::http) async fn verify(app: Data<App>, _: Keyed<Admin>) -> Result<HttpResponse, Problem> {
    let found = audit::verify(&app).await?;
    Ok(HttpResponse::Ok().json(Verification {
        ok: found.ok,
        entries: found.entries,
        broken_at: found.broken_at,
    }))
}
