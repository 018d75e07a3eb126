//! How each courier stands, for operators: whether its queue runs, what waits for it, and trying a paused one now.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::app::parcels::circuit_breaker::CourierView;
use crate::domain::circuit_breaker::State;
use crate::http::docs::documented::{ByKey, OfOne};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Ops};
use crate::http::extract::path::segment;

/// Every configured courier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Couriers)]
pub struct CouriersBody {
    data: Vec<CourierBody>,
}

/// A configured courier. Times are real time, whatever the clock's speed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Courier)]
pub struct CourierBody {
    #[schema(example = "simulated")]
    name: &'static str,
    /// `ok`; `paused`: its bookings failed in a row; `unauthorized`: it rejects our credentials, which must be fixed.
    state: &'static str,
    /// The country in which it handles the recipients' data.
    #[schema(example = "CN")]
    region: String,
    /// Since when it is in this state; `null` where it was never called.
    #[schema(required)]
    since: Option<DateTime<Utc>>,
    #[schema(required)]
    last_success_at: Option<DateTime<Utc>>,
    #[schema(required)]
    last_failure_at: Option<DateTime<Utc>>,
    /// The code of the last failure.
    #[schema(required)]
    last_error: Option<String>,
    /// How many of the calls of the last five to ten minutes failed, 0 to 1; `null` where there were none.
    #[schema(required)]
    error_rate: Option<f64>,
    queue: QueueBody,
    /// When one call is tried, while it is not `ok`.
    #[schema(required)]
    next_probe_at: Option<DateTime<Utc>>,
}

/// The courier's queue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CourierQueue)]
struct QueueBody {
    /// Parcels to be booked, due now.
    ready: i64,
    /// Parcels to be booked, due later: retried, or held back by the pause.
    waiting: i64,
    /// Bookings under way, or whose outcome nobody knows yet.
    unknown: i64,
}

impl From<CourierView> for CourierBody {
    fn from(view: CourierView) -> Self {
        let breaker = view.breaker;
        let called = breaker.last_success_at.is_some() || breaker.last_failure_at.is_some();
        Self {
            name: view.name,
            state: breaker.state.as_str(),
            region: view.region,
            since: called.then_some(breaker.since.into()),
            last_success_at: breaker.last_success_at.map(Into::into),
            last_failure_at: breaker.last_failure_at.map(Into::into),
            last_error: breaker.last_error,
            error_rate: view.error_rate,
            queue: QueueBody {
                ready: view.queue.ready,
                waiting: view.queue.waiting,
                unknown: view.queue.unknown,
            },
            next_probe_at: breaker
                .paused_until
                .filter(|_| breaker.state != State::Closed)
                .map(Into::into),
        }
    }
}

/// List couriers with their state
#[utoipa::path(get, path = "/admin/v1/couriers", operation_id = "list_couriers", tag = "Operators", security(("api_key" = ["ops"])),
    responses((status = 200, description = "Every configured courier.", body = CouriersBody), ByKey))]
pub(in crate::http) async fn list(app: Data<App>, _: Keyed<Ops>) -> Result<HttpResponse, Problem> {
    let data = app.couriers_now().await?.into_iter().map(CourierBody::from).collect();
    Ok(HttpResponse::Ok().json(CouriersBody { data }))
}

/// Try a paused courier now
///
/// The next call is a probe; where it succeeds, everything that waits goes on. One that is not paused stays as it is.
#[utoipa::path(post, path = "/admin/v1/couriers/{name}/resume", operation_id = "resume_courier", tag = "Operators", security(("api_key" = ["ops"])),
    params(("name" = String, Path, description = "The courier's name.")),
    responses((status = 200, description = "Tried as soon as something waits for it.", body = CourierBody), OfOne, ByKey))]
pub(in crate::http) async fn resume(
    app: Data<App>,
    request: HttpRequest,
    _: Keyed<Ops>,
) -> Result<HttpResponse, Problem> {
    let name: String = segment(&request, "name")?;
    let view = app.resume_courier(&name).await?;
    Ok(HttpResponse::Ok().json(CourierBody::from(view)))
}
