//! The dependencies between the nodes of a manifest, and the differences between two manifests.

use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

/// A node in the lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    /// dbt's id.
    pub unique_id: String,
    /// The resource type, such as `model`.
    pub resource_type: String,
    /// The name of the node.
    pub name: Option<String>,
    /// The materialization, such as `ephemeral`.
    pub materialized: Option<String>,
    /// The nodes that this node depends on, by dbt's ids.
    pub depends_on: Vec<String>,
}

/// Returns all nodes of a node set except macros and docs.
///
/// # Errors
/// Returns an error if the query fails.
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

/// A node that is connected to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The definition's number.
    pub id: i64,
    /// dbt's id.
    pub unique_id: String,
    /// The resource type, such as `model`.
    pub resource_type: String,
    /// The name of the node.
    pub name: Option<String>,
    /// The nodes that this node depends on, by dbt's ids.
    pub depends_on: Vec<String>,
    /// The node that a test checks, as dbt records it.
    pub attached_node: Option<String>,
    /// Whether the attached node exists.
    pub has_attached_node: bool,
}

/// Returns the node with this id and the nodes that depend on it, sorted by id.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn neighbours(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
    unique_id: &str,
) -> sqlx::Result<Vec<Neighbour>> {
    // All nodes of the set are looked through. In one scan of the index that takes half the time of a look-up for each.
    sqlx::query_as!(
        Neighbour,
        r#"WITH found AS MATERIALIZED (
            SELECT n.id, n.unique_id, n.resource_type, n.name, n.depends_on, n.attached_node
            FROM node_sets s JOIN nodes n ON n.account_id = $1 AND n.id = ANY(s.node_ids)
            WHERE s.account_id = $1 AND s.hash = $2 AND s.resource_type NOT IN ('macro', 'doc')
                AND (n.unique_id = $3 OR $3 = ANY(n.depends_on) OR n.attached_node = $3)
         )
         SELECT f.id, f.unique_id, f.resource_type, f.name, f.depends_on, f.attached_node,
            (f.attached_node IS NOT NULL AND EXISTS (
                SELECT FROM nodes n JOIN node_sets s ON s.account_id = $1 AND s.hash = $2 AND n.id = ANY(s.node_ids)
                WHERE n.account_id = $1 AND md5(n.unique_id) = md5(f.attached_node)
                    AND n.unique_id = f.attached_node)) AS "has_attached_node!"
         FROM found f ORDER BY f.unique_id COLLATE "C""#,
        account.0,
        node_set.0.as_slice(),
        unique_id
    )
    .fetch_all(connection)
    .await
}

/// A node that is only in one of two node sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The definition's number.
    pub id: i64,
    /// dbt's id.
    pub unique_id: String,
    /// The resource type, such as `model`.
    pub resource_type: String,
    /// The name of the node.
    pub name: Option<String>,
    /// Whether it is in the second set.
    pub is_new: bool,
}

/// Returns the nodes that are only in one of two node sets, sorted by `unique_id`. A changed node is returned twice.
///
/// # Errors
/// Returns an error if the query fails.
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

/// Returns the definitions with these numbers, to be read with [`crate::doc::decode_doc`].
///
/// # Errors
/// Returns an error if the query fails.
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
