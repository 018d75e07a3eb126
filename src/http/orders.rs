//! `/v1/orders`: what a client's checkout does with its own orders. Every call is limited to the key's client, whatever
//! else the key may do; another client's order is not found.

mod idempotency_key;
mod new_order;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue, LOCATION};
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::app::orders::place::{Placed, place as place_order};
use crate::app::orders::write_new::Intake;
use crate::app::orders::{cancel as calling_off, confirm_draft as confirming, correct_recipient as correcting};
use crate::domain::ids::OrderId;
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody, WithQuery};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Orders};
use crate::http::extract::filters::Filters;
use crate::http::extract::json::Json;
use crate::http::extract::page::{Page, PageRequest};
use crate::http::extract::path::PathId;
use crate::http::extract::query::Query;
use crate::http::order_json::{Audience, OrderBody};
use crate::http::reason::ReasonBody;
use crate::http::recipient::RecipientBody;
use crate::http::run_to_completion::run_to_completion;
use crate::store::timeline::EventRow;

pub use new_order::NewOrderBody;

use idempotency_key::IdempotencyKey;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Place an order
///
/// Sending the same key and body again answers with the order as it is now and `Idempotent-Replayed: true`.
#[utoipa::path(post, path = "/v1/orders", operation_id = "place_order", tag = "Checkout", security(("api_key" = ["orders"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters, kept at least 24 hours.")),
    request_body = NewOrderBody,
    responses(
        (status = 201, description = "Placed, now or before.", body = OrderBody, headers(
            ("Location" = String, description = "Where the order is found."),
            ("Idempotent-Replayed" = String, description = "`true` where the order was placed before."))),
        WithBody,
        (status = 400, description = "`idempotency_key_missing`, `idempotency_key_invalid` or `malformed_json`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 409, description = "`reference_taken` (with `order_id`) or `idempotency_in_progress`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_body`, `idempotency_key_reused`, `consent_required`, \
            `guardian_consent_required`, `unknown_photo_size` or `unknown_courier`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        ByKey))]
pub(super) async fn place(
    app: Data<App>,
    intake: Data<Intake>,
    Keyed {
        caller,
        given: (IdempotencyKey(key), Json(body)),
        ..
    }: Keyed<Orders, (IdempotencyKey, Json<NewOrderBody>)>,
) -> Result<HttpResponse, Problem> {
    let order = body.read(app.clock.business_now())?;
    let mut answer = HttpResponse::Created();
    let view = match place_order(&app, &intake, &caller, key, order).await? {
        Placed::New(view) => view,
        Placed::Replayed(view) => {
            answer.insert_header((REPLAYED, HeaderValue::from_static("true")));
            view
        }
    };
    let shown = OrderBody::of(&view, Audience::Client);
    Ok(answer.insert_header((LOCATION, shown.location())).json(shown))
}

/// Which of one's orders to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnOrders {
    /// The client's own name for the order.
    reference: Option<String>,
    /// `draft`, `placed`, `printing`, `printed`, `shipped`, `delivered`, `returned`, `lost` or `cancelled`.
    status: Option<String>,
    /// How many rows at most, 1 to 200; 50 when it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List one's orders, newest first
#[utoipa::path(get, path = "/v1/orders", operation_id = "list_orders", tag = "Checkout", security(("api_key" = ["orders"])), params(OwnOrders),
    responses((status = 200, description = "A page.", body = Page<OrderBody>), WithQuery, ByKey))]
pub(super) async fn list(
    app: Data<App>,
    Keyed {
        caller,
        given: Query(asked),
        ..
    }: Keyed<Orders, Query<OwnOrders>>,
) -> Result<HttpResponse, Problem> {
    let page = PageRequest::<OrderId>::parse(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let filters = Filters {
        reference: asked.reference,
        status: asked.status,
        ..Filters::default()
    };
    let mut filter = filters.read()?;
    filter.client = Some(caller.client);
    filter.before = page.after;
    let found = app.list(filter, page.fetch()).await?;
    let shown = page.page(found, |view| view.order.id);
    Ok(HttpResponse::Ok().json(shown.map(|view| OrderBody::of(&view, Audience::Client))))
}

/// Read an order
#[utoipa::path(get, path = "/v1/orders/{id}", operation_id = "read_order", tag = "Checkout", security(("api_key" = ["orders"])),
    params(("id" = String, Path, description = "The order's id.")),
    responses((status = 200, description = "The order.", body = OrderBody), OfOne, ByKey))]
pub(super) async fn read(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Orders, PathId<OrderId>>,
) -> Result<HttpResponse, Problem> {
    let view = app.order(Some(&caller), id).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Client)))
}

/// An order's timeline, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    data: Vec<EventBody>,
}

/// One thing that happened to an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    id: String,
    at: chrono::DateTime<chrono::Utc>,
    /// What happened, such as `placed`, `claimed`, `booked`, `tracking`.
    kind: String,
    /// The order's status after it.
    status: String,
    /// `key:<id>`, `courier:<name>` or `system`.
    actor: String,
    /// A code with more detail, where there is one.
    #[schema(required)]
    code: Option<String>,
}

impl From<EventRow> for EventBody {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id,
            at: row.at.and_utc(),
            kind: row.kind,
            status: row.status,
            actor: row.actor,
            code: row.code,
        }
    }
}

/// Read an order's timeline
#[utoipa::path(get, path = "/v1/orders/{id}/events", operation_id = "read_timeline", tag = "Checkout", security(("api_key" = ["orders"])),
    params(("id" = String, Path, description = "The order's id.")),
    responses((status = 200, description = "What happened, oldest first.", body = Timeline), OfOne, ByKey))]
pub(super) async fn events(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Orders, PathId<OrderId>>,
) -> Result<HttpResponse, Problem> {
    let events = app.timeline(Some(&caller), id).await?;
    let data = events.into_iter().map(EventBody::from).collect();
    Ok(HttpResponse::Ok().json(Timeline { data }))
}

/// Confirm a draft
#[utoipa::path(post, path = "/v1/orders/{id}/confirm", operation_id = "confirm_order", tag = "Checkout", security(("api_key" = ["orders"])),
    params(("id" = String, Path, description = "The order's id.")),
    responses(
        (status = 200, description = "Placed.", body = OrderBody),
        (status = 409, description = "`not_a_draft`.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(super) async fn confirm(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Orders, PathId<OrderId>>,
) -> Result<HttpResponse, Problem> {
    let view = confirming::confirm(&app, &caller, id).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Client)))
}

/// Cancel an order
///
/// A booked parcel is cancelled at the courier first; the courier's answer decides.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", operation_id = "cancel_order", tag = "Checkout", security(("api_key" = ["orders"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = ReasonBody,
    responses(
        (status = 200, description = "Cancelled.", body = OrderBody), WithBody,
        (status = 409, description = "`held`, `not_cancellable` or `booking_in_progress`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(super) async fn cancel(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Orders, (PathId<OrderId>, Json<ReasonBody>)>,
) -> Result<HttpResponse, Problem> {
    let reason = body.read()?;
    let app = app.get_ref().clone();
    let view = run_to_completion(async move { calling_off::cancel(&app, &caller, true, id, reason).await }).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Client)))
}

/// Correct the recipient
///
/// A booked parcel is cancelled at the courier first and then booked again.
#[utoipa::path(put, path = "/v1/orders/{id}/recipient", operation_id = "correct_recipient", tag = "Checkout", security(("api_key" = ["orders"])),
    params(("id" = String, Path, description = "The order's id.")), request_body = RecipientBody,
    responses(
        (status = 200, description = "Corrected.", body = OrderBody), WithBody,
        (status = 409, description = "`already_shipped`, `booking_in_progress`, `held` or `not_cancellable`.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "`purged`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(super) async fn correct(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Orders, (PathId<OrderId>, Json<RecipientBody>)>,
) -> Result<HttpResponse, Problem> {
    let recipient = body.read()?;
    let app = app.get_ref().clone();
    let view = run_to_completion(async move { correcting::correct(&app, &caller, true, id, recipient).await }).await?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&view, Audience::Client)))
}
