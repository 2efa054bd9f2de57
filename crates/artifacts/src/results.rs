//! The results of dbt for each node: run results, and the freshness of sources and models. All versions are supported, from the unversioned
//! files of dbt 0.18 on.

mod command;
mod outcome;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use schemas::{ArtifactKind, Sha256};
use serde_json::value::RawValue;

pub use outcome::{Failure, Outcome};

use super::raw::{Entries, integer, list, number, object_of};
use super::scan::read_time;
use command::Command;

/// Large fields of a result that are also stored elsewhere.
const LEFT_OUT: [&str; 3] = ["compiled_code", "compiled", "node"];

/// The results of one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// The kind of the file: run results, sources or freshness.
    pub kind: ArtifactKind,
    /// The command's name, such as `build`. Old files do not have it.
    pub which: Option<String>,
    /// The command as it was typed, such as `dbt build --select orders`.
    pub command: Option<String>,
    /// A hash that is equal for commands with the same name, selection, macro and arguments. It is `None` if the file does not contain
    /// them.
    pub command_key: Option<Sha256>,
    /// Whether the command built with `--empty` or `--sample`.
    pub is_limited: bool,
    /// Whether the results include work of dbt Core (1.6 and later) that leaves traces in the invocation's manifest, unless the command was
    /// interrupted.
    pub leaves_traces: bool,
    /// The duration of the command, in seconds.
    pub elapsed_time: Option<f64>,
    /// The results, in the order of the file.
    pub results: Vec<NodeResult>,
}

/// What dbt did to one node, with the node's fields that are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeResult {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status in lower case: `success`, `error`, `skipped`, `pass`, `fail`, `warn`, `runtime error`, `partial success`, `no-op`,
    /// `reused`, or a status of a newer dbt.
    pub status: String,
    /// What the status means.
    pub outcome: Outcome,
    /// The message of dbt or the warehouse.
    pub message: Option<String>,
    /// The number of rows that failed, for tests.
    pub failures: Option<i64>,
    /// The number of affected rows, as the adapter reports it.
    pub rows_affected: Option<i64>,
    /// The execution time, in seconds.
    pub execution_time: Option<f64>,
    /// The name of dbt's thread.
    pub thread_id: Option<String>,
    /// When the node was compiled.
    pub compile: Span,
    /// When the node was executed. Skipped nodes have no times.
    pub execute: Span,
    /// The adapter's response, a JSON object whose shape depends on the adapter.
    pub adapter_response: Option<String>,
    /// When the newest row was loaded, for sources.
    pub max_loaded_at: Option<DateTime<Utc>>,
    /// When the freshness was measured, for sources.
    pub snapshotted_at: Option<DateTime<Utc>>,
    /// The age of the newest row at that time in seconds, for sources.
    pub age: Option<f64>,
    /// The age limits, for sources: a JSON object with `warn_after`, `error_after` and `filter`.
    pub criteria: Option<String>,
    /// Whether the node was built in batches.
    pub has_batches: bool,
    /// The result from the file as a JSON object, without the code and without the copy of the node in old files.
    pub json: Vec<u8>,
}

/// A period of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// When the period started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the period ended.
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
        // Before dbt 0.19, the results of source freshness had their times in `meta`.
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

    /// Whether the command attempted work on a node of the manifest, not only on hooks, macros and inline queries.
    #[must_use]
    pub fn touches_nodes(&self) -> bool {
        let touches = |result: &NodeResult| result.outcome.is_attempt && result.is_of_node();
        self.results.iter().any(touches)
    }

    /// Whether a hook of the project failed in a command that works on nodes.
    #[must_use]
    pub fn has_failed_hook(&self) -> bool {
        let failed =
            |result: &NodeResult| result.is_hook() && result.outcome.is_attempt && result.outcome.failure.is_some();
        self.results.iter().any(failed)
    }
}

impl NodeResult {
    /// Parses a result from [`NodeResult::json`]. Returns `None` if the bytes are not an object that names a node.
    #[must_use]
    pub fn from_json(json: &[u8]) -> Option<Self> {
        Self::read(None, serde_json::from_slice(json).ok()?, &Command::default())
    }

    /// Whether the result is about the freshness of a source.
    fn has_freshness(&self) -> bool {
        self.max_loaded_at.is_some() || self.criteria.is_some()
    }

    /// Whether the result is for a hook. dbt lists `on-run-start` and `on-run-end` hooks among the results.
    #[must_use]
    pub fn is_hook(&self) -> bool {
        self.unique_id.starts_with("operation.")
    }

    /// Whether the result is for a node of the manifest, and not for a hook, a called macro or an inline query.
    fn is_of_node(&self) -> bool {
        let others = ["operation.", "macro.", "sql_operation.", "sql operation."];
        // dbt 2 omits the package when it names a called macro.
        self.unique_id.contains('.') && !others.iter().any(|other| self.unique_id.starts_with(other))
    }

    /// Whether the node was compiled in order to run. Microbatch models do not count: they are compiled in batches, which the manifest does
    /// not record.
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

    /// When the work on the node ended.
    #[must_use]
    pub fn completed_at(&self) -> Option<DateTime<Utc>> {
        self.execute
            .completed_at
            .or(self.compile.completed_at)
            .or(self.snapshotted_at)
    }

    fn read(key: Option<&str>, value: &RawValue, command: &Command) -> Option<Self> {
        let entries = Entries::of(value)?;
        // Before dbt 0.19, a result contains the whole node.
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

/// Derives a status for old files. Before dbt 0.20 tests had no status, and before 0.19 nodes had none either; flags record the result
/// instead.
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
