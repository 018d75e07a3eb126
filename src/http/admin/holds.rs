//! Holds: a dispute or a legal demand stops an order's clock until a moment that must be given.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::app::retention::hold;
use crate::clock::BusinessTime;
use crate::domain::ids::OrderId;
use crate::domain::invalid::{FieldErrors, moment};
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody};
use crate::http::errors::app_error::invalid;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Privacy};
use crate::http::extract::json::Json;
use crate::http::extract::path::PathId;
use crate::http::order_json::{Audience, OrderBody};
use crate::http::reason;
use crate::http::run_to_completion::run_to_completion;
use crate::privacy::Pii;

/// Why an order is held, and until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Hold)]
pub struct HoldBody {
    /// Why; kept sealed with the order's person and destroyed with it.
    #[schema(value_type = String, min_length = 1, max_length = 500)]
    reason: Pii<String>,
    /// RFC 3339; in the future, and not further ahead than `retention.max_hold` from when the order was first
    /// held: renewing does not go past that.
    #[schema(format = DateTime)]
    until: String,
}

impl HoldBody {
    fn read(self) -> Result<(Pii<String>, BusinessTime), Problem> {
        let mut errors = FieldErrors::new();
        let reason = reason::parse(&self.reason, &mut errors);
        let until = errors.take("/until", moment(&self.until));
        reason.zip(until).ok_or_else(|| invalid(errors.into_vec()))
    }
}

/// Hold an order, or move the end of its hold
///
/// While it is held nothing is purged, changed or handed on, and a reveal needs a second key.
#[utoipa::path(put, path = "/admin/v1/orders/{id}/hold", operation_id = "hold_order", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = HoldBody,
    responses(
        (status = 200, description = "Held.", body = OrderBody), WithBody,
        (status = 410, description = "`purged`: or about to be, which can no longer be stopped.",
            body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn put(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Privacy, (PathId<OrderId>, Json<HoldBody>)>,
) -> Result<HttpResponse, Problem> {
    let (reason, until) = body.read()?;
    let app = app.get_ref().clone();
    let view = run_to_completion(async move { hold::hold(&app, &caller, id, until, reason).await }).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Client)))
}

/// Lift a hold
///
/// An order that became due meanwhile is purged by the next sweep.
#[utoipa::path(delete, path = "/admin/v1/orders/{id}/hold", operation_id = "lift_hold", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "No longer held.", body = OrderBody),
        (status = 409, description = "`not_held`.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn delete(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Privacy, PathId<OrderId>>,
) -> Result<HttpResponse, Problem> {
    let app = app.get_ref().clone();
    let view = run_to_completion(async move { hold::lift(&app, &caller, id).await }).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Client)))
}
