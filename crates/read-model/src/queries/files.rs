//! Queries for files that clients stored.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, EventId, ProjectId, Sha256};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::artifacts::sha256_of_column;
use super::page::Paging;

/// The environment or project that has files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileScope {
    /// The account of the project.
    pub account: AccountId,
    /// The project that has the files, or that the environment belongs to.
    pub project: ProjectId,
    /// The environment, or `None` for the files of the project itself.
    pub environment: Option<EnvironmentId>,
}

/// A key by which a file is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKey<'a> {
    /// The slug of the file.
    Slug(Uuid),
    /// The client's tag. The newest file with this tag is found.
    Tag(&'a str),
    /// The name of the file. The newest file with this name is found.
    Filename(&'a str),
}

/// The newest version of a file.
#[derive(Clone, Debug)]
pub struct File {
    /// The slug of the file.
    pub slug: Uuid,
    /// The client's tag.
    pub tag: Option<String>,
    /// The name of the file.
    pub filename: String,
    /// The kind of the file, such as `manifest` or `other`.
    pub kind: String,
    /// The hash of the bytes as uploaded.
    pub sha256: Sha256,
    /// The size as uploaded, in bytes.
    pub size: i64,
    /// The size in the bucket, in bytes.
    pub stored_size: i64,
    /// The slug of the environment, or `None` if the file belongs to the project itself.
    pub environment_slug: Option<String>,
    /// When this version was stored.
    pub inserted_at: DateTime<Utc>,
}

struct Row {
    slug: Uuid,
    tag: Option<String>,
    filename: String,
    kind: String,
    sha256: Vec<u8>,
    size: i64,
    stored_size: i64,
    environment_slug: Option<String>,
    event_time: DateTime<Utc>,
}

impl TryFrom<Row> for File {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            slug: row.slug,
            tag: row.tag,
            filename: row.filename,
            kind: row.kind,
            sha256: sha256_of_column(row.sha256)?,
            size: row.size,
            stored_size: row.stored_size,
            environment_slug: row.environment_slug,
            inserted_at: row.event_time,
        })
    }
}

/// Returns the newest file with this key.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn file(connection: &mut PgConnection, scope: FileScope, key: FileKey<'_>) -> sqlx::Result<Option<File>> {
    let Some(slug) = newest_slug(&mut *connection, scope, key).await? else {
        return Ok(None);
    };
    let row = sqlx::query_as!(
        Row,
        r#"SELECT f.slug AS "slug!", f.tag, f.filename AS "filename!", f.kind AS "kind!", f.sha256 AS "sha256!", f.size AS "size!",
            f.stored_size AS "stored_size!", e.slug AS "environment_slug?", f.event_time AS "event_time!"
         FROM current_files f LEFT JOIN environments e ON e.id = f.environment_id
         WHERE f.account_id = $1 AND f.project_id = $2 AND f.environment_id IS NOT DISTINCT FROM $3 AND f.slug = $4"#,
        scope.account.0,
        scope.project.0,
        scope.environment.map(|id| id.0),
        slug
    )
    .fetch_optional(connection)
    .await?;
    row.map(File::try_from).transpose()
}

async fn newest_slug(connection: &mut PgConnection, scope: FileScope, key: FileKey<'_>) -> sqlx::Result<Option<Uuid>> {
    let (account, project) = (scope.account.0, scope.project.0);
    let environment = scope.environment.map(|id| id.0);
    match key {
        FileKey::Slug(slug) => Ok(Some(slug)),
        FileKey::Tag(tag) => {
            sqlx::query_scalar!(
                r#"SELECT slug AS "slug!" FROM current_files
                 WHERE account_id = $1 AND project_id = $2 AND environment_id IS NOT DISTINCT FROM $3
                    AND md5(tag) = md5($4) AND tag = $4
                 ORDER BY event_time DESC, event_id DESC, place DESC LIMIT 1"#,
                account,
                project,
                environment,
                tag
            )
            .fetch_optional(connection)
            .await
        }
        FileKey::Filename(name) => {
            sqlx::query_scalar!(
                r#"SELECT slug AS "slug!" FROM current_files
                 WHERE account_id = $1 AND project_id = $2 AND environment_id IS NOT DISTINCT FROM $3
                    AND md5(filename) = md5($4) AND filename = $4
                 ORDER BY event_time DESC, event_id DESC, place DESC LIMIT 1"#,
                account,
                project,
                environment,
                name
            )
            .fetch_optional(connection)
            .await
        }
    }
}

/// Returns the files of an environment, or all files of a project, with the newest first, and the number of all of them.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn files(connection: &mut PgConnection, scope: FileScope, paging: Paging) -> sqlx::Result<(Vec<File>, i64)> {
    let environment = scope.environment.map(|id| id.0);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT f.slug AS "slug!", f.tag, f.filename AS "filename!", f.kind AS "kind!", f.sha256 AS "sha256!", f.size AS "size!",
            f.stored_size AS "stored_size!", e.slug AS "environment_slug?", f.event_time AS "event_time!"
         FROM current_files f LEFT JOIN environments e ON e.id = f.environment_id
         WHERE f.account_id = $1 AND f.project_id = $2 AND ($3::bigint IS NULL OR f.environment_id = $3)
         ORDER BY f.event_time DESC, f.event_id DESC, f.place DESC LIMIT $4 OFFSET $5"#,
        scope.account.0,
        scope.project.0,
        environment,
        paging.limit,
        paging.offset
    )
    .fetch_all(&mut *connection)
    .await?;
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM current_files
         WHERE account_id = $1 AND project_id = $2 AND ($3::bigint IS NULL OR environment_id = $3)"#,
        scope.account.0,
        scope.project.0,
        environment
    )
    .fetch_one(connection)
    .await?;
    Ok((
        rows.into_iter().map(File::try_from).collect::<sqlx::Result<_>>()?,
        total,
    ))
}

/// Whether this event was applied, so that its data can be queried.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn is_applied(database: impl PgExecutor<'_>, event: EventId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ledger WHERE event_id = $1) AS "exists!""#,
        event.0
    )
    .fetch_one(database)
    .await
}
