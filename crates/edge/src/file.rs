//! Describes a file that a client stored.

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemas::{AccountId, ProjectId};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::UPLOAD_PREFIX;

/// A stored file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FileFacts {
    /// The file's id. Later versions keep it.
    pub slug: Uuid,
    /// The file's name.
    pub filename: String,
    /// The tag that the client gave the file. If several files have the same tag, the newest one is found.
    pub tag: Option<String>,
    /// The environment, or null if the file belongs to a project.
    pub environment_slug: Option<String>,
    /// The path to download the file from. For a project's file, it leads to the newest file with this name.
    pub path: String,
    /// When this version was stored, in RFC 3339 with microseconds.
    #[schema(format = DateTime)]
    pub inserted_at: String,
    /// The kind, size and checksum of the file.
    pub metadata: FileMetadata,
}

/// The kind, size and checksum of a file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FileMetadata {
    /// `manifest`, `run_results`, `catalog`, `sources`, `semantic_manifest` or `other`, detected from the content.
    pub kind: String,
    /// The size in bytes as uploaded.
    pub size: u64,
    /// The SHA-256 in hexadecimal.
    pub sha256: String,
}

/// All characters except the unreserved ones (RFC 3986).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The owner of a file.
#[derive(Clone, Debug)]
pub enum FileOwner {
    /// The environment with this slug.
    Environment(String),
    /// A project.
    Project(AccountId, ProjectId),
}

impl FileFacts {
    /// Describes a file, with a download path that depends on its owner.
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
                let path = format!("{UPLOAD_PREFIX}/environments/{environment}/files/{slug}/download");
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
