//! Finds the failures in a run that were not resolved later.

use schemas::{AccountId, RunId, RunStatus};
use sqlx::PgConnection;

/// The unresolved failures of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    /// Whether there is any failure.
    pub(crate) any: bool,
    /// Whether there is a failure of a command that works on nodes.
    pub(crate) of_work: bool,
}

/// Finds the failures that were not resolved. Single results are checked only if a step failed.
///
/// - A failure of a node or of a freshness check is resolved when the same one passes later. A build with `--empty` resolves only failures
///   of builds with `--empty`.
/// - A failure outside the nodes, such as a hook, an operation or `compile`, is resolved by a later success of the same command with the
///   same selection, macro and arguments, or by its retry. Catalogs that come alone are taken for the same command. After a failed hook, everything that the step skipped must also have been done.
///
/// # Errors
/// Returns an error if the query fails.
pub(crate) async fn failures_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
) -> sqlx::Result<Failures> {
    sqlx::query_as!(
        Failures,
        r#"WITH steps AS MATERIALIZED (
            SELECT * FROM run_steps WHERE account_id = $1 AND run_id = $2
        ), results AS MATERIALIZED (
            SELECT n.unique_id, n.at, n.sha256, n.place, n.is_attempt, n.has_passed, n.is_success, n.is_freshness, n.failure, n.status,
                a.step_id, f.is_limited, f.which
            FROM (
                SELECT DISTINCT environment_id, sha256, step_id FROM artifacts
                WHERE account_id = $1 AND run_id = $2 AND EXISTS (SELECT FROM steps WHERE status = $3)
            ) a
                JOIN result_files f ON f.account_id = $1 AND f.environment_id = a.environment_id AND f.sha256 = a.sha256
                JOIN node_results n ON n.account_id = $1 AND n.environment_id = a.environment_id AND n.sha256 = a.sha256
        ), failures AS (
            SELECT r.failure = 1 AS of_work FROM results r
            WHERE r.failure IN (1, 3) AND NOT EXISTS (
                SELECT FROM results p
                WHERE p.unique_id = r.unique_id AND p.has_passed AND (p.is_attempt OR p.is_freshness) AND p.is_freshness = r.is_freshness
                    AND (p.is_success OR (p.is_limited = r.is_limited AND p.which IS NOT DISTINCT FROM r.which))
                    AND (p.at, p.sha256, p.place) > (r.at, r.sha256, r.place))
            UNION ALL
            SELECT s.touches_nodes FROM steps s
            WHERE s.failed_outside AND NOT EXISTS (
                SELECT FROM steps t
                WHERE t.status = $4 AND (t.started_at, t.id) > (s.started_at, s.id)
                    AND (t.command_key = s.command_key
                        -- A retry has the arguments of what it repeats. That of dbt 1.6 has none, but it repeats the last command.
                        OR (t.which = 'retry' AND NOT EXISTS (
                            SELECT FROM steps u
                            WHERE u.which NOT IN ('retry', 'freshness')
                                AND (u.started_at, u.id) > (s.started_at, s.id) AND (u.started_at, u.id) < (t.started_at, t.id)))
                        -- Files of freshness and catalogs do not say what was selected.
                        OR (num_nulls(t.command_key, s.command_key) > 0
                            AND ((t.which = 'freshness' AND s.which = 'freshness')
                                OR (SELECT count(DISTINCT c.step_id) = 2 FROM artifacts c
                                    WHERE c.account_id = $1 AND c.run_id = $2 AND c.kind = 'catalog' AND c.step_id IN (s.id, t.id)))))
                    AND NOT (s.failed_hook AND EXISTS (
                        SELECT FROM results k
                        WHERE k.step_id = s.id AND k.is_attempt AND k.status = 'skipped' AND NOT k.has_passed
                            -- What is ephemeral is listed only where it is skipped.
                            AND NOT EXISTS (
                                SELECT FROM artifacts a
                                    JOIN manifests m ON m.account_id = $1 AND m.sha256 = a.sha256
                                    JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = 'model'
                                    JOIN nodes e ON e.account_id = $1 AND md5(e.unique_id) = md5(k.unique_id) AND e.id = ANY(s.node_ids)
                                WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'manifest' AND e.unique_id = k.unique_id
                                    AND e.materialized = 'ephemeral')
                            AND NOT EXISTS (
                                SELECT FROM results p
                                WHERE p.unique_id = k.unique_id AND p.is_attempt
                                    AND (p.is_success OR p.status IN ('no-op', 'reused') OR (p.has_passed AND p.is_limited = k.is_limited))
                                    AND (p.at, p.sha256, p.place) > (k.at, k.sha256, k.place)))))
        )
        SELECT count(*) > 0 AS "any!", coalesce(bool_or(of_work), false) AS "of_work!" FROM failures"#,
        account.0,
        run.0,
        RunStatus::Error.number(),
        RunStatus::Success.number()
    )
    .fetch_one(connection)
    .await
}
