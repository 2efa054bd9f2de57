//! Steps of runs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, StepId};
use sqlx::PgConnection;

/// A row of `run_steps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub id: i64,
    /// Whose step it is.
    pub run_id: i64,
    /// Its place in the run, from 1.
    pub index: i64,
    /// dbt's id of the invocation.
    pub invocation_id: Option<String>,
    /// dbt Cloud's number, as of a run.
    pub status: i16,
    /// The dbt command as it was typed, where it is known.
    pub command: Option<String>,
    /// When its first upload was accepted.
    pub created_at: DateTime<Utc>,
    /// When its latest upload was accepted.
    pub updated_at: DateTime<Utc>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The steps of these runs, run by run, each in the order of its steps.
///
/// # Errors
/// Those of the database.
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

/// A step of an account by its number.
///
/// # Errors
/// Those of the database.
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
