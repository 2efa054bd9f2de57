//! The dbt projects of an environment or of a run, whose nodes are shown together.

mod several;

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId, Sha256};
use sqlx::PgConnection;

pub use self::several::{OlderManifest, environments_of_several_projects, older_manifests, runs_of_several_projects};
use crate::manifests::{Sets, stored_sets};

/// The maximum number of dbt projects that an environment shows together.
const MAX_PROJECTS: usize = 50;

/// The newest manifest of a dbt project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectManifest {
    /// dbt's name for the project. It is empty if the name is not known.
    pub dbt_project: String,
    /// When dbt wrote the manifest.
    pub done_at: DateTime<Utc>,
    /// The key of the manifest's nodes.
    node_set: Vec<u8>,
    /// The hash of the manifest's bytes.
    pub(crate) sha256: Vec<u8>,
    is_retired: bool,
}

/// Returns the newest manifest of each dbt project of an environment, sorted from the oldest to the newest.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn projects_of_environment(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
) -> sqlx::Result<Vec<ProjectManifest>> {
    // The query jumps from project to project in the index, since an environment has thousands of manifests of a few projects.
    let rows = sqlx::query!(
        r#"WITH RECURSIVE projects AS (
            (SELECT md5(dbt_project) AS begin FROM artifacts
             WHERE account_id = $1 AND environment_id = $2 AND kind = 'manifest' AND NOT pruned
             ORDER BY md5(dbt_project) LIMIT 1)
            UNION ALL
            SELECT (SELECT md5(a.dbt_project) FROM artifacts a
                WHERE a.account_id = $1 AND a.environment_id = $2 AND a.kind = 'manifest' AND NOT a.pruned
                    AND md5(a.dbt_project) > p.begin
                ORDER BY md5(a.dbt_project) LIMIT 1)
            FROM projects p WHERE p.begin IS NOT NULL
        )
        SELECT a.dbt_project AS "dbt_project!", a.done_at AS "done_at!", m.node_set, a.sha256,
            EXISTS (SELECT FROM retired_projects r WHERE r.environment_id = $2 AND md5(r.dbt_project) = md5(a.dbt_project)
                AND r.retired_at >= a.done_at) AS "is_retired!"
        FROM projects p CROSS JOIN LATERAL (
            SELECT dbt_project, done_at, event_id, place, sha256 FROM artifacts
            WHERE account_id = $1 AND environment_id = $2 AND kind = 'manifest' AND NOT pruned AND md5(dbt_project) = p.begin
            ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
        ) a JOIN manifests m ON m.account_id = $1 AND m.sha256 = a.sha256
        ORDER BY a.done_at, a.event_id, a.place"#,
        account.0,
        environment.0
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ProjectManifest {
            dbt_project: row.dbt_project,
            done_at: row.done_at,
            node_set: row.node_set,
            sha256: row.sha256,
            is_retired: row.is_retired,
        })
        .collect())
}

pub(crate) async fn projects_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
) -> sqlx::Result<Vec<ProjectManifest>> {
    let rows = sqlx::query!(
        r#"SELECT * FROM (
            SELECT DISTINCT ON (a.dbt_project) a.dbt_project AS "dbt_project!", a.done_at AS "done_at!", m.node_set, a.sha256,
                a.event_id, a.place
            FROM artifacts a JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
            WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'manifest'
            ORDER BY a.dbt_project, a.done_at DESC, a.event_id DESC, a.place DESC
        ) newest ORDER BY "done_at!", event_id, place"#,
        account.0,
        run.0
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ProjectManifest {
            dbt_project: row.dbt_project,
            done_at: row.done_at,
            node_set: row.node_set,
            sha256: row.sha256,
            is_retired: false,
        })
        .collect())
}

/// The projects whose nodes are shown: those that were not retired. The ones that were generated last are kept, since uploads can contain
/// any number of project names.
pub(crate) fn shown(projects: &[ProjectManifest]) -> Vec<&ProjectManifest> {
    let mut shown: Vec<&ProjectManifest> = projects.iter().filter(|project| !project.is_retired).collect();
    shown.drain(..shown.len().saturating_sub(MAX_PROJECTS));
    shown
}

