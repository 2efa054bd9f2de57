//! Counts the nodes of environments that need attention, as [`super::attention`] lists them: without the lookups that only a list needs.
//! What counts as failing or stale stands in both files, because sqlx checks only whole statements; a test of the overview compares them.

use schemas::AccountId;
use sqlx::PgConnection;

/// How many nodes of an environment need attention. Environments without such nodes are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodesOfEnvironment {
    /// The environment's number.
    pub environment_id: i64,
    /// The number of nodes.
    pub count: i64,
}

/// Counts the nodes of these environments that [`super::attention::failing_nodes`] lists.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn failing(
    connection: &mut PgConnection,
    account: AccountId,
    environments: &[i64],
) -> sqlx::Result<Vec<NodesOfEnvironment>> {
    sqlx::query_as!(
        NodesOfEnvironment,
        r#"WITH RECURSIVE newest AS (
            SELECT e.id AS environment_id, f.* FROM unnest($2::bigint[]) AS e (id) CROSS JOIN LATERAL (
                SELECT md5(r.unique_id) AS node, r.unique_id, r.failure, r.at FROM node_results r
                WHERE r.account_id = $1 AND r.environment_id = e.id AND r.is_attempt AND NOT r.is_success
                    AND r.status NOT IN ('skipped', 'no-op', 'reused')
                ORDER BY md5(r.unique_id) DESC, r.at DESC LIMIT 1
            ) f
            UNION ALL
            SELECT n.environment_id, f.* FROM newest n CROSS JOIN LATERAL (
                SELECT md5(r.unique_id) AS node, r.unique_id, r.failure, r.at FROM node_results r
                WHERE r.account_id = $1 AND r.environment_id = n.environment_id AND r.is_attempt AND NOT r.is_success
                    AND r.status NOT IN ('skipped', 'no-op', 'reused') AND md5(r.unique_id) < n.node
                ORDER BY md5(r.unique_id) DESC, r.at DESC LIMIT 1
            ) f
         ), sets AS MATERIALIZED (
            SELECT e.id AS environment_id, CASE WHEN c.environment_id IS NULL THEN m.node_set ELSE c.hash END AS hash
            FROM unnest($2::bigint[]) AS e (id)
            CROSS JOIN LATERAL (
                SELECT sha256 FROM artifacts WHERE account_id = $1 AND environment_id = e.id AND kind = 'manifest'
                ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
            ) a
            JOIN manifests m ON m.account_id = $1 AND m.sha256 = a.sha256
            LEFT JOIN current_node_sets c ON c.account_id = $1 AND c.environment_id = e.id AND c.run_id = 0
         ), failing AS (
            SELECT n.environment_id, n.node, n.unique_id FROM newest n
            LEFT JOIN LATERAL (
                SELECT r.at FROM node_results r
                WHERE r.account_id = $1 AND r.environment_id = n.environment_id AND r.is_attempt AND r.is_success
                    AND md5(r.unique_id) = n.node AND r.unique_id = n.unique_id
                ORDER BY r.at DESC LIMIT 1
            ) s ON true
            WHERE n.failure <> 0 AND (s.at IS NULL OR s.at < n.at)
         ), definitions AS MATERIALIZED (
            SELECT c.environment_id, c.node, d.id, d.resource_type FROM failing c
            JOIN nodes d ON d.account_id = $1 AND md5(d.unique_id) = c.node AND d.unique_id = c.unique_id
         ), present AS MATERIALIZED (
            SELECT s.environment_id, u.id FROM sets s JOIN node_sets k ON k.account_id = $1 AND k.hash = s.hash
            CROSS JOIN unnest(k.node_ids) AS u (id)
            WHERE k.resource_type IN (SELECT resource_type FROM definitions) AND u.id IN (SELECT id FROM definitions)
         )
         SELECT f.environment_id AS "environment_id!", count(*) AS "count!" FROM failing f
         WHERE f.environment_id NOT IN (SELECT environment_id FROM sets) OR (f.environment_id, f.node) IN (
            SELECT d.environment_id, d.node FROM definitions d JOIN present p ON p.environment_id = d.environment_id AND p.id = d.id)
         GROUP BY 1"#,
        account.0,
        environments
    )
    .fetch_all(connection)
    .await
}

/// Counts the nodes of these environments that [`super::attention::stale_nodes`] lists.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn stale(
    connection: &mut PgConnection,
    account: AccountId,
    environments: &[i64],
) -> sqlx::Result<Vec<NodesOfEnvironment>> {
    sqlx::query_as!(
        NodesOfEnvironment,
        r#"WITH RECURSIVE newest AS (
            SELECT e.id AS environment_id, f.* FROM unnest($2::bigint[]) AS e (id) CROSS JOIN LATERAL (
                SELECT md5(r.unique_id) AS node, r.unique_id, r.status FROM node_results r
                WHERE r.account_id = $1 AND r.environment_id = e.id AND r.is_freshness
                ORDER BY md5(r.unique_id) DESC, r.at DESC LIMIT 1
            ) f
            UNION ALL
            SELECT n.environment_id, f.* FROM newest n CROSS JOIN LATERAL (
                SELECT md5(r.unique_id) AS node, r.unique_id, r.status FROM node_results r
                WHERE r.account_id = $1 AND r.environment_id = n.environment_id AND r.is_freshness AND md5(r.unique_id) < n.node
                ORDER BY md5(r.unique_id) DESC, r.at DESC LIMIT 1
            ) f
         ), sets AS MATERIALIZED (
            SELECT e.id AS environment_id, CASE WHEN c.environment_id IS NULL THEN m.node_set ELSE c.hash END AS hash
            FROM unnest($2::bigint[]) AS e (id)
            CROSS JOIN LATERAL (
                SELECT sha256 FROM artifacts WHERE account_id = $1 AND environment_id = e.id AND kind = 'manifest'
                ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
            ) a
            JOIN manifests m ON m.account_id = $1 AND m.sha256 = a.sha256
            LEFT JOIN current_node_sets c ON c.account_id = $1 AND c.environment_id = e.id AND c.run_id = 0
         ), stale AS (
            SELECT * FROM newest WHERE status <> 'pass'
         ), definitions AS MATERIALIZED (
            SELECT c.environment_id, c.node, d.id, d.resource_type FROM stale c
            JOIN nodes d ON d.account_id = $1 AND md5(d.unique_id) = c.node AND d.unique_id = c.unique_id
         ), present AS MATERIALIZED (
            SELECT s.environment_id, u.id FROM sets s JOIN node_sets k ON k.account_id = $1 AND k.hash = s.hash
            CROSS JOIN unnest(k.node_ids) AS u (id)
            WHERE k.resource_type IN (SELECT resource_type FROM definitions) AND u.id IN (SELECT id FROM definitions)
         )
         SELECT f.environment_id AS "environment_id!", count(*) AS "count!" FROM stale f
         WHERE f.environment_id NOT IN (SELECT environment_id FROM sets) OR (f.environment_id, f.node) IN (
            SELECT d.environment_id, d.node FROM definitions d JOIN present p ON p.environment_id = d.environment_id AND p.id = d.id)
         GROUP BY 1"#,
        account.0,
        environments
    )
    .fetch_all(connection)
    .await
}
