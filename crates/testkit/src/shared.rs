//! Large inputs of tests that are not part of the repository.

use std::path::PathBuf;

use crate::repository_file;

/// Returns a folder of optional test inputs, such as `corpus` or `contract/dbt-cloud`. The variable `DBT_API_SHARED` names the folder that contains
/// it; a relative path is relative to the repository. Without the variable or the folder, says so on standard error and returns `None`, and
/// the test is to skip what needs the folder.
#[must_use]
#[expect(clippy::print_stderr, reason = "people must see what was skipped")]
pub fn shared_folder(name: &str) -> Option<PathBuf> {
    let folder = variable().map(|shared| repository_file(&shared).join(name));
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("skipped: set DBT_API_SHARED to the folder that contains `{name}`");
    }
    folder
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings, so `./dev test` passes the folder in this variable"
)]
fn variable() -> Option<String> {
    std::env::var("DBT_API_SHARED").ok().filter(|path| !path.is_empty())
}
