//! What must be shown of a recording, by dbt's exit codes and log.

use std::collections::BTreeMap;

use serde_json::Value;

use super::recording::{Situation, Way};

/// Situations whose exit codes cannot be determined from the files of a run, and why.
const UNKNOWABLE: &[(&str, Way, &str)] = &[
    (
        "freshness-one-source-errors",
        Way::OwnUpload,
        "dbt 1.8 and later leave out the source; the source may not have been selected",
    ),
    (
        "freshness-one-source-errors",
        Way::Files,
        "dbt 1.8 and later leave out the source; the source may not have been selected",
    ),
    (
        "hook-at-start-fails-beside-exposure",
        Way::Files,
        "dbt 1.12 aborts without results, and dbt-coves then sends no manifest",
    ),
    (
        "docs-generate-fails-to-compile",
        Way::Files,
        "dbt 1.12 writes nothing at all",
    ),
    (
        "hook-at-start-fails-1-5",
        Way::Files,
        "dbt before 1.8 does not list hooks",
    ),
    (
        "hook-at-start-fails-1-7",
        Way::Files,
        "dbt before 1.8 does not list hooks",
    ),
    ("interrupted-build", Way::Files, "without the manifest nothing shows it"),
    (
        "interrupted-build-1-7",
        Way::Files,
        "without the manifest nothing shows it",
    ),
    (
        "interrupted-build-1-10",
        Way::Files,
        "without the manifest nothing shows it",
    ),
    (
        "interrupted-build-1-13b",
        Way::Files,
        "without the manifest nothing shows it",
    ),
    (
        "interrupted-build-with-hooks",
        Way::Files,
        "without the manifest nothing shows it",
    ),
    (
        "interrupted-build-after-models",
        Way::Files,
        "without the manifest nothing shows it",
    ),
    ("interrupted-test", Way::Files, "without the manifest nothing shows it"),
    (
        "freshness-all-error",
        Way::Files,
        "without the manifest an empty file may mean that there are no sources",
    ),
    (
        "freshness-all-error-1-10",
        Way::Files,
        "without the manifest an empty file may mean that there are no sources",
    ),
    (
        "freshness-all-error-1-13b",
        Way::Files,
        "without the manifest an empty file may mean that there are no sources",
    ),
];

/// DAG runs in which a later command repairs an earlier failure.
const REPAIRED: &[&str] = &[
    "retry-after-failed-build",
    "retry-after-failed-build-v2",
    "retry-after-failed-batch",
];

pub(super) fn check_runs(situation: &Situation, way: Way, runs: &[Value], wrong: &mut Vec<String>) {
    let expected = expected_runs(situation, way);
    let shown: Vec<i64> = runs.iter().map(|run| run["status"].as_i64().unwrap()).collect();
    let is_unknowable = UNKNOWABLE
        .iter()
        .any(|(name, of, _)| *name == situation.name && *of == way);
    match (shown == expected, is_unknowable) {
        (false, false) => wrong.push(format!("the runs have the statuses {shown:?}, not {expected:?}")),
        (true, true) => wrong.push("the exit code is now known, but is still listed as unknowable".to_owned()),
        _ => {}
    }
}

/// Returns the statuses by dbt's exit codes: of one run for each uploaded command, or of one DAG run with all commands.
fn expected_runs(situation: &Situation, way: Way) -> Vec<i64> {
    let status = |failed: bool| if failed { 20 } else { 10 };
    match way {
        Way::OwnUpload => situation
            .invocations
            .iter()
            .filter(|invocation| invocation.makes_run())
            .map(|invocation| status(invocation.exit_code != 0))
            .collect(),
        Way::Files => {
            let invocations = &situation.invocations;
            if invocations
                .iter()
                .all(|invocation| invocation.files_of_dag().is_empty())
            {
                return Vec::new();
            }
            let is_good = REPAIRED.contains(&situation.name.as_str());
            let has_failed = invocations.iter().any(|invocation| invocation.exit_code != 0);
            vec![status(has_failed && !is_good)]
        }
    }
}

/// Compares each node's last attempt and last success with dbt's log.
pub(super) fn check_nodes(situation: &Situation, way: Way, nodes: &BTreeMap<String, Value>, wrong: &mut Vec<String>) {
    for (id, node) in nodes {
        let attempts = situation.attempts(id, way);
        let shown = node["last_result"][0].as_str();
        if let Some(last) = attempts.last()
            && shown != Some(last.status.as_str())
        {
            wrong.push(format!(
                "{id} is shown as {shown:?}; the last status in dbt's log was {}",
                last.status
            ));
        }
        if attempts.is_empty() && shown.is_some() && !id.starts_with("source.") {
            wrong.push(format!("{id} is shown as {shown:?}; no command worked on it"));
        }
        let success = attempts.iter().rev().find(|attempt| attempt.is_success);
        let shown = node["last_success"][0].as_str();
        if shown != success.map(|attempt| attempt.status.as_str()) && !id.starts_with("source.") {
            wrong.push(format!(
                "the last success of {id} is shown as {shown:?}, not {:?}",
                success.map(|one| &one.status)
            ));
        }
        let code = situation.compiled_code(id, way);
        if node["compiled_code"] != code {
            wrong.push(format!("the code of {id} is {}, not {code}", node["compiled_code"]));
        }
        let columns: Vec<&str> = node["columns"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|column| column["catalog_type"].as_str())
            .collect();
        let catalog = situation.catalog_types(id, way);
        if columns != catalog {
            wrong.push(format!("the columns of {id} are {columns:?}, not {catalog:?}"));
        }
    }
    if nodes.is_empty() && situation.has_manifest(way) {
        wrong.push("no nodes are shown".to_owned());
    }
}
