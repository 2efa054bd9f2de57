//! The kinds of files that dbt writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an uploaded file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// The whole project: nodes, sources, macros and how they depend on each other.
    Manifest,
    /// What a command did to each node.
    RunResults,
    /// The columns that the warehouse has.
    Catalog,
    /// How fresh the sources are.
    Sources,
    /// How fresh sources and models are, as dbt 2 writes it.
    Freshness,
    /// Semantic models and metrics, for MetricFlow.
    SemanticManifest,
    /// Anything else; kept as it is.
    Other,
}

impl ArtifactKind {
    /// As it is written in events and tables.
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

    /// The one that is written so; any other word is of another version, and `Other` to this.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let named = [
            Self::Manifest,
            Self::RunResults,
            Self::Catalog,
            Self::Sources,
            Self::Freshness,
            Self::SemanticManifest,
        ];
        named
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .unwrap_or(Self::Other)
    }

    /// The name that dbt gives the file, and under which clients ask for it.
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

    /// Whether dbt gives this name to an artifact.
    #[must_use]
    pub fn has_file_name(name: &str) -> bool {
        let named = name.strip_suffix(".json").map(Self::of_name);
        named.is_some_and(|kind| kind.file_name() == Some(name))
    }

    /// The kind that `metadata.dbt_schema_version` names, such as `https://schemas.getdbt.com/dbt/run-results/v6.json`.
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

    /// Whether it is a list of results: what a command did, or how fresh something is.
    #[must_use]
    pub fn is_results(self) -> bool {
        matches!(self, Self::RunResults | Self::Sources | Self::Freshness)
    }
}
