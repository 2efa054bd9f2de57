//! The newest manifest of an environment or a run.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, JobId, RunId, Sha256};
use sqlx::PgConnection;

use super::super::artifacts::sha256_of_column;

/// A set of nodes, as it is stored now. A rebuild, or an upload after the set was pruned, stores the same set with other numbers of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSet {
    /// The key of the set.
    pub hash: Sha256,
    /// PostgreSQL's numbers of the table and of the transaction that wrote the set. Both are 0 for a set without nodes.
    pub written: (i64, i64),
}

/// What the newest manifest of an environment or a run says about itself, and the nodes that are defined there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The set of nodes. `None` if all dbt projects were retired.
    pub node_set: Option<NodeSet>,
    /// The version of the dbt that wrote the manifest.
    pub dbt_version: Option<String>,
    /// The adapter, such as `snowflake`.
    pub adapter_type: Option<String>,
    /// dbt's name of the project.
    pub project_name: Option<String>,
    /// When dbt wrote the manifest.
    pub generated_at: DateTime<Utc>,
    /// The run that has the manifest.
    pub run_id: Option<i64>,
    /// The job of this run.
    pub job_id: Option<i64>,
}

struct Row {
    has_current: bool,
    current_set: Option<Vec<u8>>,
    node_set: Vec<u8>,
    set_table: Option<i64>,
    set_transaction: Option<i64>,
    dbt_version: Option<String>,
    adapter_type: Option<String>,
    project_name: Option<String>,
    generated_at: DateTime<Utc>,
    run_id: Option<i64>,
    job_id: Option<i64>,
}

impl Row {
    fn head(self) -> sqlx::Result<Head> {
        let node_set = if self.has_current {
            self.current_set
        } else {
            Some(self.node_set)
        };
        let written = (
            self.set_table.unwrap_or_default(),
            self.set_transaction.unwrap_or_default(),
        );
        let hash = node_set.map(sha256_of_column).transpose()?;
        Ok(Head {
            node_set: hash.map(|hash| NodeSet { hash, written }),
            dbt_version: self.dbt_version,
            adapter_type: self.adapter_type,
            project_name: self.project_name,
            generated_at: self.generated_at,
            run_id: self.run_id,
            job_id: self.job_id,
        })
    }
}

/// Returns the newest manifest of an environment, or `None` if no manifest was uploaded.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn head_of_environment(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
) -> sqlx::Result<Option<Head>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT c.environment_id IS NOT NULL AS "has_current!", c.hash AS "current_set?", m.node_set, m.dbt_version, m.adapter_type,
            m.project_name, a.done_at AS generated_at, a.run_id, r.job_id AS "job_id?", s.set_table AS "set_table?",
            s.set_transaction AS "set_transaction?"
         FROM artifacts a
         JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
         LEFT JOIN current_node_sets c ON c.account_id = $1 AND c.environment_id = $2 AND c.run_id = 0
         LEFT JOIN runs r ON r.account_id = $1 AND r.id = a.run_id
         LEFT JOIN LATERAL (
            SELECT n.tableoid::bigint AS set_table, n.xmin::text::bigint AS set_transaction FROM node_sets n
            WHERE n.account_id = $1 AND n.hash = CASE WHEN c.environment_id IS NULL THEN m.node_set ELSE c.hash END
            ORDER BY n.resource_type LIMIT 1
         ) s ON true
         WHERE a.account_id = $1 AND a.environment_id = $2 AND a.kind = 'manifest'
         ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1"#,
        account.0,
        environment.0
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::head).transpose()
}

/// Returns the newest manifest of a run, or `None` if the run has none.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn head_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: RunId,
) -> sqlx::Result<Option<Head>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT c.environment_id IS NOT NULL AS "has_current!", c.hash AS "current_set?", m.node_set, m.dbt_version, m.adapter_type,
            m.project_name, a.done_at AS generated_at, a.run_id, r.job_id AS "job_id?", s.set_table AS "set_table?",
            s.set_transaction AS "set_transaction?"
         FROM artifacts a
         JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
         LEFT JOIN current_node_sets c ON c.account_id = $1 AND c.environment_id = $2 AND c.run_id = $3
         LEFT JOIN runs r ON r.account_id = $1 AND r.id = a.run_id
         LEFT JOIN LATERAL (
            SELECT n.tableoid::bigint AS set_table, n.xmin::text::bigint AS set_transaction FROM node_sets n
            WHERE n.account_id = $1 AND n.hash = CASE WHEN c.environment_id IS NULL THEN m.node_set ELSE c.hash END
            ORDER BY n.resource_type LIMIT 1
         ) s ON true
         WHERE a.account_id = $1 AND a.run_id = $3 AND a.kind = 'manifest'
         ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1"#,
        account.0,
        environment.0,
        run.0
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::head).transpose()
}

/// Returns the time of dbt's last work of which an environment has a file.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_update(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "SELECT max(newest.done_at) FROM unnest(ARRAY['manifest', 'run_results', 'catalog', 'sources', 'freshness']) AS k (kind)
         CROSS JOIN LATERAL (
            SELECT done_at FROM artifacts WHERE account_id = $1 AND environment_id = $2 AND kind = k.kind
            ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
         ) AS newest",
        account.0,
        environment.0
    )
    .fetch_one(connection)
    .await
}

/// Returns the run of a job that ended last among those with a manifest.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn newest_run_with_manifest(
    connection: &mut PgConnection,
    account: AccountId,
    job: JobId,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "SELECT id FROM runs WHERE account_id = $1 AND job_id = $2 AND 'manifest' = ANY(kinds)
         ORDER BY finished_at DESC NULLS LAST, id DESC LIMIT 1",
        account.0,
        job.0
    )
    .fetch_optional(connection)
    .await
}
