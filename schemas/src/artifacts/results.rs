//! What dbt did to each node: run results, and how fresh sources and models are. Of all versions, from the unversioned files of dbt 0.18 on.

mod command;
mod outcome;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

pub use outcome::{Failure, Outcome};

use super::ArtifactKind;
use super::raw::{Entries, integer, list, number, object_of};
use super::scan::read_time;
use crate::Sha256;
use command::Command;

/// Fields of a result that are large and stand elsewhere too.
const LEFT_OUT: [&str; 3] = ["compiled_code", "compiled", "node"];

/// The results of one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// Run results, sources or freshness.
    pub kind: ArtifactKind,
    /// The command's name, such as `build`; none in old files.
    pub which: Option<String>,
    /// The command as it was typed, such as `dbt build --select orders`.
    pub command: Option<String>,
    /// The same for all commands with the same name, selection, macro and arguments; none where the file does not say them.
    pub command_key: Option<Sha256>,
    /// Whether the command built with `--empty` or `--sample`.
    pub is_limited: bool,
    /// Whether it lists work of dbt Core (1.6 and later) that leaves traces in the manifest of the invocation, unless that was interrupted.
    pub leaves_traces: bool,
    /// How long it took, in seconds.
    pub elapsed_time: Option<f64>,
    /// In the order of the file.
    pub results: Vec<NodeResult>,
}

/// What became of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeResult {
    /// dbt's id of the node.
    pub unique_id: String,
    /// In small letters: `success`, `error`, `skipped`, `pass`, `fail`, `warn`, `runtime error`, `partial success`, `no-op`, `reused`, or
    /// what a newer dbt says.
    pub status: String,
    /// What it means.
    pub outcome: Outcome,
    /// What dbt or the warehouse said.
    pub message: Option<String>,
    /// Of a test: the rows that failed.
    pub failures: Option<i64>,
    /// As the adapter tells.
    pub rows_affected: Option<i64>,
    /// In seconds.
    pub execution_time: Option<f64>,
    /// dbt's thread.
    pub thread_id: Option<String>,
    /// When it was compiled.
    pub compile: Span,
    /// When it was executed. Skipped nodes have no times.
    pub execute: Span,
    /// What the adapter said, a JSON object of its own kind.
    pub adapter_response: Option<String>,
    /// Of a source: when its newest row was loaded.
    pub max_loaded_at: Option<DateTime<Utc>>,
    /// Of a source: when that was asked.
    pub snapshotted_at: Option<DateTime<Utc>>,
    /// Of a source: the age of its newest row then, in seconds.
    pub age: Option<f64>,
    /// Of a source: how old it may be, a JSON object with `warn_after`, `error_after` and `filter`.
    pub criteria: Option<String>,
    /// Whether it was built batch by batch.
    pub has_batches: bool,
    /// The result as it stands in the file, a JSON object, without the code and what old files repeat of the node.
    pub json: Vec<u8>,
}

/// From when to when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
}

impl Results {
    pub(super) fn read(file: &Entries<'_>) -> Self {
        let metadata = file.get("metadata").and_then(Entries::of);
        let version = metadata
            .as_ref()
            .and_then(|metadata| metadata.text("dbt_schema_version"));
        let named = version.and_then(|version| ArtifactKind::of_schema(&version));
        let args = file.get("args").and_then(Entries::of);
        let mut command = args.as_ref().map(Command::of).unwrap_or_default();
        // Before dbt 0.19 the freshness of sources had its times in `meta`.
        let meta = file.get("meta").and_then(Entries::of);
        let elapsed = file
            .get("elapsed_time")
            .or_else(|| meta.as_ref()?.get("elapsed_time"))
            .and_then(number);
        let mut results: Vec<NodeResult> = match file.get("results").and_then(list) {
            Some(results) => results
                .into_iter()
                .filter_map(|result| NodeResult::read(None, result, &command))
                .collect(),
            None => file
                .get("sources")
                .and_then(Entries::of)
                .map(|sources| {
                    let result = |(unique_id, result): &(std::borrow::Cow<'_, str>, &RawValue)| {
                        NodeResult::read(Some(unique_id), result, &command)
                    };
                    sources.0.iter().filter_map(result).collect()
                })
                .unwrap_or_default(),
        };
        let looks_fresh = results.iter().any(NodeResult::has_freshness) || file.get("results").is_none();
        let kind = match named.filter(|kind| kind.is_results()) {
            Some(kind) => kind,
            None if looks_fresh => ArtifactKind::Sources,
            None => ArtifactKind::RunResults,
        };
        if kind == ArtifactKind::RunResults {
            outcome::mark_hidden_failures(&mut results);
        } else {
            command = Command::freshness();
            for result in &mut results {
                result.outcome = Outcome::of_freshness(&result.status);
            }
        }
        let leaves_traces = command.is_of_core && command.compiles() && results.iter().any(NodeResult::leaves_traces);
        Self {
            kind,
            which: command.which,
            command: command.text,
            command_key: command.key,
            is_limited: command.is_limited,
            leaves_traces,
            elapsed_time: elapsed,
            results,
        }
    }

    /// Whether the command attempted anything at a node of the manifest, not only at hooks, macros and inline queries.
    #[must_use]
    pub fn touches_nodes(&self) -> bool {
        let touches = |result: &NodeResult| result.outcome.is_attempt && result.is_of_node();
        self.results.iter().any(touches)
    }

    /// Whether a hook of the project failed while nodes were worked on.
    #[must_use]
    pub fn has_failed_hook(&self) -> bool {
        let failed =
            |result: &NodeResult| result.is_hook() && result.outcome.is_attempt && result.outcome.failure.is_some();
        self.results.iter().any(failed)
    }
}

