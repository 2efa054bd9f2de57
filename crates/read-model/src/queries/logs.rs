//! Queries for the logs of steps.

use schemas::{AccountId, RunId, StepId};
use sqlx::PgConnection;

use super::artifacts::RunFile;

/// The file that has the log of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLog {
    /// Its number, as the API shows it.
    pub step_id: i64,
    /// Its newest file with the name `dbt.log`, in any folder.
    pub file: RunFile,
}

/// Returns the logs of a run's steps, or of one of them. Steps without a log are left out.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn step_logs(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
    step: Option<StepId>,
) -> sqlx::Result<Vec<StepLog>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (step_id) step_id AS "step_id!", sha256, size FROM artifacts
         WHERE account_id = $1 AND run_id = $2 AND step_id IS NOT NULL AND ($3::bigint IS NULL OR step_id = $3)
            AND (name = 'dbt.log' OR name LIKE '%/dbt.log')
         ORDER BY step_id, length(name), done_at DESC, event_id DESC, place DESC"#,
        account.0,
        run.0,
        step.map(|step| step.0)
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(StepLog {
                step_id: row.step_id,
                file: RunFile::of_columns(row.sha256, row.size)?,
            })
        })
        .collect()
}
