//! Checks that the files and folders of the repository that the documentation names exist.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use std::collections::BTreeSet;
use std::path::Path;

use testkit::repository_file;

/// What is not part of the repository, although it is in its folder.
const NOT_PART: [&str; 5] = [".git", ".dev", "target", "node_modules", "__pycache__"];

/// The extensions of files that only the repository can have. Artifacts of dbt, too, are JSON.
const OF_REPOSITORY: [&str; 7] = ["rs", "md", "sql", "py", "sh", "svg", "graphql"];

/// What looks like a path and means something else: kubectl's name of a Deployment.
const NOT_A_PATH: [&str; 1] = ["deploy/core-dbt-api-api"];

/// Adds the paths of all files and folders below a folder.
fn add_paths(folder: &Path, prefix: &str, paths: &mut BTreeSet<String>) {
    for entry in folder.read_dir().unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if NOT_PART.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            add_paths(&entry.path(), &format!("{path}/"), paths);
        }
        paths.insert(path);
    }
}

/// Returns what stands between backticks on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Returns the targets of links, without those to other sites and to headings.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    targets
        .filter_map(|target| target.split('#').next())
        .filter(|path| !path.is_empty())
}

/// Whether a word in backticks names a file or a folder of the repository, and not a pattern, a URL or a key in the bucket.
fn is_path(word: &str, all: &BTreeSet<String>) -> bool {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c));
    let is_pattern = word.contains("NAME") || word.contains("YYYY");
    if !is_plain || is_pattern || word.starts_with('/') || NOT_A_PATH.contains(&word) {
        return false;
    }
    let extension = Path::new(word).extension().and_then(|extension| extension.to_str());
    let begins_in_root = word.split_once('/').is_some_and(|(first, _)| all.contains(first));
    begins_in_root || extension.is_some_and(|extension| OF_REPOSITORY.contains(&extension))
}

#[test]
fn the_files_that_the_documentation_names_exist() {
    let mut all = BTreeSet::new();
    add_paths(&repository_file(""), "", &mut all);
    let mut documents: Vec<String> = ["CONTRIBUTING.md", "README.md"].map(str::to_owned).into();
    documents.extend(all.iter().filter(|path| is_in_docs(path)).cloned());
    let (mut missing, mut found) = (Vec::new(), 0);
    for document in &documents {
        let text = std::fs::read_to_string(repository_file(document)).unwrap();
        for word in quoted(&text).filter(|word| is_path(word, &all)) {
            let path = word.trim_start_matches("./").trim_end_matches('/');
            // The text before it may say in which folder it is.
            let end = format!("/{path}");
            if all.contains(path) || all.iter().any(|known| known.ends_with(&end)) {
                found += 1;
            } else {
                missing.push(format!("{document}: `{word}`"));
            }
        }
        let file = repository_file(document);
        for link in links(&text) {
            if file.with_file_name(link).exists() {
                found += 1;
            } else {
                missing.push(format!("{document}: a link to {link}"));
            }
        }
    }
    assert!(missing.is_empty(), "there are no such files: {missing:#?}");
    assert!(found > 100, "only {found} paths were found");
}

fn is_in_docs(path: &str) -> bool {
    let name = path.strip_prefix("docs/").and_then(|rest| rest.strip_suffix(".md"));
    name.is_some_and(|name| !name.contains('/'))
}
