//! Queries for the nodes of environments that need attention: those that fail, and those whose data is too old. [`super::attention_counts`] counts
//! the same nodes.

use chrono::{DateTime, Utc};
use schemas::AccountId;
use sqlx::PgConnection;

/// A node whose last attempt failed. Skipped attempts do not count.
#[derive(Clone, Debug, PartialEq)]
pub struct FailingNode {
    /// The environment's number.
    pub environment_id: i64,
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status of its last attempt, in lower case.
    pub status: String,
    /// When its last attempt ended.
    pub at: DateTime<Utc>,
    /// The run of its last attempt.
    pub run_id: Option<i64>,
    /// When its first failed attempt after the last success ended.
    pub since: DateTime<Utc>,
    /// The run of this attempt.
    pub since_run_id: Option<i64>,
    /// When its last success ended, or `None` if it never succeeded.
    pub last_success_at: Option<DateTime<Utc>>,
    /// The result of its last attempt, to be read with [`crate::doc::decode_doc`].
    pub doc: Option<Vec<u8>>,
    /// The number of such nodes in all of the environments.
    pub total: i64,
}

/// Returns the nodes of these environments whose last attempt failed, those that began to fail last first. Nodes that the newest manifests do not
/// define are left out.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn failing_nodes(
    connection: &mut PgConnection,
    account: AccountId,
    environments: &[i64],
    limit: i64,
) -> sqlx::Result<Vec<FailingNode>> {
    // An index has the failures by node and time. The query jumps along it from node to node, and reads only the newest failure of each.
    sqlx::query_as!(
        FailingNode,
        r#"WITH RECURSIVE newest AS (
            SELECT e.id AS environment_id, f.* FROM unnest($2::bigint[]) AS e (id) CROSS JOIN LATERAL (
                SELECT md5(r.unique_id) AS node, r.unique_id, r.status, r.failure, r.at, r.sha256, r.place FROM node_results r
                WHERE r.account_id = $1 AND r.environment_id = e.id AND r.is_attempt AND NOT r.is_success
                    AND r.status NOT IN ('skipped', 'no-op', 'reused')
                ORDER BY md5(r.unique_id) DESC, r.at DESC LIMIT 1
            ) f
            UNION ALL
            SELECT n.environment_id, f.* FROM newest n CROSS JOIN LATERAL (
                SELECT md5(r.unique_id) AS node, r.unique_id, r.status, r.failure, r.at, r.sha256, r.place FROM node_results r
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
            SELECT n.*, s.at AS last_success_at FROM newest n
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
         ), shown AS (
            SELECT f.*, first.at AS since, first.sha256 AS first_sha256, count(*) OVER () AS total FROM failing f
            CROSS JOIN LATERAL (
                SELECT r.at, r.sha256 FROM node_results r
                WHERE r.account_id = $1 AND r.environment_id = f.environment_id AND r.is_attempt AND NOT r.is_success
                    AND r.status NOT IN ('skipped', 'no-op', 'reused') AND r.failure <> 0
                    AND md5(r.unique_id) = f.node AND r.unique_id = f.unique_id
                    AND r.at > coalesce(f.last_success_at, '-infinity')
                ORDER BY r.at LIMIT 1
            ) first
            WHERE f.environment_id NOT IN (SELECT environment_id FROM sets) OR (f.environment_id, f.node) IN (
                SELECT d.environment_id, d.node FROM definitions d JOIN present p ON p.environment_id = d.environment_id AND p.id = d.id)
            ORDER BY first.at DESC, f.environment_id, f.unique_id LIMIT $3
         )
         SELECT s.environment_id AS "environment_id!", s.unique_id AS "unique_id!", s.status AS "status!", s.at AS "at!",
            last.run_id AS "run_id?", s.since AS "since!", first.run_id AS "since_run_id?", s.last_success_at AS "last_success_at?",
            s.total AS "total!", r.doc AS "doc?"
         FROM shown s
         LEFT JOIN LATERAL (
            SELECT a.run_id FROM artifacts a WHERE a.account_id = $1 AND a.environment_id = s.environment_id AND a.sha256 = s.sha256
                AND a.run_id IS NOT NULL ORDER BY a.event_time, a.event_id LIMIT 1
         ) last ON true
         LEFT JOIN LATERAL (
            SELECT a.run_id FROM artifacts a WHERE a.account_id = $1 AND a.environment_id = s.environment_id AND a.sha256 = s.first_sha256
                AND a.run_id IS NOT NULL ORDER BY a.event_time, a.event_id LIMIT 1
         ) first ON true
         LEFT JOIN node_results r ON r.account_id = $1 AND r.environment_id = s.environment_id AND r.sha256 = s.sha256
            AND r.place = s.place
         ORDER BY s.since DESC, s.environment_id, s.unique_id"#,
        account.0,
        environments,
        limit
    )
    .fetch_all(connection)
    .await
}

