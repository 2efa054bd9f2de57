//! Records the sets of uploads.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, EventId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::heads::point_heads;
use super::{AspectSet, CATALOG, COMPILED_CODE, Uploaded};

/// Records the sets of uploads, under [`crate::placement::lock_placement`]. It changes one row for each set, and the heads of the nodes whose
/// content differs in the new sets.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn note_aspects(transaction: &mut PgConnection, events: &[EventId]) -> sqlx::Result<()> {
    // If a set was uploaded several times, only the newest upload matters.
    let mut newest: HashMap<(EnvironmentId, AspectSet), Noting> = HashMap::new();
    for noting in sets_of_uploads(transaction, events).await? {
        match newest.entry((noting.environment, noting.uploaded.set.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(noting);
            }
            Entry::Occupied(mut entry) => {
                if noting.uploaded.age() > entry.get().uploaded.age() {
                    entry.insert(noting);
                }
            }
        }
    }
    if newest.is_empty() {
        return Ok(());
    }
    let sets: Vec<Noting> = newest.into_values().collect();
    let stored = upsert_sets(transaction, &sets).await?;
    let mut sets: Vec<Noting> = (1..)
        .zip(sets)
        .filter_map(|(position, noting)| {
            Some(Noting {
                has_newer: *stored.get(&position)?,
                ..noting
            })
        })
        .collect();
    sets.sort_by_key(|noting| Reverse(noting.uploaded.age()));
    point_heads(transaction, &sets).await
}

/// An uploaded set, and where it is recorded.
pub(super) struct Noting {
    pub(super) account: AccountId,
    pub(super) environment: EnvironmentId,
    pub(super) uploaded: Uploaded,
    /// Whether the environment may have a newer set. It is assumed until [`upsert_sets`] has compared them.
    pub(super) has_newer: bool,
}

/// Returns the sets of the files of uploads, without those of retired dbt projects.
async fn sets_of_uploads(connection: &mut PgConnection, events: &[EventId]) -> sqlx::Result<Vec<Noting>> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.0).collect();
    let rows = sqlx::query!(
        r#"SELECT a.account_id AS "account_id!", a.environment_id AS "environment_id!", $2 AS "aspect!", a.dbt_project AS "dbt_project!",
            m.node_set AS "node_set!", m.compiled_set AS "content_set!", a.done_at AS "done_at!", a.event_id AS "event_id!", a.place AS "place!"
         FROM artifacts a JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
         WHERE a.event_id = ANY($1) AND a.kind = 'manifest' AND NOT a.pruned AND m.compiled_set IS NOT NULL
            AND NOT EXISTS (SELECT FROM retired_projects r WHERE r.environment_id = a.environment_id
                AND md5(r.dbt_project) = md5(a.dbt_project) AND r.retired_at >= a.done_at)
         UNION ALL
         SELECT a.account_id, a.environment_id, $3, '', ''::bytea, c.catalog_set, a.done_at, a.event_id, a.place
         FROM artifacts a JOIN catalogs c ON c.account_id = a.account_id AND c.sha256 = a.sha256
         WHERE a.event_id = ANY($1) AND a.kind = 'catalog' AND NOT a.pruned"#,
        &ids,
        COMPILED_CODE,
        CATALOG
    )
    .fetch_all(connection)
    .await?;
    let sets = rows.into_iter().map(|row| {
        let uploaded = Uploaded {
            set: AspectSet {
                aspect: row.aspect,
                dbt_project: row.dbt_project,
                node_set: row.node_set,
                content_set: row.content_set,
            },
            done_at: row.done_at,
            event_id: row.event_id,
            place: row.place,
        };
        Noting {
            account: AccountId(row.account_id),
            environment: EnvironmentId(row.environment_id),
            uploaded,
            has_newer: true,
        }
    });
    Ok(sets.collect())
}

/// Stores sets, and returns the positions, counted from 1, of those that may point heads: not of those that are stored with a later time, or
/// that were the newest of their environment already. Returns with each whether its environment has a newer set.
pub(super) async fn upsert_sets(transaction: &mut PgConnection, sets: &[Noting]) -> sqlx::Result<HashMap<i64, bool>> {
    let accounts: Vec<i64> = sets.iter().map(|noting| noting.account.0).collect();
    let environments: Vec<i64> = sets.iter().map(|noting| noting.environment.0).collect();
    let uploaded = || sets.iter().map(|noting| &noting.uploaded);
    let aspects: Vec<&str> = uploaded().map(|one| one.set.aspect.as_str()).collect();
    let projects: Vec<&str> = uploaded().map(|one| one.set.dbt_project.as_str()).collect();
    let node_sets: Vec<&[u8]> = uploaded().map(|one| one.set.node_set.as_slice()).collect();
    let content_sets: Vec<&[u8]> = uploaded().map(|one| one.set.content_set.as_slice()).collect();
    let times: Vec<DateTime<Utc>> = uploaded().map(|one| one.done_at).collect();
    let events: Vec<Uuid> = uploaded().map(|one| one.event_id).collect();
    let places: Vec<i32> = uploaded().map(|one| one.place).collect();
    let stored = sqlx::query!(
        r#"WITH new AS MATERIALIZED (
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::timestamptz[], $8::uuid[],
                $9::integer[])
                WITH ORDINALITY AS n (account_id, environment_id, aspect, dbt_project, node_set, content_set, done_at, event_id, place, position)
         ), stored AS (
            INSERT INTO aspect_sets AS s (account_id, environment_id, aspect, dbt_project, node_set, content_set, done_at, event_id, place)
            SELECT account_id, environment_id, aspect, dbt_project, node_set, content_set, done_at, event_id, place FROM new
            ON CONFLICT (environment_id, aspect, md5(dbt_project), node_set, content_set, account_id)
            DO UPDATE SET done_at = excluded.done_at, event_id = excluded.event_id, place = excluded.place
                WHERE (excluded.done_at, excluded.event_id, excluded.place) > (s.done_at, s.event_id, s.place)
            RETURNING id, environment_id, aspect, dbt_project, node_set, content_set
         )
         SELECT n.position AS "position!", coalesce((newest.done_at, newest.event_id, newest.place) > (n.done_at, n.event_id, n.place), false)
                OR EXISTS (SELECT FROM new o WHERE o.environment_id = n.environment_id AND o.aspect = n.aspect
                    AND (o.done_at, o.event_id, o.place) > (n.done_at, n.event_id, n.place)) AS "has_newer!"
         FROM new n JOIN stored s USING (environment_id, aspect, dbt_project, node_set, content_set)
         -- The newest set before this statement, which does not see what it stores.
         LEFT JOIN LATERAL (SELECT id, done_at, event_id, place FROM aspect_sets WHERE environment_id = n.environment_id AND aspect = n.aspect
            ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1) newest ON true
         WHERE newest.id IS DISTINCT FROM s.id"#,
        &accounts,
        &environments,
        &aspects as &[&str],
        &projects as &[&str],
        &node_sets as &[&[u8]],
        &content_sets as &[&[u8]],
        &times,
        &events,
        &places
    )
    .fetch_all(transaction)
    .await?;
    Ok(stored.into_iter().map(|row| (row.position, row.has_newer)).collect())
}
