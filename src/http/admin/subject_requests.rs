//! What data subjects ask for: taken in, listed with the days that are left, answered or refused. A phone is looked for and
//! not kept; what is written about a request is shown to those who answer it, one request at a time.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::Data;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::app::subject_requests::close;
use crate::app::subject_requests::register::{self, NewRequest, OrderStands, RequestView, Whose};
use crate::clock::BusinessTime;
use crate::domain::contact::{Country, Phone};
use crate::domain::ids::{OrderId, RequestId};
use crate::domain::invalid::{FieldErrors, Invalid, bounded_text, moment};
use crate::domain::subject_request::{RequestKind, RequestState, Role, parse_received};
use crate::http::docs::documented::{ByKey, OfOne, ProblemSchema, WithBody, WithQuery};
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Privacy};
use crate::http::extract::filters::one_of;
use crate::http::extract::json::Json;
use crate::http::extract::page::{Page, PageRequest};
use crate::http::extract::path::PathId;
use crate::http::extract::query::Query;
use crate::http::reason::ReasonBody;
use crate::http::run_to_completion::run_to_completion;
use crate::privacy::Pii;

/// The most orders that one request may name.
const MAX_ORDERS: usize = 200;

/// A request of a data subject.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSubjectRequest)]
pub struct NewRequestBody {
    /// `access`, `copy`, `correct`, `delete` or `withdraw_consent`.
    #[schema(example = "delete")]
    kind: String,
    /// The person's phone, however it is written; every order with it is found, of all clients. It is not kept. Either this
    /// or `order_ids`.
    #[schema(value_type = Option<String>, example = "138 0013 8000")]
    phone: Option<Pii<String>>,
    /// The orders that it is about, at most 200.
    order_ids: Option<Vec<String>>,
    requester: NewRequesterBody,
    /// RFC 3339; not in the future, and within the last year. Now, when it is left out.
    #[schema(format = DateTime)]
    received_at: Option<String>,
}

/// Who makes the request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRequester)]
struct NewRequesterBody {
    /// `self`, `guardian` or `kin`.
    #[schema(example = "self")]
    role: String,
    /// How that was verified, such as a ticket's number. Kept sealed.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    verified_by: Pii<String>,
}

