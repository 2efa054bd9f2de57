//! Queries for runs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, ArtifactKind, EnvironmentId, JobId, RunId};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::page::{Order, Page, Paging};
use crate::ids::RunKey;

/// A row of `runs`.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Run {
    /// The run's number.
    pub id: i64,
    /// The account of the run.
    pub account_id: i64,
    /// The project of the environment.
    pub project_id: i64,
    /// The environment of the run.
    pub environment_id: i64,
    /// The job of the run.
    pub job_id: i64,
    /// Airflow's id of the DAG run, if it is known.
    pub airflow_run_id: Option<String>,
    /// dbt Cloud's number for the status: 1, 2, 3, 10, 20 or 30.
    pub status: i16,
    /// The version of dbt in its last step that names one.
    pub dbt_version: Option<String>,
    /// When the first upload was accepted.
    pub created_at: DateTime<Utc>,
    /// When the latest upload was accepted.
    pub updated_at: DateTime<Utc>,
    /// When the first step started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last step ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The distinct kinds of the run's files.
    pub kinds: Vec<String>,
}

/// Selects runs. A run must meet all criteria that are given.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only runs of this job.
    pub job_id: Option<JobId>,
    /// Only runs in this environment.
    pub environment_id: Option<EnvironmentId>,
    /// Only runs in these projects.
    pub project_ids: Option<Vec<i64>>,
    /// Only runs with these statuses.
    pub statuses: Option<Vec<i64>>,
    /// Only runs with these numbers.
    pub ids: Option<Vec<i64>>,
    /// Only runs with a higher number than this.
    pub id_above: Option<RunId>,
    /// Only runs with these versions of dbt.
    pub dbt_versions: Option<Vec<String>>,
    /// Only runs that became known in this period.
    pub created: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Only runs that were last updated in this period.
    pub updated: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Only runs that ended in this period.
    pub finished: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Whether the run must have a file of this kind or must not have one.
    pub kinds: Vec<(ArtifactKind, bool)>,
}

/// The field by which runs are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOrder {
    /// The run's number.
    Id,
    /// When the run became known.
    CreatedAt,
    /// When the run was last updated.
    UpdatedAt,
    /// When the run ended.
    FinishedAt,
}

/// Returns a page of an account's runs.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn runs(
    connection: &mut PgConnection,
    account: AccountId,
    filter: &RunFilter,
    order: Order<RunOrder>,
    paging: Paging,
) -> sqlx::Result<Page<Run>> {
    let column = match order.field {
        RunOrder::Id => ("id", false),
        RunOrder::CreatedAt => ("created_at", false),
        RunOrder::UpdatedAt => ("updated_at", false),
        RunOrder::FinishedAt => ("finished_at", true),
    };
    let list = |query: &mut QueryBuilder<Postgres>| {
        query.push(
            "SELECT id, account_id, project_id, environment_id, job_id, airflow_run_id, status, dbt_version, created_at, updated_at,
            started_at, finished_at, kinds FROM runs",
        );
        filter.push(query, account);
        order.push(query, column);
    };
    let count = |query: &mut QueryBuilder<Postgres>| filter.push_count(query, account);
    paging.fetch(connection, list, count).await
}

impl RunFilter {
    fn push(&self, query: &mut QueryBuilder<Postgres>, account: AccountId) {
        self.push_counted(query, account);
        if let Some(ids) = &self.ids {
            query.push(" AND id = ANY(").push_bind(ids.clone()).push(")");
        }
        if let Some(RunId(id)) = self.id_above {
            query.push(" AND id > ").push_bind(id);
        }
        if let Some(versions) = &self.dbt_versions {
            query
                .push(" AND dbt_version = ANY(")
                .push_bind(versions.clone())
                .push(")");
        }
        let periods = [
            ("created_at", self.created),
            ("updated_at", self.updated),
            ("finished_at", self.finished),
        ];
        for (column, times) in periods {
            if let Some((from, to)) = times {
                query.push(format_args!(" AND {column} BETWEEN ")).push_bind(from);
                query.push(" AND ").push_bind(to);
            }
        }
        for (kind, is_present) in &self.kinds {
            query.push(" AND (").push_bind(kind.as_str());
            query.push(" = ANY(kinds)) = ").push_bind(*is_present);
        }
    }

