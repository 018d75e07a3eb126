//! Orders of all clients, for operators: lists, searches by exact value, one in full, cancelling.
//!
//! A phone or tracking number is never taken in a URL: proxies and browsers keep those.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::app::orders::cancel as calling_off;
use crate::app::orders::query::{ByValue, Detail};
use crate::clock::BusinessTime;
use crate::domain::contact::{Country, Phone};
use crate::domain::ids::OrderId;
use crate::domain::invalid::{FieldErrors, Invalid, bounded_text};
use crate::http::admin::privacy::DisclosureBody;
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody, WithQuery};
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Ops};
use crate::http::extract::filters::Filters;
use crate::http::extract::json::Json;
use crate::http::extract::page::{MAX_LIMIT, Page, PageRequest};
use crate::http::extract::path::PathId;
use crate::http::extract::query::Query;
use crate::http::order_json::{Audience, OrderBody};
use crate::http::orders::EventBody;
use crate::http::reason::ReasonBody;
use crate::http::run_to_completion::run_to_completion;
use crate::privacy::Pii;
use crate::store::orders::Filter;
use crate::store::prints::PrintRow;

/// Which orders to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrdersQuery {
    /// `draft`, `placed`, `printing`, `printed`, `shipped`, `delivered`, `returned`, `lost` or `cancelled`.
    status: Option<String>,
    courier: Option<String>,
    /// `pending`, `booking`, `unknown`, `booked`, `failed` or `cancelled`.
    shipment_state: Option<String>,
    /// `end_unconfirmed`: an end that only an unsigned push reported was not confirmed by its courier within 7 days.
    trouble: Option<String>,
    /// RFC 3339; from this moment on.
    #[param(format = DateTime)]
    created_after: Option<String>,
    /// RFC 3339; before this moment.
    #[param(format = DateTime)]
    created_before: Option<String>,
    reference: Option<String>,
    /// How many rows at most, 1 to 200; 50 when it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List orders of all clients, newest first
#[utoipa::path(get, path = "/admin/v1/orders", operation_id = "list_all_orders", tag = "Operators", security(("api_key" = ["ops"])), params(OrdersQuery),
    responses((status = 200, description = "A page.", body = Page<OrderBody>), WithQuery, ByKey))]
pub(in crate::http) async fn list(
    app: Data<App>,
    Keyed {
        given: Query(asked), ..
    }: Keyed<Ops, Query<OrdersQuery>>,
) -> Result<HttpResponse, Problem> {
    let page = PageRequest::parse(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let filters = Filters {
        reference: asked.reference,
        status: asked.status,
        courier: asked.courier,
        shipment_state: asked.shipment_state,
        trouble: asked.trouble.map(|trouble| (trouble, app.unconfirmed_since())),
        created_after: asked.created_after,
        created_before: asked.created_before,
    };
    found(&app, filters.read()?, ByValue::default(), page).await
}

/// What to search for; everything given must hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrderSearch)]
pub struct SearchBody {
    /// By exact value, however it is written; without `+` a Chinese number.
    #[schema(value_type = Option<String>, example = "138 0013 8000")]
    phone: Option<Pii<String>>,
    /// By exact value.
    #[schema(value_type = Option<String>, example = "SF1234560001")]
    tracking_no: Option<Pii<String>>,
    status: Option<String>,
    courier: Option<String>,
    shipment_state: Option<String>,
    /// `end_unconfirmed`: an end that only an unsigned push reported was not confirmed by its courier within 7 days.
    trouble: Option<String>,
    #[schema(format = DateTime)]
    created_after: Option<String>,
    #[schema(format = DateTime)]
    created_before: Option<String>,
    reference: Option<String>,
    /// How many rows at most, 1 to 200; 50 when it is left out.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl SearchBody {
    /// What is asked for, checked.
    fn read(self, unconfirmed_since: BusinessTime) -> Result<(Filter, ByValue, PageRequest<OrderId>), Problem> {
        let mut errors = FieldErrors::new();
        let phone = self
            .phone
            .and_then(|phone| errors.take("/phone", Phone::parse(phone.expose(), Country::CN)))
            .map(|phone| Pii::new(phone.e164().to_owned()));
        let tracking_no = self
            .tracking_no
            .and_then(|number| errors.take("/tracking_no", bounded_text(number.expose(), 1, 64)))
            .map(Pii::new);
        let limit = self.limit.map(|limit| match u32::try_from(limit) {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit.to_string()),
            _ => Err(Invalid::new("out_of_range", format!("must be from 1 to {MAX_LIMIT}"))),
        });
        let limit = limit.and_then(|limit| errors.take("/limit", limit));
        let filters = Filters {
            reference: self.reference,
            status: self.status,
            courier: self.courier,
            shipment_state: self.shipment_state,
            trouble: self.trouble.map(|trouble| (trouble, unconfirmed_since)),
            created_after: self.created_after,
            created_before: self.created_before,
        };
        let filter = filters.check(&mut errors);
        let errors = errors.into_vec();
        if !errors.is_empty() {
            return Err(app_error::invalid(errors));
        }
        let page = PageRequest::parse(limit.as_deref(), self.cursor.as_deref())?;
        Ok((filter, ByValue { phone, tracking_no }, page))
    }
}