impl NewRequestBody {
    fn read(self, now: BusinessTime) -> Result<NewRequest, Problem> {
        let mut errors = FieldErrors::new();
        let spellings = |all: &[&'static str]| one_of(all);
        let kind = RequestKind::parse(&self.kind)
            .ok_or_else(|| spellings(&RequestKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()));
        let kind = errors.take("/kind", kind);
        let whose = whose(self.phone, self.order_ids, &mut errors);
        let role = Role::parse(&self.requester.role)
            .ok_or_else(|| spellings(&Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>()));
        let role = errors.take("/requester/role", role);
        let verified_by = bounded_text(self.requester.verified_by.expose(), 1, 200);
        let verified_by = errors.take("/requester/verified_by", verified_by);
        let received_at = self.received_at.as_deref().map_or(Ok(now), moment);
        let received_at = received_at.and_then(|at| parse_received(at, now));
        let received_at = errors.take("/received_at", received_at);
        match (kind, whose, role, verified_by, received_at) {
            (Some(kind), Some(whose), Some(role), Some(verified_by), Some(received_at)) => Ok(NewRequest {
                kind,
                role,
                verified_by: Pii::new(verified_by),
                received_at,
                whose,
            }),
            _ => Err(app_error::invalid(errors.into_vec())),
        }
    }
}

fn whose(phone: Option<Pii<String>>, order_ids: Option<Vec<String>>, errors: &mut FieldErrors) -> Option<Whose> {
    match (phone, order_ids) {
        (Some(phone), None) => {
            let phone = errors.take("/phone", Phone::parse(phone.expose(), Country::CN))?;
            Some(Whose::Phone(Pii::new(phone.e164().to_owned())))
        }
        (None, Some(ids)) => {
            if ids.is_empty() || ids.len() > MAX_ORDERS {
                let detail = format!("must name 1 to {MAX_ORDERS} orders");
                errors.push("/order_ids", Invalid::new("out_of_range", detail));
                return None;
            }
            let read = ids.iter().enumerate().map(|(place, id)| {
                let id = id.parse::<OrderId>();
                errors.take(format!("/order_ids/{place}"), id)
            });
            let mut read: Vec<OrderId> = read.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
            read.sort_unstable();
            read.dedup();
            Some(Whose::Orders(read))
        }
        (None, None) => {
            errors.push(
                "/phone",
                Invalid::new("required", "either this or order_ids must be given"),
            );
            None
        }
        (Some(_), Some(_)) => {
            let detail = "must not be given together with phone";
            errors.push("/order_ids", Invalid::new("not_both", detail));
            None
        }
    }
}

/// A request.
// No `Debug`: it holds what was exposed for one answer.
#[derive(Serialize, ToSchema)]
#[schema(as = SubjectRequest)]
pub struct RequestBody {
    id: String,
    /// `access`, `copy`, `correct`, `delete` or `withdraw_consent`.
    kind: &'static str,
    /// `open`, `completed` or `refused`.
    state: &'static str,
    requester: RequesterBody,
    received_at: DateTime<Utc>,
    /// The last day, in China, to answer on: 7 working days after the day of receipt.
    #[schema(value_type = String, format = Date, example = "2026-10-15")]
    due_on: NaiveDate,
    /// Whether the official calendar was known for every day counted; otherwise Monday to Friday were.
    due_official: bool,
    /// Working days until then, below zero once it is late; `null` once answered.
    #[schema(required)]
    days_left: Option<i64>,
    /// The orders that it is about, oldest first.
    order_ids: Vec<String>,
    /// What became of each of them.
    orders: Vec<RequestOrderBody>,
    created_at: DateTime<Utc>,
    #[schema(required)]
    completed_at: Option<DateTime<Utc>>,
    #[schema(required)]
    refused_at: Option<DateTime<Utc>>,
    /// Sealed; gone with the purge of the last order. Not in lists.
    #[schema(required)]
    refusal_reason: Option<String>,
}

/// Who makes the request.
#[derive(Serialize, ToSchema)]
#[schema(as = Requester)]
struct RequesterBody {
    /// `self`, `guardian` or `kin`.
    role: &'static str,
    /// Sealed; gone with the purge of the last order. Not in lists.
    #[schema(required)]
    verified_by: Option<String>,
}

/// An order of a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubjectRequestOrder)]
struct RequestOrderBody {
    order_id: String,
    reference: String,
    /// The order's status.
    status: &'static str,
    /// `unchanged`; `held`: a hold stops what was asked until it ends; `restricted`: on its way, purged at its end;
    /// `pending`: being called off or destroyed, until it is done; `purged`.
    outcome: &'static str,
    /// `request` or `consent_withdrawn`, where nothing but the delivery goes on.
    #[schema(required)]
    restriction: Option<&'static str>,
    #[schema(required)]
    hold_until: Option<DateTime<Utc>>,
    #[schema(required)]
    purge_reason: Option<&'static str>,
    #[schema(required)]
    purged_at: Option<DateTime<Utc>>,
}

impl From<&OrderStands> for RequestOrderBody {
    fn from(order: &OrderStands) -> Self {
        Self {
            order_id: order.id.to_string(),
            reference: order.reference.clone(),
            status: order.status.as_str(),
            outcome: order.outcome.as_str(),
            restriction: order.restriction.map(|restriction| restriction.as_str()),
            hold_until: order.hold_until.map(Into::into),
            purge_reason: order.purge_reason.map(|reason| reason.as_str()),
            purged_at: order.purged_at.map(Into::into),
        }
    }
}

impl From<&RequestView> for RequestBody {
    fn from(view: &RequestView) -> Self {
        let request = &view.request;
        let exposed = |text: Option<&Pii<String>>| text.map(|text| text.expose().clone());
        let text = view.text.as_ref();
        let closed_as = |state| request.closed_at.filter(|_| request.state == state);
        Self {
            id: request.id.to_string(),
            kind: request.kind.as_str(),
            state: request.state.as_str(),
            requester: RequesterBody {
                role: request.role.as_str(),
                verified_by: exposed(text.and_then(|text| text.verified_by.as_ref())),
            },
            received_at: request.received_at.into(),
            due_on: request.due_on,
            due_official: request.due_official,
            days_left: view.days_left,
            order_ids: view.orders.iter().map(|order| order.id.to_string()).collect(),
            orders: view.orders.iter().map(RequestOrderBody::from).collect(),
            created_at: request.created_at.into(),
            completed_at: closed_as(RequestState::Completed).map(Into::into),
            refused_at: closed_as(RequestState::Refused).map(Into::into),
            refusal_reason: exposed(text.and_then(|text| text.refusal.as_ref())),
        }
    }
}

/// Register a data subject's request
///
/// Finds the orders it is about and works out when it is due. Nothing is done to them before it is completed.
#[utoipa::path(post, path = "/admin/v1/subject-requests", operation_id = "create_subject_request", tag = "Privacy", security(("api_key" = ["privacy"])),
    request_body = NewRequestBody,
    responses(
        (status = 201, description = "Taken in.", body = RequestBody,
            headers(("Location" = String, description = "Where the request is found."))),
        WithBody, ByKey))]
