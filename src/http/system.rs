//! Liveness, readiness and metrics. Public: no ids, no names, no persons.
//!
//! The two probes are not rate-limited: an orchestrator that is answered 429 restarts a healthy process.

use std::time::{Duration, Instant as Stopwatch};

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::app::parcels::circuit_breaker::CourierView;
use crate::app::{App, AppError};
use crate::clock::BusinessTime;
use crate::domain::order::OrderStatus;
use crate::http::docs::documented::WithoutKey;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::Public;
use crate::http::health::{Checks, Health};
use crate::http::metrics::{self, Gauge, Metrics};
use crate::store::stats::Stats;

/// Liveness.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    /// `ok`.
    status: &'static str,
}

/// Readiness.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready` or `unready`.
    status: &'static str,
    checks: Checks,
}

/// Liveness probe
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "System", security(()),
    responses((status = 200, description = "It answers.", body = Alive)))]
pub(super) async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(Alive { status: "ok" })
}

/// Readiness probe
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "System", security(()),
    responses(
        (status = 200, description = "It can.", body = Readiness),
        (status = 503, description = "It cannot; `checks` names the part.", body = Readiness)))]
pub(super) async fn readyz(health: Data<Health>) -> HttpResponse {
    let checks = Checks::clone(&*health.checks().await);
    let (mut answer, status) = if checks.ready() {
        (HttpResponse::Ok(), "ready")
    } else {
        (HttpResponse::ServiceUnavailable(), "unready")
    };
    answer.json(Readiness { status, checks })
}

/// Prometheus metrics
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "System", security(()),
    responses((status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain"), WithoutKey))]
pub(super) async fn scrape(
    _: Public,
    app: Data<App>,
    metrics: Data<Metrics>,
    gauges: Data<Gauges>,
) -> Result<HttpResponse, Problem> {
    gauges.refresh(&app, &metrics).await;
    let text = metrics.render().map_err(Problem::internal)?;
    Ok(HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(text))
}

/// How long looked-up numbers are good enough: counting costs, and several scrapers may ask.
const FRESH: Duration = Duration::from_secs(5);

/// A scrape must not hang on a database that does.
const PATIENCE: Duration = Duration::from_secs(3);

/// When the numbers were looked up.
#[derive(Debug, Default)]
pub struct Gauges(Mutex<Option<Stopwatch>>);

impl Gauges {
    /// Sets every gauge from the database, unless that was done just now. A database that does not answer leaves the
    /// last numbers.
    async fn refresh(&self, app: &App, metrics: &Metrics) {
        let mut last = self.0.lock().await;
        if last.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let look_up = async { Ok::<_, AppError>((app.stats().await?, app.couriers_now().await?)) };
        match tokio::time::timeout(PATIENCE, look_up).await {
            Ok(Ok((stats, couriers))) => {
                set(&stats, app, metrics);
                couriers.iter().for_each(|view| set_courier(view, metrics));
                for (courier, code, count) in app.couriers.unmapped() {
                    metrics.count_courier_code(&courier, &code, count);
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "Gauges could not be read from the database; last values are kept")
            }
            Err(_) => tracing::warn!("Gauges timed out at the database; last values are kept"),
        }
        *last = Some(Stopwatch::now());
    }
}

fn set_courier(view: &CourierView, metrics: &Metrics) {
    let queues = [
        ("ready", view.queue.ready),
        ("waiting", view.queue.waiting),
        ("unknown", view.queue.unknown),
    ];
    metrics.set_courier(view.name, view.breaker.state, &queues, view.error_rate.unwrap_or(0.0));
}

fn set(stats: &Stats, app: &App, metrics: &Metrics) {
    for status in OrderStatus::ALL {
        let count = stats.by_status.iter().find(|(name, _)| name == status.as_str());
        metrics.set_orders(status, count.map_or(0, |(_, count)| *count));
    }
    let waited = |since: BusinessTime| (app.clock.business_now() - since).num_seconds().max(0);
    for (gauge, value) in [
        (Gauge::JobsReady, stats.jobs_ready),
        (Gauge::JobsDead, stats.jobs_dead),
        (Gauge::ShipmentsUnknown, stats.shipments_unknown),
        (Gauge::ShipmentsFailed, stats.shipments_failed),
        (Gauge::OldestUnprinted, stats.oldest_unprinted.map_or(0, waited)),
        (Gauge::PurgesDue, stats.purge_due),
        (Gauge::PurgesOverdue, stats.purge_overdue),
        (Gauge::NearlyStuck, stats.nearly_stuck),
        (Gauge::RequestsOpen, stats.requests.open),
        (Gauge::RequestsDueSoon, stats.requests.due_soon),
        (Gauge::RequestsOverdue, stats.requests.overdue),
        (Gauge::EventsParked, stats.events_parked),
        (Gauge::EndsUnconfirmed, stats.ends_unconfirmed),
    ] {
        metrics.set(gauge, value);
    }
}
