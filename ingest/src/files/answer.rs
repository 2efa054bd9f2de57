//! What is answered of a file.

use chrono::{DateTime, SecondsFormat, Utc};
use schemas::StoredFile;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// One file or several.
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer<T> {
    pub(crate) data: T,
}

/// A stored file. Its contents are not repeated: the routes that read files have them.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Described {
    /// The file's own, which its later versions keep.
    pub(crate) slug: Uuid,
    filename: String,
    /// The client's; several files may have it, of which the newest is found.
    tag: Option<String>,
    /// Always null here.
    #[schema(value_type = Option<Object>)]
    contents: Option<()>,
    environment_slug: Option<String>,
    /// Where its bytes are downloaded.
    path: Option<String>,
    inserted_at: String,
    metadata: FileMetadata,
}

/// What is known of a file's bytes.
#[derive(Clone, Serialize, ToSchema)]
struct FileMetadata {
    /// `manifest`, `run_results`, `catalog`, `sources`, `semantic_manifest` or `other`, told from the content.
    kind: &'static str,
    size: u64,
    /// In hexadecimal digits.
    sha256: String,
}

impl Described {
    pub(crate) fn new(stored: &StoredFile, time: DateTime<Utc>) -> Self {
        Self {
            slug: stored.slug,
            filename: stored.file.name.clone(),
            tag: stored.tag.clone(),
            contents: None,
            environment_slug: None,
            path: None,
            inserted_at: time.to_rfc3339_opts(SecondsFormat::Micros, true),
            metadata: FileMetadata {
                kind: stored.file.kind.as_str(),
                size: stored.file.size,
                sha256: stored.file.sha256.to_string(),
            },
        }
    }

    /// Of an environment of this slug.
    pub(crate) fn of_environment(mut self, slug: &str) -> Self {
        self.path = Some(format!(
            "/api/v2/datacoves/environments/{slug}/files/{}/download",
            self.slug
        ));
        self.environment_slug = Some(slug.to_owned());
        self
    }
}