pub(in crate::http) async fn create(
    app: Data<App>,
    Keyed {
        caller,
        given: Json(body),
        ..
    }: Keyed<Privacy, Json<NewRequestBody>>,
) -> Result<HttpResponse, Problem> {
    let new = body.read(app.clock.business_now())?;
    let app = app.get_ref().clone();
    let view = run_to_completion(async move { register::receive(&app, &caller, new).await }).await?;
    let shown = RequestBody::from(&view);
    let location = format!("/admin/v1/subject-requests/{}", shown.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(shown))
}

/// Which requests to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RequestsQuery {
    /// `open`, `completed` or `refused`; all of them when it is left out.
    state: Option<String>,
    /// How many rows at most, 1 to 200; 50 when it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List requests, newest first
///
/// With the days that are left, and without what was written about them.
#[utoipa::path(get, path = "/admin/v1/subject-requests", operation_id = "list_subject_requests", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(RequestsQuery),
    responses((status = 200, description = "A page.", body = Page<RequestBody>), WithQuery, ByKey))]
pub(in crate::http) async fn list(
    app: Data<App>,
    Keyed {
        given: Query(asked), ..
    }: Keyed<Privacy, Query<RequestsQuery>>,
) -> Result<HttpResponse, Problem> {
    let page = PageRequest::<RequestId>::parse(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let state = match asked.state.as_deref().map(RequestState::parse) {
        None => None,
        Some(Some(state)) => Some(state),
        Some(None) => {
            return Err(Problem::invalid_query(
                "The query parameter `state` must be one of open, completed, refused.",
            ));
        }
    };
    let found = register::list(&app, state, page.after, page.fetch()).await?;
    let shown = page.page(found, |view| view.request.id);
    Ok(HttpResponse::Ok().json(shown.map(|view| RequestBody::from(&view))))
}

/// Read a request
#[utoipa::path(get, path = "/admin/v1/subject-requests/{id}", operation_id = "read_subject_request", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "The request, with what became of its orders.", body = RequestBody), OfOne, ByKey))]
pub(in crate::http) async fn read(
    app: Data<App>,
    Keyed { given: PathId(id), .. }: Keyed<Privacy, PathId<RequestId>>,
) -> Result<HttpResponse, Problem> {
    let view = register::find(&app, id).await?;
    Ok(HttpResponse::Ok().json(RequestBody::from(&view)))
}

/// Complete a request
///
/// `delete` cancels and purges what is not printed yet, purges what has ended, and restricts what is on its way: it is
/// purged as soon as it ends. `withdraw_consent` also calls off what is printed and not shipped, at its courier too. What a
/// hold stops follows when the hold ends. `access`, `copy` and `correct` are recorded as done: export, or correct the
/// recipient, first. Completing again does nothing and answers the same.
#[utoipa::path(post, path = "/admin/v1/subject-requests/{id}/complete", operation_id = "complete_subject_request", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The request's id.")),
    responses(
        (status = 200, description = "Completed; `orders` says what became of each.", body = RequestBody),
        (status = 409, description = "`already_refused`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn complete(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(id),
        ..
    }: Keyed<Privacy, PathId<RequestId>>,
) -> Result<HttpResponse, Problem> {
    let app = app.get_ref().clone();
    let view = run_to_completion(async move { close::complete(&app, &caller, id).await }).await?;
    Ok(HttpResponse::Ok().json(RequestBody::from(&view)))
}

/// Refuse a request
///
/// The law asks for a reason. Refusing again does nothing and answers the same.
#[utoipa::path(post, path = "/admin/v1/subject-requests/{id}/refuse", operation_id = "refuse_subject_request", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(("id" = String, Path, description = "The request's id.")), request_body = ReasonBody,
    responses(
        (status = 200, description = "Refused.", body = RequestBody), WithBody,
        (status = 409, description = "`already_completed`.", body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, ByKey))]
pub(in crate::http) async fn refuse(
    app: Data<App>,
    Keyed {
        caller,
        given: (PathId(id), Json(body)),
        ..
    }: Keyed<Privacy, (PathId<RequestId>, Json<ReasonBody>)>,
) -> Result<HttpResponse, Problem> {
    let reason = body.read()?;
    let app = app.get_ref().clone();
    let view = run_to_completion(async move { close::refuse(&app, &caller, id, reason).await }).await?;
    Ok(HttpResponse::Ok().json(RequestBody::from(&view)))
}
