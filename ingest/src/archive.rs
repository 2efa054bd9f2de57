//! A zip of artifacts, as dbt packs them: some flat files, stored or deflated. Files in folders come along where that is possible.

mod contents;

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use bytes::Bytes;
use schemas::{ArtifactKind, ScanError};
use serde::Serialize;
use tokio::runtime::Handle;
use utoipa::ToSchema;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::spool::{Due, Spool, SpoolError};
use crate::store::NamedFile;

use contents::{Contents, Entry};

/// The most files of a zip that are kept. dbt packs six or seven, and dbt 2 some twenty in a folder. Until all are stored, each is memory or
/// an open file, as those of a form are.
const MAX_FILES: usize = 50;

/// The most entries of a zip that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// The longest name of a file, in bytes.
const MAX_NAME_LEN: usize = 255;

/// How much is unpacked at a time.
const CHUNK: usize = 256 << 10;

/// Why a zip was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It is broken, or packed in a way that dbt does not use.
    #[error("the body is no zip that can be read: {0}")]
    Invalid(#[from] ZipError),
    /// A file in it cannot be unpacked.
    #[error("`{name}` in the zip cannot be unpacked: {error}")]
    Unpack {
        /// The file's name.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// A file in it is not what its name says.
    #[error("`{name}` in the zip cannot be a manifest: {error}")]
    NoManifest {
        /// The file's name.
        name: String,
        /// Why.
        error: ScanError,
    },
    /// A name leads elsewhere, or is too long for a file that must not be left out.
    #[error(
        "`{0}` in the zip is no safe file name: at most {MAX_NAME_LEN} bytes, and no backslash, colon, control character, `..` or `/` at the start or twice in a row are accepted"
    )]
    Name(String),
    /// Two files have one name.
    #[error("`{0}` is in the zip twice")]
    Twice(String),
    /// Nothing is in it.
    #[error("there is no file in the zip")]
    Empty,
    /// Nothing of what is in it can be kept.
    #[error("no file in the zip can be kept; `{}` is left out: {}", .0.name, .0.reason)]
    AllLeftOut(LeftOut),
    /// Too much is in it.
    #[error("the zip has {0} files outside folders; at most {MAX_FILES} are accepted")]
    TooMany(usize),
    /// It would take long only to read what is in it.
    #[error("the zip has {0} entries; at most {MAX_ENTRIES} are accepted")]
    TooManyEntries(usize),
    /// It unpacks to more than is accepted.
    #[error(
        "the files in the zip have more than {0} bytes together, which is the most that is accepted (MAX_UPLOAD_BYTES)"
    )]
    TooLarge(u64),
    /// It cannot be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// A file of a zip that is not kept, though the others are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeftOut {
    /// Its path in the zip, of which the beginning where it is too long.
    pub(crate) name: String,
    /// Why it is not kept.
    pub(crate) reason: String,
}

impl LeftOut {
    fn new(name: String, reason: String) -> Self {
        Self { name, reason }
    }
}

/// What a zip held.
pub(crate) struct Unpacked {
    pub(crate) files: Vec<NamedFile>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// Unpacks a zip. What is packed is trusted in nothing: names, sizes and counts are checked, and no more than `most` bytes are unpacked,
/// whatever the zip says of itself. A file in a folder is none that dbt's artifacts are told by: it is kept without a look inside, under its
/// whole path, and where that fails, it is left out. Blocks; to be called where that is allowed.
pub(crate) fn unpack(zip: File, folder: Option<&PathBuf>, most: u64) -> Result<Unpacked, ArchiveError> {
    let archive = ZipArchive::new(zip)?;
    let contents = Contents::read(&archive)?;
    if contents.plain.len() > MAX_FILES {
        return Err(ArchiveError::TooMany(contents.plain.len()));
    }
    let mut unpacker = Unpacker {
        archive,
        runtime: Handle::current(),
        folder,
        most,
        left: most,
    };
    let (mut files, mut left_out) = (Vec::new(), contents.left_out);
    for entry in contents.plain {
        let is_artifact = ArtifactKind::has_file_name(&entry.name);
        match unpacker.unpack(entry, Due::AnyFile) {
            Ok(file) => files.push(file),
            Err(ArchiveError::Unpack { name, error }) if !is_artifact => {
                left_out.push(LeftOut::new(name, format!("it cannot be unpacked: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    for entry in contents.in_folders {
        if files.len() == MAX_FILES {
            let reason = format!("at most {MAX_FILES} files of a zip are kept");
            left_out.push(LeftOut::new(entry.name, reason));
            continue;
        }
        match unpacker.unpack(entry, Due::Opaque) {
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

/// A zip that is being unpacked.
struct Unpacker<'a> {
    archive: ZipArchive<File>,
    runtime: Handle,
    folder: Option<&'a PathBuf>,
    /// The most bytes that are unpacked.
    most: u64,
    /// How many of them are left.
    left: u64,
}

impl Unpacker<'_> {
    fn unpack(&mut self, entry: Entry, due: Due) -> Result<NamedFile, ArchiveError> {
        let Entry { index, name } = entry;
        let broken = |error: io::Error| ArchiveError::Unpack {
            name: name.clone(),
            error,
        };
        let mut packed = self.archive.by_index(index).map_err(|error| broken(error.into()))?;
        let spool = Spool::begin(self.folder.cloned(), due);
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = packed.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
            let read = read.map_err(broken)?;
            self.left = self
                .left
                .checked_sub(read as u64)
                .ok_or(ArchiveError::TooLarge(self.most))?;
            if read == 0 || !self.runtime.block_on(spool.push(Bytes::from(chunk))) {
                break;
            }
        }
        let spooled = self.runtime.block_on(spool.finish())?;
        match spooled.check_name(&name) {
            Ok(()) => Ok(NamedFile::new(name, spooled)),
            Err(error) => Err(ArchiveError::NoManifest { name, error }),
        }
    }
}

/// A zip is of one invocation: what does not say its own, such as the semantic manifest, is of the one that the others say.
fn add_invocation(files: &mut [NamedFile]) {
    let told = files.iter().find_map(|file| file.told.invocation_id.clone());
    for file in files {
        file.told.invocation_id = file.told.invocation_id.take().or_else(|| told.clone());
    }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests;
