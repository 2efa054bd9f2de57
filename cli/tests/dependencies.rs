//! Checks the workspace: which crate depends on which, against the table in docs/architecture.md, and what the checks
//! assume.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};

/// Crates that are not in the table: the executable may use all others, and the other two are for tests and measurements.
const NOT_IN_TABLE: [&str; 3] = ["cli", "testkit", "bench"];

/// External crates that only one crate of this workspace may use.
const OWNED: [(&str, &str); 5] = [
    ("async-graphql", "discovery"),
    ("object_store", "bucket"),
    ("async-nats", "stream"),
    ("opentelemetry", "traces"),
    ("tracing-opentelemetry", "traces"),
];

/// Returns the words in backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The table in docs/architecture.md.
struct Table {
    /// The crates that every crate may use.
    common: BTreeSet<String>,
    /// The other crates that each crate uses.
    uses: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    fn read() -> Self {
        let text = std::fs::read_to_string(testkit::repository_file("docs/architecture.md")).unwrap();
        let (_, text) = text.split_once("\n## Crates\n").unwrap();
        let mut rows = text.lines().filter_map(|line| {
            let (crates, uses) = line.strip_prefix('|')?.strip_suffix('|')?.split_once('|')?;
            Some((crates, quoted(uses)))
        });
        let (_, common) = rows.next().unwrap();
        let uses = rows.flat_map(|(crates, uses)| quoted(crates).into_iter().map(move |name| (name, uses.clone())));
        Self {
            common,
            uses: uses.collect(),
        }
    }
}

#[test]
fn crates_use_only_the_crates_they_may_use() {
    let metadata = cargo_metadata::MetadataCommand::new()
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    let table = Table::read();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut uses = BTreeMap::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == cargo_metadata::DependencyKind::Normal);
        let used: BTreeSet<&str> = normal.map(|dependency| dependency.name.as_str()).collect();
        if NOT_IN_TABLE.contains(&name) {
            continue;
        }
        for (theirs, owner) in OWNED {
            assert!(
                !used.contains(theirs) || name == owner,
                "`{name}` uses `{theirs}`, which only `{owner}` may use"
            );
        }
        let used = used.intersection(&ours).filter(|used| !table.common.contains(**used));
        uses.insert(name.to_owned(), used.map(|used| (*used).to_owned()).collect());
    }
    assert_eq!(
        uses, table.uses,
        "what the crates use (left) is not what the table in docs/architecture.md says (right)"
    );
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
