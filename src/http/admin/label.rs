//! A parcel's label, to be printed.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Data;

use crate::app::App;
use crate::app::parcels::label;
use crate::domain::ids::OrderId;
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{FloorOrOps, Keyed};
use crate::http::extract::path::PathId;

/// Print a parcel's label
///
/// The courier's own document, at most 10 MiB. Fetched once and kept sealed until the order is purged.
#[utoipa::path(get, path = "/admin/v1/orders/{id}/label", operation_id = "read_label", tag = "Print floor",
    security(("api_key" = ["floor"]), ("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "The document, as the courier made it.", body = Vec<u8>, content_type = "application/pdf"),
        (status = 404, description = "`not_found`, or `no_label`: the courier gives none.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 409, description = "`not_booked`.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged` or `unreadable`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn read(
    app: Data<App>,
    Keyed { given: PathId(id), .. }: Keyed<FloorOrOps, PathId<OrderId>>,
) -> Result<HttpResponse, Problem> {
    let label = label::label(&app, id).await?;
    Ok(HttpResponse::Ok()
        .content_type(label.content_type)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_DISPOSITION, "inline"))
        .body(label.document.expose().clone()))
}
