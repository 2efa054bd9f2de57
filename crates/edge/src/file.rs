//! What is answered of a file that a client stored.

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemas::{AccountId, ProjectId};
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
    /// Where its bytes are downloaded. Of a project's file: those of the newest of its name.
    pub path: String,
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

/// All but the unreserved characters (RFC 3986).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a file belongs to.
#[derive(Clone, Debug)]
pub enum FileOwner {
    /// The environment of this slug.
    Environment(String),
    /// A project.
    Project(AccountId, ProjectId),
}

impl FileFacts {
    /// A file, whose it is and since when.
    #[must_use]
    pub fn new(
        slug: Uuid,
        filename: String,
        tag: Option<String>,
        owner: FileOwner,
        inserted_at: DateTime<Utc>,
        metadata: FileMetadata,
    ) -> Self {
        let (path, environment_slug) = match owner {
            FileOwner::Environment(environment) => {
                let path = format!("/api/v2/datacoves/environments/{environment}/files/{slug}/download");
                (path, Some(environment))
            }
            FileOwner::Project(account, project) => {
                let name = utf8_percent_encode(&filename, RESERVED);
                let path = format!("/api/v3/accounts/{account}/projects/{project}/files/{name}/download");
                (path, None)
            }
        };
        Self {
            path,
            slug,
            filename,
            tag,
            environment_slug,
            inserted_at: inserted_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            metadata,
        }
    }
}