    /// Adds the conditions by which the stored counts are grouped.
    fn push_counted(&self, query: &mut QueryBuilder<Postgres>, account: AccountId) {
        query.push(" WHERE account_id = ").push_bind(account.0);
        if let Some(JobId(id)) = self.job_id {
            query.push(" AND job_id = ").push_bind(id);
        }
        if let Some(EnvironmentId(id)) = self.environment_id {
            query.push(" AND environment_id = ").push_bind(id);
        }
        for (column, numbers) in [("project_id", &self.project_ids), ("status", &self.statuses)] {
            match numbers.as_deref() {
                None => {}
                // The planner knows the order of rows with one value, but not with a list of values.
                Some([one]) => {
                    query.push(format_args!(" AND {column} = ")).push_bind(*one);
                }
                Some(several) => {
                    query
                        .push(format_args!(" AND {column} = ANY("))
                        .push_bind(several.to_vec());
                    query.push(")");
                }
            }
        }
    }

    /// Adds the query that counts the runs, from the stored counts if they are sufficient.
    fn push_count(&self, query: &mut QueryBuilder<Postgres>, account: AccountId) {
        let is_counted = self.ids.is_none()
            && self.id_above.is_none()
            && self.dbt_versions.is_none()
            && self.created.is_none()
            && self.updated.is_none()
            && self.finished.is_none()
            && self.kinds.is_empty();
        if is_counted {
            query.push("SELECT coalesce(sum(runs), 0)::bigint FROM run_counts");
            self.push_counted(query, account);
        } else {
            query.push("SELECT count(*) FROM runs");
            self.push(query, account);
        }
    }
}

/// Returns the runs of an account with these numbers.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn runs_by_id(connection: &mut PgConnection, account: AccountId, ids: &[i64]) -> sqlx::Result<Vec<Run>> {
    sqlx::query_as!(
        Run,
        "SELECT id, account_id, project_id, environment_id, job_id, airflow_run_id, status, dbt_version, created_at, updated_at,
            started_at, finished_at, kinds
         FROM runs WHERE account_id = $1 AND id = ANY($2) ORDER BY id",
        account.0,
        ids
    )
    .fetch_all(connection)
    .await
}

/// Returns a run of an account by its number. If a run later turned out to be part of another run, its number leads to that run.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn run(connection: &mut PgConnection, account: AccountId, id: RunId) -> sqlx::Result<Option<Run>> {
    if let Some(run) = run_by_id(connection, account, id.0).await? {
        return Ok(Some(run));
    }
    match present_id(connection, account, id).await? {
        Some(present) => run_by_id(connection, account, present).await,
        None => Ok(None),
    }
}

/// Does not use a list of one id: PostgreSQL would not know that the list is short, and would plan the query every time.
async fn run_by_id(connection: &mut PgConnection, account: AccountId, id: i64) -> sqlx::Result<Option<Run>> {
    sqlx::query_as!(
        Run,
        "SELECT id, account_id, project_id, environment_id, job_id, airflow_run_id, status, dbt_version, created_at, updated_at,
            started_at, finished_at, kinds
         FROM runs WHERE account_id = $1 AND id = $2",
        account.0,
        id
    )
    .fetch_optional(connection)
    .await
}

/// Returns the run that now has the files of this one. All files with the same key belong to one run.
async fn present_id(connection: &mut PgConnection, account: AccountId, id: RunId) -> sqlx::Result<Option<i64>> {
    let replaced = sqlx::query!(
        "SELECT environment_id, key FROM ids.runs WHERE account_id = $1 AND id = $2",
        account.0,
        id.0
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(replaced) = replaced else { return Ok(None) };
    let Ok(key) = serde_json::from_str::<RunKey>(&replaced.key) else {
        return Ok(None);
    };
    sqlx::query_scalar!(
        r#"SELECT run_id AS "run_id!" FROM artifacts
         WHERE account_id = $1 AND environment_id = $2 AND run_id IS NOT NULL AND dag_id IS NOT DISTINCT FROM $3
            AND ((airflow_run_id = $4 AND hashtextextended(airflow_run_id, 0) = hashtextextended($4, 0))
                OR (invocation_id = $5 AND airflow_run_id IS NULL)
                OR event_id = $6)
         LIMIT 1"#,
        account.0,
        replaced.environment_id,
        key.dag_id,
        key.run_id,
        key.invocation_id,
        key.event_id.map(|id| id.0)
    )
    .fetch_optional(connection)
    .await
}
