//! Checks that the files and folders of the repository that the documentation names exist.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use testkit::repository_file;

/// The extensions of files that only the repository can have. Artifacts of dbt, too, are JSON.
const OF_REPOSITORY: [&str; 7] = ["rs", "md", "sql", "py", "sh", "svg", "graphql"];

/// What looks like a path and means something else: kubectl's name of a Deployment.
const NOT_A_PATH: [&str; 1] = ["deploy/core-dbt-api-api"];

/// Returns the paths of all files that git knows, and of their folders. Without git, says so and returns `None`.
#[expect(clippy::print_stderr, reason = "people must see what was skipped")]
fn paths() -> Option<BTreeSet<String>> {
    let mut git = Command::new("git");
    let listed = git.arg("-C").arg(repository_file("")).args(["ls-files", "-z"]).output();
    let is_list = |listed: &Output| listed.status.success() && !listed.stdout.is_empty();
    let Some(listed) = listed.ok().filter(is_list) else {
        eprintln!("skipped: git cannot list the files of the repository");
        return None;
    };
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files = listed.split_terminator('\0').map(Path::new);
    let all = files.flat_map(Path::ancestors).filter_map(Path::to_str);
    Some(all.filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// Returns the path to which a relative link of a document leads.
fn target(document: &str, link: &str) -> String {
    let mut names: Vec<&str> = document.split('/').collect();
    names.pop();
    for name in link.trim_end_matches('/').split('/') {
        if name == ".." {
            names.pop();
        } else if name != "." {
            names.push(name);
        }
    }
    names.join("/")
}

/// Whether a path is one of these, or the end of exactly one. The text before it may say in which folder it is.
fn is_known(path: &str, all: &BTreeSet<String>) -> bool {
    let end = format!("/{path}");
    all.contains(path) || all.iter().filter(|known| known.ends_with(&end)).count() == 1
}

/// Returns the texts between backticks on one line.
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
    let Some(all) = paths() else { return };
    let mut documents: Vec<String> = ["CONTRIBUTING.md", "README.md"].map(str::to_owned).into();
    documents.extend(all.iter().filter(|path| is_in_docs(path)).cloned());
    let (mut missing, mut found) = (Vec::new(), 0);
    for document in &documents {
        let text = std::fs::read_to_string(repository_file(document)).unwrap();
        for word in quoted(&text).filter(|word| is_path(word, &all)) {
            let path = word.trim_start_matches("./").trim_end_matches('/');
            if is_known(path, &all) {
                found += 1;
            } else {
                missing.push(format!("{document}: `{word}`"));
            }
        }
        for link in links(&text) {
            if all.contains(&target(document, link)) {
                found += 1;
            } else {
                missing.push(format!("{document}: a link to {link}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "expected paths that git lists, or ends of exactly one, got {missing:#?}"
    );
    assert!(found > 100, "only {found} paths were found");
}

fn is_in_docs(path: &str) -> bool {
    let name = path.strip_prefix("docs/").and_then(|rest| rest.strip_suffix(".md"));
    name.is_some_and(|name| !name.contains('/'))
}
