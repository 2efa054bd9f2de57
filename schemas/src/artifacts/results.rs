//! What dbt did to each node: run results, and the freshness of sources. Of all versions, from the unversioned files of dbt 0.18 on.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::raw::{Entries, integer, list, number, object_of};
use super::scan::read_time;

/// The commands that do something to nodes; all others list nodes as `success` that they did not touch.
const EXECUTING: [&str; 8] = [
    "run",
    "build",
    "test",
    "seed",
    "snapshot",
    "retry",
    "clone",
    "run-operation",
];

/// Fields of a result that are large and stand elsewhere too.
const LEFT_OUT: [&str; 3] = ["compiled_code", "compiled", "node"];

/// The results of one command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// The command's name, such as `build`; none in old files.
    pub which: Option<String>,
    /// The command as it was typed, such as `dbt build --select orders`.
    pub command: Option<String>,
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
    /// Whether something was done to the node. Commands such as `docs generate` list nodes that they only compiled.
    pub executed: bool,
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
        let args = file.get("args").and_then(Entries::of);
        let arg = |key: &str| args.as_ref()?.text(key).map(std::borrow::Cow::into_owned);
        // Before dbt 0.19 the freshness of sources had its times in `meta`.
        let meta = file.get("meta").and_then(Entries::of);
        let elapsed = file
            .get("elapsed_time")
            .or_else(|| meta.as_ref()?.get("elapsed_time"))
            .and_then(number);
        let which = arg("which");
        let mut results: Vec<NodeResult> = match file.get("results").and_then(list) {
            Some(results) => results
                .into_iter()
                .filter_map(|result| NodeResult::read(None, result, which.as_deref()))
                .collect(),
            None => file
                .get("sources")
                .and_then(Entries::of)
                .map(|sources| {
                    let result = |(unique_id, result): &(std::borrow::Cow<'_, str>, &RawValue)| {
                        NodeResult::read(Some(unique_id), result, None)
                    };
                    sources.0.iter().filter_map(result).collect()
                })
                .unwrap_or_default(),
        };
        let is_freshness = results.iter().any(NodeResult::is_freshness) || file.get("results").is_none();
        if is_freshness {
            results.iter_mut().for_each(|result| result.executed = true);
        }
        let which = which.or_else(|| is_freshness.then(|| "source freshness".to_owned()));
        Self {
            command: arg("invocation_command").or_else(|| which.as_ref().map(|which| format!("dbt {which}"))),
            which,
            elapsed_time: elapsed,
            results,
        }
    }
}

impl NodeResult {
    /// Reads a result as [`NodeResult::json`] holds it; none when it is no object that names a node.
    #[must_use]
    pub fn from_json(json: &[u8]) -> Option<Self> {
        Self::read(None, serde_json::from_slice(json).ok()?, None)
    }

    /// Whether it tells how fresh a source is.
    #[must_use]
    pub fn is_freshness(&self) -> bool {
        self.max_loaded_at.is_some() || self.criteria.is_some()
    }

    /// Whether the status says that something is wrong: of a source, that it is too old.
    #[must_use]
    pub fn failed(&self) -> bool {
        ["error", "fail", "runtime error", "partial success"].contains(&self.status.as_str())
    }

    /// When the work upon the node ended.
    #[must_use]
    pub fn completed_at(&self) -> Option<DateTime<Utc>> {
        self.execute
            .completed_at
            .or(self.compile.completed_at)
            .or(self.snapshotted_at)
    }

