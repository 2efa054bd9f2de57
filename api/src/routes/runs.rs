//! The routes of runs. A run is one run of a DAG, of which files were uploaded or which Airflow reports.

use axum::extract;
use edge::{CloudError, List, One, Query, TimeRange, one};
use read_model::queries;
use read_model::queries::runs::{RunFilter, RunOrder};
use schemas::{AccountId, ArtifactKind, EnvironmentId, JobId, RunId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{environments, jobs, steps};
use crate::error::Error;
use crate::listing::{Choice, Listing, Many, Related, StateFilter, any_of, applied, many};
use crate::logs;
use crate::resources::environment::Environment;
use crate::resources::job::JobOfRun;
use crate::resources::run::{Run, Trigger, UnknownOfRun};
use crate::resources::step::Step;
use crate::state::State;
use crate::view::{Ids, View};

/// A run with related things.
#[derive(Serialize, ToSchema)]
#[schema(as = RunWithRelated)]
pub(crate) struct Answer {
    #[serde(flatten)]
    run: Run,
    /// With `include_related=trigger`.
    trigger: Option<Trigger>,
    /// With `include_related=job`.
    job: Option<JobOfRun>,
    /// With `include_related=environment`.
    environment: Option<Environment>,
    /// With `include_related=run_steps`; for a single run also with `debug_logs`.
    run_steps: Vec<Step>,
    #[serde(flatten)]
    unknown: UnknownOfRun,
}

/// Which runs; all filters must hold.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
pub(crate) struct RunFilters {
    /// Only runs of this job.
    job_definition_id: Option<i64>,
    /// Only runs of this environment.
    environment_id: Option<i64>,
    /// Only runs of this project.
    project_id: Option<i64>,
    /// Only runs of one of these projects.
    #[param(value_type = Option<Vec<i64>>, style = Form, explode = false)]
    project_id__in: Option<List<i64>>,
    /// Only runs with this status: 1 queued, 2 starting, 3 running, 10 success, 20 error, 30 cancelled.
    status: Option<i64>,
    /// Only runs with one of these statuses: 1 queued, 2 starting, 3 running, 10 success, 20 error, 30 cancelled.
    #[param(value_type = Option<Vec<i64>>, style = Form, explode = false)]
    status__in: Option<List<i64>>,
    /// Only runs that were first reported from one moment to another, both included.
    #[param(value_type = Option<Vec<chrono::DateTime<chrono::Utc>>>, style = Form, explode = false)]
    created_at__range: Option<TimeRange>,
    /// Only runs that were last updated from one moment to another, both included.
    #[param(value_type = Option<Vec<chrono::DateTime<chrono::Utc>>>, style = Form, explode = false)]
    updated_at__range: Option<TimeRange>,
    /// Only runs that ended from one moment to another, both included.
    #[param(value_type = Option<Vec<chrono::DateTime<chrono::Utc>>>, style = Form, explode = false)]
    finished_at__range: Option<TimeRange>,
    /// Only runs with one of these versions of dbt.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    dbt_version: Option<List<String>>,
    /// The same as `dbt_version`.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    dbt_version__in: Option<List<String>>,
    /// `true`: only runs with a catalog; `false`: only the others.
    has_docs_generated: Option<bool>,
    /// `true`: only runs with the freshness of sources; `false`: only the others.
    has_sources_generated: Option<bool>,
    /// Only runs that defer to this run: none are known.
    deferring_run_id: Option<i64>,
    /// Only the run with this id.
    pk: Option<i64>,
    /// Only runs with one of these ids.
    #[param(value_type = Option<Vec<i64>>, style = Form, explode = false)]
    pk__in: Option<List<i64>>,
    /// Only runs with a higher id.
    id__gt: Option<i64>,
    /// 1 or `all` for all runs; 2 for deleted ones, which do not exist here.
    #[param(value_type = Option<String>)]
    state: Option<StateFilter>,
}

impl RunFilters {
    fn filter(&self) -> RunFilter {
        let wants_none = self.state.is_some_and(|state| !state.includes(1)) || self.deferring_run_id.is_some();
        let ids = any_of(self.pk.as_ref(), self.pk__in.as_ref());
        let kinds = [
            (ArtifactKind::Catalog, self.has_docs_generated),
            (ArtifactKind::Sources, self.has_sources_generated),
        ];
        let versions = self.dbt_version__in.as_ref().or(self.dbt_version.as_ref());
        RunFilter {
            job_id: self.job_definition_id.map(JobId),
            environment_id: self.environment_id.map(EnvironmentId),
            project_ids: any_of(self.project_id.as_ref(), self.project_id__in.as_ref()),
            statuses: any_of(self.status.as_ref(), self.status__in.as_ref()),
            ids: if wants_none { Some(Vec::new()) } else { ids },
            id_above: self.id__gt.map(RunId),
            dbt_versions: versions.map(|versions| versions.0.clone()),
            created: self.created_at__range.map(|range| (range.from, range.to)),
            updated: self.updated_at__range.map(|range| (range.from, range.to)),
            finished: self.finished_at__range.map(|range| (range.from, range.to)),
            kinds: kinds.into_iter().filter_map(|(kind, has)| Some((kind, has?))).collect(),
        }
    }
}

impl Choice for RunOrder {
    const ALL: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("created_at", Self::CreatedAt),
        ("updated_at", Self::UpdatedAt),
        ("finished_at", Self::FinishedAt),
    ];
}

