//! Jobs: the DAGs of environments.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract;
use edge::{CloudError, List, One, Query, one};
use read_model::queries;
use read_model::queries::jobs::{JobFacts, JobFilter, JobOrder};
use schemas::{AccountId, EnvironmentId, JobId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::environments;
use crate::error::Error;
use crate::listing::{Choice, Listing, Many, Related, StateFilter, any_of, applied, many};
use crate::resources::environment::Environment;
use crate::resources::job::{Job, UnknownOfJob};
use crate::resources::run::{Run, RunOfJob};
use crate::state::State;
use crate::view::{Ids, View};

/// A job with related things.
#[derive(Serialize, ToSchema)]
#[schema(as = JobWithRelated)]
pub(crate) struct Answer {
    #[serde(flatten)]
    job: Job,
    /// With `include_related=environment`.
    environment: Option<Environment>,
    /// With `include_related=most_recent_run`.
    #[schema(value_type = Option<RunOfJob>)]
    most_recent_run: Option<Arc<RunOfJob>>,
    /// With `include_related=most_recent_completed_run`.
    #[schema(value_type = Option<RunOfJob>)]
    most_recent_completed_run: Option<Arc<RunOfJob>>,
    #[serde(flatten)]
    unknown: UnknownOfJob,
}

/// Which jobs; all filters must hold.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
pub(crate) struct JobFilters {
    /// Only jobs of this project.
    project_id: Option<i64>,
    /// Only jobs of one of these projects.
    #[param(value_type = Option<Vec<i64>>, style = Form, explode = false)]
    project_id__in: Option<List<i64>>,
    /// Only jobs of this environment.
    environment_id: Option<i64>,
    /// Only jobs whose name contains this, ignoring case.
    name__icontains: Option<String>,
    /// Only the job with this id.
    pk: Option<i64>,
    /// `true`: only dbt Cloud's own jobs, which do not exist here.
    is_system: Option<bool>,
    /// `true`: only jobs that Airflow starts on a schedule; `false`: only the others.
    triggers_schedule: Option<bool>,
    /// 1 or `all` for all jobs; 2 for deleted ones, which do not exist here.
    #[param(value_type = Option<String>)]
    state: Option<StateFilter>,
}

impl JobFilters {
    fn filter(&self) -> JobFilter {
        let wants_none = self.state.is_some_and(|state| !state.includes(1)) || self.is_system == Some(true);
        JobFilter {
            project_ids: any_of(self.project_id.as_ref(), self.project_id__in.as_ref()),
            environment_id: self.environment_id.map(EnvironmentId),
            ids: if wants_none {
                Some(Vec::new())
            } else {
                self.pk.map(|id| vec![id])
            },
            name_contains: self.name__icontains.clone(),
            has_schedule: self.triggers_schedule,
        }
    }
}

impl Choice for JobOrder {
    const ALL: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("created_at", Self::CreatedAt),
        ("updated_at", Self::UpdatedAt),
    ];
}

/// What can be included with a job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelatedToJob {
    Environment,
    MostRecentRun,
    MostRecentCompletedRun,
}

impl Choice for RelatedToJob {
    const ALL: &'static [(&'static str, Self)] = &[
        ("environment", Self::Environment),
        ("most_recent_run", Self::MostRecentRun),
        ("most_recent_completed_run", Self::MostRecentCompletedRun),
    ];
}

/// The jobs of runs by id, as dbt Cloud writes them there.
pub(super) async fn by_id(view: &mut View, ids: &[i64]) -> Result<HashMap<i64, Job>, Error> {
    let account = view.account();
    let rows = queries::jobs::jobs_by_id(view.connection(), account, ids).await?;
    let mut facts = facts_of(view, &rows).await?;
    let answer = |row: queries::jobs::Job| {
        let id = row.id;
        (id, Job::new(row, facts.remove(&id).unwrap_or_default(), true))
    };
    Ok(rows.into_iter().map(answer).collect())
}

