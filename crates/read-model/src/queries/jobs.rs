//! Jobs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, JobId, ProjectId};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::{Order, Page, Slice};

/// A row of `jobs`.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub account_id: i64,
    /// The environment's project.
    pub project_id: i64,
    /// Where it runs.
    pub environment_id: i64,
    /// Airflow's; none: the job of uploads whose DAG is not known.
    pub dag_id: Option<String>,
    /// When its first upload was accepted.
    pub created_at: DateTime<Utc>,
    /// When its latest upload was accepted.
    pub updated_at: DateTime<Utc>,
}

/// Which jobs; all of what is said must be so.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobFilter {
    /// Of this environment.
    pub environment_id: Option<EnvironmentId>,
    /// Of this project.
    pub project_id: Option<ProjectId>,
}

/// By what jobs can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOrder {
    /// Their number.
    Id,
    /// Their DAG's id.
    Name,
    /// When they were made known.
    CreatedAt,
    /// When they were last told of.
    UpdatedAt,
}

/// A page of an account's jobs.
///
/// # Errors
/// Those of the database.
pub async fn jobs(
    connection: &mut PgConnection,
    account: AccountId,
    filter: JobFilter,
    order: Order<JobOrder>,
    slice: Slice,
) -> sqlx::Result<Page<Job>> {
    let column = match order.field {
        JobOrder::Id => "id",
        JobOrder::Name => "dag_id",
        JobOrder::CreatedAt => "created_at",
        JobOrder::UpdatedAt => "updated_at",
    };
    let mut page = QueryBuilder::new(
        "SELECT id, account_id, project_id, environment_id, dag_id, created_at, updated_at FROM jobs",
    );
    filter.push(&mut page, account);
    order.push(&mut page, column);
    slice.push(&mut page);
    let mut count = QueryBuilder::new("SELECT count(*) FROM jobs");
    filter.push(&mut count, account);
    slice.fetch(connection, page, count).await
}

impl JobFilter {
    fn push(&self, query: &mut QueryBuilder<Postgres>, account: AccountId) {
        query.push(" WHERE account_id = ").push_bind(account.0);
        if let Some(EnvironmentId(id)) = self.environment_id {
            query.push(" AND environment_id = ").push_bind(id);
        }
        if let Some(ProjectId(id)) = self.project_id {
            query.push(" AND project_id = ").push_bind(id);
        }
    }
}

/// A job of an account by its number.
///
/// # Errors
/// Those of the database.
pub async fn job(connection: &mut PgConnection, account: AccountId, id: JobId) -> sqlx::Result<Option<Job>> {
    Ok(jobs_by_id(connection, account, &[id.0]).await?.pop())
}

/// Those jobs of an account that have these numbers.
///
/// # Errors
/// Those of the database.
pub async fn jobs_by_id(connection: &mut PgConnection, account: AccountId, ids: &[i64]) -> sqlx::Result<Vec<Job>> {
    sqlx::query_as!(
        Job,
        "SELECT id, account_id, project_id, environment_id, dag_id, created_at, updated_at FROM jobs
         WHERE account_id = $1 AND id = ANY($2) ORDER BY id",
        account.0,
        ids
    )
    .fetch_all(connection)
    .await
}
