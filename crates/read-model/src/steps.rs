//! Derives the steps of runs from the files of dbt invocations.

use std::collections::HashSet;

use schemas::{AccountId, RunId, RunStatus, StepId};
use sqlx::PgConnection;

/// Recomputes steps from their files. Steps that have no files any more are removed.
///
/// A step failed (20) if any of its results failed, whatever the command was, or if its catalog lists errors. A manifest alone means that
/// dbt succeeded (10), since clients whose lone manifests count as runs send them only then. Some failures are not in the results:
/// - When dbt (1.7 to 1.13) is interrupted, it lists only the nodes that had finished. dbt writes the manifest after parsing and again at
///   the end, so the command did not finish if the manifest of the same invocation has no trace of the nodes that are listed as done. dbt
///   also runs the `on-run-end` hooks even after failures, so the command did not finish either if the `on-run-start` hooks are listed but
///   the `on-run-end` hooks are not.
/// - dbt (1.8 and later) omits sources that it could not query from `sources.json`, and dbt 2 then writes run results without results
///   instead.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn refresh_steps(
    transaction: &mut PgConnection,
    steps: impl IntoIterator<Item = (AccountId, StepId)>,
) -> sqlx::Result<()> {
    let (accounts, ids): (Vec<i64>, Vec<i64>) = steps.into_iter().map(|(account, id)| (account.0, id.0)).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "DELETE FROM run_steps s USING unnest($1::bigint[], $2::bigint[]) AS u (account_id, id)
         WHERE s.account_id = u.account_id AND s.id = u.id",
        &accounts,
        &ids
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "INSERT INTO run_steps (account_id, id, environment_id, run_id, invocation_id, status, dbt_version, created_at,
            updated_at, started_at, finished_at, which, command, command_key, touches_nodes, failed_outside, failed_hook)
         SELECT s.account_id, s.step_id, s.environment_id, s.run_id, s.invocation_id,
            CASE WHEN s.failed OR s.failed_outside THEN $3::smallint ELSE $4::smallint END,
            s.dbt_version, s.created_at, s.updated_at, s.started_at, s.finished_at, s.which, s.command, s.command_key,
            s.touches_nodes, s.failed_outside, s.failed_hook
         FROM (
            SELECT a.account_id, a.step_id, a.environment_id, a.run_id, max(a.invocation_id) AS invocation_id,
                coalesce(bool_or(r.failed), false) AS failed,
                coalesce(bool_or(r.failed_outside), false) OR coalesce(bool_or(c.has_errors), false)
                    OR coalesce(bool_or(sign.was_interrupted), false) OR coalesce(bool_or(sign.asked_nothing), false)
                    OR coalesce(bool_or(r.kind = 'run_results' AND r.which = 'freshness' AND r.is_empty), false)
                        AND NOT coalesce(bool_or(r.kind IN ('sources', 'freshness')), false) AS failed_outside,
                coalesce(bool_or(r.failed_hook), false) AS failed_hook,
                coalesce(bool_or(r.touches_nodes), false) AS touches_nodes,
                (array_agg(a.dbt_version ORDER BY a.dbt_version IS NULL, a.event_time DESC, a.event_id DESC, a.place DESC))[1]
                    AS dbt_version,
                min(a.event_time) AS created_at, max(a.event_time) AS updated_at,
                -- Some files do not say when they were written.
                coalesce(min(a.generated_at - coalesce(r.elapsed_time, 0) * interval '1 second'), min(a.event_time)) AS started_at,
                coalesce(max(a.generated_at), max(a.event_time)) AS finished_at,
                (array_agg(r.which ORDER BY r.which IS NULL, a.kind, a.event_time DESC, a.event_id DESC, a.place DESC))[1] AS which,
                (array_agg(r.command ORDER BY r.which IS NULL, a.kind, a.event_time DESC, a.event_id DESC, a.place DESC))[1] AS command,
                (array_agg(r.command_key ORDER BY r.command_key IS NULL, a.kind, a.event_time DESC, a.event_id DESC, a.place DESC))[1]
                    AS command_key
            FROM unnest($1::bigint[], $2::bigint[]) AS u (account_id, id)
                -- By the step alone: without statistics, PostgreSQL reads all files of the account to find those of many steps.
                JOIN LATERAL (SELECT * FROM artifacts WHERE step_id = u.id OFFSET 0) a ON a.account_id = u.account_id
                LEFT JOIN result_files r
                    ON r.account_id = a.account_id AND r.environment_id = a.environment_id AND r.sha256 = a.sha256
                LEFT JOIN catalogs c ON c.account_id = a.account_id AND c.sha256 = a.sha256
                LEFT JOIN LATERAL (
                    SELECT bool_or(m.start_hooks <> '{}' AND r.hooks @> m.start_hooks AND NOT r.hooks @> m.end_hooks)
                            -- One that was sent before the end says nothing beside one that was sent after it.
                            OR (r.leaves_traces AND NOT bool_or(m.has_traces)) AS was_interrupted,
                        bool_or(m.checks_freshness AND r.kind = 'sources' AND r.is_empty AND r.elapsed_time > 0) AS asked_nothing
                    FROM artifacts o JOIN manifests m ON m.account_id = o.account_id AND m.sha256 = o.sha256
                    WHERE o.environment_id = a.environment_id AND o.invocation_id = a.invocation_id AND o.kind = 'manifest'
                        AND NOT o.pruned
                ) sign ON r.kind IN ('run_results', 'sources')
            GROUP BY a.account_id, a.step_id, a.environment_id, a.run_id
         ) s",
        &accounts,
        &ids,
        RunStatus::Error.number(),
        RunStatus::Success.number()
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Returns those of these runs that have a failed step.
///
/// # Errors
/// Returns an error if the query fails.
pub(crate) async fn runs_with_failed_step(
    connection: &mut PgConnection,
    runs: &[(AccountId, RunId)],
) -> sqlx::Result<HashSet<(AccountId, RunId)>> {
    let (accounts, ids): (Vec<i64>, Vec<i64>) = runs.iter().map(|(account, run)| (account.0, run.0)).unzip();
    let failed = sqlx::query!(
        "SELECT DISTINCT s.account_id, s.run_id FROM unnest($1::bigint[], $2::bigint[]) AS r (account_id, id)
         JOIN run_steps s ON s.account_id = r.account_id AND s.run_id = r.id
         WHERE s.status = $3",
        &accounts,
        &ids,
        RunStatus::Error.number()
    )
    .fetch_all(connection)
    .await?;
    let failed = failed.into_iter();
    Ok(failed
        .map(|row| (AccountId(row.account_id), RunId(row.run_id)))
        .collect())
}
