//! Tests for reading results of all versions.

use super::*;
use crate::ArtifactText;

fn read(text: &str) -> Results {
    ArtifactText::read(text.into()).unwrap().results().unwrap()
}

fn attempts(results: &Results) -> Vec<(&str, bool)> {
    results
        .results
        .iter()
        .map(|result| (result.status.as_str(), result.outcome.is_attempt))
        .collect()
}

fn failures(results: &Results) -> Vec<Option<Failure>> {
    results.results.iter().map(|result| result.outcome.failure).collect()
}

fn successes(results: &Results) -> Vec<bool> {
    results.results.iter().map(|result| result.outcome.is_success).collect()
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
    assert_eq!((result.status.as_str(), result.outcome.is_attempt), ("success", true));
    assert_eq!(result.rows_affected, Some(7));
    assert_eq!(result.completed_at().unwrap().to_rfc3339(), "2026-01-01T00:00:02+00:00");
    assert!(!String::from_utf8_lossy(&result.json).contains("select 1"));
    let again = NodeResult::from_json(&result.json).unwrap();
    assert_eq!(again.message.as_deref(), Some("OK"));
    assert_eq!(again.execute, result.execute);
}

#[test]
fn compiling_a_node_is_not_an_attempt() {
    let results = r#"[{"unique_id": "model.p.a", "status": "success"}, {"unique_id": "test.p.b", "status": "success", "failures": null},
        {"unique_id": "test.p.c", "status": "fail", "failures": "3"}, {"unique_id": "model.p.d", "status": "skipped", "timing": []}]"#;
    let of = |which: &str| read(&format!(r#"{{"args": {{"which": "{which}"}}, "results": {results}}}"#));
    let build = of("build");
    assert_eq!(
        attempts(&build),
        [("success", true), ("success", false), ("fail", true), ("skipped", true)]
    );
    assert_eq!(build.results[2].failures, Some(3));
    assert!(of("generate").results.iter().all(|result| !result.outcome.is_attempt));
    assert_eq!(of("generate").command.as_deref(), Some("dbt docs generate"));
}

#[test]
fn results_in_old_files_contain_the_node() {
    let results = read(
        r#"{"generated_at": "2020-01-01T00:00:00Z", "results": [
            {"node": {"unique_id": "model.p.a"}, "status": "CREATE VIEW", "error": null, "fail": null},
            {"node": {"unique_id": "model.p.b"}, "status": null, "error": null},
            {"node": {"unique_id": "test.p.c"}, "status": 3, "fail": true},
            {"node": {"unique_id": "model.p.d"}, "status": "ERROR", "error": "no table"}]}"#,
    );
    assert_eq!(
        attempts(&results),
        [("success", true), ("success", false), ("fail", true), ("error", true)]
    );
    assert_eq!(results.results[3].message.as_deref(), Some("no table"));
    assert_eq!(
        NodeResult::from_json(&results.results[0].json).unwrap().unique_id,
        "model.p.a"
    );
}

#[test]
fn an_invalid_id_falls_back_to_the_node() {
    let results = read(r#"{"results": [{"unique_id": [], "node": {"unique_id": "model.p.a"}}]}"#);
    let again = NodeResult::from_json(&results.results[0].json).unwrap();
    assert_eq!(again.unique_id, "model.p.a");
}

#[test]
fn freshness_results_are_read_from_sources() {
    let results = read(
        r#"{"metadata": {}, "elapsed_time": 1, "results": [
            {"unique_id": "source.p.s.a", "status": "warn", "max_loaded_at": "2026-01-01T00:00:00Z",
             "snapshotted_at": "2026-01-02T00:00:00Z", "max_loaded_at_time_ago_in_s": 86400.0, "criteria": {"filter": null}},
            {"unique_id": "source.p.s.b", "error": "no such table", "status": "runtime error"}]}"#,
    );
    assert_eq!(results.command.as_deref(), Some("dbt source freshness"));
    assert_eq!(results.kind, ArtifactKind::Sources);
    assert_eq!(attempts(&results), [("warn", false), ("runtime error", false)]);
    assert_eq!(failures(&results), [None, Some(Failure::Freshness)]);
    assert_eq!(results.results[0].age, Some(86_400.0));
    let old = read(
        r#"{"meta": {"elapsed_time": 3}, "sources": {"source.p.s.a": {"state": "pass", "max_loaded_at": "2026-01-01T00:00:00Z"}}}"#,
    );
    assert_eq!(successes(&old), [true]);
    assert_eq!(
        (old.elapsed_time, old.results[0].unique_id.as_str()),
        (Some(3.0), "source.p.s.a")
    );
}

#[test]
fn invalid_results_are_skipped() {
    let results = read(
        r#"{"args": null, "results": [3, {}, {"unique_id": "model.p.a", "status": null, "adapter_response": null}]}"#,
    );
    assert_eq!(attempts(&results), [("success", false)]);
    assert_eq!(results.command, None);
}

