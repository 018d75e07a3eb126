//! Shipments in trouble: try again, or settle by hand what no query can tell.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::app::parcels::resolve_unknown::{self, Resolution};
use crate::domain::ids::OrderId;
use crate::domain::invalid::{FieldErrors, Invalid, bounded_text};
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody};
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Ops};
use crate::http::extract::json::Json;
use crate::http::extract::path::PathId;
use crate::http::order_json::{Audience, OrderBody};
use crate::http::reason;
use crate::privacy::Pii;

/// Retry a shipment
///
/// A failed one begins a new booking; an unknown one is reconciled with the courier, never sent blindly.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/shipment/retry", operation_id = "retry_shipment", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "On its way.", body = OrderBody),
        (status = 409, description = "`nothing_to_retry`, `booking_in_progress`, `already_booked` or `held`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn retry(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Ops, PathId<OrderId>>,
) -> Result<HttpResponse, Problem> {
    let view = resolve_unknown::retry(&app, &caller, id).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Ops)))
}

/// The outcome of a booking, found by a person: either `tracking_no`, or `not_booked` as `true`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Resolution)]
pub struct ResolutionBody {
    /// It is booked under this number.
    #[schema(value_type = Option<String>, example = "SF1234560001")]
    tracking_no: Option<Pii<String>>,
    /// It is not booked and will be booked again.
    not_booked: Option<bool>,
    /// How it was found out; kept sealed with the order's person and destroyed with it.
    #[schema(value_type = String, min_length = 1, max_length = 500)]
    reason: Pii<String>,
}

impl ResolutionBody {
    fn read(&self) -> Result<(Resolution, Pii<String>), Problem> {
        let mut errors = FieldErrors::new();
        let reason = reason::parse(&self.reason, &mut errors);
        let resolution = match (&self.tracking_no, self.not_booked) {
            (Some(number), None | Some(false)) => errors
                .take("/tracking_no", bounded_text(number.expose(), 1, 64))
                .map(|number| Resolution::Booked(Pii::new(number))),
            (None, Some(true)) => Some(Resolution::NotBooked),
            _ => {
                let detail = "must be given, or `not_booked` as true, and not both";
                errors.push("/tracking_no", Invalid::new("exactly_one", detail));
                None
            }
        };
        resolution
            .zip(reason)
            .ok_or_else(|| app_error::invalid(errors.into_vec()))
    }
}

/// Resolve a booking of unknown outcome by hand
#[utoipa::path(post, path = "/admin/v1/orders/{id}/shipment/resolve", operation_id = "resolve_shipment", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = ResolutionBody,
    responses(
        (status = 200, description = "Settled.", body = OrderBody), WithBody,
        (status = 409, description = "`not_unknown`.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn resolve(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Ops, (PathId<OrderId>, Json<ResolutionBody>)>,
) -> Result<HttpResponse, Problem> {
    let (resolution, reason) = body.read()?;
    let view = resolve_unknown::resolve(&app, &caller, id, resolution, reason).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Ops)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::json::parse;

    fn read(body: &str) -> Result<(Resolution, Pii<String>), Problem> {
        parse::<ResolutionBody>(body.as_bytes())?.read()
    }

    #[test]
    fn exactly_one_finding_settles_a_booking() {
        let booked = read(r#"{"tracking_no":" SF1 ","reason":"打电话问过"}"#).unwrap().0;
        assert!(matches!(booked, Resolution::Booked(number) if number.expose() == "SF1"));
        let not = read(r#"{"not_booked":true,"reason":"打电话问过"}"#).unwrap().0;
        assert!(matches!(not, Resolution::NotBooked));
        for neither_nor in [
            r#"{"reason":"x"}"#,
            r#"{"not_booked":false,"reason":"x"}"#,
            r#"{"tracking_no":"SF1","not_booked":true,"reason":"x"}"#,
        ] {
            assert_eq!(read(neither_nor).unwrap_err().errors()[0].invalid.code, "exactly_one");
        }
        let wrong = read(r#"{"tracking_no":"","reason":""}"#).unwrap_err();
        assert_eq!(wrong.errors().len(), 2);
    }
}
