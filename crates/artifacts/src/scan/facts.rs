//! Collects facts during a scan and derives the kind of the file from them.

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};

use super::{ScanError, Scanned};
use schemas::ArtifactKind;

/// The number of keys that an error lists.
const KEYS_NAMED: usize = 12;

/// The top-level keys that identify the kind of a file.
const IDENTIFYING: [&str; 9] = [
    "nodes",
    "macros",
    "sources",
    "results",
    "semantic_models",
    "metrics",
    "project_configuration",
    "meta",
    "generated_at",
];

#[derive(Default)]
pub(super) struct Facts {
    /// The identifying keys that were seen at the top level, as bits.
    seen: u16,
    /// The first top-level keys, listed in the error.
    keys: Vec<String>,
    /// The current top-level key.
    section: String,
    /// The current key one level below.
    entry: String,
    /// Whether an entry of `results` has a key that only freshness results have.
    freshness: bool,
    dbt_schema_version: Option<String>,
    dbt_version: Option<String>,
    invocation_id: Option<String>,
    generated_at: Option<String>,
}

impl Facts {
    /// Whether the content of this string matters. `depth` is the number of open brackets.
    pub(super) fn wants(&self, depth: usize, is_key: bool) -> bool {
        if is_key {
            depth == 1
                || (depth == 2 && self.section == "metadata")
                || (depth == 3 && self.section == "results" && !self.freshness)
        } else {
            (depth == 1 && self.section == "generated_at") || (depth == 2 && self.section == "metadata")
        }
    }

    pub(super) fn key(&mut self, depth: usize, text: &[u8]) {
        match depth {
            1 => {
                let key = String::from_utf8_lossy(text).into_owned();
                if let Some(index) = IDENTIFYING.iter().position(|identifying| *identifying == key) {
                    self.seen |= 1 << index;
                }
                if self.keys.len() < KEYS_NAMED {
                    self.keys.push(key.clone());
                }
                self.section = key;
            }
            2 if self.section == "metadata" => self.entry = String::from_utf8_lossy(text).into_owned(),
            3 if self.section == "results" => {
                self.freshness |= matches!(text, b"max_loaded_at" | b"snapshotted_at" | b"criteria");
            }
            _ => {}
        }
    }

    pub(super) fn string(&mut self, depth: usize, text: &[u8]) {
        let value = || Some(String::from_utf8_lossy(text).into_owned());
        if depth == 1 && self.section == "generated_at" {
            self.generated_at = value();
        } else if depth == 2 && self.section == "metadata" {
            match self.entry.as_str() {
                "dbt_schema_version" => self.dbt_schema_version = value(),
                "dbt_version" => self.dbt_version = value(),
                "invocation_id" => self.invocation_id = value(),
                "generated_at" => self.generated_at = value(),
                _ => {}
            }
        }
    }

    pub(super) fn conclude(self) -> Result<Scanned, ScanError> {
        let Some(kind) = self.kind() else {
            let found = match self.keys.as_slice() {
                [] => "it is an empty object".to_owned(),
                keys => format!("its keys are {}", keys.join(", ")),
            };
            return Err(ScanError::NotAnArtifact { found });
        };
        Ok(Scanned {
            kind,
            dbt_schema_version: self.dbt_schema_version,
            dbt_version: self.dbt_version,
            invocation_id: self.invocation_id,
            generated_at: self.generated_at.as_deref().and_then(read_time),
        })
    }

    fn has(&self, key: &str) -> bool {
        IDENTIFYING
            .iter()
            .position(|identifying| *identifying == key)
            .is_some_and(|index| self.seen & (1 << index) != 0)
    }

    fn kind(&self) -> Option<ArtifactKind> {
        let version = self.dbt_schema_version.as_deref();
        let named = version.and_then(ArtifactKind::of_schema);
        // Trimmed manifests have no macros, but they keep their metadata.
        if self.has("nodes") && (self.has("macros") || named == Some(ArtifactKind::Manifest)) {
            Some(ArtifactKind::Manifest)
        } else if self.has("results") {
            // The version takes precedence: an empty list has no structure, and freshness checks that ended in an error look like run
            // results.
            let by_shape = if self.freshness {
                ArtifactKind::Sources
            } else {
                ArtifactKind::RunResults
            };
            Some(named.filter(|kind| kind.is_results()).unwrap_or(by_shape))
        } else if self.has("nodes")
            && (self.has("sources") || named == Some(ArtifactKind::Catalog) || self.has("generated_at"))
        {
            // Catalogs before dbt 0.19 list the sources among the nodes.
            Some(ArtifactKind::Catalog)
        } else if self.has("semantic_models") && self.has("metrics") && self.has("project_configuration") {
            Some(ArtifactKind::SemanticManifest)
        } else if self.has("meta") && self.has("sources") {
            // This is a freshness file from before dbt 0.19.
            Some(ArtifactKind::Sources)
        } else {
            None
        }
    }
}

/// Parses a time in any form that a dbt version writes: with `Z`, with an offset, or without either, which means UTC. The year in UTC must
/// have four digits, since PostgreSQL cannot store all other years.
pub(crate) fn read_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|time| time.and_utc()))
        .ok()
        .filter(|time| (0..=9999).contains(&time.year()))
}
