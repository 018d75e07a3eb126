//! How things stand, in numbers, for operators.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::domain::circuit_breaker::State;
use crate::domain::order::OrderStatus;
use crate::http::docs::documented::ByKey;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Ops};
use crate::store::stats::Stats;

/// Operational statistics.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub struct StatsBody {
    /// Orders by status; every status is there.
    by_status: BTreeMap<String, i64>,
    /// When the oldest order that waits for the floor was placed.
    #[schema(required)]
    oldest_unprinted: Option<DateTime<Utc>>,
    shipments_unknown: i64,
    shipments_failed: i64,
    jobs_ready: i64,
    jobs_leased: i64,
    jobs_dead: i64,
    /// Authentic courier events that match no booking yet.
    events_parked: i64,
    purge_due: i64,
    purge_held: i64,
    /// Due for more than a day: the sweep does not keep up, or does not run.
    purge_overdue: i64,
    purge_done: i64,
    /// Orders without progress that will soon be ended automatically.
    nearly_stuck: i64,
    /// Final statuses that only an unsigned webhook reported and that the courier did not confirm within 7 days;
    /// `trouble=end_unconfirmed` lists the orders.
    ends_unconfirmed: i64,
    /// Couriers whose queue is paused.
    couriers_paused: i64,
    /// Couriers that reject our credentials.
    couriers_unauthorized: i64,
    /// Requests of data subjects that are not answered yet.
    subject_requests_open: i64,
    /// Of those, the ones due within two working days.
    subject_requests_due_soon: i64,
    /// Of those, the ones that are late.
    subject_requests_overdue: i64,
}

impl From<Stats> for StatsBody {
    fn from(stats: Stats) -> Self {
        let mut by_status: BTreeMap<String, i64> = OrderStatus::ALL
            .into_iter()
            .map(|status| (status.as_str().to_owned(), 0))
            .collect();
        by_status.extend(stats.by_status);
        let troubled = |wanted: State| {
            let count = stats
                .couriers_in_trouble
                .iter()
                .filter(|(_, state)| *state == wanted)
                .count();
            i64::try_from(count).unwrap_or(i64::MAX)
        };
        Self {
            by_status,
            oldest_unprinted: stats.oldest_unprinted.map(Into::into),
            shipments_unknown: stats.shipments_unknown,
            shipments_failed: stats.shipments_failed,
            jobs_ready: stats.jobs_ready,
            jobs_leased: stats.jobs_leased,
            jobs_dead: stats.jobs_dead,
            events_parked: stats.events_parked,
            purge_due: stats.purge_due,
            purge_held: stats.purge_held,
            purge_overdue: stats.purge_overdue,
            purge_done: stats.purge_done,
            nearly_stuck: stats.nearly_stuck,
            ends_unconfirmed: stats.ends_unconfirmed,
            couriers_paused: troubled(State::Open),
            couriers_unauthorized: troubled(State::Unauthorized),
            subject_requests_open: stats.requests.open,
            subject_requests_due_soon: stats.requests.due_soon,
            subject_requests_overdue: stats.requests.overdue,
        }
    }
}

/// Operational statistics
#[utoipa::path(get, path = "/admin/v1/stats", operation_id = "read_stats", tag = "Operators", security(("api_key" = ["ops"])),
    responses((status = 200, description = "The counts, now.", body = StatsBody), ByKey))]
pub(in crate::http) async fn read(app: Data<App>, _: Keyed<Ops>) -> Result<HttpResponse, Problem> {
    let stats = app.stats().await?;
    Ok(HttpResponse::Ok().json(StatsBody::from(stats)))
}
