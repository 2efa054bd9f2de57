//! Tracks where the newest compiled code and the newest catalog entry of each node come from.
//!
//! A file of dbt covers only some nodes: `dbt test` compiles only tests, and `dbt docs generate --select` lists only the selected nodes.
//! Therefore every pair of a manifest's nodes and code, and every set of catalog tables, that was uploaded to an environment is stored with
//! the time of its newest upload. Each node has a head, which points to the content in the newest set that includes the node.

mod heads;
mod noting;

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use self::heads::{add_heads, nodes_in, sets_of};
pub use self::noting::note_aspects;
use self::noting::{Noting, upsert_sets};
use crate::queries::aspects::node_set_of_environment;

/// The aspects: each node has its own newest source for each of them.
const COMPILED_CODE: &str = "compiled_code";
const CATALOG: &str = "catalog";

/// A set of contents that was uploaded to an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct AspectSet {
    aspect: String,
    dbt_project: String,
    /// The node set of a manifest. It is empty for a catalog.
    node_set: Vec<u8>,
    content_set: Vec<u8>,
}

/// The set of a file, and when dbt wrote the file.
struct Uploaded {
    set: AspectSet,
    done_at: DateTime<Utc>,
    event_id: Uuid,
    place: i32,
}

/// The sets that some files added to an environment.
#[derive(Clone, Debug)]
pub struct FileAspects {
    sets: Vec<AspectSet>,
    /// The nodes in these sets.
    nodes: Vec<Uuid>,
}

/// Returns the environments of an account that have files with these contents.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn environments_of_files(
    connection: &mut PgConnection,
    account: AccountId,
    files: &[Sha256],
) -> sqlx::Result<Vec<EnvironmentId>> {
    let hashes: Vec<&[u8]> = files.iter().map(|hash| hash.0.as_slice()).collect();
    let ids = sqlx::query_scalar!(
        "SELECT DISTINCT environment_id FROM artifacts WHERE account_id = $1 AND sha256 = ANY($2::bytea[])",
        account.0,
        &hashes as &[&[u8]]
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(EnvironmentId).collect())
}

/// Returns the sets that files with these contents added to an environment. Call it before the contents are removed.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn aspects_of_files(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    files: &[Sha256],
) -> sqlx::Result<FileAspects> {
    let uploaded = uploaded_sets(connection, account, environment, files, true).await?;
    let mut sets: Vec<AspectSet> = uploaded.into_iter().map(|uploaded| uploaded.set).collect();
    sets.sort();
    sets.dedup();
    let nodes = nodes_of_sets(connection, account, &sets).await?;
    Ok(FileAspects { sets, nodes })
}

async fn uploaded_sets(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    files: &[Sha256],
    even_if_retired: bool,
) -> sqlx::Result<Vec<Uploaded>> {
    let hashes: Vec<&[u8]> = files.iter().map(|hash| hash.0.as_slice()).collect();
    let rows = sqlx::query!(
        r#"SELECT $4 AS "aspect!", a.dbt_project AS "dbt_project!", m.node_set AS "node_set!", m.compiled_set AS "content_set!",
            a.done_at AS "done_at!", a.event_id AS "event_id!", a.place AS "place!"
         FROM artifacts a JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
         WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = ANY($3::bytea[]) AND a.kind = 'manifest' AND NOT a.pruned
            AND m.compiled_set IS NOT NULL
            AND ($6 OR NOT EXISTS (SELECT FROM retired_projects r WHERE r.environment_id = $2
                AND md5(r.dbt_project) = md5(a.dbt_project) AND r.retired_at >= a.done_at))
         UNION ALL
         SELECT $5, '', ''::bytea, c.catalog_set, a.done_at, a.event_id, a.place
         FROM artifacts a JOIN catalogs c ON c.account_id = a.account_id AND c.sha256 = a.sha256
         WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = ANY($3::bytea[]) AND a.kind = 'catalog' AND NOT a.pruned"#,
        account.0,
        environment.0,
        &hashes as &[&[u8]],
        COMPILED_CODE,
        CATALOG,
        even_if_retired
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Uploaded {
            set: AspectSet {
                aspect: row.aspect,
                dbt_project: row.dbt_project,
                node_set: row.node_set,
                content_set: row.content_set,
            },
            done_at: row.done_at,
            event_id: row.event_id,
            place: row.place,
        })
        .collect())
}

impl Uploaded {
    /// What decides which of two uploads is newer.
    fn age(&self) -> (DateTime<Utc>, Uuid, i32) {
        (self.done_at, self.event_id, self.place)
    }
}

