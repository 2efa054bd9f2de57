//! Which crate may use which: the table of docs/architecture.md.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::{BTreeMap, BTreeSet};

/// A crate and what it may use of ours; `clock` is usable by all.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("schemas", &[]),
    ("clock", &[]),
    ("bucket", &["schemas"]),
    ("stream", &["schemas"]),
    ("directory", &["schemas"]),
    ("airflow", &["schemas"]),
    ("read-model", &["schemas"]),
    ("edge", &["schemas", "directory"]),
    ("service", &[]),
    (
        "ingest",
        &[
            "schemas",
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
        &["schemas", "bucket", "directory", "read-model", "edge", "service"],
    ),
];

/// Crates of others that only one of ours may name.
const OWNED: [(&str, &str); 2] = [("object_store", "bucket"), ("async-nats", "stream")];

#[test]
fn crates_use_only_what_they_may() {
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
            .unwrap_or_else(|| panic!("the table does not know the crate `{name}`"));
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
                    "`{name}` names `{theirs}`, which only `{owner}` may"
                );
            }
        }
    }
}
