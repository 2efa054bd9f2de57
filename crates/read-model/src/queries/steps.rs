//! Queries for the steps of runs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, StepId};
use sqlx::PgConnection;

/// A row of `run_steps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The step's number.
    pub id: i64,
    /// The run of the step.
    pub run_id: i64,
    /// The position in the run, counted from 1.
    pub index: i64,
    /// dbt's id of the invocation.
    pub invocation_id: Option<String>,
    /// dbt Cloud's number for the status, as for a run.
    pub status: i16,
    /// The dbt command as it was typed, if it is known.
    pub command: Option<String>,
    /// When its first upload was accepted.
    pub created_at: DateTime<Utc>,
    /// When its latest upload was accepted.
    pub updated_at: DateTime<Utc>,
    /// When the step started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the step ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Returns the steps of these runs, grouped by run and in order.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn steps_of_runs(connection: &mut PgConnection, account: AccountId, runs: &[i64]) -> sqlx::Result<Vec<Step>> {
    sqlx::query_as!(
        Step,
        r#"SELECT id, run_id, row_number() OVER (PARTITION BY run_id ORDER BY started_at, id) AS "index!", invocation_id,
            status, command, created_at, updated_at, started_at, finished_at
         FROM run_steps WHERE account_id = $1 AND run_id = ANY($2) ORDER BY run_id, started_at, id"#,
        account.0,
        runs
    )
    .fetch_all(connection)
    .await
}

/// Returns a step of an account by its number.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn step(connection: &mut PgConnection, account: AccountId, id: StepId) -> sqlx::Result<Option<Step>> {
    let run = sqlx::query_scalar!(
        "SELECT run_id FROM run_steps WHERE account_id = $1 AND id = $2",
        account.0,
        id.0
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(run) = run else { return Ok(None) };
    let steps = steps_of_runs(connection, account, &[run]).await?;
    Ok(steps.into_iter().find(|step| step.id == id.0))
}
