//! Changes between two manifests.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

/// A node that differs between two manifests.
#[derive(Serialize, ToSchema)]
pub(crate) struct Change {
    pub(crate) unique_id: String,
    pub(crate) resource_type: String,
    pub(crate) name: Option<String>,
    /// `added`, `removed` or `changed`.
    pub(crate) change: &'static str,
    /// For a changed node: the fields that differ, such as `raw_code` or `config`.
    pub(crate) fields: BTreeSet<String>,
}
