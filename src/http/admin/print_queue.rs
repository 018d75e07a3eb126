//! The print floor: leased orders, prints, and what goes back. The floor sees photo references and tracking numbers.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::app::orders::print_floor::{self, Operator};
use crate::domain::ids::OrderId;
use crate::domain::invalid::{FieldErrors, Invalid, bounded_text};
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody};
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Floor, Keyed};
use crate::http::extract::json::Json;
use crate::http::extract::path::PathId;
use crate::http::order_json::{Audience, OrderBody};
use crate::http::reason;
use crate::privacy::Pii;

/// The most orders of one claim: more than a machine prints within a lease.
const MAX_CLAIM: i64 = 200;

/// Orders of a claim that does not say how many.
const DEFAULT_CLAIM: i64 = 10;

/// A claim of orders to print.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Claim)]
pub struct ClaimBody {
    /// As the floor calls them, 1 to 64 characters.
    #[schema(example = "wang")]
    operator: String,
    /// The machine, where the floor names it.
    station: Option<String>,
    /// 1 to 200; 10 when it is left out.
    #[schema(minimum = 1, maximum = 200, default = 10)]
    limit: Option<i64>,
}

/// The operator at the print floor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Operator)]
pub struct OperatorBody {
    /// As the floor calls them, 1 to 64 characters.
    #[schema(example = "wang")]
    operator: String,
    /// The machine, where the floor names it: the same as in the claim.
    station: Option<String>,
}

/// Another print of a printed order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reprint)]
pub struct ReprintBody {
    /// As the floor calls them, 1 to 64 characters.
    #[schema(example = "wang")]
    operator: String,
    /// The machine, where the floor names it.
    station: Option<String>,
    /// Why; kept sealed with the order's person and destroyed with it.
    #[schema(value_type = String, min_length = 1, max_length = 500)]
    reason: Pii<String>,
}

/// Orders that are one operator's until the lease ends.
#[derive(Serialize, ToSchema)]
pub struct Claimed {
    /// Oldest first.
    data: Vec<OrderBody>,
    lease_expires_at: DateTime<Utc>,
}

fn operator(name: &str, station: Option<&str>, errors: &mut FieldErrors) -> Option<Operator> {
    let name = errors.take("/operator", bounded_text(name, 1, 64));
    let station = match station {
        None => Some(None),
        Some(station) => errors.take("/station", bounded_text(station, 1, 64)).map(Some),
    };
    Some(Operator {
        name: name?,
        station: station?,
    })
}

impl ClaimBody {
    fn read(&self) -> Result<(Operator, i64), Problem> {
        let mut errors = FieldErrors::new();
        let operator = operator(&self.operator, self.station.as_deref(), &mut errors);
        let limit = match self.limit.unwrap_or(DEFAULT_CLAIM) {
            limit if (1..=MAX_CLAIM).contains(&limit) => Ok(limit),
            _ => Err(Invalid::new("out_of_range", format!("must be from 1 to {MAX_CLAIM}"))),
        };
        let limit = errors.take("/limit", limit);
        operator.zip(limit).ok_or_else(|| app_error::invalid(errors.into_vec()))
    }
}

impl OperatorBody {
    fn read(&self) -> Result<Operator, Problem> {
        let mut errors = FieldErrors::new();
        let operator = operator(&self.operator, self.station.as_deref(), &mut errors);
        operator.ok_or_else(|| app_error::invalid(errors.into_vec()))
    }
}

impl ReprintBody {
    fn read(&self) -> Result<(Operator, Pii<String>), Problem> {
        let mut errors = FieldErrors::new();
        let operator = operator(&self.operator, self.station.as_deref(), &mut errors);
        let reason = reason::parse(&self.reason, &mut errors);
        operator
            .zip(reason)
            .ok_or_else(|| app_error::invalid(errors.into_vec()))
    }
}

