//! Runs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, ArtifactKind, EnvironmentId, JobId, RunId};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::{Order, Page, Paging};
use crate::RunKey;

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
    /// Airflow's id of the DAG run, where it is known.
    pub airflow_run_id: Option<String>,
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
    /// Of one of these projects.
    pub project_ids: Option<Vec<i64>>,
    /// With one of these statuses.
    pub statuses: Option<Vec<i64>>,
    /// With one of these numbers.
    pub ids: Option<Vec<i64>>,
    /// With a higher number than this.
    pub id_above: Option<RunId>,
    /// Of one of these versions of dbt.
    pub dbt_versions: Option<Vec<String>>,
    /// Made known within this time.
    pub created: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Ended within this time.
    pub finished: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Whether there is a file of this kind.
    pub kinds: Vec<(ArtifactKind, bool)>,
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
    paging: Paging,
) -> sqlx::Result<Page<Run>> {
    let column = match order.field {
        RunOrder::Id => ("id", false),
        RunOrder::CreatedAt => ("created_at", false),
        RunOrder::FinishedAt => ("finished_at", true),
    };
    let mut page = QueryBuilder::new(
        "SELECT id, account_id, project_id, environment_id, job_id, airflow_run_id, status, dbt_version, created_at, updated_at,
            started_at, finished_at, kinds FROM runs",
    );
    filter.push(&mut page, account);
    order.push(&mut page, column);
    paging.push(&mut page);
    paging.fetch(connection, page, filter.count(account)).await
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
        for (column, times) in [("created_at", self.created), ("finished_at", self.finished)] {
            if let Some((from, to)) = times {
                query.push(format_args!(" AND {column} BETWEEN ")).push_bind(from);
                query.push(" AND ").push_bind(to);
            }
        }
        for (kind, due) in &self.kinds {
            query.push(" AND (").push_bind(kind.as_str());
            query.push(" = ANY(kinds)) = ").push_bind(*due);
        }
    }

    /// What the counts are kept by.
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
                // The planner knows an order within one, not within a list.
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

    /// How many there are: from the counts that are kept, where they can tell it.
    fn count(&self, account: AccountId) -> QueryBuilder<Postgres> {
        let is_counted = self.ids.is_none()
            && self.id_above.is_none()
            && self.dbt_versions.is_none()
            && self.created.is_none()
            && self.finished.is_none()
            && self.kinds.is_empty();
        let mut count = QueryBuilder::new(if is_counted {
            "SELECT coalesce(sum(runs), 0)::bigint FROM run_counts"
        } else {
            "SELECT count(*) FROM runs"
        });
        if is_counted {
            self.push_counted(&mut count, account);
        } else {
            self.push(&mut count, account);
        }
        count
    }
}

/// Those runs of an account that have these numbers.
///
/// # Errors
/// Those of the database.
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

/// A run of an account by its number. A number whose run was found to be another's, since more was told of it later, is one of that run too.
///
/// # Errors
/// Those of the database.
pub async fn run(connection: &mut PgConnection, account: AccountId, id: RunId) -> sqlx::Result<Option<Run>> {
    if let Some(run) = run_by_id(connection, account, id.0).await? {
        return Ok(Some(run));
    }
    match present_id(connection, account, id).await? {
        Some(present) => run_by_id(connection, account, present).await,
        None => Ok(None),
    }
}

/// Not as one of a list: of that PostgreSQL does not know that it is short, and plans anew each time.
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

/// The run that has what this one was made of. All files of one key go to one run.
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
