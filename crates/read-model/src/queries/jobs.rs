//! Queries for jobs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, JobId};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::page::{Order, Page, Paging};

/// A row of `jobs`.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Job {
    /// The job's number.
    pub id: i64,
    /// The account of the job.
    pub account_id: i64,
    /// The project of the environment.
    pub project_id: i64,
    /// The environment of the job.
    pub environment_id: i64,
    /// Airflow's id of the DAG, or `None` for the job of uploads whose DAG is not known.
    pub dag_id: Option<String>,
    /// When its first upload was accepted.
    pub created_at: DateTime<Utc>,
    /// When its latest upload was accepted.
    pub updated_at: DateTime<Utc>,
    /// The schedule on which Airflow starts the job, or `None` if there is none or cron syntax cannot express it.
    pub cron: Option<String>,
}

/// Selects jobs. A job must meet all criteria that are given.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only jobs in this environment.
    pub environment_id: Option<EnvironmentId>,
    /// Only jobs in these projects.
    pub project_ids: Option<Vec<i64>>,
    /// Only jobs with these numbers.
    pub ids: Option<Vec<i64>>,
    /// Text in the id of the DAG, compared without regard to case.
    pub name_contains: Option<String>,
    /// Whether Airflow starts the job on a schedule that cron syntax can express.
    pub has_schedule: Option<bool>,
}

/// The field by which jobs are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOrder {
    /// The job's number.
    Id,
    /// The id of the DAG.
    Name,
    /// When the job became known.
    CreatedAt,
    /// When the job was last updated.
    UpdatedAt,
}

/// Returns a page of an account's jobs.
///
/// # Errors
/// Returns an error if the query fails.
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
    let list = |query: &mut QueryBuilder<Postgres>| {
        query.push("SELECT id, account_id, project_id, environment_id, dag_id, created_at, updated_at, cron FROM jobs");
        filter.push(query, account);
        order.push(query, column);
    };
    let count = |query: &mut QueryBuilder<Postgres>| {
        query.push("SELECT count(*) FROM jobs");
        filter.push(query, account);
    };
    paging.fetch(connection, list, count).await
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
        if let Some(has_schedule) = self.has_schedule {
            query.push(if has_schedule {
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

/// What the runs of a job show about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// Its number, unique across all accounts.
    pub job_id: i64,
    /// The unfinished run with the highest number, or else the run that ended last.
    pub newest_run: Option<i64>,
    /// The run that ended last, which all following fields describe.
    pub last_run: Option<i64>,
    /// The version of dbt in the run's last step that names one.
    pub dbt_version: Option<String>,
    /// The kinds of the run's files.
    pub kinds: Vec<String>,
    /// The dbt commands of the run's steps, in order, without checks of the freshness of sources.
    pub commands: Vec<String>,
    /// Whether one of the run's steps checked the freshness of sources.
    pub checks_freshness: bool,
}

/// Returns what the runs of these jobs show about them, in a single query.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn job_facts(connection: &mut PgConnection, account: AccountId, jobs: &[i64]) -> sqlx::Result<Vec<JobFacts>> {
    sqlx::query_as!(
        JobFacts,
        r#"SELECT j.id AS "job_id!",
            coalesce(
                (SELECT id FROM runs WHERE account_id = $1 AND job_id = j.id AND finished_at IS NULL ORDER BY id DESC LIMIT 1),
                r.id) AS newest_run,
            r.id AS "last_run?", r.dbt_version AS "dbt_version?", coalesce(r.kinds, '{}') AS "kinds!",
            ARRAY(SELECT s.command FROM run_steps s WHERE s.account_id = $1 AND s.run_id = r.id AND s.command IS NOT NULL
                AND s.which IS DISTINCT FROM 'freshness' ORDER BY s.started_at, s.id) AS "commands!",
            EXISTS (SELECT FROM run_steps s WHERE s.account_id = $1 AND s.run_id = r.id AND s.which = 'freshness') AS "checks_freshness!"
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

/// Returns a job of an account by its number, with what its runs show about it, in a single query.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn job_with_facts(
    connection: &mut PgConnection,
    account: AccountId,
    id: JobId,
) -> sqlx::Result<Option<(Job, JobFacts)>> {
    // Not the query for several jobs with a list of one id: PostgreSQL would plan it every time.
    let row = sqlx::query!(
        r#"SELECT j.id, j.account_id, j.project_id, j.environment_id, j.dag_id, j.created_at, j.updated_at, j.cron,
            coalesce(
                (SELECT id FROM runs WHERE account_id = $1 AND job_id = j.id AND finished_at IS NULL ORDER BY id DESC LIMIT 1),
                r.id) AS newest_run,
            r.id AS "last_run?", r.dbt_version AS "dbt_version?", coalesce(r.kinds, '{}') AS "kinds!",
            ARRAY(SELECT s.command FROM run_steps s WHERE s.account_id = $1 AND s.run_id = r.id AND s.command IS NOT NULL
                AND s.which IS DISTINCT FROM 'freshness' ORDER BY s.started_at, s.id) AS "commands!",
            EXISTS (SELECT FROM run_steps s WHERE s.account_id = $1 AND s.run_id = r.id AND s.which = 'freshness') AS "checks_freshness!"
         FROM jobs j
         LEFT JOIN LATERAL (
            SELECT id, dbt_version, kinds FROM runs WHERE account_id = $1 AND job_id = $2 AND finished_at IS NOT NULL
            ORDER BY finished_at DESC NULLS LAST, id DESC LIMIT 1
         ) r ON true
         WHERE j.account_id = $1 AND j.id = $2"#,
        account.0,
        id.0
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let job = Job {
            id: row.id,
            account_id: row.account_id,
            project_id: row.project_id,
            environment_id: row.environment_id,
            dag_id: row.dag_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            cron: row.cron,
        };
        let facts = JobFacts {
            job_id: row.id,
            newest_run: row.newest_run,
            last_run: row.last_run,
            dbt_version: row.dbt_version,
            kinds: row.kinds,
            commands: row.commands,
            checks_freshness: row.checks_freshness,
        };
        (job, facts)
    }))
}

/// Returns a job of an account by its number.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn job(connection: &mut PgConnection, account: AccountId, id: JobId) -> sqlx::Result<Option<Job>> {
    Ok(jobs_by_id(connection, account, &[id.0]).await?.pop())
}

/// Returns the jobs of an account with these numbers.
///
/// # Errors
/// Returns an error if the query fails.
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