impl NodeResult {
    /// Reads a result as [`NodeResult::json`] holds it; none when it is no object that names a node.
    #[must_use]
    pub fn from_json(json: &[u8]) -> Option<Self> {
        Self::read(None, serde_json::from_slice(json).ok()?, &Command::default())
    }

    /// Whether it says how fresh a source is.
    fn has_freshness(&self) -> bool {
        self.max_loaded_at.is_some() || self.criteria.is_some()
    }

    /// Whether it is of a hook: dbt lists those of `on-run-start` and `on-run-end` among the results.
    #[must_use]
    pub fn is_hook(&self) -> bool {
        self.unique_id.starts_with("operation.")
    }

    /// Whether it is of a node of the manifest, and not of a hook, a macro that was called or an inline query.
    fn is_of_node(&self) -> bool {
        let others = ["operation.", "macro.", "sql_operation.", "sql operation."];
        // dbt 2 names a macro that was called without its package.
        self.unique_id.contains('.') && !others.iter().any(|other| self.unique_id.starts_with(other))
    }

    /// Whether it was compiled to be run. Microbatch models are compiled batch by batch, and the manifest does not tell.
    fn leaves_traces(&self) -> bool {
        let was_done = ["success", "pass", "warn", "fail"].contains(&self.status.as_str());
        let is_compiled = ["model.", "test.", "snapshot.", "seed."]
            .iter()
            .any(|kind| self.unique_id.starts_with(kind));
        was_done && is_compiled && self.outcome.is_attempt && !self.has_batches
    }

    fn is_test(&self) -> bool {
        self.unique_id.starts_with("test.") || self.unique_id.starts_with("unit_test.")
    }

    /// When the work upon the node ended.
    #[must_use]
    pub fn completed_at(&self) -> Option<DateTime<Utc>> {
        self.execute
            .completed_at
            .or(self.compile.completed_at)
            .or(self.snapshotted_at)
    }

    fn read(key: Option<&str>, value: &RawValue, command: &Command) -> Option<Self> {
        let entries = Entries::of(value)?;
        // Before dbt 0.19 a result holds the whole node.
        let node = entries.get("node").and_then(Entries::of);
        let owned = |value: std::borrow::Cow<'_, str>| value.into_owned();
        let unique_id = entries
            .text("unique_id")
            .or_else(|| node.as_ref()?.text("unique_id"))
            .map(owned)
            .or_else(|| key.map(str::to_owned))?;
        let get = |key: &str| entries.get(key);
        let time = |key: &str| entries.text(key).as_deref().and_then(read_time);
        let timing = get("timing").and_then(list).unwrap_or_default();
        let span = |name: &str| {
            let mut entries = timing.iter().rev().filter_map(|value| Entries::of(value));
            let named = entries.find(|entries| entries.text("name").is_some_and(|found| found == name));
            named.map_or_else(Span::default, |entries| Span {
                started_at: entries.text("started_at").as_deref().and_then(read_time),
                completed_at: entries.text("completed_at").as_deref().and_then(read_time),
            })
        };
        let adapter_response = get("adapter_response").filter(|response| Entries::of(response).is_some());
        let rows_affected = adapter_response
            .and_then(Entries::of)
            .and_then(|response| response.get("rows_affected"))
            .and_then(integer);
        let failures = get("failures").and_then(integer);
        let is_test = unique_id.starts_with("test.");
        let (status, has_old_status) = match (node.is_some(), entries.text("status").or_else(|| entries.text("state")))
        {
            (false, Some(status)) => (status.to_lowercase(), false),
            (_, status) => (old_status(&entries, is_test), status.is_some()),
        };
        let mut result = Self {
            outcome: Outcome::default(),
            message: entries.text("message").or_else(|| entries.text("error")).map(owned),
            failures,
            rows_affected,
            execution_time: get("execution_time").and_then(number),
            thread_id: entries.text("thread_id").map(owned),
            compile: span("compile"),
            execute: span("execute"),
            adapter_response: adapter_response.map(|response| response.get().to_owned()),
            max_loaded_at: time("max_loaded_at"),
            snapshotted_at: time("snapshotted_at"),
            age: get("max_loaded_at_time_ago_in_s").and_then(number),
            criteria: get("criteria").map(|criteria| criteria.get().to_owned()),
            has_batches: get("batch_results").is_some(),
            json: json_of(&entries, &unique_id),
            unique_id,
            status,
        };
        result.outcome = if node.is_some() {
            Outcome::of_old_result(&result, has_old_status)
        } else {
            Outcome::of_result(&result, command)
        };
        Some(result)
    }
}

/// Before dbt 0.20 tests had no status, before 0.19 nodes neither: marks say what became of them.
fn old_status(entries: &Entries<'_>, is_test: bool) -> String {
    let marked = |key: &str| entries.text(key).is_some_and(|mark| mark == "true");
    let status = if entries.text("error").is_some() {
        "error"
    } else if marked("fail") {
        "fail"
    } else if marked("skip") {
        "skipped"
    } else if marked("warn") {
        "warn"
    } else if is_test {
        "pass"
    } else {
        "success"
    };
    status.to_owned()
}

fn json_of(entries: &Entries<'_>, unique_id: &str) -> Vec<u8> {
    let id = serde_json::value::to_raw_value(unique_id).ok();
    let id = id.as_deref().filter(|_| entries.text("unique_id").is_none());
    let kept = entries.0.iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_ref()));
    let kept: Vec<(&str, &RawValue)> = kept
        .map(|(key, value)| (key.as_ref(), *value))
        .chain(id.map(|id| ("unique_id", id)))
        .collect();
    object_of(&kept)
}