/// Search orders, also by phone and tracking number
#[utoipa::path(post, path = "/admin/v1/orders/search", operation_id = "search_orders", tag = "Operators", security(("api_key" = ["ops"])),
    request_body = SearchBody,
    responses((status = 200, description = "A page.", body = Page<OrderBody>), WithBody, ByKey))]
pub(in crate::http) async fn search(
    app: Data<App>,
    Keyed { given: Json(body), .. }: Keyed<Ops, Json<SearchBody>>,
) -> Result<HttpResponse, Problem> {
    let (filter, by, page) = body.read(app.unconfirmed_since())?;
    found(&app, filter, by, page).await
}

async fn found(
    app: &App,
    mut filter: Filter,
    by: ByValue,
    page: PageRequest<OrderId>,
) -> Result<HttpResponse, Problem> {
    filter.before = page.after;
    let found = app.search(filter, by, page.fetch()).await?;
    let shown = page.page(found, |view| view.order.id);
    Ok(HttpResponse::Ok().json(shown.map(|view| OrderBody::of(&view, Audience::Ops))))
}

/// An order with everything that is recorded of it.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderDetail)]
pub struct DetailBody {
    #[serde(flatten)]
    order: OrderBody,
    /// Oldest first.
    events: Vec<EventBody>,
    /// Oldest first.
    prints: Vec<PrintBody>,
    /// Who was told what, oldest first.
    disclosures: Vec<DisclosureBody>,
}

/// One print of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Print)]
pub struct PrintBody {
    at: DateTime<Utc>,
    operator: String,
    #[schema(required)]
    station: Option<String>,
    /// Whether it was another print of a printed order.
    reprint: bool,
}

impl From<PrintRow> for PrintBody {
    fn from(row: PrintRow) -> Self {
        Self {
            at: row.at.and_utc(),
            operator: row.operator,
            station: row.station,
            reprint: row.reprint,
        }
    }
}

impl From<Detail> for DetailBody {
    fn from(detail: Detail) -> Self {
        Self {
            order: OrderBody::of(&detail.view, Audience::Ops),
            events: detail.events.into_iter().map(EventBody::from).collect(),
            prints: detail.prints.into_iter().map(PrintBody::from).collect(),
            disclosures: detail.disclosures.into_iter().map(DisclosureBody::from).collect(),
        }
    }
}

/// Read an order with its timeline, prints and disclosures
#[utoipa::path(get, path = "/admin/v1/orders/{id}", operation_id = "read_order_detail", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")),
    responses((status = 200, description = "The order.", body = DetailBody), OfOne, ByKey))]
pub(in crate::http) async fn read(
    app: Data<App>,
    Keyed { given: PathId(id), .. }: Keyed<Ops, PathId<OrderId>>,
) -> Result<HttpResponse, Problem> {
    let detail = app.detail(id).await?;
    Ok(HttpResponse::Ok().json(DetailBody::from(detail)))
}

/// Cancel any client's order
///
/// A booked parcel is cancelled at the courier first; the courier's answer decides.
#[utoipa::path(post, path = "/admin/v1/orders/{id}/cancel", operation_id = "cancel_any_order", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = ReasonBody,
    responses(
        (status = 200, description = "Cancelled.", body = OrderBody), WithBody,
        (status = 409, description = "`held`, `not_cancellable` or `booking_in_progress`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn cancel(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Ops, (PathId<OrderId>, Json<ReasonBody>)>,
) -> Result<HttpResponse, Problem> {
    let reason = body.read()?;
    let app = app.get_ref().clone();
    let view = run_to_completion(async move { calling_off::cancel(&app, &caller, false, id, reason).await }).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Ops)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::json::parse;

    fn read(body: &str) -> Result<(Filter, ByValue, PageRequest<OrderId>), Problem> {
        parse::<SearchBody>(body.as_bytes())?.read(BusinessTime::UNIX_EPOCH)
    }

    #[test]
    fn a_phone_is_looked_for_in_its_one_spelling() {
        for spelling in ["13800138000", "+86 138-0013-8000", "138 0013 8000"] {
            let (_, by, _) = read(&format!(r#"{{"phone":"{spelling}"}}"#)).unwrap();
            assert_eq!(by.phone.unwrap().expose(), "+8613800138000");
        }
    }

    #[test]
    fn every_wrong_value_of_a_search_is_named_at_once() {
        let refused = read(r#"{"phone":"1","tracking_no":"","limit":0,"status":"x"}"#).unwrap_err();
        let pointers: Vec<&str> = refused.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/phone", "/tracking_no", "/limit", "/status"]);
        assert_eq!(read(r#"{"limit":200}"#).unwrap().2.limit, 200);
    }
}