/// A source or model whose newest freshness check did not pass.
#[derive(Clone, Debug, PartialEq)]
pub struct StaleNode {
    /// The environment's number.
    pub environment_id: i64,
    /// dbt's id of the source or model.
    pub unique_id: String,
    /// The status of the check, in lower case.
    pub status: String,
    /// When the check ended.
    pub at: DateTime<Utc>,
    /// The run of the check.
    pub run_id: Option<i64>,
    /// The check, to be read with [`crate::doc::decode_doc`].
    pub doc: Option<Vec<u8>>,
    /// The number of such nodes in all of the environments.
    pub total: i64,
}

/// Returns the sources and models of these environments whose newest freshness check did not pass, the oldest check last. Nodes that the newest
/// manifests do not define are left out.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn stale_nodes(
    connection: &mut PgConnection,
    account: AccountId,
    environments: &[i64],
    limit: i64,
) -> sqlx::Result<Vec<StaleNode>> {
    // The query jumps along an index from node to node, as for failures.
    sqlx::query_as!(
        StaleNode,
        r#"WITH RECURSIVE newest AS (
            SELECT e.id AS environment_id, f.* FROM unnest($2::bigint[]) AS e (id) CROSS JOIN LATERAL (
                SELECT md5(r.unique_id) AS node, r.unique_id, r.status, r.at, r.sha256, r.place FROM node_results r
                WHERE r.account_id = $1 AND r.environment_id = e.id AND r.is_freshness
                ORDER BY md5(r.unique_id) DESC, r.at DESC LIMIT 1
            ) f
            UNION ALL
            SELECT n.environment_id, f.* FROM newest n CROSS JOIN LATERAL (
                SELECT md5(r.unique_id) AS node, r.unique_id, r.status, r.at, r.sha256, r.place FROM node_results r
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
         ), shown AS (
            SELECT n.*, count(*) OVER () AS total FROM stale n
            WHERE n.environment_id NOT IN (SELECT environment_id FROM sets) OR (n.environment_id, n.node) IN (
                SELECT d.environment_id, d.node FROM definitions d JOIN present p ON p.environment_id = d.environment_id AND p.id = d.id)
            ORDER BY n.at DESC, n.environment_id, n.unique_id LIMIT $3
         )
         SELECT s.environment_id AS "environment_id!", s.unique_id AS "unique_id!", s.status AS "status!", s.at AS "at!",
            last.run_id AS "run_id?", s.total AS "total!", r.doc AS "doc?"
         FROM shown s
         LEFT JOIN LATERAL (
            SELECT a.run_id FROM artifacts a WHERE a.account_id = $1 AND a.environment_id = s.environment_id AND a.sha256 = s.sha256
                AND a.run_id IS NOT NULL ORDER BY a.event_time, a.event_id LIMIT 1
         ) last ON true
         LEFT JOIN node_results r ON r.account_id = $1 AND r.environment_id = s.environment_id AND r.sha256 = s.sha256
            AND r.place = s.place
         ORDER BY s.at DESC, s.environment_id, s.unique_id"#,
        account.0,
        environments,
        limit
    )
    .fetch_all(connection)
    .await
}
