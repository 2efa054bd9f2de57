//! The heads of nodes: for each aspect, the content in the newest set that contains the node.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AspectSet, COMPILED_CODE, Uploaded};

/// A node whose content in a set differs from its head's.
struct ChangedNode {
    node_md5: Uuid,
    content_id: i64,
    is_new: bool,
}

/// Points the heads of the nodes in a set to it, except for nodes that a newer set contains. `newer` may be any of these newer sets.
pub(super) async fn point_heads(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    uploaded: &Uploaded,
    newer: Option<&AspectSet>,
) -> sqlx::Result<()> {
    let changed = match uploaded.set.aspect.as_str() {
        COMPILED_CODE => changed_code(transaction, account, environment, uploaded, newer).await?,
        _ => changed_nodes(transaction, account, environment, uploaded).await?,
    };
    let pointed = without_newer(transaction, account, environment, uploaded, changed).await?;
    if pointed.is_empty() {
        return Ok(());
    }
    let nodes: Vec<Uuid> = pointed.iter().map(|node| node.node_md5).collect();
    let contents: Vec<i64> = pointed.iter().map(|node| node.content_id).collect();
    sqlx::query!(
        "INSERT INTO aspect_heads (account_id, environment_id, aspect, node_md5, content_id, pointed_at)
         SELECT $1, $2, $3, u.node_md5, u.content_id, $4 FROM unnest($5::uuid[], $6::bigint[]) AS u (node_md5, content_id)
         ON CONFLICT (environment_id, aspect, node_md5)
         DO UPDATE SET content_id = excluded.content_id, pointed_at = excluded.pointed_at",
        account.0,
        environment.0,
        uploaded.set.aspect,
        uploaded.done_at,
        &nodes,
        &contents
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Each head is looked up by its whole key: without statistics, PostgreSQL compares each node with each head.
async fn changed_nodes(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    uploaded: &Uploaded,
) -> sqlx::Result<Vec<ChangedNode>> {
    sqlx::query_as!(
        ChangedNode,
        r#"SELECT m.node_md5 AS "node_md5!", m.content_id AS "content_id!", h.content_id IS NULL AS "is_new!"
         FROM (
            SELECT DISTINCT ON (node_md5) node_md5, content_id FROM aspect_members
            WHERE account_id = $1 AND aspect = $3 AND node_set = $4 AND content_set = $5
            ORDER BY node_md5, resource_type, place
         ) m LEFT JOIN LATERAL (
            SELECT content_id, pointed_at FROM aspect_heads WHERE environment_id = $2 AND aspect = $3 AND node_md5 = m.node_md5 LIMIT 1
         ) h ON true
         WHERE h.content_id IS NULL OR (h.content_id <> m.content_id AND h.pointed_at <= $6)"#,
        account.0,
        environment.0,
        uploaded.set.aspect,
        uploaded.set.node_set,
        uploaded.set.content_set,
        uploaded.done_at
    )
    .fetch_all(transaction)
    .await
}

/// Returns the same as [`changed_nodes`], for compiled code. It leaves out the nodes that the newer set has with the same definition: of two
/// manifests of a project, these are nearly all.
async fn changed_code(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    uploaded: &Uploaded,
    newer: Option<&AspectSet>,
) -> sqlx::Result<Vec<ChangedNode>> {
    sqlx::query_as!(
        ChangedNode,
        r#"WITH newer AS MATERIALIZED (
            SELECT t.node_id FROM node_sets s JOIN text_sets k ON k.account_id = s.account_id AND k.resource_type = s.resource_type
            CROSS JOIN LATERAL unnest(s.node_ids, k.text_ids) AS t (node_id, text_id)
            WHERE s.account_id = $1 AND s.hash = $7 AND k.hash = $8 AND t.text_id IS NOT NULL
         ), older AS MATERIALIZED (
            SELECT s.resource_type, t.*
            FROM node_sets s JOIN text_sets k ON k.account_id = s.account_id AND k.resource_type = s.resource_type
            CROSS JOIN LATERAL unnest(s.node_ids, k.text_ids) WITH ORDINALITY AS t (node_id, text_id, place)
            WHERE s.account_id = $1 AND s.hash = $4 AND k.hash = $5 AND t.text_id IS NOT NULL
                AND t.node_id NOT IN (SELECT node_id FROM newer)
         )
         SELECT m.node_md5 AS "node_md5!", m.content_id AS "content_id!", h.content_id IS NULL AS "is_new!"
         FROM (
            SELECT DISTINCT ON (n.node_md5) n.node_md5, o.text_id AS content_id
            FROM older o CROSS JOIN LATERAL (SELECT md5(unique_id)::uuid AS node_md5 FROM nodes WHERE id = o.node_id) n
            ORDER BY n.node_md5, o.resource_type, o.place
         ) m LEFT JOIN LATERAL (
            SELECT content_id, pointed_at FROM aspect_heads WHERE environment_id = $2 AND aspect = $3 AND node_md5 = m.node_md5 LIMIT 1
         ) h ON true
         WHERE h.content_id IS NULL OR (h.content_id <> m.content_id AND h.pointed_at <= $6)"#,
        account.0,
        environment.0,
        uploaded.set.aspect,
        uploaded.set.node_set,
        uploaded.set.content_set,
        uploaded.done_at,
        newer.map(|newer| newer.node_set.as_slice()),
        newer.map(|newer| newer.content_set.as_slice())
    )
    .fetch_all(transaction)
    .await
}

/// Leaves out the nodes that a newer set contains.
///
/// A node without a head is in no other set, because everything that adds a set also points the heads of its nodes. The newest set contains
/// most of the others, so that a late upload rarely looks at a second set.
async fn without_newer(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    uploaded: &Uploaded,
    mut changed: Vec<ChangedNode>,
) -> sqlx::Result<Vec<ChangedNode>> {
    if changed.iter().all(|node| node.is_new) {
        return Ok(changed);
    }
    let mut below = None;
    loop {
        let with_heads: Vec<Uuid> = changed
            .iter()
            .filter(|node| !node.is_new)
            .map(|node| node.node_md5)
            .collect();
        if with_heads.is_empty() {
            return Ok(changed);
        }
        let Some(set) = next_newer(transaction, environment, uploaded, below.as_ref()).await? else {
            return Ok(changed);
        };
        let contained = nodes_in(transaction, account, &uploaded.set.aspect, &set, &with_heads).await?;
        changed.retain(|node| !contained.contains(&node.node_md5));
        below = Some(set);
    }
}

/// Returns the newest set that is newer than the upload and older than `below`.
async fn next_newer(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    uploaded: &Uploaded,
    below: Option<&StoredSet>,
) -> sqlx::Result<Option<StoredSet>> {
    sqlx::query_as!(
        StoredSet,
        "SELECT node_set, content_set, done_at, event_id, place FROM aspect_sets
         WHERE environment_id = $1 AND aspect = $2 AND (done_at, event_id, place) > ($3, $4, $5)
            AND ($6::timestamptz IS NULL OR (done_at, event_id, place) < ($6, $7::uuid, $8::integer))
         ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1",
        environment.0,
        uploaded.set.aspect,
        uploaded.done_at,
        uploaded.event_id,
        uploaded.place,
        below.map(|set| set.done_at),
        below.map(|set| set.event_id),
        below.map(|set| set.place)
    )
    .fetch_optional(connection)
    .await
}

/// A set of contents, with its key as parameters: PostgreSQL cannot push a join's columns into the view `aspect_members`.
pub(super) struct StoredSet {
    pub(super) node_set: Vec<u8>,
    pub(super) content_set: Vec<u8>,
    pub(super) done_at: DateTime<Utc>,
    pub(super) event_id: Uuid,
    pub(super) place: i32,
}

/// The sets of an environment, the newest first, since most nodes have their heads from it.
pub(super) async fn sets_of(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    aspect: &str,
) -> sqlx::Result<Vec<StoredSet>> {
    sqlx::query_as!(
        StoredSet,
        "SELECT node_set, content_set, done_at, event_id, place FROM aspect_sets WHERE environment_id = $1 AND aspect = $2
         ORDER BY done_at DESC, event_id DESC, place DESC",
        environment.0,
        aspect
    )
    .fetch_all(connection)
    .await
}

/// Adds heads for those of these nodes that the set contains. Returns these nodes.
pub(super) async fn add_heads(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    aspect: &str,
    set: &StoredSet,
    nodes: &[Uuid],
) -> sqlx::Result<HashSet<Uuid>> {
    let found = sqlx::query_scalar!(
        "INSERT INTO aspect_heads (account_id, environment_id, aspect, node_md5, content_id, pointed_at)
         SELECT DISTINCT ON (m.node_md5) $1, $2, $3, m.node_md5, m.content_id, $6
         FROM aspect_members m
         WHERE m.account_id = $1 AND m.aspect = $3 AND m.node_set = $4 AND m.content_set = $5 AND m.node_md5 IN (SELECT unnest($7::uuid[]))
         ORDER BY m.node_md5, m.resource_type, m.place
         RETURNING node_md5",
        account.0,
        environment.0,
        aspect,
        set.node_set,
        set.content_set,
        set.done_at,
        nodes
    )
    .fetch_all(transaction)
    .await?;
    Ok(found.into_iter().collect())
}

/// Which of these nodes a set contains.
pub(super) async fn nodes_in(
    connection: &mut PgConnection,
    account: AccountId,
    aspect: &str,
    set: &StoredSet,
    nodes: &[Uuid],
) -> sqlx::Result<HashSet<Uuid>> {
    let found = sqlx::query_scalar!(
        r#"SELECT m.node_md5 AS "node_md5!" FROM aspect_members m
         WHERE m.account_id = $1 AND m.aspect = $2 AND m.node_set = $3 AND m.content_set = $4 AND m.node_md5 IN (SELECT unnest($5::uuid[]))"#,
        account.0,
        aspect,
        set.node_set,
        set.content_set,
        nodes
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().collect())
}