async fn nodes_of_sets(
    connection: &mut PgConnection,
    account: AccountId,
    sets: &[AspectSet],
) -> sqlx::Result<Vec<Uuid>> {
    let mut nodes = Vec::new();
    for set in sets {
        let found = sqlx::query_scalar!(
            r#"SELECT DISTINCT node_md5 AS "node_md5!" FROM aspect_members
             WHERE account_id = $1 AND aspect = $2 AND node_set = $3 AND content_set = $4"#,
            account.0,
            set.aspect,
            set.node_set,
            set.content_set
        )
        .fetch_all(&mut *connection)
        .await?;
        nodes.extend(found);
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

/// Recomputes the sets of these files, and the heads of the nodes in them, from the files that remain after uploads were removed.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn recompute_aspects(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    FileAspects { sets, nodes }: &FileAspects,
) -> sqlx::Result<()> {
    for set in sets {
        recompute_set(transaction, account, environment, set).await?;
    }
    for aspect in [COMPILED_CODE, CATALOG] {
        if !sets.iter().any(|set| set.aspect == aspect) {
            continue;
        }
        sqlx::query!(
            "DELETE FROM aspect_heads WHERE environment_id = $1 AND aspect = $2 AND node_md5 = ANY($3)",
            environment.0,
            aspect,
            nodes
        )
        .execute(&mut *transaction)
        .await?;
        let mut without = nodes.clone();
        for set in sets_of(transaction, environment, aspect).await? {
            if without.is_empty() {
                break;
            }
            let found = add_heads(transaction, account, environment, aspect, &set, &without).await?;
            without.retain(|node| !found.contains(node));
        }
    }
    Ok(())
}

async fn recompute_set(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    set: &AspectSet,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM aspect_sets
         WHERE environment_id = $1 AND aspect = $2 AND md5(dbt_project) = md5($3) AND node_set = $4 AND content_set = $5",
        environment.0,
        set.aspect,
        set.dbt_project,
        set.node_set,
        set.content_set
    )
    .execute(&mut *transaction)
    .await?;
    let contents = if set.aspect == CATALOG {
        sqlx::query_scalar!(
            "SELECT sha256 FROM catalogs WHERE account_id = $1 AND catalog_set = $2",
            account.0,
            set.content_set
        )
        .fetch_all(&mut *transaction)
        .await?
    } else {
        sqlx::query_scalar!(
            "SELECT sha256 FROM manifests WHERE account_id = $1 AND node_set = $2 AND compiled_set = $3",
            account.0,
            set.node_set,
            set.content_set
        )
        .fetch_all(&mut *transaction)
        .await?
    };
    let contents: Vec<Sha256> = contents
        .into_iter()
        .filter_map(|hash| Some(Sha256(hash.try_into().ok()?)))
        .collect();
    let uploads = uploaded_sets(transaction, account, environment, &contents, false).await?;
    let newest = uploads
        .into_iter()
        .filter(|uploaded| uploaded.set == *set)
        .max_by_key(Uploaded::age);
    if let Some(uploaded) = newest {
        let noting = Noting {
            account,
            environment,
            uploaded,
            has_newer: true,
        };
        upsert_sets(transaction, &[noting]).await?;
    }
    Ok(())
}

/// The uploads, by event and place in it, that hold the newest compiled code or catalog entry of a node that is defined: of one environment,
/// or of all in the account.
///
/// # Errors
/// Returns an error if the query fails.
pub(crate) async fn uploads_in_use(
    connection: &mut PgConnection,
    account: AccountId,
    environment: Option<EnvironmentId>,
) -> sqlx::Result<Vec<(Uuid, i32)>> {
    let pairs = sqlx::query!(
        r#"SELECT DISTINCT environment_id, aspect FROM aspect_sets
         WHERE account_id = $1 AND ($2::bigint IS NULL OR environment_id = $2)"#,
        account.0,
        environment.map(|id| id.0)
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut uploads = Vec::new();
    for pair in pairs {
        let environment = EnvironmentId(pair.environment_id);
        let mut nodes = defined_nodes_with_heads(connection, account, environment, &pair.aspect).await?;
        for set in sets_of(connection, environment, &pair.aspect).await? {
            if nodes.is_empty() {
                break;
            }
            let found = nodes_in(connection, account, &pair.aspect, &set, &nodes).await?;
            if !found.is_empty() {
                uploads.push((set.event_id, set.place));
                nodes.retain(|node| !found.contains(node));
            }
        }
    }
    Ok(uploads)
}

async fn defined_nodes_with_heads(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    aspect: &str,
) -> sqlx::Result<Vec<Uuid>> {
    let Some(node_set) = node_set_of_environment(connection, account, environment).await? else {
        return Ok(Vec::new());
    };
    sqlx::query_scalar!(
        r#"WITH defined AS MATERIALIZED (
            SELECT DISTINCT md5(n.unique_id)::uuid AS node_md5 FROM node_sets s
            CROSS JOIN LATERAL unnest(s.node_ids) AS u (id) JOIN nodes n ON n.id = u.id
            WHERE s.account_id = $1 AND s.hash = $4
         )
         SELECT h.node_md5 FROM aspect_heads h JOIN defined d ON d.node_md5 = h.node_md5
         WHERE h.environment_id = $2 AND h.aspect = $3"#,
        account.0,
        environment.0,
        aspect,
        node_set.0.as_slice()
    )
    .fetch_all(connection)
    .await
}