#[test]
fn the_schema_version_determines_the_kind() {
    let of = |schema: &str, results: &str| {
        let version = format!("https://schemas.getdbt.com/dbt/{schema}.json");
        read(&format!(
            r#"{{"metadata": {{"dbt_schema_version": "{version}"}}, "results": {results}}}"#
        ))
    };
    let error = r#"[{"unique_id": "source.p.s.a", "error": "no table", "status": "runtime error"}]"#;
    let sources = of("sources/v3", error);
    assert_eq!(
        (sources.kind, sources.which.as_deref()),
        (ArtifactKind::Sources, Some("freshness"))
    );
    assert_eq!(failures(&sources), [Some(Failure::Freshness)]);
    assert_eq!(of("freshness/v0", "[]").kind, ArtifactKind::Freshness);
    assert_eq!(of("run-results/v6", error).kind, ArtifactKind::RunResults);
    assert_eq!(
        of("manifest/v12", "[]").kind,
        ArtifactKind::RunResults,
        "it has no nodes"
    );
}

#[test]
fn failures_are_classified() {
    let results = r#"[{"unique_id": "model.p.a", "status": "error"}, {"unique_id": "operation.p.p-on-run-end-0", "status": "error"},
        {"unique_id": "macro.p.m", "status": "success"}, {"unique_id": "model.p.b", "status": "partial success"},
        {"unique_id": "model.p.c", "status": "no-op"}, {"unique_id": "model.p.d", "status": "shrugged"}]"#;
    let of = |which: &str| read(&format!(r#"{{"args": {{"which": "{which}"}}, "results": {results}}}"#));
    let (node, outside) = (Some(Failure::Node), Some(Failure::Outside));
    assert_eq!(failures(&of("build")), [node, outside, None, node, None, None]);
    assert_eq!(failures(&of("compile")), [outside, outside, None, outside, None, None]);
    assert!(of("build").touches_nodes() && of("build").has_failed_hook());
    let operation = of("run-operation");
    let attempts: Vec<bool> = attempts(&operation)
        .into_iter()
        .map(|(_, is_attempt)| is_attempt)
        .collect();
    assert_eq!(
        attempts,
        [false, true, true, false, false, false],
        "it does nothing to nodes"
    );
    assert!(!operation.touches_nodes());
    assert_eq!(failures(&operation)[0], outside);
    assert_eq!(successes(&of("build")), [false, false, true, false, false, false]);
}

#[test]
fn a_success_produces_what_the_node_is_for() {
    let of = |args: &str, result: &str| {
        let results = format!(r#"{{"args": {{{args}}}, "results": [{{"unique_id": "model.p.a", {result}}}]}}"#);
        let outcome = read(&results).results[0].outcome;
        (outcome.has_passed, outcome.is_success)
    };
    assert_eq!(of(r#""which": "run""#, r#""status": "SUCCESS""#), (true, true));
    assert_eq!(
        of(r#""which": "run", "empty": true"#, r#""status": "success""#),
        (true, false)
    );
    assert_eq!(
        of(r#""which": "clone""#, r#""status": "success", "message": "No-op""#),
        (true, false)
    );
    assert_eq!(
        of(r#""which": "clone""#, r#""status": "success", "message": "OK""#),
        (true, true)
    );
    assert_eq!(
        of(r#""which": "run""#, r#""status": "warn""#),
        (false, false),
        "only tests warn"
    );
    assert_eq!(of(r#""which": "run""#, r#""status": "reused""#), (false, false));
    let ephemeral = r#""status": "skipped", "message": "Skipped""#;
    assert_eq!(of(r#""which": "build""#, ephemeral), (true, false), "dbt 2");
    assert_eq!(
        of(r#""which": "build""#, r#""status": "skipped", "message": null"#),
        (false, false)
    );
}

#[test]
fn an_unlisted_failure_is_detected_by_its_skipped_nodes() {
    let read = |results: &str| read(&format!(r#"{{"args": {{"which": "build"}}, "results": [{results}]}}"#));
    let skipped = r#"{"unique_id": "model.p.b", "status": "skipped", "message": "Skipped due to upstream failure"}"#;
    let plain = r#"{"unique_id": "model.p.e", "status": "skipped", "message": "Skipped"}"#;
    let failed = r#"{"unique_id": "model.p.a", "status": "error"}"#;
    assert_eq!(
        failures(&read(&format!("{skipped}, {plain}"))),
        [Some(Failure::Node), None]
    );
    assert_eq!(
        failures(&read(&format!("{failed}, {skipped}"))),
        [Some(Failure::Node), Some(Failure::Node)],
        "another failure may be missing from the file"
    );
}

#[test]
fn only_work_of_dbt_core_leaves_traces() {
    let leaves = |args: &str, result: &str| {
        let results = format!(r#"{{"args": {{{args}}}, "results": [{{{result}}}]}}"#);
        read(&results).leaves_traces
    };
    let build = r#""which": "build", "invocation_command": "dbt build""#;
    let model = r#""unique_id": "model.p.a", "status": "success""#;
    assert!(leaves(build, model));
    assert!(leaves(
        build,
        r#""unique_id": "test.p.a", "status": "fail", "failures": 1"#
    ));
    assert!(!leaves(r#""which": "build""#, model), "dbt 2");
    assert!(!leaves(
        build,
        r#""unique_id": "model.p.a", "status": "success", "batch_results": {}"#
    ));
    assert!(!leaves(build, r#""unique_id": "model.p.a", "status": "skipped""#));
    assert!(!leaves(build, r#""unique_id": "exposure.p.a", "status": "no-op""#));
    assert!(!leaves(r#""which": "clone", "invocation_command": "dbt clone""#, model));
}
