//! The catalog entries of nodes.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;

/// What a catalog says about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    /// dbt's id of the node.
    pub unique_id: String,
    /// When dbt wrote the catalog that said it.
    pub generated_at: DateTime<Utc>,
    /// The run that has this catalog, where it is known.
    pub run_id: Option<i64>,
    /// The entry, to be read with [`crate::doc::decode_doc`].
    pub doc: Vec<u8>,
}

/// Returns the newest catalog entries of these nodes in an environment.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn catalog_entries(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    unique_ids: &[String],
) -> sqlx::Result<Vec<CatalogEntry>> {
    sqlx::query_as!(
        CatalogEntry,
        r#"SELECT n.unique_id, h.pointed_at AS generated_at, NULL::bigint AS run_id, n.doc
         FROM unnest($3::text[]) AS u (unique_id)
         JOIN aspect_heads h ON h.account_id = $1 AND h.environment_id = $2 AND h.aspect = 'catalog' AND h.node_md5 = md5(u.unique_id)::uuid
         JOIN catalog_nodes n ON n.account_id = $1 AND n.id = h.content_id AND n.unique_id = u.unique_id"#,
        account.0,
        environment.0,
        unique_ids
    )
    .fetch_all(connection)
    .await
}

/// Returns the newest catalog entries of all nodes in a run.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn catalog_entries_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
) -> sqlx::Result<Vec<CatalogEntry>> {
    sqlx::query_as!(
        CatalogEntry,
        r#"SELECT DISTINCT ON (n.unique_id) n.unique_id, a.done_at AS generated_at, a.run_id, n.doc
         FROM artifacts a
         JOIN catalogs c ON c.account_id = a.account_id AND c.sha256 = a.sha256
         JOIN catalog_sets s ON s.account_id = $1 AND s.hash = c.catalog_set
         CROSS JOIN LATERAL unnest(s.node_ids) AS u (id)
         JOIN catalog_nodes n ON n.account_id = $1 AND n.id = u.id
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'catalog'
         ORDER BY n.unique_id, a.done_at DESC, a.event_id DESC, a.place DESC"#,
        account.0,
        run.0
    )
    .fetch_all(connection)
    .await
}
