//! The recorded situations, and the ways and orders in which their files are uploaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use testkit::repository_file;

/// The commands that execute nodes.
const EXECUTING: &[&str] = &["run", "build", "test", "seed", "snapshot", "retry", "clone"];

/// All orders are tried for up to this many uploads.
const ALL_ORDERS: usize = 4;

/// A situation recorded with real dbt, as in `fixtures/situations`.
#[derive(Deserialize)]
pub(super) struct Situation {
    #[serde(skip)]
    pub(super) name: String,
    dbt_version: String,
    pub(super) invocations: Vec<Invocation>,
}

/// A command of a situation.
#[derive(Deserialize)]
pub(super) struct Invocation {
    which: String,
    pub(super) exit_code: i64,
    /// The artifacts that it wrote, as dbt's names and the names of the recorded files.
    files: BTreeMap<String, String>,
    /// The artifacts that dbt uploads by itself; none if that version does not upload.
    own_upload: Option<Vec<String>>,
    /// The status of each node in dbt's log.
    nodes: BTreeMap<String, String>,
    #[serde(skip)]
    folder: PathBuf,
}

/// How files are uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// dbt uploads a zip file after each command.
    OwnUpload,
    /// A DAG uploads single files: manifests after a success, results always.
    Files,
}

/// Files that are uploaded together.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) files: Vec<(String, Vec<u8>)>,
}

pub(super) fn situations() -> Vec<Situation> {
    let mut situations = Vec::new();
    for entry in std::fs::read_dir(repository_file("fixtures/situations")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = std::fs::read(folder.join("situation.json")) else {
            continue;
        };
        let mut situation: Situation = serde_json::from_slice(&text).unwrap();
        situation.name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for invocation in &mut situation.invocations {
            invocation.folder.clone_from(&folder);
        }
        situations.push(situation);
    }
    situations.sort_by(|one, other| one.name.cmp(&other.name));
    situations
}

impl Situation {
    /// Returns the uploads in the order in which they were made; empty if there are none of this kind.
    pub(super) fn uploads(&self, way: Way) -> Vec<Upload> {
        let invocations = self.invocations.iter();
        match way {
            Way::OwnUpload => invocations
                .map(Invocation::own_upload)
                .filter(|files| !files.is_empty())
                .map(|files| Upload { files })
                .collect(),
            Way::Files => invocations
                .flat_map(Invocation::files_of_dag)
                .map(|file| Upload { files: vec![file] })
                .collect(),
        }
    }

    /// Returns what dbt's log says of a node, for each uploaded command that worked on it.
    pub(super) fn attempts(&self, unique_id: &str, way: Way) -> Vec<Attempt> {
        let is_of_dbt_2 = self.dbt_version.starts_with("2.");
        let attempts = self.invocations.iter();
        attempts
            .filter_map(|invocation| invocation.attempt(unique_id, way, is_of_dbt_2))
            .collect()
    }

    /// Returns the node's code from the newest uploaded manifest that has it.
    pub(super) fn compiled_code(&self, unique_id: &str, way: Way) -> Value {
        let of_node = |manifest: &Value| {
            let sections = ["nodes", "functions", "unit_tests"].into_iter();
            let node = sections
                .map(|section| &manifest[section][unique_id])
                .find(|node| node.is_object())?;
            node["compiled_code"].is_string().then(|| node["compiled_code"].clone())
        };
        let manifests = self.newest_first(way, "manifest.json");
        manifests.iter().find_map(of_node).unwrap_or_default()
    }

