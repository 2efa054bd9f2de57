//! Files that a killed process leaves in a local bucket. `object_store` (0.14) writes the object `KEY` to the file `KEY#1` first, and does not
//! list such files.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};

use crate::Bucket;
use crate::error::{Error, Problem};

/// The folders with objects of this version. Names in the other folder, `accounts`, are those of the earlier dbt-api.
const FOLDERS: [&str; 7] = [
    "artifacts",
    "derived",
    "events",
    "ids",
    "keys",
    "refused",
    "revocations",
];

/// The age from which nobody writes such a file any more. An upload writes to its file all the time.
pub const ABANDONED_AFTER: TimeDelta = TimeDelta::hours(1);

impl Bucket {
    /// Removes the unfinished files in a local bucket that were written last before this time, and returns their number. Other buckets have none.
    ///
    /// # Errors
    /// Fails if the folder cannot be read or written.
    pub async fn remove_leftovers(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let Some(root) = self.folder.clone() else { return Ok(0) };
        let removing = tokio::task::spawn_blocking(move || {
            let mut removed = 0;
            for folder in FOLDERS {
                remove_in(&root.join(folder), before.into(), &mut removed)?;
            }
            Ok(removed)
        });
        let removed: io::Result<u64> = removing.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        removed.map_err(|error| Error::unavailable(&self.location, Problem::Failed, error))
    }
}

fn remove_in(folder: &Path, before: SystemTime, removed: &mut u64) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_in(&entry.path(), before, removed)?;
        } else if is_unfinished(&entry.file_name().to_string_lossy()) && was_written_before(&entry, before) {
            // Another process may remove it at the same time.
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => *removed += 1,
            }
        }
    }
    Ok(())
}

/// Whether the name is that of an unfinished file: keys of objects cannot end so.
fn is_unfinished(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn was_written_before(entry: &fs::DirEntry, before: SystemTime) -> bool {
    let written = entry.metadata().and_then(|facts| facts.modified());
    written.is_ok_and(|written| written < before)
}