/// Lease the oldest waiting orders
#[utoipa::path(post, path = "/admin/v1/print-queue/claim", operation_id = "claim_orders", tag = "Print floor", security(("api_key" = ["floor"])),
    request_body = ClaimBody,
    responses((status = 200, description = "Leased; nobody else's until the lease ends.", body = Claimed), WithBody, ByKey))]
pub(in crate::http) async fn claim(
    app: Data<App>,
    Keyed {
        caller,
        given: Json(body),
        ..
    }: Keyed<Floor, Json<ClaimBody>>,
) -> Result<HttpResponse, Problem> {
    let (operator, limit) = body.read()?;
    let claimed = print_floor::claim(&app, &caller, operator, limit).await?;
    Ok(HttpResponse::Ok().json(Claimed {
        data: claimed
            .orders
            .iter()
            .map(|view| OrderBody::of(view, Audience::Floor))
            .collect(),
        lease_expires_at: claimed.lease_expires_at.into(),
    }))
}

/// Report an order as printed
///
/// Its parcel is queued in the same transaction.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/printed", operation_id = "report_printed", tag = "Print floor", security(("api_key" = ["floor"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = OperatorBody,
    responses(
        (status = 200, description = "Printed.", body = OrderBody), WithBody,
        (status = 409, description = "`held`, `lease_lost`, `already_printed` or `illegal_transition`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn printed(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Floor, (PathId<OrderId>, Json<OperatorBody>)>,
) -> Result<HttpResponse, Problem> {
    let view = print_floor::printed(&app, &caller, body.read()?, id).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Floor)))
}

/// Record another print of a printed order
#[utoipa::path(post, path = "/admin/v1/orders/{id}/reprint", operation_id = "report_reprint", tag = "Print floor", security(("api_key" = ["floor"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = ReprintBody,
    responses(
        (status = 200, description = "Recorded; the status stays.", body = OrderBody), WithBody,
        (status = 409, description = "`held` or `not_printed`.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn reprint(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Floor, (PathId<OrderId>, Json<ReprintBody>)>,
) -> Result<HttpResponse, Problem> {
    let (operator, reason) = body.read()?;
    let view = print_floor::reprint(&app, &caller, operator, id, reason).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Floor)))
}

/// Give a leased order back to the queue
#[utoipa::path(post, path = "/admin/v1/orders/{id}/release", operation_id = "release_order", tag = "Print floor", security(("api_key" = ["floor"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = OperatorBody,
    responses(
        (status = 200, description = "Back in the queue.", body = OrderBody), WithBody,
        (status = 409, description = "`lease_lost` or `illegal_transition`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn release(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Floor, (PathId<OrderId>, Json<OperatorBody>)>,
) -> Result<HttpResponse, Problem> {
    let view = print_floor::release(&app, &caller, body.read()?, id).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Floor)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::json::parse;

    fn wrong(body: &str) -> Vec<String> {
        let refused = parse::<ClaimBody>(body.as_bytes())
            .and_then(|body| body.read())
            .unwrap_err();
        refused.errors().iter().map(|error| error.pointer.clone()).collect()
    }

    #[test]
    fn a_claim_takes_ten_when_it_does_not_say_how_many() {
        let body: ClaimBody = parse(r#"{"operator":" 王 "}"#.as_bytes()).unwrap();
        let (operator, limit) = body.read().unwrap();
        assert_eq!((operator.name.as_str(), operator.station, limit), ("王", None, 10));
    }

    #[test]
    fn what_is_wrong_with_a_claim_is_named() {
        assert_eq!(
            wrong(r#"{"operator":"","station":"","limit":0}"#),
            ["/operator", "/station", "/limit"]
        );
        assert_eq!(wrong(r#"{"operator":"w","limit":201}"#), ["/limit"]);
        assert_eq!(wrong(r#"{"operator":"w","limt":1}"#), ["/limt"]);
        assert_eq!(wrong(r#"{"limit":1}"#), ["/operator"]);
    }
}