/// Recomputes which nodes an environment shows, under [`crate::placement::lock_placement`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn refresh_environment_nodes(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    projects: &[ProjectManifest],
) -> sqlx::Result<()> {
    let shown = shown(projects);
    let is_plain = shown.len() == projects.len() && projects.len() < 2;
    set_current(transaction, account, environment, 0, &shown, is_plain).await
}

/// Recomputes which nodes a run shows, under [`crate::placement::lock_placement`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn refresh_run_nodes(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: RunId,
) -> sqlx::Result<()> {
    let projects = projects_of_run(transaction, account, run).await?;
    let shown: Vec<&ProjectManifest> = projects.iter().collect();
    set_current(transaction, account, environment, run.0, &shown, shown.len() < 2).await
}

/// Prevents others from storing and removing the account's merged sets, which environments share, until the transaction ends. Call it after
/// [`crate::placement::lock_placement`].
async fn lock_merged_sets(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('dbt-api merged node sets ' || current_schema(), $1))",
        account.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Records the nodes to show. `is_plain` means that they are simply the nodes of the newest manifest, which needs no row.
async fn set_current(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: i64,
    projects: &[&ProjectManifest],
    is_plain: bool,
) -> sqlx::Result<()> {
    let before = sqlx::query!(
        "SELECT hash, spare FROM current_node_sets WHERE environment_id = $1 AND run_id = $2",
        environment.0,
        run
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if projects.len() > 1 || before.is_some() {
        lock_merged_sets(transaction, account).await?;
    }
    let hash = match projects {
        [] => None,
        [one] => Some(one.node_set.clone()),
        several => Some(merge(transaction, account, several).await?.0.to_vec()),
    };
    if is_plain && before.is_none() || !is_plain && before.as_ref().is_some_and(|before| before.hash == hash) {
        return Ok(());
    }
    let (was, spare) = before.map(|before| (before.hash, before.spare)).unwrap_or_default();
    if is_plain {
        sqlx::query!(
            "DELETE FROM current_node_sets WHERE environment_id = $1 AND run_id = $2",
            environment.0,
            run
        )
        .execute(&mut *transaction)
        .await?;
    } else {
        sqlx::query!(
            "INSERT INTO current_node_sets (account_id, environment_id, run_id, hash, spare) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (environment_id, run_id, account_id) DO UPDATE SET hash = excluded.hash, spare = excluded.spare",
            account.0,
            environment.0,
            run,
            hash,
            was
        )
        .execute(&mut *transaction)
        .await?;
    }
    for unused in [was.filter(|_| is_plain), spare].into_iter().flatten() {
        if Some(&unused) != hash.as_ref() {
            forget_unused(transaction, account, &unused).await?;
        }
    }
    Ok(())
}

/// Stores the nodes of several projects as one set. If two projects contain the same node, because both use its package, the definition
/// comes from the project with the package's name, or else from the newest project.
async fn merge(
    transaction: &mut PgConnection,
    account: AccountId,
    projects: &[&ProjectManifest],
) -> sqlx::Result<Sha256> {
    let mut sorted = projects.to_vec();
    sorted.sort_by(|one, other| one.dbt_project.cmp(&other.dbt_project));
    let (plain, ordered) = (hash_of(&sorted, "in any order"), hash_of(projects, "the newest last"));
    let wanted = Sets {
        nodes: vec![(account, plain), (account, ordered)],
        texts: Vec::new(),
    };
    let stored = stored_sets(transaction, &wanted).await?;
    for known in [plain, ordered] {
        if stored.nodes.contains(&(account, known)) {
            return Ok(known);
        }
    }
    let names: Vec<&str> = projects.iter().map(|project| project.dbt_project.as_str()).collect();
    let sets: Vec<&[u8]> = projects.iter().map(|project| project.node_set.as_slice()).collect();
    // Usually no node is defined differently in another project, so it makes no difference which one was uploaded last.
    let is_order_decisive = sqlx::query_scalar!(
        r#"SELECT EXISTS (
            SELECT FROM unnest($2::text[], $3::bytea[]) AS p (dbt_project, node_set)
            JOIN node_sets s ON s.account_id = $1 AND s.hash = p.node_set
            CROSS JOIN LATERAL unnest(s.node_ids) AS u (id) JOIN nodes n ON n.account_id = $1 AND n.id = u.id
            GROUP BY s.resource_type, n.unique_id
            HAVING count(DISTINCT n.id) > 1 AND NOT coalesce(bool_or(n.package_name = p.dbt_project), false)
         ) AS "exists!""#,
        account.0,
        &names as &[&str],
        &sets as &[&[u8]]
    )
    .fetch_one(&mut *transaction)
    .await?;
    let hash = if is_order_decisive { ordered } else { plain };
    sqlx::query!(
        r#"INSERT INTO node_sets (account_id, hash, resource_type, node_ids)
         SELECT $1, $2, resource_type, array_agg(id ORDER BY unique_id COLLATE "C", id) FROM (
            SELECT DISTINCT ON (s.resource_type, n.unique_id) s.resource_type, n.unique_id, n.id
            FROM unnest($3::text[], $4::bytea[]) WITH ORDINALITY AS p (dbt_project, node_set, rank)
            JOIN node_sets s ON s.account_id = $1 AND s.hash = p.node_set
            CROSS JOIN LATERAL unnest(s.node_ids) AS u (id) JOIN nodes n ON n.account_id = $1 AND n.id = u.id
            ORDER BY s.resource_type, n.unique_id, coalesce(n.package_name = p.dbt_project, false) DESC, p.rank DESC, n.hash
         ) AS nodes GROUP BY resource_type
         ON CONFLICT DO NOTHING"#,
        account.0,
        hash.0.as_slice(),
        &names as &[&str],
        &sets as &[&[u8]]
    )
    .execute(transaction)
    .await?;
    Ok(hash)
}

