//! The nodes of an environment or a run.

use chrono::{DateTime, Utc};
use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use super::page::{Page, Paging};
use crate::text::fold;

/// The newest manifest of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestManifest {
    /// The environment that it was uploaded to.
    pub environment_id: i64,
    /// When the manifest was uploaded.
    pub event_time: DateTime<Utc>,
    /// The version of the dbt that wrote the manifest.
    pub dbt_version: Option<String>,
    /// The adapter, such as `snowflake`.
    pub adapter_type: Option<String>,
}

/// Returns the newest manifest of each of these environments that has one.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn newest_manifests(
    connection: &mut PgConnection,
    account: AccountId,
    environments: &[i64],
) -> sqlx::Result<Vec<NewestManifest>> {
    let rows = sqlx::query!(
        r#"SELECT e.id AS "environment_id!", a.event_time, m.dbt_version, m.adapter_type
         FROM unnest($2::bigint[]) AS e (id)
         CROSS JOIN LATERAL (
            SELECT account_id, sha256, event_time FROM artifacts
            WHERE account_id = $1 AND environment_id = e.id AND kind = 'manifest'
            ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
         ) a
         JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256"#,
        account.0,
        environments
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| NewestManifest {
            environment_id: row.environment_id,
            event_time: row.event_time,
            dbt_version: row.dbt_version,
            adapter_type: row.adapter_type,
        })
        .collect())
}

/// A stored node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// dbt's id.
    pub unique_id: String,
    /// The resource type, such as `model`.
    pub resource_type: String,
    /// The definition, to be read with [`crate::doc::decode_doc`].
    pub doc: Vec<u8>,
}

/// Selects nodes. A node must meet all criteria that are given.
#[derive(Clone, Debug, Default)]
pub struct NodeFilter {
    /// The resource type, such as `model`.
    pub resource_type: Option<String>,
    /// Text in the name, compared without regard to case.
    pub name_contains: Option<String>,
    /// dbt's id.
    pub unique_id: Option<String>,
}

/// Returns a page of a node set, sorted by `unique_id`, which starts with the resource type.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn nodes(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
    filter: &NodeFilter,
    paging: Paging,
) -> sqlx::Result<Page<Node>> {
    // No array is longer, and a sum with the highest numbers would overflow.
    let paging = Paging {
        offset: paging.offset.min(i32::MAX.into()),
        ..paging
    };
    let by_position = filter.name_contains.is_none() && filter.unique_id.is_none();
    let rows = if by_position {
        nodes_by_position(connection, account, node_set, filter, paging).await?
    } else {
        nodes_by_filter(connection, account, node_set, filter, paging).await?
    };
    let total = match paging.total_if_last(rows.len()) {
        Some(total) => total,
        None if by_position => size_of_set(connection, account, node_set, filter).await?,
        None => count_by_filter(connection, account, node_set, filter).await?,
    };
    Ok(Page { rows, total })
}

/// Cuts the page out of the concatenated arrays, which is equally fast at any offset.
async fn nodes_by_position(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
    filter: &NodeFilter,
    paging: Paging,
) -> sqlx::Result<Vec<Node>> {
    sqlx::query_as!(
        Node,
        r#"WITH sets AS (
            SELECT resource_type, node_ids, cardinality(node_ids)::bigint AS size,
                sum(cardinality(node_ids)) OVER (ORDER BY resource_type COLLATE "C") - cardinality(node_ids) AS before
            FROM node_sets WHERE account_id = $1 AND hash = $2 AND ($3::text IS NULL OR resource_type = $3)
        ), page AS (
            SELECT s.resource_type, u.id, u.place
            FROM sets s CROSS JOIN unnest(
                s.node_ids[least(greatest($5 - s.before, 0), s.size)::int + 1:greatest(least($5 - s.before + $4, s.size), 0)::int]
            ) WITH ORDINALITY AS u (id, place)
        )
        SELECT n.unique_id, n.resource_type, n.doc FROM page p JOIN nodes n ON n.account_id = $1 AND n.id = p.id
        ORDER BY p.resource_type COLLATE "C", p.place"#,
        account.0,
        node_set.0.as_slice(),
        filter.resource_type,
        paging.limit,
        paging.offset
    )
    .fetch_all(connection)
    .await
}

async fn nodes_by_filter(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
    filter: &NodeFilter,
    paging: Paging,
) -> sqlx::Result<Vec<Node>> {
    sqlx::query_as!(
        Node,
        r#"SELECT n.unique_id, n.resource_type, n.doc
         FROM node_sets s CROSS JOIN unnest(s.node_ids) WITH ORDINALITY AS u (id, place)
         JOIN nodes n ON n.account_id = s.account_id AND n.id = u.id
         WHERE s.account_id = $1 AND s.hash = $2 AND ($3::text IS NULL OR s.resource_type = $3)
            AND ($4::text IS NULL OR strpos(n.folded_name, $4) > 0) AND ($5::text IS NULL OR n.unique_id = $5)
         ORDER BY s.resource_type COLLATE "C", u.place LIMIT $6 OFFSET $7"#,
        account.0,
        node_set.0.as_slice(),
        filter.resource_type,
        filter.name_contains.as_deref().map(fold),
        filter.unique_id,
        paging.limit,
        paging.offset
    )
    .fetch_all(connection)
    .await
}

async fn size_of_set(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
    filter: &NodeFilter,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(sum(cardinality(node_ids)), 0)::bigint AS "total!" FROM node_sets
         WHERE account_id = $1 AND hash = $2 AND ($3::text IS NULL OR resource_type = $3)"#,
        account.0,
        node_set.0.as_slice(),
        filter.resource_type
    )
    .fetch_one(connection)
    .await
}

async fn count_by_filter(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
    filter: &NodeFilter,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!"
         FROM node_sets s CROSS JOIN unnest(s.node_ids) AS u (id)
         JOIN nodes n ON n.account_id = s.account_id AND n.id = u.id
         WHERE s.account_id = $1 AND s.hash = $2 AND ($3::text IS NULL OR s.resource_type = $3)
            AND ($4::text IS NULL OR strpos(n.folded_name, $4) > 0) AND ($5::text IS NULL OR n.unique_id = $5)"#,
        account.0,
        node_set.0.as_slice(),
        filter.resource_type,
        filter.name_contains.as_deref().map(fold),
        filter.unique_id
    )
    .fetch_one(connection)
    .await
}

/// Returns the node of a set with this id.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn node(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
    unique_id: &str,
) -> sqlx::Result<Option<Node>> {
    sqlx::query_as!(
        Node,
        r#"SELECT n.unique_id, n.resource_type, n.doc FROM nodes n
         JOIN node_sets s ON s.account_id = $1 AND s.hash = $2 AND n.id = ANY(s.node_ids)
         WHERE n.account_id = $1 AND md5(n.unique_id) = md5($3) AND n.unique_id = $3
         ORDER BY s.resource_type COLLATE "C" LIMIT 1"#,
        account.0,
        node_set.0.as_slice(),
        unique_id
    )
    .fetch_optional(connection)
    .await
}
