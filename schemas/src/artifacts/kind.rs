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
            Self::SemanticManifest => Some("semantic_manifest.json"),
            Self::Other => None,
        }
    }
}
