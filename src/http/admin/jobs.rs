//! The job table, for operators: what waits, what is dead, and making a dead one due again.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::domain::ids::JobId;
use crate::http::docs::documented::{ByKey, OfOne, WithQuery};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Ops};
use crate::http::extract::page::{Page, PageRequest};
use crate::http::extract::path::PathId;
use crate::http::extract::query::Query;
use crate::store::jobs::StoredJob;

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// All of them when it is left out.
    #[param(inline)]
    state: Option<State>,
    /// How many rows at most, 1 to 200; 50 when it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobState)]
enum State {
    /// Waits for its time or for a worker.
    Ready,
    /// A worker has it.
    Leased,
    /// Its tries are used up; someone must look.
    Dead,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Dead => "dead",
        }
    }
}

/// One job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobBody {
    id: String,
    /// What it does, such as `ship`.
    kind: &'static str,
    /// The id of what it is about.
    subject: String,
    state: String,
    /// When it is due, business time.
    run_at: DateTime<Utc>,
    failures: u32,
    /// A code, where the last try failed.
    #[schema(required)]
    last_error: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<StoredJob> for JobBody {
    fn from(job: StoredJob) -> Self {
        Self {
            id: job.id.to_string(),
            kind: job.kind.as_str(),
            subject: job.subject,
            state: job.state,
            run_at: job.run_at.into(),
            failures: job.failures,
            last_error: job.last_error,
            created_at: job.created_at.into(),
        }
    }
}

/// List jobs, newest first
#[utoipa::path(get, path = "/admin/v1/jobs", operation_id = "list_jobs", tag = "Operators", security(("api_key" = ["ops"])), params(JobsQuery),
    responses((status = 200, description = "A page.", body = Page<JobBody>), WithQuery, ByKey))]
pub(in crate::http) async fn list(
    app: Data<App>,
    Keyed {
        given: Query(asked), ..
    }: Keyed<Ops, Query<JobsQuery>>,
) -> Result<HttpResponse, Problem> {
    let page = PageRequest::<JobId>::parse(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let state = asked.state.map(|state| state.as_str().to_owned());
    let found = app.jobs(state, page.after, page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.page(found, |job| job.id).map(JobBody::from)))
}

/// Make a dead job due at once
#[utoipa::path(post, path = "/admin/v1/jobs/{id}/requeue", operation_id = "requeue_job", tag = "Operators", security(("api_key" = ["ops"])),
    params(("id" = String, Path, description = "The job's id.")),
    responses((status = 204, description = "Due; its failures are forgotten."), OfOne, ByKey))]
pub(in crate::http) async fn requeue(
    app: Data<App>,
    Keyed { given: PathId(id), .. }: Keyed<Ops, PathId<JobId>>,
) -> Result<HttpResponse, Problem> {
    app.requeue(id).await?;
    Ok(HttpResponse::NoContent().finish())
}
