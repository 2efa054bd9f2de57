//! The kinds of files that dbt writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of an uploaded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// The whole project: nodes, sources, macros and their dependencies.
    Manifest,
    /// The results of a command for each node.
    RunResults,
    /// The columns of the tables in the warehouse.
    Catalog,
    /// The freshness of sources.
    Sources,
    /// The freshness of sources and models, as dbt 2 writes it.
    Freshness,
    /// Semantic models and metrics, for MetricFlow.
    SemanticManifest,
    /// Any other file, stored unchanged.
    Other,
}

impl ArtifactKind {
    /// All kinds that dbt names.
    pub const NAMED: [Self; 6] = [
        Self::Manifest,
        Self::RunResults,
        Self::Catalog,
        Self::Sources,
        Self::Freshness,
        Self::SemanticManifest,
    ];

    /// The name in events and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::RunResults => "run_results",
            Self::Catalog => "catalog",
            Self::Sources => "sources",
            Self::Freshness => "freshness",
            Self::SemanticManifest => "semantic_manifest",
            Self::Other => "other",
        }
    }

    /// Returns the kind with this name. A name from another version becomes `Other`.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self::NAMED
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .unwrap_or(Self::Other)
    }

    /// The file name that dbt uses and clients request.
    #[must_use]
    pub fn file_name(self) -> Option<&'static str> {
        match self {
            Self::Manifest => Some("manifest.json"),
            Self::RunResults => Some("run_results.json"),
            Self::Catalog => Some("catalog.json"),
            Self::Sources => Some("sources.json"),
            Self::Freshness => Some("freshness.json"),
            Self::SemanticManifest => Some("semantic_manifest.json"),
            Self::Other => None,
        }
    }

    /// Whether dbt uses this file name for an artifact.
    #[must_use]
    pub fn has_file_name(name: &str) -> bool {
        let named = name.strip_suffix(".json").map(Self::of_name);
        named.is_some_and(|kind| kind.file_name() == Some(name))
    }

    /// Returns the kind for a `metadata.dbt_schema_version` such as `https://schemas.getdbt.com/dbt/run-results/v6.json`.
    #[must_use]
    pub fn of_schema(dbt_schema_version: &str) -> Option<Self> {
        let kinds = [
            ("/manifest/", Self::Manifest),
            ("/run-results/", Self::RunResults),
            ("/catalog/", Self::Catalog),
            ("/sources/", Self::Sources),
            ("/freshness/", Self::Freshness),
        ];
        let named = kinds.into_iter().find(|(part, _)| dbt_schema_version.contains(part));
        named.map(|(_, kind)| kind)
    }

    /// Whether the file is a list of results, either of a command or of freshness checks.
    #[must_use]
    pub fn is_results(self) -> bool {
        matches!(self, Self::RunResults | Self::Sources | Self::Freshness)
    }
}
