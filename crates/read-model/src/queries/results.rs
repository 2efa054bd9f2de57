//! What was last done to nodes, and what the warehouse has of them.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;

/// What became of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeResult {
    /// dbt's id of the node.
    pub unique_id: String,
    /// In small letters.
    pub status: String,
    /// When it was completed.
    pub at: DateTime<Utc>,
    /// The first run that told of it.
    pub run_id: Option<i64>,
    /// The result, for [`crate::decode_doc`].
    pub doc: Vec<u8>,
}

/// The last that was done to each of these nodes in an environment, or in one of its runs; with `succeeded` the last that went well.
///
/// # Errors
/// Those of the database.
pub async fn last_results(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    unique_ids: &[String],
    succeeded: bool,
) -> sqlx::Result<Vec<NodeResult>> {
    sqlx::query_as!(
        NodeResult,
        r#"SELECT n.unique_id, n.status, n.at, n.doc,
            (SELECT a.run_id FROM artifacts a
             WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = n.sha256 AND a.run_id IS NOT NULL
                AND ($3::bigint IS NULL OR a.run_id = $3)
             ORDER BY a.event_time, a.event_id LIMIT 1) AS run_id
         FROM unnest($4::text[]) AS u (unique_id)
         CROSS JOIN LATERAL (
            SELECT r.* FROM node_results r
            WHERE r.account_id = $1 AND r.environment_id = $2 AND r.executed
                AND hashtextextended(r.unique_id, 0) = hashtextextended(u.unique_id, 0) AND r.unique_id = u.unique_id
                AND (NOT $5 OR NOT r.failed)
                AND ($3::bigint IS NULL OR EXISTS (
                    SELECT FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $3 AND a.sha256 = r.sha256))
            ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT 1
         ) n"#,
        account.0,
        environment.0,
        run.map(|run| run.0),
        unique_ids,
        succeeded
    )
    .fetch_all(connection)
    .await
}

/// The code that a node was last compiled to in an environment, or in one of its runs, for [`crate::decode_doc`]: of the newest manifest that
/// has compiled code.
///
/// # Errors
/// Those of the database.
pub async fn compiled_code(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    (resource_type, unique_id): (&str, &str),
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "SELECT c.code FROM (
            SELECT m.node_set, m.compiled_set FROM artifacts a
            JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.kind = 'manifest' AND ($3::bigint IS NULL OR a.run_id = $3)
                AND m.compiled_set IS NOT NULL
            ORDER BY a.event_time DESC, a.event_id DESC, a.place DESC LIMIT 1
         ) newest
         JOIN node_sets s ON s.account_id = $1 AND s.hash = newest.node_set AND s.resource_type = $4
         JOIN compiled_sets k ON k.account_id = $1 AND k.hash = newest.compiled_set AND k.resource_type = s.resource_type
         CROSS JOIN LATERAL unnest(s.node_ids) WITH ORDINALITY AS u (id, place)
         JOIN nodes n ON n.account_id = $1 AND n.id = u.id AND n.unique_id = $5
         JOIN compiled_codes c ON c.account_id = $1 AND c.id = k.code_ids[u.place]
         LIMIT 1",
        account.0,
        environment.0,
        run.map(|run| run.0),
        resource_type,
        unique_id
    )
    .fetch_optional(connection)
    .await
}

/// What the newest catalog of an environment, or of one of its runs, says of a node, for [`crate::decode_doc`].
///
/// # Errors
/// Those of the database.
pub async fn catalog_entry(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    unique_id: &str,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "SELECT n.doc FROM (
            SELECT c.node_ids FROM artifacts a JOIN catalogs c ON c.account_id = a.account_id AND c.sha256 = a.sha256
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.kind = 'catalog' AND ($3::bigint IS NULL OR a.run_id = $3)
            ORDER BY a.event_time DESC, a.event_id DESC, a.place DESC LIMIT 1
         ) newest
         JOIN catalog_nodes n ON n.account_id = $1 AND n.id = ANY(newest.node_ids) AND n.unique_id = $4",
        account.0,
        environment.0,
        run.map(|run| run.0),
        unique_id
    )
    .fetch_optional(connection)
    .await
}
