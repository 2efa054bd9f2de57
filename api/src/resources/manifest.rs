//! Manifests: where they are, and what an answer says about them.

use serde::Serialize;
use utoipa::ToSchema;

/// Where a manifest is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ManifestHref {
    /// Valid for 15 minutes, without a token.
    pub(crate) manifest_href: String,
}

/// The description of a manifest in an answer, without its contents.
#[derive(Serialize)]
pub(crate) struct AboutManifest {
    pub(crate) filename: &'static str,
    pub(crate) environment_slug: Option<String>,
    pub(crate) inserted_at: String,
}
