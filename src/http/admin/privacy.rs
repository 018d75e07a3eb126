//! Seeing a recipient whole, and who was told what. A reveal needs a scope and a reason, is recorded before it is shown,
//! and for a minor or a held order needs a second key. The only answers of this service that hold a person.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::app::privacy::reveal::{self, Revealed};
use crate::domain::contact::Recipient;
use crate::domain::ids::{OrderId, RowId};
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody, WithQuery};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Privacy};
use crate::http::extract::json::Json;
use crate::http::extract::path::PathId;
use crate::http::extract::query::Query;
use crate::http::reason::ReasonBody;
use crate::store::shipments::DisclosureRow;

/// The whole recipient.
// No `Debug`: it holds what was exposed for one answer.
#[derive(Serialize, ToSchema)]
#[schema(as = RevealedRecipient)]
pub struct RevealedBody {
    name: String,
    /// E.164.
    #[schema(example = "+8613800138000")]
    phone: String,
    province: String,
    city: String,
    #[schema(required)]
    district: Option<String>,
    street: String,
    #[schema(required)]
    postal_code: Option<String>,
    country: String,
}

impl From<&Recipient> for RevealedBody {
    fn from(recipient: &Recipient) -> Self {
        let address = &recipient.address;
        Self {
            name: recipient.name.expose().to_owned(),
            phone: recipient.phone.e164().to_owned(),
            province: address.province().to_owned(),
            city: address.city().to_owned(),
            district: address.district().map(str::to_owned),
            street: address.street().to_owned(),
            postal_code: address.postal_code().map(str::to_owned),
            country: address.country().as_str().to_owned(),
        }
    }
}

/// A request to see a recipient.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevealRequest)]
pub struct RequestBody {
    reveal_id: String,
    /// `approval_required` or `approved`.
    status: &'static str,
}

/// Reveal the whole recipient
///
/// For a minor's, a held or a restricted order another key must approve the request first; then ask again.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/reveal", operation_id = "reveal_recipient", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = ReasonBody,
    responses(
        (status = 200, description = "The recipient; the look is in the audit log.", body = RevealedBody),
        (status = 202, description = "Another key must approve it.", body = RequestBody), WithBody,
        (status = 410, description = "`purged` or `unreadable`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn reveal(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Privacy, (PathId<OrderId>, Json<ReasonBody>)>,
) -> Result<HttpResponse, Problem> {
    match reveal::reveal(&app, &caller, id, body.read()?).await? {
        Revealed::Recipient(recipient) => Ok(HttpResponse::Ok().json(RevealedBody::from(&*recipient))),
        Revealed::NeedsApproval { reveal_id } => Ok(HttpResponse::Accepted().json(RequestBody {
            reveal_id: reveal_id.to_string(),
            status: "approval_required",
        })),
    }
}

/// Approve another key's request
#[utoipa::path(post, path = "/admin/v1/reveals/{id}/approve", operation_id = "approve_reveal", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The request's id.")),
    responses(
        (status = 200, description = "The key that asked may look once.", body = RequestBody),
        (status = 409, description = "`same_key` or `already_approved`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn approve(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Privacy, PathId<RowId>>,
) -> Result<HttpResponse, Problem> {
    reveal::approve(&app, &caller, id).await?;
    Ok(HttpResponse::Ok().json(RequestBody {
        reveal_id: id.to_string(),
        status: "approved",
    }))
}

/// Which order's disclosures.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DisclosuresQuery {
    /// The order's id.
    order_id: String,
}

/// Disclosures to third parties.
#[derive(Debug, Serialize, ToSchema)]
pub struct Disclosures {
    /// Oldest first.
    data: Vec<DisclosureBody>,
}

/// One hand-over of personal fields to a third party; holds none of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Disclosure)]
pub struct DisclosureBody {
    id: String,
    order_id: String,
    at: DateTime<Utc>,
    /// The third party: a courier's name.
    recipient: String,
    /// The names of the fields.
    fields: Vec<String>,
    purpose: String,
    /// The booking attempt that it was for.
    attempt: i16,
}

impl From<DisclosureRow> for DisclosureBody {
    fn from(row: DisclosureRow) -> Self {
        Self {
            id: row.id,
            order_id: row.order_id,
            at: row.at.and_utc(),
            recipient: row.recipient,
            fields: row.fields.split(',').map(str::to_owned).collect(),
            purpose: row.purpose,
            attempt: row.attempt,
        }
    }
}

/// List disclosures of an order's recipient to third parties
#[utoipa::path(get, path = "/admin/v1/disclosures", operation_id = "list_disclosures", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(DisclosuresQuery),
    responses((status = 200, description = "Every hand-over, oldest first.", body = Disclosures), WithQuery, OfOne, ByKey))]
pub(in crate::http) async fn disclosures(
    app: Data<App>,
    Keyed {
        given: Query(asked), ..
    }: Keyed<Privacy, Query<DisclosuresQuery>>,
) -> Result<HttpResponse, Problem> {
    let id: OrderId = asked.order_id.parse().map_err(|_| Problem::not_found())?;
    let detail = app.detail(id).await?;
    let data = detail.disclosures.into_iter().map(DisclosureBody::from).collect();
    Ok(HttpResponse::Ok().json(Disclosures { data }))
}
