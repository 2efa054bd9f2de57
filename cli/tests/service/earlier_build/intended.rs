//! The differences that newer rules intend. `docs/what-dbt-writes.md` explains most of these rules.

use std::collections::BTreeSet;

/// What newer rules show differently than the commit's build, and why.
const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "dbt was interrupted: its results list a model as done, and its manifest has no traces of it",
        &["runs 12: status 10 -> 20", "steps 1/1281925341443463: status 10 -> 20"],
    ),
    (
        "dbt's own upload with a manifest alone, here of `dbt list`, makes no run",
        &[
            "runs 13: missing",
            "steps 1/6118973104238144: missing",
            "artifacts 01a2211e-0299-70a2-9236-0131c8d737dd/0: run_id 13 -> null",
            "artifacts 01a2211e-0299-70a2-9236-0131c8d737dd/0: step_id 6118973104238144 -> null",
            "artifacts 01a2211e-0299-70a2-9236-0131c8d737dd/1: run_id 13 -> null",
            "artifacts 01a2211e-0299-70a2-9236-0131c8d737dd/1: step_id 6118973104238144 -> null",
        ],
    ),
    (
        "a step ends when its last file was written, even if semantic_manifest.json beside it has no time",
        &[
            "runs 12: finished_at \"2026-11-28T07:45:44.318746+00:00\" -> \"2026-11-28T03:39:12.80651+00:00\"",
            "runs 14: finished_at \"2026-11-28T07:45:44.934537+00:00\" -> \"2026-11-28T03:31:56.259279+00:00\"",
            "steps 1/1281925341443463: finished_at \"2026-11-28T07:45:44.318746+00:00\" -> \"2026-11-28T03:39:12.80651+00:00\"",
            "steps 1/3886424512354251: finished_at \"2026-11-28T07:45:44.934537+00:00\" -> \"2026-11-28T03:31:56.259279+00:00\"",
        ],
    ),
    (
        "in dbt 1.7, failed checks of freshness look like run results; the schema version shows that they are not, and their run failed",
        &[
            "artifacts 01a2211d-f67c-7502-b4a2-4a9b0871357d/0: kind \"run_results\" -> \"sources\"",
            "artifacts 01a2211d-f67c-7502-b4a2-4a9b0871357d/0: name \"run_results.json\" -> \"sources.json\"",
            "runs 9: kinds [\"run_results\"] -> [\"sources\"]",
            "runs 9: status 10 -> 20",
            "steps 1/6547590413808986: command null -> \"dbt source freshness\"",
            "steps 1/6547590413808986: which null -> \"freshness\"",
        ],
    ),
    (
        "freshness is known by the kind of the file, even if the file is empty, and is called as dbt calls it",
        &[
            "steps 1/7403408947939035: command null -> \"dbt source freshness\"",
            "steps 1/7403408947939035: which null -> \"freshness\"",
            "steps 1/827297260034188: which \"source freshness\" -> \"freshness\"",
        ],
    ),
];

/// Returns all intended differences, as [`super::rows::differences`] returns them.
pub(super) fn differences_of_newer_rules() -> BTreeSet<String> {
    let lines = DIFFERENCES.iter().flat_map(|(_, lines)| *lines);
    lines.map(|line| (*line).to_owned()).collect()
}
