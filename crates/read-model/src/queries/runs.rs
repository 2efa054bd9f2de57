//! Runs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, JobId, ProjectId, RunId};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::{Order, Page, Slice};

/// A row of `runs`.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub account_id: i64,
    /// The environment's project.
    pub project_id: i64,
    /// Where it ran.
    pub environment_id: i64,
    /// Whose run it is.
    pub job_id: i64,
    /// dbt Cloud's number: 1, 2, 3, 10, 20 or 30.
    pub status: i16,
    /// dbt's.
    pub dbt_version: Option<String>,
    /// When the first upload was accepted.
    pub created_at: DateTime<Utc>,
    /// When the latest upload was accepted.
    pub updated_at: DateTime<Utc>,
    /// When its first step began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last step ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The kinds of its files, each once.
    pub kinds: Vec<String>,
}

/// Which runs; all of what is said must be so.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this job.
    pub job_id: Option<JobId>,
    /// Of this environment.
    pub environment_id: Option<EnvironmentId>,
    /// Of this project.
    pub project_id: Option<ProjectId>,
    /// With this status.
    pub status: Option<i64>,
    /// With one of these.
    pub status_in: Option<Vec<i64>>,
    /// With a higher number than this.
    pub id_above: Option<RunId>,
}

/// By what runs can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOrder {
    /// Their number.
    Id,
    /// When they were made known.
    CreatedAt,
    /// When they ended.
    FinishedAt,
}

/// A page of an account's runs.
///
/// # Errors
/// Those of the database.
pub async fn runs(
    connection: &mut PgConnection,
    account: AccountId,
    filter: &RunFilter,
    order: Order<RunOrder>,
    slice: Slice,
) -> sqlx::Result<Page<Run>> {
    let column = match order.field {
        RunOrder::Id => "id",
        RunOrder::CreatedAt => "created_at",
        RunOrder::FinishedAt => "finished_at",
    };
    let mut page = QueryBuilder::new(
        "SELECT id, account_id, project_id, environment_id, job_id, status, dbt_version, created_at, updated_at, started_at,
            finished_at, kinds FROM runs",
    );
    filter.push(&mut page, account);
    order.push(&mut page, column);
    slice.push(&mut page);
    let mut count = QueryBuilder::new("SELECT count(*) FROM runs");
    filter.push(&mut count, account);
    slice.fetch(connection, page, count).await
}

impl RunFilter {
    fn push(&self, query: &mut QueryBuilder<Postgres>, account: AccountId) {
        query.push(" WHERE account_id = ").push_bind(account.0);
        if let Some(JobId(id)) = self.job_id {
            query.push(" AND job_id = ").push_bind(id);
        }
        if let Some(EnvironmentId(id)) = self.environment_id {
            query.push(" AND environment_id = ").push_bind(id);
        }
        if let Some(ProjectId(id)) = self.project_id {
            query.push(" AND project_id = ").push_bind(id);
        }
        if let Some(status) = self.status {
            query.push(" AND status = ").push_bind(status);
        }
        if let Some(statuses) = &self.status_in {
            query.push(" AND status = ANY(").push_bind(statuses.clone()).push(")");
        }
        if let Some(RunId(id)) = self.id_above {
            query.push(" AND id > ").push_bind(id);
        }
    }
}

/// A run of an account by its number.
///
/// # Errors
/// Those of the database.
pub async fn run(connection: &mut PgConnection, account: AccountId, id: RunId) -> sqlx::Result<Option<Run>> {
    sqlx::query_as!(
        Run,
        "SELECT id, account_id, project_id, environment_id, job_id, status, dbt_version, created_at, updated_at, started_at,
            finished_at, kinds
         FROM runs WHERE account_id = $1 AND id = $2",
        account.0,
        id.0
    )
    .fetch_optional(connection)
    .await
}
