//! Sorts the files listed in a zip by how they are handled.

use std::collections::HashSet;
use std::io::{Read, Seek};

use zip::ZipArchive;

use super::{ArchiveError, LeftOut, MAX_ENTRIES, MAX_NAME_LEN};

/// A file in a zip.
pub(super) struct Entry {
    pub(super) index: usize,
    pub(super) name: String,
}

/// The files in a zip.
#[derive(Default)]
pub(super) struct Contents {
    /// Files at the top level, where dbt packs its artifacts.
    pub(super) plain: Vec<Entry>,
    pub(super) in_folders: Vec<Entry>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Contents {
    /// Reads the list of files. Fails if a name could lead outside the zip's folder or occurs twice.
    pub(super) fn read<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<Self, ArchiveError> {
        if archive.len() > MAX_ENTRIES {
            return Err(ArchiveError::TooManyEntries(archive.len()));
        }
        let (mut contents, mut names) = (Self::default(), HashSet::new());
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index)?;
            // The paths of the files include their folders.
            if entry.is_dir() {
                continue;
            }
            let name = entry.name()?;
            if !is_safe(&name) {
                return Err(ArchiveError::Name(start_of(&name)));
            }
            // Some programs write paths relative to the current folder.
            let name = name.trim_start_matches("./").to_owned();
            if !is_portable(&name) {
                let reason = "its path contains `\\`, `:`, `.` or an empty part, so it is not a path on every system";
                contents.left_out.push(LeftOut::new(start_of(&name), reason.to_owned()));
                continue;
            }
            if !names.insert(name.clone()) {
                return Err(ArchiveError::Twice(name));
            }
            contents.add(Entry { index, name })?;
        }
        Ok(contents)
    }

    fn add(&mut self, entry: Entry) -> Result<(), ArchiveError> {
        let (in_folder, size) = (entry.name.contains('/'), entry.name.len());
        match (in_folder, size > MAX_NAME_LEN) {
            (false, false) => self.plain.push(entry),
            (true, false) => self.in_folders.push(entry),
            (false, true) => return Err(ArchiveError::Name(start_of(&entry.name))),
            (true, true) => {
                let reason = format!("its path has {size} bytes; at most {MAX_NAME_LEN} are accepted");
                self.left_out.push(LeftOut::new(start_of(&entry.name), reason));
            }
        }
        Ok(())
    }
}

/// Checks that a path names a file and cannot leave its base folder on any operating system.
fn is_safe(path: &str) -> bool {
    let mut parts = path.split(['/', '\\']);
    let has_drive =
        path.as_bytes().get(1) == Some(&b':') && path.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let is_absolute = path.starts_with(['/', '\\']) || has_drive;
    !(path.is_empty() || is_absolute || path.contains(char::is_control) || parts.any(|part| part == ".."))
}

/// Whether a safe path means the same file on every system.
fn is_portable(path: &str) -> bool {
    !path.contains(['\\', ':']) && path.split('/').all(|part| !matches!(part, "" | "."))
}

/// Returns the beginning of a name, for messages: names may be 64 KiB long.
fn start_of(name: &str) -> String {
    name.chars().take(100).collect()
}
