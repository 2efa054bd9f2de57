//! Files that clients store under tags and names.

use chrono::{DateTime, Utc};
use schemas::{DeletedFiles, EventId, FileDeleted, FilesStored, Sha256};
use sqlx::PgConnection;

use crate::text::without_nul;

/// Records the files of an event. Recording them again changes nothing.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_files(
    transaction: &mut PgConnection,
    event: EventId,
    time: DateTime<Utc>,
    stored: &FilesStored,
) -> sqlx::Result<()> {
    for (place, stored_file) in (0_i32..).zip(&stored.files) {
        let file = &stored_file.file;
        let Sha256(sha256) = file.sha256;
        sqlx::query!(
            "INSERT INTO files (event_id, place, account_id, project_id, environment_id, event_time, slug, tag, filename,
                kind, sha256, size, stored_size)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
            event.0,
            place,
            stored.account_id.0,
            stored.project_id.0,
            stored.environment_id.map(|id| id.0),
            time,
            stored_file.slug,
            stored_file.tag.as_deref().map(without_nul),
            without_nul(&file.name),
            file.kind.as_str(),
            sha256.as_slice(),
            i64::try_from(file.size).unwrap_or(i64::MAX),
            i64::try_from(file.stored_size).unwrap_or(i64::MAX)
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

/// Records that files were deleted. Earlier versions of them are no longer found, regardless of the order of the events.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn delete_files(
    transaction: &mut PgConnection,
    event: EventId,
    time: DateTime<Utc>,
    deleted: &FileDeleted,
) -> sqlx::Result<()> {
    let (slug, tag, filename) = match &deleted.files {
        DeletedFiles::Slug(slug) => (Some(*slug), None, None),
        DeletedFiles::Tag(tag) => (None, Some(without_nul(tag)), None),
        DeletedFiles::Filename(name) => (None, None, Some(without_nul(name))),
    };
    sqlx::query!(
        "INSERT INTO file_deletions (event_id, account_id, project_id, environment_id, event_time, slug, tag, filename)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        event.0,
        deleted.account_id.0,
        deleted.project_id.0,
        deleted.environment_id.map(|id| id.0),
        time,
        slug,
        tag,
        filename
    )
    .execute(transaction)
    .await?;
    Ok(())
}
