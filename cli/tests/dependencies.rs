//! Checks the workspace: which crate depends on which, against the table in docs/architecture.md and the READMEs of the crates, and what
//! the checks assume.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};

/// A crate and the crates of this workspace that it may use. Every crate may use `clock` and `traces`.
const ALLOWED: [(&str, &[&str]); 16] = [
    ("schemas", &[]),
    ("artifacts", &["schemas"]),
    ("clock", &[]),
    ("settings", &[]),
    ("traces", &["settings"]),
    ("bucket", &["schemas", "settings"]),
    ("stream", &["schemas", "settings"]),
    ("directory", &["schemas", "settings"]),
    ("airflow", &["schemas", "settings"]),
    ("read-model", &["schemas", "artifacts"]),
    ("edge", &["schemas", "settings", "directory"]),
    ("service", &["settings"]),
    ("discovery", &["schemas", "artifacts", "directory", "read-model"]),
    (
        "ingest",
        &[
            "schemas",
            "artifacts",
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
        &[
            "schemas",
            "artifacts",
            "bucket",
            "stream",
            "directory",
            "read-model",
            "service",
        ],
    ),
    (
        "api",
        &[
            "schemas",
            "artifacts",
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
const OWNED: [(&str, &str); 5] = [
    ("async-graphql", "discovery"),
    ("object_store", "bucket"),
    ("async-nats", "stream"),
    ("opentelemetry", "traces"),
    ("tracing-opentelemetry", "traces"),
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
        let readme = std::fs::read_to_string(package.manifest_path.with_file_name("README.md")).unwrap();
        for used in *may {
            assert!(
                readme.contains(&format!("`{used}`")),
                "the README of `{name}` does not say that it may use `{used}`"
            );
        }
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == cargo_metadata::DependencyKind::Normal);
        for dependency in normal {
            let used = dependency.name.as_str();
            if ours.contains(used) {
                assert!(
                    matches!(used, "clock" | "traces") || may.contains(&used),
                    "`{name}` may not use `{used}`"
                );
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

/// Cargo refuses a compiler that is older than `rust-version`, so it must be one with which the workspace is known to build.
#[test]
fn the_stated_rust_version_is_the_one_that_is_tested() {
    let toolchain = std::fs::read_to_string(testkit::repository_file("rust-toolchain.toml")).unwrap();
    let metadata = cargo_metadata::MetadataCommand::new()
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    for package in metadata.packages {
        let stated = package.rust_version.unwrap();
        let channel = format!("channel = \"{}.{}.", stated.major, stated.minor);
        assert!(toolchain.contains(&channel), "{} states {stated}", package.name);
    }
}

/// A filter that names no test leaves nothing out, and nobody notices.
#[test]
fn the_tests_that_are_left_out_by_default_exist() {
    let filters = std::fs::read_to_string(testkit::repository_file(".config/nextest.toml")).unwrap();
    let folders = ["tests/faults", "cli/tests/service/discovery"];
    let files = folders.map(|folder| testkit::repository_file(folder).read_dir().unwrap());
    let tests: String = files
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path())
        .filter(|file| file.is_file())
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let left_out = filters.split("\"\"\"").nth(1).unwrap();
    for name in left_out.split("test(").skip(1) {
        let name = name.split(')').next().unwrap();
        assert!(
            tests.contains(&format!("async fn {name}(")),
            "there is no test `{name}`"
        );
    }
}
