//! How the nodes of a manifest hang together, and how two manifests differ.

use schemas::{AccountId, EnvironmentId, RunId, Sha256};
use sqlx::PgConnection;

use super::artifacts::sha256_of_column;

/// A node as a part of the lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    /// dbt's id.
    pub unique_id: String,
    /// Such as `model`.
    pub resource_type: String,
    /// For people.
    pub name: Option<String>,
    /// How it is built, such as `ephemeral`.
    pub materialized: Option<String>,
    /// The nodes that it is made of, by dbt's ids.
    pub depends_on: Vec<String>,
}

/// All nodes of a node set but macros and docs.
///
/// # Errors
/// Those of the database.
pub async fn graph(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
) -> sqlx::Result<Vec<GraphNode>> {
    sqlx::query_as!(
        GraphNode,
        "SELECT n.unique_id, n.resource_type, n.name, n.materialized, n.depends_on
         FROM node_sets s CROSS JOIN unnest(s.node_ids) AS u (id)
         JOIN nodes n ON n.account_id = s.account_id AND n.id = u.id
         WHERE s.account_id = $1 AND s.hash = $2 AND s.resource_type NOT IN ('macro', 'doc')",
        account.0,
        node_set.0.as_slice()
    )
    .fetch_all(connection)
    .await
}

/// The nodes of the newest manifest of a run.
///
/// # Errors
/// Those of the database.
pub async fn node_set_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
) -> sqlx::Result<Option<(EnvironmentId, Sha256)>> {
    let row = sqlx::query!(
        "SELECT a.environment_id, m.node_set FROM artifacts a
         JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'manifest'
         ORDER BY a.event_time DESC, a.event_id DESC, a.place DESC LIMIT 1",
        account.0,
        run.0
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((EnvironmentId(row.environment_id), sha256_of_column(row.node_set)?)))
        .transpose()
}

/// A node that is in one of two node sets only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The definition's number.
    pub id: i64,
    /// dbt's id.
    pub unique_id: String,
    /// Such as `model`.
    pub resource_type: String,
    /// For people.
    pub name: Option<String>,
    /// Whether it is in the second set.
    pub is_new: bool,
}

/// What is in one of two node sets only, in the order of `unique_id`. A changed node is in it twice.
///
/// # Errors
/// Those of the database.
pub async fn differences(
    connection: &mut PgConnection,
    account: AccountId,
    from: Sha256,
    to: Sha256,
) -> sqlx::Result<Vec<Difference>> {
    sqlx::query_as!(
        Difference,
        r#"WITH old AS (SELECT unnest(node_ids) AS id FROM node_sets WHERE account_id = $1 AND hash = $2),
            new AS (SELECT unnest(node_ids) AS id FROM node_sets WHERE account_id = $1 AND hash = $3),
            differing AS (
                (SELECT id, false AS is_new FROM old EXCEPT ALL SELECT id, false FROM new)
                UNION ALL (SELECT id, true FROM new EXCEPT ALL SELECT id, true FROM old)
            )
         SELECT n.id, n.unique_id, n.resource_type, n.name, d.is_new AS "is_new!"
         FROM differing d JOIN nodes n ON n.account_id = $1 AND n.id = d.id
         ORDER BY n.unique_id COLLATE "C", d.is_new, n.id"#,
        account.0,
        from.0.as_slice(),
        to.0.as_slice()
    )
    .fetch_all(connection)
    .await
}

/// The definitions with these numbers, for [`crate::decode_doc`].
///
/// # Errors
/// Those of the database.
pub async fn docs(connection: &mut PgConnection, account: AccountId, ids: &[i64]) -> sqlx::Result<Vec<(i64, Vec<u8>)>> {
    let rows = sqlx::query!(
        "SELECT id, doc FROM nodes WHERE account_id = $1 AND id = ANY($2)",
        account.0,
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.doc)).collect())
}