fn hash_of(projects: &[&ProjectManifest], order: &str) -> Sha256 {
    let mut all = format!("several projects, {order}").into_bytes();
    for project in projects {
        all.extend((project.dbt_project.len() as u64).to_be_bytes());
        all.extend(project.dbt_project.as_bytes());
        all.extend(&project.node_set);
    }
    Sha256::of(&all)
}

/// Removes a merged set that nothing shows any more.
async fn forget_unused(transaction: &mut PgConnection, account: AccountId, hash: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM node_sets s WHERE s.account_id = $1 AND s.hash = $2
            AND NOT EXISTS (SELECT FROM manifests m WHERE m.account_id = $1 AND m.node_set = $2)
            AND NOT EXISTS (SELECT FROM current_node_sets c WHERE c.account_id = $1 AND (c.hash = $2 OR c.spare = $2))",
        account.0,
        hash
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Records that a dbt project was removed from an environment. Returns true if that is new or later than what was known.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn retire_project(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    dbt_project: &str,
    at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "INSERT INTO retired_projects AS r (account_id, environment_id, dbt_project, retired_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (environment_id, md5(dbt_project), account_id) DO UPDATE SET retired_at = excluded.retired_at
            WHERE excluded.retired_at > r.retired_at",
        account.0,
        environment.0,
        dbt_project,
        at
    )
    .execute(transaction)
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// Returns the contents of all manifests of a dbt project in an environment that were written up to this time.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn manifests_of_project(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    dbt_project: &str,
    until: DateTime<Utc>,
) -> sqlx::Result<Vec<Sha256>> {
    let hashes = sqlx::query_scalar!(
        "SELECT DISTINCT sha256 FROM artifacts
         WHERE account_id = $1 AND environment_id = $2 AND kind = 'manifest' AND NOT pruned AND md5(dbt_project) = md5($3)
            AND dbt_project = $3 AND done_at <= $4",
        account.0,
        environment.0,
        dbt_project,
        until
    )
    .fetch_all(connection)
    .await?;
    Ok(hashes
        .into_iter()
        .filter_map(|hash| Some(Sha256(hash.try_into().ok()?)))
        .collect())
}
