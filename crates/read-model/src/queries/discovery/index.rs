//! The nodes of a node set, without their definitions.

use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

/// A node of a node set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedNode {
    /// The definition's number, by which it is read. A rebuild gives it another one.
    pub id: i64,
    /// dbt's id.
    pub unique_id: String,
    /// The resource type, such as `model`.
    pub resource_type: String,
    /// The name of the node.
    pub name: Option<String>,
    /// The dbt package that defines the node.
    pub package_name: Option<String>,
    /// The materialization, such as `table`.
    pub materialized: Option<String>,
    /// The node that a test checks, as dbt records it.
    pub attached_node: Option<String>,
    /// The nodes that this node depends on, by dbt's ids.
    pub depends_on: Vec<String>,
}

/// Returns all nodes of a node set except docs, sorted by `unique_id`.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn index(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
) -> sqlx::Result<Vec<IndexedNode>> {
    sqlx::query_as!(
        IndexedNode,
        r#"SELECT n.id, n.unique_id, n.resource_type, n.name, n.package_name, n.materialized, n.attached_node, n.depends_on
         FROM node_sets s CROSS JOIN unnest(s.node_ids) AS u (id)
         JOIN nodes n ON n.account_id = s.account_id AND n.id = u.id
         WHERE s.account_id = $1 AND s.hash = $2 AND s.resource_type <> 'doc'
         ORDER BY n.unique_id COLLATE "C", n.id"#,
        account.0,
        node_set.0.as_slice()
    )
    .fetch_all(connection)
    .await
}
