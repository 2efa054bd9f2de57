//! Files that clients store under tags and names.

use chrono::{DateTime, Utc};
use schemas::{DeletedFiles, EventId, FileDeleted, FilesStored};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::text::without_nul;

/// The event that stored files.
#[derive(Clone, Debug)]
pub struct StoredBy {
    /// The id of the event, by which the ledger knows it.
    pub event: EventId,
    /// When the files were accepted.
    pub time: DateTime<Utc>,
    /// Its data, with all files.
    pub stored: FilesStored,
}

/// Records the files of events. Recording them again changes nothing.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_files(transaction: &mut PgConnection, events: &[StoredBy]) -> sqlx::Result<()> {
    let mut rows = FileRows::default();
    for event in events {
        rows.push(event);
    }
    if rows.event_ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO files (event_id, place, account_id, project_id, environment_id, event_time, slug, tag, filename,
            kind, sha256, size, stored_size)
         SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::uuid[], $8::text[],
            $9::text[], $10::text[], $11::bytea[], $12::bigint[], $13::bigint[])
         ON CONFLICT DO NOTHING",
        &rows.event_ids,
        &rows.places,
        &rows.account_ids,
        &rows.project_ids,
        &rows.environment_ids as &[Option<i64>],
        &rows.event_times,
        &rows.slugs,
        &rows.tags as &[Option<String>],
        &rows.filenames,
        &rows.kinds as &[&str],
        &rows.hashes,
        &rows.sizes,
        &rows.stored_sizes
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// The columns of new rows of `files`.
#[derive(Default)]
struct FileRows {
    event_ids: Vec<Uuid>,
    places: Vec<i32>,
    account_ids: Vec<i64>,
    project_ids: Vec<i64>,
    environment_ids: Vec<Option<i64>>,
    event_times: Vec<DateTime<Utc>>,
    slugs: Vec<Uuid>,
    tags: Vec<Option<String>>,
    filenames: Vec<String>,
    kinds: Vec<&'static str>,
    hashes: Vec<Vec<u8>>,
    sizes: Vec<i64>,
    stored_sizes: Vec<i64>,
}

impl FileRows {
    fn push(&mut self, StoredBy { event, time, stored }: &StoredBy) {
        for (place, stored_file) in (0_i32..).zip(&stored.files) {
            let file = &stored_file.file;
            self.event_ids.push(event.0);
            self.places.push(place);
            self.account_ids.push(stored.account_id.0);
            self.project_ids.push(stored.project_id.0);
            self.environment_ids.push(stored.environment_id.map(|id| id.0));
            self.event_times.push(*time);
            self.slugs.push(stored_file.slug);
            self.tags.push(stored_file.tag.as_deref().map(without_nul));
            self.filenames.push(without_nul(&file.name));
            self.kinds.push(file.kind.as_str());
            self.hashes.push(file.sha256.0.to_vec());
            self.sizes.push(i64::try_from(file.size).unwrap_or(i64::MAX));
            self.stored_sizes
                .push(i64::try_from(file.stored_size).unwrap_or(i64::MAX));
        }
    }
}

/// A deletion of files.
#[derive(Clone, Debug)]
pub struct DeletedBy {
    /// The event that records the deletion.
    pub event: EventId,
    /// When the files were deleted.
    pub time: DateTime<Utc>,
    /// Which files.
    pub deleted: FileDeleted,
}

/// Records that files were deleted. Earlier versions of them are no longer found, regardless of the order of the events.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn delete_files(transaction: &mut PgConnection, deletions: &[DeletedBy]) -> sqlx::Result<()> {
    if deletions.is_empty() {
        return Ok(());
    }
    let deleted = || deletions.iter().map(|one| &one.deleted);
    let events: Vec<Uuid> = deletions.iter().map(|one| one.event.0).collect();
    let accounts: Vec<i64> = deleted().map(|one| one.account_id.0).collect();
    let projects: Vec<i64> = deleted().map(|one| one.project_id.0).collect();
    let environments: Vec<Option<i64>> = deleted().map(|one| one.environment_id.map(|id| id.0)).collect();
    let times: Vec<DateTime<Utc>> = deletions.iter().map(|one| one.time).collect();
    let (mut slugs, mut tags, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for one in deleted() {
        let (slug, tag, name) = match &one.files {
            DeletedFiles::Slug(slug) => (Some(*slug), None, None),
            DeletedFiles::Tag(tag) => (None, Some(without_nul(tag)), None),
            DeletedFiles::Filename(name) => (None, None, Some(without_nul(name))),
        };
        slugs.push(slug);
        tags.push(tag);
        names.push(name);
    }
    sqlx::query!(
        "INSERT INTO file_deletions (event_id, account_id, project_id, environment_id, event_time, slug, tag, filename)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::uuid[], $7::text[], $8::text[])
         ON CONFLICT DO NOTHING",
        &events,
        &accounts,
        &projects,
        &environments as &[Option<i64>],
        &times,
        &slugs as &[Option<Uuid>],
        &tags as &[Option<String>],
        &names as &[Option<String>]
    )
    .execute(transaction)
    .await?;
    Ok(())
}
