//! Data of nodes that each has its own newest source: compiled code, the macros that nodes call, and catalog entries.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projects::{projects_of_environment, projects_of_run, shown};

/// A part of a node's state, and the upload that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aspect {
    /// The content, to be read with [`crate::doc::decode_doc`].
    pub doc: Option<Vec<u8>>,
    /// The event of the upload. It is not known if more than 200 newer files have to be looked through.
    pub event_id: Option<Uuid>,
    /// The kind of the file, such as `manifest`.
    pub kind: Option<String>,
    /// The name of the file, such as `manifest.json`.
    pub name: Option<String>,
    /// When dbt wrote the file.
    pub written_at: Option<DateTime<Utc>>,
    /// When the upload was accepted.
    pub uploaded_at: Option<DateTime<Utc>>,
    /// The run of the file.
    pub run_id: Option<i64>,
}

/// Returns the newest compiled code of a node in an environment or in one of its runs.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn compiled_code(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    (resource_type, unique_id): (&str, &str),
) -> sqlx::Result<Option<Aspect>> {
    let Some(run) = run else {
        // The upload is the newest with this code. No older one than the head's is looked at.
        return sqlx::query_as!(
            Aspect,
            r#"SELECT t.text AS doc, a.event_id AS "event_id?", a.kind AS "kind?", a.name AS "name?", a.done_at AS "written_at?", a.event_time AS "uploaded_at?",
                a.run_id AS "run_id?"
             FROM aspect_heads h JOIN texts t ON t.account_id = $1 AND t.id = h.content_id
             LEFT JOIN LATERAL (
                SELECT f.* FROM (
                    SELECT event_id, place, kind, name, done_at, event_time, run_id, sha256 FROM artifacts
                    WHERE account_id = $1 AND environment_id = $2 AND kind = 'manifest' AND NOT pruned AND done_at >= h.pointed_at
                    ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 200
                ) f
                JOIN manifests m ON m.account_id = $1 AND m.sha256 = f.sha256
                JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = $3
                JOIN text_sets k ON k.account_id = $1 AND k.hash = m.compiled_set AND k.resource_type = $3
                WHERE h.content_id = ANY(k.text_ids) AND EXISTS (
                    SELECT FROM nodes n WHERE n.account_id = $1 AND md5(n.unique_id) = md5($4) AND n.unique_id = $4
                        AND k.text_ids[array_position(s.node_ids, n.id)] = h.content_id)
                ORDER BY f.done_at DESC, f.event_id DESC, f.place DESC LIMIT 1
             ) a ON true
             WHERE h.account_id = $1 AND h.environment_id = $2 AND h.aspect = 'compiled_code' AND h.node_md5 = md5($4)::uuid"#,
            account.0,
            environment.0,
            resource_type,
            unique_id
        )
        .fetch_optional(connection)
        .await;
    };
    sqlx::query_as!(
        Aspect,
        r#"SELECT t.text AS doc, a.event_id AS "event_id?", a.kind AS "kind?", a.name AS "name?", a.done_at AS "written_at?", a.event_time AS "uploaded_at?",
            a.run_id
         FROM artifacts a
         JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
         JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = $3
         JOIN text_sets k ON k.account_id = $1 AND k.hash = m.compiled_set AND k.resource_type = $3
         JOIN nodes n ON n.account_id = $1 AND md5(n.unique_id) = md5($4) AND n.unique_id = $4
         JOIN texts t ON t.account_id = $1 AND t.id = k.text_ids[array_position(s.node_ids, n.id)]
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'manifest'
         ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1"#,
        account.0,
        run.0,
        resource_type,
        unique_id
    )
    .fetch_optional(connection)
    .await
}

