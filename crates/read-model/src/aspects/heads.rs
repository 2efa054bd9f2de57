//! The heads of nodes: for each aspect, the content in the newest set that contains the node.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CATALOG, COMPILED_CODE, Noting};

/// A node whose content in the newest of several sets differs from its head's.
struct ChangedNode {
    /// The index of the set.
    set: usize,
    node_md5: Uuid,
    content_id: i64,
    is_new: bool,
}

/// Points the heads of the nodes in sets to the newest of these sets, except for nodes that a newer set contains. The sets must be sorted, the
/// newest first.
pub(super) async fn point_heads(transaction: &mut PgConnection, sets: &[Noting]) -> sqlx::Result<()> {
    if sets.is_empty() {
        return Ok(());
    }
    let changed = changed_nodes(transaction, sets).await?;
    let pointed = without_newer(transaction, sets, changed).await?;
    if pointed.is_empty() {
        return Ok(());
    }
    let set_of = |node: &ChangedNode| &sets[node.set];
    let accounts: Vec<i64> = pointed.iter().map(|node| set_of(node).account.0).collect();
    let environments: Vec<i64> = pointed.iter().map(|node| set_of(node).environment.0).collect();
    let uploaded = || pointed.iter().map(|node| &set_of(node).uploaded);
    let aspects: Vec<&str> = uploaded().map(|one| one.set.aspect.as_str()).collect();
    let times: Vec<DateTime<Utc>> = uploaded().map(|one| one.done_at).collect();
    let nodes: Vec<Uuid> = pointed.iter().map(|node| node.node_md5).collect();
    let contents: Vec<i64> = pointed.iter().map(|node| node.content_id).collect();
    sqlx::query!(
        "INSERT INTO aspect_heads (account_id, environment_id, aspect, node_md5, content_id, pointed_at)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[])
         ON CONFLICT (environment_id, aspect, node_md5, account_id)
         DO UPDATE SET content_id = excluded.content_id, pointed_at = excluded.pointed_at",
        &accounts,
        &environments,
        &aspects as &[&str],
        &nodes,
        &contents,
        &times
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Each row is looked up by its whole key: without statistics, PostgreSQL would compare each node with each head.
async fn changed_nodes(transaction: &mut PgConnection, sets: &[Noting]) -> sqlx::Result<Vec<ChangedNode>> {
    let accounts: Vec<i64> = sets.iter().map(|noting| noting.account.0).collect();
    let environments: Vec<i64> = sets.iter().map(|noting| noting.environment.0).collect();
    let uploaded = || sets.iter().map(|noting| &noting.uploaded);
    let aspects: Vec<&str> = uploaded().map(|one| one.set.aspect.as_str()).collect();
    let node_sets: Vec<&[u8]> = uploaded().map(|one| one.set.node_set.as_slice()).collect();
    let content_sets: Vec<&[u8]> = uploaded().map(|one| one.set.content_set.as_slice()).collect();
    let times: Vec<DateTime<Utc>> = uploaded().map(|one| one.done_at).collect();
    let changed = sqlx::query!(
        r#"WITH sets AS MATERIALIZED (
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::timestamptz[])
                WITH ORDINALITY AS s (account_id, environment_id, aspect, node_set, content_set, done_at, position)
         ), codes AS MATERIALIZED (
            -- The newest of each definition, since the manifests of a project have nearly all in common.
            SELECT DISTINCT ON (s.environment_id, t.node_id) s.position, t.node_id, t.text_id, n.resource_type, t.place
            FROM sets s
            CROSS JOIN LATERAL (SELECT resource_type, node_ids FROM node_sets
                WHERE account_id = s.account_id AND hash = s.node_set OFFSET 0) n
            CROSS JOIN LATERAL (SELECT text_ids FROM text_sets
                WHERE account_id = s.account_id AND hash = s.content_set AND resource_type = n.resource_type OFFSET 0) k
            CROSS JOIN LATERAL unnest(n.node_ids, k.text_ids) WITH ORDINALITY AS t (node_id, text_id, place)
            WHERE s.aspect = $7 AND t.text_id IS NOT NULL
            ORDER BY s.environment_id, t.node_id, s.position, n.resource_type, t.place
         ), tables AS MATERIALIZED (
            SELECT DISTINCT ON (s.environment_id, t.node_id) s.position, t.node_id, t.place
            FROM sets s
            CROSS JOIN LATERAL (SELECT node_ids FROM catalog_sets WHERE account_id = s.account_id AND hash = s.content_set OFFSET 0) c
            CROSS JOIN LATERAL unnest(c.node_ids) WITH ORDINALITY AS t (node_id, place)
            WHERE s.aspect = $8
            ORDER BY s.environment_id, t.node_id, s.position, t.place
         ), members AS MATERIALIZED (
            SELECT c.position, n.node_md5, c.text_id AS content_id, c.resource_type, c.place FROM codes c
            CROSS JOIN LATERAL (SELECT md5(unique_id)::uuid AS node_md5 FROM nodes WHERE id = c.node_id OFFSET 0) n
            UNION ALL
            SELECT t.position, n.node_md5, t.node_id, '', t.place FROM tables t
            CROSS JOIN LATERAL (SELECT md5(unique_id)::uuid AS node_md5 FROM catalog_nodes WHERE id = t.node_id OFFSET 0) n
         ), newest AS MATERIALIZED (
            SELECT DISTINCT ON (s.environment_id, s.aspect, m.node_md5) s.environment_id, s.aspect, s.done_at, m.*
            FROM members m JOIN sets s ON s.position = m.position
            ORDER BY s.environment_id, s.aspect, m.node_md5, m.position, m.resource_type, m.place
         )
         SELECT m.position AS "position!", m.node_md5 AS "node_md5!", m.content_id AS "content_id!", h.content_id IS NULL AS "is_new!"
         FROM newest m LEFT JOIN LATERAL (
            SELECT content_id, pointed_at FROM aspect_heads
            WHERE environment_id = m.environment_id AND aspect = m.aspect AND node_md5 = m.node_md5 LIMIT 1
         ) h ON true
         WHERE h.content_id IS NULL OR (h.content_id <> m.content_id AND h.pointed_at <= m.done_at)"#,
        &accounts,
        &environments,
        &aspects as &[&str],
        &node_sets as &[&[u8]],
        &content_sets as &[&[u8]],
        &times,
        COMPILED_CODE,
        CATALOG
    )
    .fetch_all(transaction)
    .await?;
    let changed = changed.into_iter();
    Ok(changed
        .filter_map(|row| {
            Some(ChangedNode {
                set: usize::try_from(row.position - 1).ok()?,
                node_md5: row.node_md5,
                content_id: row.content_id,
                is_new: row.is_new,
            })
        })
        .collect())
}