/// What can be included with a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelatedToRun {
    Trigger,
    Job,
    Environment,
    RunSteps,
    DebugLogs,
}

impl Choice for RelatedToRun {
    const ALL: &'static [(&'static str, Self)] = &[
        ("trigger", Self::Trigger),
        ("job", Self::Job),
        ("environment", Self::Environment),
        ("run_steps", Self::RunSteps),
        ("debug_logs", Self::DebugLogs),
    ];
}

/// List runs
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs", tag = "Runs", operation_id = "list_runs",
    params(("account_id" = i64, Path), RunFilters, Related<RelatedToRun>, Listing<RunOrder>),
    responses((status = 200, description = "A page of runs", body = Many<Answer>))
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    mut view: View,
    Query(filters): Query<RunFilters>,
    related: Related<RelatedToRun>,
    listing: Listing<RunOrder>,
) -> Result<Many<Answer>, Error> {
    let account = view.account();
    let Listing { order, paging } = listing;
    let page = queries::runs::runs(view.connection(), account, &filters.filter(), order, paging).await?;
    let with_steps = related.has(RelatedToRun::RunSteps);
    let runs = answers(&state, &mut view, &related, with_steps, page.rows).await?;
    Ok(many(runs, page.total, listing, applied(account, &filters)))
}

/// Retrieve a run
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{id}", tag = "Runs", operation_id = "retrieve_run",
    params(("account_id" = i64, Path), ("id" = i64, Path), Related<RelatedToRun>),
    responses((status = 200, description = "The run", body = One<Answer>))
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, id)): Ids<(AccountId, RunId)>,
    related: Related<RelatedToRun>,
) -> Result<One<Answer>, Error> {
    let row = queries::runs::run(view.connection(), account, id).await?;
    let is_whole = related.has(RelatedToRun::DebugLogs);
    let with_steps = is_whole || related.has(RelatedToRun::RunSteps);
    let mut runs = answers(&state, &mut view, &related, with_steps, row.into_iter().collect()).await?;
    let mut answer = runs.pop().ok_or_else(CloudError::not_found)?;
    if with_steps {
        let found = queries::logs::step_logs(view.connection(), account, RunId(answer.run.id), None).await?;
        // The bucket must not hold a connection of the database.
        drop(view);
        logs::add(&state, account, &mut answer.run_steps, &found, is_whole).await;
    }
    Ok(one(answer))
}

/// Adds related things to these runs, each kind fetched for all of them at once. The steps have no logs.
async fn answers(
    state: &State,
    view: &mut View,
    related: &Related<RelatedToRun>,
    with_steps: bool,
    rows: Vec<queries::runs::Run>,
) -> Result<Vec<Answer>, Error> {
    let now = state.clock.now();
    let answer = |row: queries::runs::Run| Answer {
        trigger: related.has(RelatedToRun::Trigger).then(|| Trigger::new(&row)),
        run: Run::new(row, now, &state.public_url),
        job: None,
        environment: None,
        run_steps: Vec::new(),
        unknown: UnknownOfRun::default(),
    };
    let mut runs: Vec<Answer> = rows.into_iter().map(answer).collect();
    if related.has(RelatedToRun::Job) {
        let ids: Vec<i64> = runs.iter().map(|answer| answer.run.job_id).collect();
        let jobs = jobs::by_id(view, &ids).await?;
        for answer in &mut runs {
            answer.job = jobs.get(&answer.run.job_id).cloned().map(JobOfRun::new);
        }
    }
    if related.has(RelatedToRun::Environment) {
        let ids: Vec<i64> = runs.iter().map(|answer| answer.run.environment_id).collect();
        let environments = environments::by_id(view, &ids).await?;
        for answer in &mut runs {
            answer.environment = environments.get(&answer.run.environment_id).cloned();
        }
    }
    if with_steps {
        let ids: Vec<i64> = runs.iter().map(|answer| answer.run.id).collect();
        let mut steps = steps::by_run(view, &ids).await?;
        for answer in &mut runs {
            answer.run_steps = steps.remove(&answer.run.id).unwrap_or_default();
        }
    }
    Ok(runs)
}
