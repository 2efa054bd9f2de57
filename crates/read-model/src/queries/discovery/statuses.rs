//! The last statuses of many nodes.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId};
use sqlx::PgConnection;

/// What dbt last did to a node, or the last check of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastStatus {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status in lower case.
    pub status: String,
    /// When the node was completed.
    pub at: DateTime<Utc>,
}

/// Returns the statuses of the last attempts at these nodes in an environment, and of sources those of the last freshness checks. Nodes without
/// any are left out.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_statuses(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    unique_ids: &[String],
) -> sqlx::Result<Vec<LastStatus>> {
    // The index groups attempts by success, so the last one is the later of two. In the order of the index, nothing is sorted.
    sqlx::query_as!(
        LastStatus,
        r#"SELECT u.unique_id AS "unique_id!", n.status AS "status!", n.at AS "at!"
         FROM unnest($3::text[]) AS u (unique_id)
         CROSS JOIN LATERAL (
            SELECT last.status, last.at FROM (
                (SELECT r.status, r.at, r.sha256, r.place FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND r.is_success
                    AND u.unique_id NOT LIKE 'source.%' AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
                 ORDER BY r.at DESC LIMIT 1)
                UNION ALL
                (SELECT r.status, r.at, r.sha256, r.place FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND NOT r.is_success
                    AND u.unique_id NOT LIKE 'source.%' AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
                 ORDER BY r.at DESC LIMIT 1)
                UNION ALL
                (SELECT r.status, r.at, r.sha256, r.place FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_freshness
                    AND u.unique_id LIKE 'source.%' AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
                 ORDER BY r.at DESC LIMIT 1)
            ) last ORDER BY last.at DESC, last.sha256 DESC, last.place DESC LIMIT 1
         ) n"#,
        account.0,
        environment.0,
        unique_ids
    )
    .fetch_all(connection)
    .await
}

/// Returns those of these tests that failed last, whatever was skipped since.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn failing_tests(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    unique_ids: &[String],
) -> sqlx::Result<Vec<String>> {
    // Few tests ever failed: the small index of failures is asked first.
    sqlx::query_scalar!(
        r#"SELECT u.unique_id AS "unique_id!" FROM unnest($3::text[]) AS u (unique_id)
         CROSS JOIN LATERAL (
            SELECT r.at FROM node_results r
            WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND NOT r.is_success
                AND r.status NOT IN ('skipped', 'no-op', 'reused') AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
            ORDER BY r.at DESC LIMIT 1
         ) failure
         WHERE NOT EXISTS (
            SELECT FROM node_results r
            WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND r.is_success AND r.at > failure.at
                AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id)"#,
        account.0,
        environment.0,
        unique_ids
    )
    .fetch_all(connection)
    .await
}