/// Returns the macros that a node calls as a JSON list, if they are known. The list comes from the manifest that defines the node in an
/// environment or in one of its runs, and so does the upload.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn definition(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    (resource_type, unique_id): (&str, &str),
) -> sqlx::Result<Option<Aspect>> {
    let projects = match run {
        Some(run) => projects_of_run(connection, account, run).await?,
        None => projects_of_environment(connection, account, environment).await?,
    };
    let shown = shown(&projects);
    let names: Vec<&str> = shown.iter().map(|project| project.dbt_project.as_str()).collect();
    let manifests: Vec<&[u8]> = shown.iter().map(|project| project.sha256.as_slice()).collect();
    sqlx::query_as!(
        Aspect,
        r#"SELECT t.text AS "doc?", a.event_id AS "event_id?", a.kind AS "kind?", a.name AS "name?", a.done_at AS "written_at?", a.event_time AS "uploaded_at?",
            a.run_id AS "run_id?"
         FROM unnest($2::bytea[], $5::text[]) WITH ORDINALITY AS p (sha256, dbt_project, rank)
         JOIN manifests m ON m.account_id = $1 AND m.sha256 = p.sha256
         JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = $3
         JOIN nodes n ON n.account_id = $1 AND md5(n.unique_id) = md5($4) AND n.unique_id = $4 AND n.id = ANY(s.node_ids)
         LEFT JOIN text_sets k ON k.account_id = $1 AND k.hash = m.macro_set AND k.resource_type = $3
         LEFT JOIN texts t ON t.account_id = $1 AND t.id = k.text_ids[array_position(s.node_ids, n.id)]
         LEFT JOIN LATERAL (
            SELECT event_id, kind, name, done_at, event_time, run_id FROM artifacts
            WHERE account_id = $1 AND sha256 = p.sha256 AND environment_id = $6 AND kind = 'manifest'
                AND ($7::bigint IS NULL OR run_id = $7)
            ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
         ) a ON true
         ORDER BY coalesce(n.package_name = p.dbt_project, false) DESC, p.rank DESC LIMIT 1"#,
        account.0,
        &manifests as &[&[u8]],
        resource_type,
        unique_id,
        &names as &[&str],
        environment.0,
        run.map(|run| run.0)
    )
    .fetch_optional(connection)
    .await
}

/// Returns the newest catalog entry of a node in an environment or in one of its runs.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn catalog_entry(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    unique_id: &str,
) -> sqlx::Result<Option<Aspect>> {
    let Some(run) = run else {
        return sqlx::query_as!(
            Aspect,
            r#"SELECT n.doc, a.event_id AS "event_id?", a.kind AS "kind?", a.name AS "name?", a.done_at AS "written_at?", a.event_time AS "uploaded_at?",
                a.run_id AS "run_id?"
             FROM aspect_heads h JOIN catalog_nodes n ON n.account_id = $1 AND n.id = h.content_id
             LEFT JOIN LATERAL (
                SELECT f.* FROM (
                    SELECT event_id, place, kind, name, done_at, event_time, run_id, sha256 FROM artifacts
                    WHERE account_id = $1 AND environment_id = $2 AND kind = 'catalog' AND NOT pruned AND done_at >= h.pointed_at
                    ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 200
                ) f
                JOIN catalogs c ON c.account_id = $1 AND c.sha256 = f.sha256
                JOIN catalog_sets s ON s.account_id = $1 AND s.hash = c.catalog_set AND h.content_id = ANY(s.node_ids)
                ORDER BY f.done_at DESC, f.event_id DESC, f.place DESC LIMIT 1
             ) a ON true
             WHERE h.account_id = $1 AND h.environment_id = $2 AND h.aspect = 'catalog' AND h.node_md5 = md5($3)::uuid
                AND n.unique_id = $3"#,
            account.0,
            environment.0,
            unique_id
        )
        .fetch_optional(connection)
        .await;
    };
    sqlx::query_as!(
        Aspect,
        r#"SELECT n.doc, a.event_id AS "event_id?", a.kind AS "kind?", a.name AS "name?", a.done_at AS "written_at?", a.event_time AS "uploaded_at?", a.run_id
         FROM artifacts a
         JOIN catalogs c ON c.account_id = a.account_id AND c.sha256 = a.sha256
         JOIN catalog_sets s ON s.account_id = $1 AND s.hash = c.catalog_set
         JOIN catalog_nodes n ON n.account_id = $1 AND md5(n.unique_id) = md5($3) AND n.unique_id = $3
            AND n.id = ANY(s.node_ids)
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'catalog'
         ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1"#,
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
