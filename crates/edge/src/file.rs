//! What is answered of a file that a client stored.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FileFacts {
    /// The file's own, which its later versions keep.
    pub slug: Uuid,
    /// Its name.
    pub filename: String,
    /// The client's; several files may have it, of which the newest is found.
    pub tag: Option<String>,
    /// None: it is the project's.
    pub environment_slug: Option<String>,
    /// Where its bytes are downloaded.
    pub path: Option<String>,
    /// When this version was stored: RFC 3339, in microseconds.
    pub inserted_at: String,
    /// What is known of its bytes.
    pub metadata: FileMetadata,
}

/// What is known of a file's bytes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FileMetadata {
    /// `manifest`, `run_results`, `catalog`, `sources`, `semantic_manifest` or `other`, told from the content.
    pub kind: String,
    /// As uploaded.
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

impl FileFacts {
    /// A file, where it is and since when.
    #[must_use]
    pub fn new(
        slug: Uuid,
        filename: String,
        tag: Option<String>,
        environment_slug: Option<String>,
        inserted_at: DateTime<Utc>,
        metadata: FileMetadata,
    ) -> Self {
        let path = |environment| format!("/api/v2/datacoves/environments/{environment}/files/{slug}/download");
        Self {
            path: environment_slug.as_ref().map(path),
            slug,
            filename,
            tag,
            environment_slug,
            inserted_at: inserted_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            metadata,
        }
    }
}
