//! Unpacks a zip of artifacts as dbt writes it: a few files at the top level, stored or deflated. Files in folders are kept where possible.

mod contents;

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use artifacts::ScanError;
use bytes::Bytes;
use schemas::ArtifactKind;
use serde::Serialize;
use tokio::runtime::Handle;
use utoipa::ToSchema;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::spool::{Expected, Spool, SpoolError};
use crate::store::NamedFile;

use contents::{Contents, Entry};

/// The largest number of files kept from one zip. dbt packs six or seven, and dbt 2 about twenty in a folder. Until all are stored, each file
/// takes memory or an open file, like the files of a form.
pub(crate) const MAX_FILES: usize = 50;

/// The largest number of entries a zip may have.
const MAX_ENTRIES: usize = 10_000;

/// The longest file name, in bytes.
const MAX_NAME_LEN: usize = 255;

/// How many bytes are unpacked at a time.
const CHUNK: usize = 256 << 10;

/// Why a zip was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The zip is broken, or packed in a way that dbt does not use.
    #[error("the body is not a readable zip: {0}")]
    Invalid(#[from] ZipError),
    /// A file in the zip cannot be unpacked.
    #[error("`{name}` in the zip cannot be unpacked: {error}")]
    Unpack {
        /// The file's name.
        name: String,
        /// The cause.
        error: io::Error,
    },
    /// A file is named like a manifest, but is not JSON.
    #[error("`{name}` in the zip is not a manifest: {error}")]
    NotAManifest {
        /// The file's name.
        name: String,
        /// The cause.
        error: ScanError,
    },
    /// A name leads out of the zip's folder, or is too long for a file that must be kept.
    #[error(
        "expected relative paths of at most {MAX_NAME_LEN} bytes without `..` or control characters in the zip, got `{0}`"
    )]
    Name(String),
    /// Two files have the same name.
    #[error("expected each name in the zip once, got `{0}` twice")]
    Twice(String),
    /// The zip has no files.
    #[error("expected at least one file in the zip, got none")]
    Empty,
    /// None of the files can be kept.
    #[error("expected a file in the zip that can be kept, got none; `{}` is left out: {}", .0.name, .0.reason)]
    AllLeftOut(LeftOut),
    /// The zip has too many files at the top level.
    #[error("expected at most {MAX_FILES} files outside folders in the zip, got {0}")]
    TooMany(usize),
    /// The zip has so many entries that only listing them would take long.
    #[error("expected at most {MAX_ENTRIES} entries in the zip, got {0}")]
    TooManyEntries(usize),
    /// The zip unpacks to more bytes than are accepted.
    #[error("expected at most {0} bytes (MAX_UPLOAD_BYTES) in all files of the zip, got more")]
    TooLarge(u64),
    /// A file cannot be spooled.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// A file that is not kept, although other files of the zip are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeftOut {
    /// Its path in the zip, cut off if it is too long.
    pub(crate) name: String,
    /// Why the file is not kept.
    pub(crate) reason: String,
}

impl LeftOut {
    fn new(name: String, reason: String) -> Self {
        Self { name, reason }
    }
}

/// The contents of a zip.
pub(crate) struct Unpacked {
    pub(crate) files: Vec<NamedFile>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// Unpacks a zip without trusting it: names, sizes and counts are checked, and at most `limit` bytes are unpacked, whatever the zip's headers
/// claim. A file in a folder never counts as an artifact of dbt: it is kept under its whole path without being scanned, and left out if that
/// fails. This function blocks, so call it where blocking is allowed.
pub(crate) fn unpack(zip: File, folder: Option<&PathBuf>, limit: u64) -> Result<Unpacked, ArchiveError> {
    let archive = ZipArchive::new(zip)?;
    let contents = Contents::read(&archive)?;
    if contents.plain.len() > MAX_FILES {
        return Err(ArchiveError::TooMany(contents.plain.len()));
    }
    let mut unpacker = Unpacker {
        archive,
        runtime: Handle::current(),
        folder,
        limit,
        left: limit,
    };
    let (mut files, mut left_out) = (Vec::new(), contents.left_out);
    for entry in contents.plain {
        let is_artifact = ArtifactKind::has_file_name(&entry.name);
        match unpacker.unpack(entry, Expected::AnyFile) {
            Ok(file) => files.push(file),
            Err(ArchiveError::Unpack { name, error }) if !is_artifact => {
                left_out.push(LeftOut::new(name, format!("it cannot be unpacked: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    for entry in contents.in_folders {
        if files.len() == MAX_FILES {
            let reason = format!("at most {MAX_FILES} files are kept from a zip");
            left_out.push(LeftOut::new(entry.name, reason));
            continue;
        }
        match unpacker.unpack(entry, Expected::Opaque) {
            Ok(file) => files.push(file),
            Err(ArchiveError::Unpack { name, error }) => {
                left_out.push(LeftOut::new(name, format!("it cannot be unpacked: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    if files.is_empty() {
        let first = left_out.into_iter().next();
        return Err(first.map_or(ArchiveError::Empty, ArchiveError::AllLeftOut));
    }
    add_invocation(&mut files);
    Ok(Unpacked { files, left_out })
}

/// The state of unpacking a zip.
struct Unpacker<'a> {
    archive: ZipArchive<File>,
    runtime: Handle,
    folder: Option<&'a PathBuf>,
    /// The largest number of bytes to unpack.
    limit: u64,
    /// How many of these bytes are left.
    left: u64,
}

impl Unpacker<'_> {
    fn unpack(&mut self, entry: Entry, expected: Expected) -> Result<NamedFile, ArchiveError> {
        let Entry { index, name } = entry;
        let broken = |error: io::Error| ArchiveError::Unpack {
            name: name.clone(),
            error,
        };
        let mut packed = self.archive.by_index(index).map_err(|error| broken(error.into()))?;
        let spool = Spool::begin(self.folder.cloned(), expected);
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = packed.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
            let read = read.map_err(broken)?;
            self.left = self
                .left
                .checked_sub(read as u64)
                .ok_or(ArchiveError::TooLarge(self.limit))?;
            if read == 0 || !self.runtime.block_on(spool.push(Bytes::from(chunk))) {
                break;
            }
        }
        let spooled = self.runtime.block_on(spool.finish())?;
        match spooled.check_name(&name) {
            Ok(()) => Ok(NamedFile::new(name, spooled)),
            Err(error) => Err(ArchiveError::NotAManifest { name, error }),
        }
    }
}

/// Copies the invocation id to files that do not have one, such as the semantic manifest: a zip comes from a single invocation.
fn add_invocation(files: &mut [NamedFile]) {
    let common = files.iter().find_map(|file| file.uploaded.invocation_id.clone());
    for file in files {
        file.uploaded.invocation_id = file.uploaded.invocation_id.take().or_else(|| common.clone());
    }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests;
