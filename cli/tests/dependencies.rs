//! Checks which crate depends on which, against the table in docs/architecture.md.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};

/// A crate and the crates of this workspace that it may use. Every crate may use `clock`.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("schemas", &[]),
    ("clock", &[]),
    ("settings", &[]),
    ("bucket", &["schemas", "settings"]),
    ("stream", &["schemas", "settings"]),
    ("directory", &["schemas", "settings"]),
    ("airflow", &["schemas", "settings"]),
    ("read-model", &["schemas"]),
    ("edge", &["schemas", "settings", "directory"]),
    ("service", &["settings"]),
    ("discovery", &["schemas", "directory", "read-model"]),
    (
        "ingest",
        &[
            "schemas",
            "settings",
            "bucket",
            "stream",
            "directory",
            "edge",
            "service",
            "read-model",
            "airflow",
        ],
    ),
    (
        "projector",
        &["schemas", "bucket", "stream", "directory", "read-model", "service"],
    ),
    (
        "api",
        &[
            "schemas",
            "settings",
            "bucket",
            "directory",
            "discovery",
            "read-model",
            "edge",
            "service",
        ],
    ),
];

/// External crates that only one crate of this workspace may use.
const OWNED: [(&str, &str); 3] = [
    ("async-graphql", "discovery"),
    ("async-nats", "stream"),
    ("object_store", "bucket"),
];

#[test]
fn crates_use_only_the_crates_they_may_use() {
    let metadata = cargo_metadata::MetadataCommand::new()
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if matches!(name, "cli" | "testkit" | "bench") {
            continue;
        }
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("the crate `{name}` is not in the table"));
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == cargo_metadata::DependencyKind::Normal);
        for dependency in normal {
            let used = dependency.name.as_str();
            if ours.contains(used) {
                assert!(used == "clock" || may.contains(&used), "`{name}` may not use `{used}`");
            }
            for (theirs, owner) in OWNED {
                assert!(
                    used != theirs || name == owner,
                    "`{name}` uses `{theirs}`, which only `{owner}` may use"
                );
            }
        }
    }
}