    /// Returns the types of a table's columns in their order, from the newest uploaded catalog that lists the table.
    pub(super) fn catalog_types(&self, unique_id: &str, way: Way) -> Vec<String> {
        let catalogs = self.newest_first(way, "catalog.json");
        let tables = catalogs.iter().filter_map(|catalog| {
            let sections = ["nodes", "sources"].into_iter();
            sections
                .map(|section| &catalog[section][unique_id])
                .find(|table| table.is_object())
        });
        let columns = tables.take(1).filter_map(|table| table["columns"].as_object());
        let mut columns: Vec<&Value> = columns.flat_map(serde_json::Map::values).collect();
        columns.sort_by_key(|column| column["index"].as_i64());
        columns
            .iter()
            .map(|column| column["type"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(super) fn has_manifest(&self, way: Way) -> bool {
        !self.newest_first(way, "manifest.json").is_empty()
    }

    fn newest_first(&self, way: Way, name: &str) -> Vec<Value> {
        let uploads = self.uploads(way).into_iter().flat_map(|upload| upload.files);
        let mut files: Vec<Value> = uploads
            .filter(|(found, _)| found == name)
            .map(|(_, content)| serde_json::from_slice(&content).unwrap())
            .collect();
        files.sort_by_key(|file| std::cmp::Reverse(file["metadata"]["generated_at"].as_str().unwrap().to_owned()));
        files
    }
}

/// What a command did to a node.
pub(super) struct Attempt {
    pub(super) status: String,
    pub(super) is_success: bool,
}

impl Invocation {
    fn own_upload(&self) -> Vec<(String, Vec<u8>)> {
        let names = self
            .own_upload
            .iter()
            .flatten()
            .filter(|name| self.files.contains_key(*name));
        names.map(|name| (name.clone(), self.read(name))).collect()
    }

    /// Returns whether dbt's own upload contains more than the files that every command writes.
    pub(super) fn makes_run(&self) -> bool {
        let run_files = ["run_results.json", "sources.json", "freshness.json", "catalog.json"];
        self.own_upload()
            .iter()
            .any(|(name, _)| run_files.contains(&name.as_str()))
    }

    /// The files that a DAG uploads. dbt-coves sends manifests only after a success; DAGs always send results.
    pub(super) fn files_of_dag(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.files.keys().filter(|name| match name.as_str() {
            "manifest.json" => self.exit_code == 0,
            "semantic_manifest.json" => false,
            _ => true,
        });
        names.map(|name| (name.clone(), self.read(name))).collect()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let path: &Path = &self.folder.join(&self.files[name]);
        std::fs::read(path).unwrap()
    }

    /// Returns what the command did to the node; none if it did not work on it, or if its results do not list it.
    fn attempt(&self, unique_id: &str, way: Way, is_of_dbt_2: bool) -> Option<Attempt> {
        let files = match way {
            Way::OwnUpload => self.own_upload(),
            Way::Files => self.files_of_dag(),
        };
        let (_, results) = files.iter().find(|(name, _)| name == "run_results.json")?;
        let results: Value = serde_json::from_slice(results).unwrap();
        if !EXECUTING.contains(&self.which.as_str()) {
            return None;
        }
        let mut listed = results["results"].as_array().unwrap().iter();
        let listed = listed.find(|result| result["unique_id"] == unique_id)?;
        let was_cancelled = listed["message"] == "Skipping due to fail_fast";
        let was_there = listed["message"] == "No-op";
        let is_limited = results["args"]["empty"] == true || !results["args"]["sample"].is_null();
        let listed = listed["status"].as_str().unwrap().to_lowercase();
        // The log and the file may disagree: the log has no status for partly successful batches, the file calls cancelled nodes skipped,
        // and dbt 2 reports all remaining nodes as errors after some failures.
        let log_differs = listed == "partial success" || was_cancelled || is_of_dbt_2;
        let status = match self.nodes.get(unique_id) {
            Some(logged) if !log_differs => logged.to_lowercase(),
            _ => listed,
        };
        let is_test = unique_id.starts_with("test.") || unique_id.starts_with("unit_test.");
        let went_well = matches!(status.as_str(), "success" | "pass") || (is_test && status == "warn");
        Some(Attempt {
            status,
            is_success: went_well && !was_there && !is_limited,
        })
    }
}

/// Returns the orders in which to upload: as dbt wrote the files and then in the opposite order, so that each comes twice and the oldest last.
/// With `DBT_API_TEST_ALL`, also once as dbt wrote them, all orders of few uploads, and some of more.
pub(super) fn orders(uploads: &[Upload]) -> Vec<Vec<Upload>> {
    if uploads.is_empty() {
        return Vec::new();
    }
    let twice = uploads.iter().chain(uploads.iter().rev()).cloned().collect();
    #[expect(clippy::disallowed_methods, reason = "it is the developer who sets it")]
    let is_thorough = std::env::var_os("DBT_API_TEST_ALL").is_some();
    if !is_thorough {
        return vec![twice];
    }
    let mut orders = Vec::new();
    if uploads.len() <= ALL_ORDERS {
        permute(&mut uploads.to_vec(), 0, &mut orders);
    } else {
        orders.push(uploads.to_vec());
        orders.push(uploads.iter().rev().cloned().collect());
        let every_other = |first: usize| uploads.iter().skip(first).step_by(2).cloned();
        orders.push(every_other(1).chain(every_other(0)).collect());
        orders.push([&uploads[uploads.len() / 2..], &uploads[..uploads.len() / 2]].concat());
    }
    orders.push(twice);
    orders
}

fn permute(uploads: &mut Vec<Upload>, from: usize, orders: &mut Vec<Vec<Upload>>) {
    if from == uploads.len() {
        orders.push(uploads.clone());
    }
    for at in from..uploads.len() {
        uploads.swap(from, at);
        permute(uploads, from + 1, orders);
        uploads.swap(from, at);
    }
}
