//! What operators settle by hand: shipped without a booking, an end nobody reports, another courier, a return sent again.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::app::parcels::manual_operations;
use crate::domain::ids::OrderId;
use crate::domain::invalid::{FieldErrors, Invalid, bounded_text};
use crate::domain::shipment::TrackingStatus;
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody};
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Ops};
use crate::http::extract::json::Json;
use crate::http::extract::path::PathId;
use crate::http::order_json::{Audience, OrderBody};
use crate::http::reason;
use crate::privacy::Pii;

/// A parcel that was shipped by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShippedByHand)]
pub struct ShippedBody {
    /// A courier that this build knows; it need not be configured.
    #[schema(example = "simulated")]
    courier: String,
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "SF1234560001")]
    tracking_no: Pii<String>,
}

/// Record that an order was shipped by hand
///
/// The parcel counts as booked under that number, and the courier is asked for its news. The same again changes nothing.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/shipment", operation_id = "ship_by_hand", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = ShippedBody,
    responses(
        (status = 200, description = "Booked under that number.", body = OrderBody), WithBody,
        (status = 409, description = "`not_printed`, `already_booked`, `already_shipped`, `booking_in_progress`, `held`, `consent_withdrawn` or `illegal_transition`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged` or `unreadable`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn ship(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Ops, (PathId<OrderId>, Json<ShippedBody>)>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::new();
    let number = errors.take("/tracking_no", bounded_text(body.tracking_no.expose(), 1, 64));
    let known = app.couriers.knows(&body.courier);
    if !known {
        let unknown = Invalid::new("unknown_courier", "must be a courier that this service knows");
        errors.push("/courier", unknown);
    }
    let number = match number {
        Some(number) if known => Pii::new(number),
        _ => return Err(app_error::invalid(errors.into_vec())),
    };
    let view = manual_operations::ship(&app, &caller, id, body.courier, number).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Ops)))
}

/// The final status, found by a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Mark)]
pub struct MarkBody {
    /// `delivered`, `returned` or `lost`.
    #[schema(example = "delivered")]
    status: String,
    /// How it was found out; kept sealed with the order's person and destroyed with it.
    #[schema(value_type = String, min_length = 1, max_length = 500)]
    reason: Pii<String>,
}

/// End an order by hand
///
/// The retention clock begins. What the courier says later corrects it still. The same again changes nothing.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/mark", operation_id = "mark_order", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = MarkBody,
    responses(
        (status = 200, description = "Ended.", body = OrderBody), WithBody,
        (status = 409, description = "`illegal_transition` or `booking_in_progress`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn mark(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Ops, (PathId<OrderId>, Json<MarkBody>)>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::new();
    let end = TrackingStatus::parse(&body.status)
        .filter(|status| status.is_end())
        .ok_or_else(|| Invalid::new("unknown_value", "must be delivered, returned or lost"));
    let end = errors.take("/status", end);
    let reason = reason::parse(&body.reason, &mut errors);
    let (Some(end), Some(reason)) = (end, reason) else {
        return Err(app_error::invalid(errors.into_vec()));
    };
    let view = manual_operations::mark(&app, &caller, id, end, reason).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Ops)))
}

/// The courier for an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CourierChoice)]
pub struct CourierBody {
    /// One that is configured.
    #[schema(example = "simulated")]
    courier: String,
}

/// Give an order to another courier
///
/// Possible until it is booked. A courier outside China carries parcels to China only with `consent.cross_border`.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/courier", operation_id = "change_courier", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = CourierBody,
    responses(
        (status = 200, description = "It carries the order.", body = OrderBody), WithBody,
        (status = 409, description = "`already_booked`, `already_shipped`, `booking_in_progress`, `held`, `consent_withdrawn` or `illegal_transition`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged` or `unreadable`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn courier(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Ops, (PathId<OrderId>, Json<CourierBody>)>,
) -> Result<HttpResponse, Problem> {
    let view = manual_operations::change_courier(&app, &caller, id, body.courier).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Ops)))
}

/// Send a returned order once more
///
/// It is `printed` again with a new parcel; its retention clock begins with its next end.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/reship", operation_id = "reship_order", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "On its way to the courier.", body = OrderBody),
        (status = 409, description = "`not_returned`, `held`, `restricted`, `consent_withdrawn` or `too_many_attempts`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged` or `unreadable`.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 422, description = "`cross_border_consent_required`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn reship(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Ops, PathId<OrderId>>,
) -> Result<HttpResponse, Problem> {
    let view = manual_operations::reship(&app, &caller, id).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Ops)))
}
