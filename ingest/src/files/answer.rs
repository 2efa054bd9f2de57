//! The answers about stored files.

use chrono::{DateTime, Utc};
use edge::{FileFacts, FileMetadata, FileOwner};
use schemas::StoredFile;
use serde::Serialize;
use utoipa::ToSchema;

/// One or more stored files.
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer<T> {
    pub(crate) data: T,
}

/// A stored file, without its contents: the routes that read files return them.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Described {
    #[serde(flatten)]
    pub(crate) facts: FileFacts,
    /// Always null here.
    #[schema(value_type = Option<Object>)]
    contents: Option<()>,
}

impl Described {
    pub(crate) fn new(stored: &StoredFile, owner: FileOwner, time: DateTime<Utc>) -> Self {
        let metadata = FileMetadata {
            kind: stored.file.kind.as_str().to_owned(),
            size: stored.file.size,
            sha256: stored.file.sha256.to_string(),
        };
        let (filename, tag) = (stored.file.name.clone(), stored.tag.clone());
        Self {
            facts: FileFacts::new(stored.slug, filename, tag, owner, time, metadata),
            contents: None,
        }
    }
}