    fn read(key: Option<&str>, value: &RawValue, which: Option<&str>) -> Option<Self> {
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
        let is_test = unique_id.starts_with("test.") || unique_id.starts_with("unit_test.");
        let (status, has_old_status) = match (node.is_some(), entries.text("status").or_else(|| entries.text("state")))
        {
            (false, Some(status)) => (status.to_lowercase(), false),
            (_, status) => (old_status(&entries, is_test), status.is_some()),
        };
        let executed = match status.as_str() {
            "skipped" | "no-op" | "reused" => false,
            // A test that ran passes or fails; `success` says that it was compiled.
            "success" if is_test && failures.is_none() => false,
            _ if node.is_some() => has_old_status || status != "success",
            _ => which.is_some_and(|which| EXECUTING.contains(&which)),
        };
        Some(Self {
            executed,
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
            json: json_of(&entries, &unique_id),
            unique_id,
            status,
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ArtifactText;

    fn read(text: &str) -> Results {
        ArtifactText::read(text.into()).unwrap().results().unwrap()
    }

    fn executed(results: &Results) -> Vec<(&str, bool)> {
        results
            .results
            .iter()
            .map(|result| (result.status.as_str(), result.executed))
            .collect()
    }

    #[test]
    fn a_result_is_read_with_its_times() {
        let results = read(
            r#"{"args": {"which": "build", "invocation_command": "dbt build -s a"}, "elapsed_time": 2.5, "results": [
                {"unique_id": "model.p.a", "status": "Success", "failures": null, "thread_id": "Thread-1", "execution_time": 0.5,
                 "message": "OK", "compiled_code": "select 1", "adapter_response": {"rows_affected": "7", "code": "x"},
                 "timing": [{"name": "compile", "started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:01Z"},
                            {"name": "execute", "started_at": "2026-01-01T00:00:01Z", "completed_at": "2026-01-01T00:00:02Z"}]}]}"#,
        );
        assert_eq!(results.command.as_deref(), Some("dbt build -s a"));
        assert_eq!(results.elapsed_time, Some(2.5));
        let result = &results.results[0];
        assert_eq!((result.status.as_str(), result.executed), ("success", true));
        assert_eq!(result.rows_affected, Some(7));
        assert_eq!(result.completed_at().unwrap().to_rfc3339(), "2026-01-01T00:00:02+00:00");
        assert!(!String::from_utf8_lossy(&result.json).contains("select 1"));
        let again = NodeResult::from_json(&result.json).unwrap();
        assert_eq!(again.message.as_deref(), Some("OK"));
        assert_eq!(again.execute, result.execute);
    }

    #[test]
    fn what_was_only_compiled_was_not_executed() {
        let results = r#"[{"unique_id": "model.p.a", "status": "success"}, {"unique_id": "test.p.b", "status": "success", "failures": null},
            {"unique_id": "test.p.c", "status": "fail", "failures": "3"}, {"unique_id": "model.p.d", "status": "skipped", "timing": []}]"#;
        let of = |which: &str| read(&format!(r#"{{"args": {{"which": "{which}"}}, "results": {results}}}"#));
        let build = of("build");
        assert_eq!(
            executed(&build),
            [
                ("success", true),
                ("success", false),
                ("fail", true),
                ("skipped", false)
            ]
        );
        assert_eq!(build.results[2].failures, Some(3));
        assert!(of("generate").results.iter().all(|result| !result.executed));
        assert_eq!(of("generate").command.as_deref(), Some("dbt generate"));
    }

    #[test]
    fn old_files_hold_the_node() {
        let results = read(
            r#"{"generated_at": "2020-01-01T00:00:00Z", "results": [
                {"node": {"unique_id": "model.p.a"}, "status": "CREATE VIEW", "error": null, "fail": null},
                {"node": {"unique_id": "model.p.b"}, "status": null, "error": null},
                {"node": {"unique_id": "test.p.c"}, "status": 3, "fail": true},
                {"node": {"unique_id": "model.p.d"}, "status": "ERROR", "error": "no table"}]}"#,
        );
        assert_eq!(
            executed(&results),
            [("success", true), ("success", false), ("fail", true), ("error", true)]
        );
        assert_eq!(results.results[3].message.as_deref(), Some("no table"));
        assert_eq!(
            NodeResult::from_json(&results.results[0].json).unwrap().unique_id,
            "model.p.a"
        );
    }

    #[test]
    fn an_id_that_is_no_text_does_not_hide_the_node() {
        let results = read(r#"{"results": [{"unique_id": [], "node": {"unique_id": "model.p.a"}}]}"#);
        let again = NodeResult::from_json(&results.results[0].json).unwrap();
        assert_eq!(again.unique_id, "model.p.a");
    }

    #[test]
    fn freshness_is_a_result_of_a_source() {
        let results = read(
            r#"{"metadata": {}, "elapsed_time": 1, "results": [
                {"unique_id": "source.p.s.a", "status": "warn", "max_loaded_at": "2026-01-01T00:00:00Z",
                 "snapshotted_at": "2026-01-02T00:00:00Z", "max_loaded_at_time_ago_in_s": 86400.0, "criteria": {"filter": null}},
                {"unique_id": "source.p.s.b", "error": "no such table", "status": "runtime error"}]}"#,
        );
        assert_eq!(results.command.as_deref(), Some("dbt source freshness"));
        assert_eq!(executed(&results), [("warn", true), ("runtime error", true)]);
        assert_eq!(results.results[0].age, Some(86_400.0));
        assert!(results.results[1].failed());
        let old = read(
            r#"{"meta": {"elapsed_time": 3}, "sources": {"source.p.s.a": {"state": "pass", "max_loaded_at": "2026-01-01T00:00:00Z"}}}"#,
        );
        assert_eq!(executed(&old), [("pass", true)]);
        assert_eq!(
            (old.elapsed_time, old.results[0].unique_id.as_str()),
            (Some(3.0), "source.p.s.a")
        );
    }

    #[test]
    fn what_is_no_result_is_passed_over() {
        let results = read(
            r#"{"args": null, "results": [3, {}, {"unique_id": "model.p.a", "status": null, "adapter_response": null}]}"#,
        );
        assert_eq!(executed(&results), [("success", false)]);
        assert_eq!(results.command, None);
    }
}
