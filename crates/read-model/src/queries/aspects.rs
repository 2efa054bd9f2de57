//! Data of nodes that each has its own newest source: compiled code, the macros that nodes call, and catalog entries.

use schemas::{AccountId, EnvironmentId, RunId, Sha256};
use sqlx::PgConnection;

use crate::projects::{projects_of_environment, projects_of_run, shown};

/// Returns the newest compiled code of a node in an environment or in one of its runs, to be read with [`crate::doc::decode_doc`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn compiled_code(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    (resource_type, unique_id): (&str, &str),
) -> sqlx::Result<Option<Vec<u8>>> {
    let Some(run) = run else {
        return sqlx::query_scalar!(
            "SELECT t.text FROM aspect_heads h JOIN texts t ON t.account_id = $1 AND t.id = h.content_id
             WHERE h.account_id = $1 AND h.environment_id = $2 AND h.aspect = 'compiled_code' AND h.node_md5 = md5($3)::uuid",
            account.0,
            environment.0,
            unique_id
        )
        .fetch_optional(connection)
        .await;
    };
    sqlx::query_scalar!(
        "SELECT t.text FROM artifacts a
         JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
         JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = $3
         JOIN text_sets k ON k.account_id = $1 AND k.hash = m.compiled_set AND k.resource_type = $3
         JOIN nodes n ON n.account_id = $1 AND md5(n.unique_id) = md5($4) AND n.unique_id = $4
         JOIN texts t ON t.account_id = $1 AND t.id = k.text_ids[array_position(s.node_ids, n.id)]
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'manifest'
         ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1",
        account.0,
        run.0,
        resource_type,
        unique_id
    )
    .fetch_optional(connection)
    .await
}

/// Returns the macros that a node calls as a JSON list, to be read with [`crate::doc::decode_doc`]. The list comes from the manifest that defines
/// the node in an environment or in one of its runs.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn called_macros(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    (resource_type, unique_id): (&str, &str),
) -> sqlx::Result<Option<Vec<u8>>> {
    let projects = match run {
        Some(run) => projects_of_run(connection, account, run).await?,
        None => projects_of_environment(connection, account, environment).await?,
    };
    let shown = shown(&projects);
    let names: Vec<&str> = shown.iter().map(|project| project.dbt_project.as_str()).collect();
    let manifests: Vec<&[u8]> = shown.iter().map(|project| project.sha256.as_slice()).collect();
    sqlx::query_scalar!(
        "SELECT t.text FROM unnest($2::bytea[], $5::text[]) WITH ORDINALITY AS a (sha256, dbt_project, rank)
         JOIN manifests m ON m.account_id = $1 AND m.sha256 = a.sha256
         JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = $3
         JOIN text_sets k ON k.account_id = $1 AND k.hash = m.macro_set AND k.resource_type = $3
         JOIN nodes n ON n.account_id = $1 AND md5(n.unique_id) = md5($4) AND n.unique_id = $4
         JOIN texts t ON t.account_id = $1 AND t.id = k.text_ids[array_position(s.node_ids, n.id)]
         ORDER BY coalesce(n.package_name = a.dbt_project, false) DESC, a.rank DESC LIMIT 1",
        account.0,
        &manifests as &[&[u8]],
        resource_type,
        unique_id,
        &names as &[&str]
    )
    .fetch_optional(connection)
    .await
}

/// Returns the newest catalog entry of a node in an environment or in one of its runs, to be read with [`crate::doc::decode_doc`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn catalog_entry(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    unique_id: &str,
) -> sqlx::Result<Option<Vec<u8>>> {
    let Some(run) = run else {
        return sqlx::query_scalar!(
            "SELECT n.doc FROM aspect_heads h JOIN catalog_nodes n ON n.account_id = $1 AND n.id = h.content_id
             WHERE h.account_id = $1 AND h.environment_id = $2 AND h.aspect = 'catalog' AND h.node_md5 = md5($3)::uuid
                AND n.unique_id = $3",
            account.0,
            environment.0,
            unique_id
        )
        .fetch_optional(connection)
        .await;
    };
    sqlx::query_scalar!(
        "SELECT n.doc FROM artifacts a
         JOIN catalogs c ON c.account_id = a.account_id AND c.sha256 = a.sha256
         JOIN catalog_sets s ON s.account_id = $1 AND s.hash = c.catalog_set
         JOIN catalog_nodes n ON n.account_id = $1 AND md5(n.unique_id) = md5($3) AND n.unique_id = $3
            AND n.id = ANY(s.node_ids)
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'catalog'
         ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1",
        account.0,
        run.0,
        unique_id
    )
    .fetch_optional(connection)
    .await
}

/// Returns the key of the set of nodes that the newest manifests of an environment define. Returns `None` if no manifest was uploaded or
/// all of the dbt projects were retired.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn node_set_of_environment(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
) -> sqlx::Result<Option<Sha256>> {
    let hash = sqlx::query_scalar!(
        "SELECT hash FROM (
            SELECT hash, 1 AS rank FROM current_node_sets WHERE account_id = $1 AND environment_id = $2 AND run_id = 0
            UNION ALL
            (SELECT m.node_set, 2 FROM artifacts a JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
             WHERE a.account_id = $1 AND a.environment_id = $2 AND a.kind = 'manifest'
             ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1)
         ) found ORDER BY rank LIMIT 1",
        account.0,
        environment.0
    )
    .fetch_optional(connection)
    .await?;
    hash.flatten().map(super::artifacts::sha256_of_column).transpose()
}

/// Returns the key of the set of nodes that the newest manifests of a run define.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn node_set_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: RunId,
) -> sqlx::Result<Option<Sha256>> {
    let hash = sqlx::query_scalar!(
        "SELECT hash FROM (
            SELECT hash, 1 AS rank FROM current_node_sets WHERE account_id = $1 AND environment_id = $2 AND run_id = $3
            UNION ALL
            (SELECT m.node_set, 2 FROM artifacts a JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
             WHERE a.account_id = $1 AND a.run_id = $3 AND a.kind = 'manifest'
             ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1)
         ) found ORDER BY rank LIMIT 1",
        account.0,
        environment.0,
        run.0
    )
    .fetch_optional(connection)
    .await?;
    hash.flatten().map(super::artifacts::sha256_of_column).transpose()
}