async fn facts_of(view: &mut View, rows: &[queries::jobs::Job]) -> Result<HashMap<i64, JobFacts>, Error> {
    let account = view.account();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let facts = queries::jobs::job_facts(view.connection(), account, &ids).await?;
    Ok(facts.into_iter().map(|facts| (facts.job_id, facts)).collect())
}

/// Adds related things to these jobs, each kind fetched for all of them at once.
async fn answers(
    state: &State,
    view: &mut View,
    related: &Related<RelatedToJob>,
    rows: Vec<queries::jobs::Job>,
    mut facts: HashMap<i64, JobFacts>,
) -> Result<Vec<Answer>, Error> {
    let account = view.account();
    let newest = related.has(RelatedToJob::MostRecentRun);
    let completed = related.has(RelatedToJob::MostRecentCompletedRun);
    let wanted: Vec<i64> = facts
        .values()
        .flat_map(|facts| {
            [
                facts.newest_run.filter(|_| newest),
                facts.last_run.filter(|_| completed),
            ]
        })
        .flatten()
        .collect();
    let mut runs = HashMap::new();
    if !wanted.is_empty() {
        let now = state.clock.now();
        for row in queries::runs::runs_by_id(view.connection(), account, &wanted).await? {
            let run = RunOfJob::new(Run::new(row, now, &state.public_url));
            runs.insert(run.run.id, Arc::new(run));
        }
    }
    let mut environments = HashMap::new();
    if related.has(RelatedToJob::Environment) {
        let ids: Vec<i64> = rows.iter().map(|row| row.environment_id).collect();
        environments = environments::by_id(view, &ids).await?;
    }
    let answer = |row: queries::jobs::Job| {
        let facts = facts.remove(&row.id).unwrap_or_default();
        let run = |id: Option<i64>, wanted: bool| runs.get(&id?).filter(|_| wanted).cloned();
        Answer {
            environment: environments.get(&row.environment_id).cloned(),
            most_recent_run: run(facts.newest_run, newest),
            most_recent_completed_run: run(facts.last_run, completed),
            job: Job::new(row, facts, false),
            unknown: UnknownOfJob::default(),
        }
    };
    Ok(rows.into_iter().map(answer).collect())
}

/// List jobs
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs", tag = "Jobs", operation_id = "list_jobs",
    params(("account_id" = i64, Path), JobFilters, Related<RelatedToJob>, Listing<JobOrder>),
    responses((status = 200, description = "A page of jobs", body = Many<Answer>))
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    mut view: View,
    Query(filters): Query<JobFilters>,
    related: Related<RelatedToJob>,
    listing: Listing<JobOrder>,
) -> Result<Many<Answer>, Error> {
    let account = view.account();
    let Listing { order, paging } = listing;
    let page = queries::jobs::jobs(view.connection(), account, &filters.filter(), order, paging).await?;
    let facts = facts_of(&mut view, &page.rows).await?;
    let jobs = answers(&state, &mut view, &related, page.rows, facts).await?;
    Ok(many(jobs, page.total, listing, applied(account, &filters)))
}

/// Retrieve a job
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs/{id}", tag = "Jobs", operation_id = "retrieve_job",
    params(("account_id" = i64, Path), ("id" = i64, Path), Related<RelatedToJob>),
    responses((status = 200, description = "The job", body = One<Answer>))
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, id)): Ids<(AccountId, JobId)>,
    related: Related<RelatedToJob>,
) -> Result<One<Answer>, Error> {
    let found = queries::jobs::job_with_facts(view.connection(), account, id).await?;
    let (row, facts) = found.ok_or_else(CloudError::not_found)?;
    let facts = HashMap::from([(row.id, facts)]);
    let mut jobs = answers(&state, &mut view, &related, vec![row], facts).await?;
    Ok(one(jobs.pop().ok_or_else(CloudError::not_found)?))
}