/// Leaves out the nodes that a newer set contains.
///
/// A node without a head is in no newer set: heads are pointed in the transaction that adds a set, and of the sets that are added together, the
/// newest was chosen. The newest set contains most of the others, so that a late upload rarely looks at a second set.
async fn without_newer(
    transaction: &mut PgConnection,
    sets: &[Noting],
    mut changed: Vec<ChangedNode>,
) -> sqlx::Result<Vec<ChangedNode>> {
    // The set that was compared last, by the index of the changed one.
    let mut below: HashMap<usize, StoredSet> = HashMap::new();
    let mut compared: BTreeSet<usize> = with_heads(&changed).map(|node| node.set).collect();
    compared.retain(|index| sets[*index].has_newer);
    while !compared.is_empty() {
        let indices: Vec<usize> = compared.into_iter().collect();
        let newer = next_newer(transaction, sets, &indices, &below).await?;
        let found: HashSet<usize> = newer.iter().map(|(index, _)| *index).collect();
        for (index, newer) in newer {
            let Noting { account, uploaded, .. } = &sets[index];
            let nodes = with_heads(&changed).filter(|node| node.set == index);
            let nodes: Vec<Uuid> = nodes.map(|node| node.node_md5).collect();
            let contained = nodes_in(transaction, *account, &uploaded.set.aspect, &newer, &nodes).await?;
            changed.retain(|node| node.set != index || !contained.contains(&node.node_md5));
            below.insert(index, newer);
        }
        let left = with_heads(&changed).map(|node| node.set);
        compared = left.filter(|index| found.contains(index)).collect();
    }
    Ok(changed)
}

fn with_heads(changed: &[ChangedNode]) -> impl Iterator<Item = &ChangedNode> {
    changed.iter().filter(|node| !node.is_new)
}

/// Returns, for each of these sets that has any, the newest set that is newer than it and older than the one in `below`.
async fn next_newer(
    connection: &mut PgConnection,
    sets: &[Noting],
    indices: &[usize],
    below: &HashMap<usize, StoredSet>,
) -> sqlx::Result<Vec<(usize, StoredSet)>> {
    let noting = || indices.iter().map(|index| &sets[*index]);
    let environments: Vec<i64> = noting().map(|one| one.environment.0).collect();
    let aspects: Vec<&str> = noting().map(|one| one.uploaded.set.aspect.as_str()).collect();
    let times: Vec<DateTime<Utc>> = noting().map(|one| one.uploaded.done_at).collect();
    let events: Vec<Uuid> = noting().map(|one| one.uploaded.event_id).collect();
    let places: Vec<i32> = noting().map(|one| one.uploaded.place).collect();
    let below = || indices.iter().map(|index| below.get(index));
    let times_below: Vec<Option<DateTime<Utc>>> = below().map(|set| Some(set?.done_at)).collect();
    let events_below: Vec<Option<Uuid>> = below().map(|set| Some(set?.event_id)).collect();
    let places_below: Vec<Option<i32>> = below().map(|set| Some(set?.place)).collect();
    let newer = sqlx::query!(
        r#"SELECT c.position AS "position!", n.* FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::uuid[], $5::integer[],
                $6::timestamptz[], $7::uuid[], $8::integer[])
            WITH ORDINALITY AS c (environment_id, aspect, done_at, event_id, place, done_below, event_below, place_below, position)
         CROSS JOIN LATERAL (
            SELECT node_set, content_set, done_at, event_id, place FROM aspect_sets
            WHERE environment_id = c.environment_id AND aspect = c.aspect
                AND (done_at, event_id, place) > (c.done_at, c.event_id, c.place)
                AND (c.done_below IS NULL OR (done_at, event_id, place) < (c.done_below, c.event_below, c.place_below))
            ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
         ) n"#,
        &environments,
        &aspects as &[&str],
        &times,
        &events,
        &places,
        &times_below as &[Option<DateTime<Utc>>],
        &events_below as &[Option<Uuid>],
        &places_below as &[Option<i32>]
    )
    .fetch_all(connection)
    .await?;
    let newer = newer.into_iter();
    Ok(newer
        .filter_map(|row| {
            let position = usize::try_from(row.position - 1).ok()?;
            let set = StoredSet {
                node_set: row.node_set,
                content_set: row.content_set,
                done_at: row.done_at,
                event_id: row.event_id,
                place: row.place,
            };
            Some((*indices.get(position)?, set))
        })
        .collect())
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
