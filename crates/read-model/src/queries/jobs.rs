//! Jobs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, JobId};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::{Order, Page, Paging};

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
    /// When Airflow starts it by itself; none: it does not, or at times that cron cannot write.
    pub cron: Option<String>,
}

/// Which jobs; all of what is said must be so.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this environment.
    pub environment_id: Option<EnvironmentId>,
    /// Of one of these projects.
    pub project_ids: Option<Vec<i64>>,
    /// With one of these numbers.
    pub ids: Option<Vec<i64>>,
    /// Whose DAG's id contains this, in letters of any case.
    pub name_contains: Option<String>,
    /// Whether Airflow starts it by a schedule that cron can write.
    pub has_schedule: Option<bool>,
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
    filter: &JobFilter,
    order: Order<JobOrder>,
    paging: Paging,
) -> sqlx::Result<Page<Job>> {
    let column = match order.field {
        JobOrder::Id => ("id", false),
        JobOrder::Name => ("dag_id", true),
        JobOrder::CreatedAt => ("created_at", false),
        JobOrder::UpdatedAt => ("updated_at", false),
    };
    let mut page = QueryBuilder::new(
        "SELECT id, account_id, project_id, environment_id, dag_id, created_at, updated_at, cron FROM jobs",
    );
    filter.push(&mut page, account);
    order.push(&mut page, column);
    paging.push(&mut page);
    let mut count = QueryBuilder::new("SELECT count(*) FROM jobs");
    filter.push(&mut count, account);
    paging.fetch(connection, page, count).await
}

impl JobFilter {
    fn push(&self, query: &mut QueryBuilder<Postgres>, account: AccountId) {
        query.push(" WHERE account_id = ").push_bind(account.0);
        if let Some(EnvironmentId(id)) = self.environment_id {
            query.push(" AND environment_id = ").push_bind(id);
        }
        for (column, numbers) in [("project_id", &self.project_ids), ("id", &self.ids)] {
            if let Some(numbers) = numbers {
                query
                    .push(format_args!(" AND {column} = ANY("))
                    .push_bind(numbers.clone());
                query.push(")");
            }
        }
        if let Some(due) = self.has_schedule {
            query.push(if due {
                " AND cron IS NOT NULL"
            } else {
                " AND cron IS NULL"
            });
        }
        if let Some(text) = &self.name_contains {
            query.push(" AND position(lower(").push_bind(text.clone());
            query.push(") IN lower(dag_id)) > 0");
        }
    }
}

/// What the runs of a job tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// The job.
    pub job_id: i64,
    /// Its run that goes on, with the highest number; else the one that ended last.
    pub newest_run: Option<i64>,
    /// Of its ended runs the one that ended last; all else here is of it.
    pub last_run: Option<i64>,
    /// Of the dbt that ran.
    pub dbt_version: Option<String>,
    /// The kinds of the run's files.
    pub kinds: Vec<String>,
    /// The dbt commands of the run's steps, in their order.
    pub commands: Vec<String>,
}

/// What the runs of these jobs tell of them, in one query.
///
/// # Errors
/// Those of the database.
pub async fn job_facts(connection: &mut PgConnection, account: AccountId, jobs: &[i64]) -> sqlx::Result<Vec<JobFacts>> {
    sqlx::query_as!(
        JobFacts,
        r#"SELECT j.id AS "job_id!",
            coalesce(
                (SELECT id FROM runs WHERE account_id = $1 AND job_id = j.id AND finished_at IS NULL ORDER BY id DESC LIMIT 1),
                r.id) AS newest_run,
            r.id AS "last_run?", r.dbt_version AS "dbt_version?", coalesce(r.kinds, '{}') AS "kinds!",
            ARRAY(SELECT s.command FROM run_steps s WHERE s.account_id = $1 AND s.run_id = r.id AND s.command IS NOT NULL
                ORDER BY s.started_at, s.id) AS "commands!"
         FROM unnest($2::bigint[]) AS j (id)
         LEFT JOIN LATERAL (
            SELECT id, dbt_version, kinds FROM runs WHERE account_id = $1 AND job_id = j.id AND finished_at IS NOT NULL
            ORDER BY finished_at DESC NULLS LAST, id DESC LIMIT 1
         ) r ON true"#,
        account.0,
        jobs
    )
    .fetch_all(connection)
    .await
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
        "SELECT id, account_id, project_id, environment_id, dag_id, created_at, updated_at, cron FROM jobs
         WHERE account_id = $1 AND id = ANY($2) ORDER BY id",
        account.0,
        ids
    )
    .fetch_all(connection)
    .await
}
