//! A zip of artifacts, as dbt packs them: some flat files, stored or deflated.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;

use bytes::Bytes;
use tokio::runtime::Handle;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::spool::{Due, Spool, SpoolError};
use crate::store::NamedFile;

/// The most files in a zip. dbt packs six or seven; each large one is an open file until all are stored.
const MOST_FILES: usize = 20;

/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 255;

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
        error: std::io::Error,
    },
    /// No file has such a name that dbt makes.
    #[error("`{0}` in the zip is no plain file name: neither folders nor control characters are taken")]
    Name(String),
    /// Two files have one name.
    #[error("`{0}` is in the zip twice")]
    Twice(String),
    /// Nothing is in it.
    #[error("there is no file in the zip")]
    Empty,
    /// Too much is in it.
    #[error("the zip has more than {MOST_FILES} files")]
    TooMany,
    /// It unpacks to more than is accepted.
    #[error(
        "the files in the zip have more than {0} bytes together, which is the most that is accepted (MAX_UPLOAD_BYTES)"
    )]
    TooLarge(u64),
    /// It cannot be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Unpacks a zip. What is packed is trusted in nothing: names, sizes and counts are checked, and no more than `most` bytes are unpacked,
/// whatever the zip says of itself. Blocks; to be called where that is allowed.
pub(crate) fn unpack(zip: File, folder: Option<&PathBuf>, most: u64) -> Result<Vec<NamedFile>, ArchiveError> {
    let runtime = Handle::current();
    let mut archive = ZipArchive::new(zip)?;
    if archive.len() > MOST_FILES {
        return Err(ArchiveError::TooMany);
    }
    let (mut files, mut names, mut left) = (Vec::new(), HashSet::new(), most);
    for index in 0..archive.len() {
        let Some(name) = file_name(&mut archive, index)? else {
            continue;
        };
        if !names.insert(name.clone()) {
            return Err(ArchiveError::Twice(name));
        }
        let mut entry = archive.by_index(index)?;
        let spool = Spool::begin(folder.cloned(), Due::AnyFile);
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = entry.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
            let read = read.map_err(|error| ArchiveError::Unpack {
                name: name.clone(),
                error,
            })?;
            left = left.checked_sub(read as u64).ok_or(ArchiveError::TooLarge(most))?;
            if read == 0 || !runtime.block_on(spool.push(Bytes::from(chunk))) {
                break;
            }
        }
        files.push(NamedFile::new(name, runtime.block_on(spool.finish())?));
    }
    if files.is_empty() {
        return Err(ArchiveError::Empty);
    }
    add_invocation(&mut files);
    Ok(files)
}

/// None: a folder, which says nothing that its files do not.
fn file_name<R: Read + Seek>(archive: &mut ZipArchive<R>, index: usize) -> Result<Option<String>, ArchiveError> {
    let entry = archive.by_index_raw(index)?;
    let name = entry.name()?.into_owned();
    if entry.is_dir() {
        return Ok(None);
    }
    let is_plain = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name != "."
        && name != ".."
        && !name.contains(|letter: char| letter == '/' || letter == '\\' || letter == ':' || letter.is_control());
    if is_plain {
        Ok(Some(name))
    } else {
        Err(ArchiveError::Name(name.chars().take(100).collect()))
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
mod tests {
    use std::io::Write;

    use schemas::ArtifactKind;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    pub(super) fn zip(method: CompressionMethod, files: &[(&str, &[u8])]) -> File {
        let mut writer = ZipWriter::new(tempfile::tempfile().unwrap());
        for (name, content) in files {
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap()
    }

    pub(super) async fn unpacked(zip: File, most: u64) -> Result<Vec<NamedFile>, ArchiveError> {
        tokio::task::spawn_blocking(move || unpack(zip, None, most))
            .await
            .unwrap()
    }

    pub(super) const MANIFEST: &[u8] = br#"{"metadata": {"invocation_id": "i"}, "nodes": {}, "macros": {}}"#;

    #[tokio::test]
    async fn files_are_told_by_their_content_and_share_the_invocation() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let zip = zip(method, &[("dbt.log", b"12:00 Running\n"), ("manifest.json", MANIFEST)]);
            let files = unpacked(zip, 1_000).await.unwrap();
            let told: Vec<_> = files
                .iter()
                .map(|file| {
                    (
                        file.told.name.as_str(),
                        file.told.kind,
                        file.told.invocation_id.as_deref(),
                    )
                })
                .collect();
            assert_eq!(
                told,
                [
                    ("dbt.log", ArtifactKind::Other, Some("i")),
                    ("manifest.json", ArtifactKind::Manifest, Some("i"))
                ]
            );
        }
    }

    #[tokio::test]
    async fn what_dbt_does_not_pack_is_refused() {
        for name in [
            "../manifest.json",
            "/etc/passwd",
            "a/b.json",
            "a\\b.json",
            "C:x",
            "a\nb",
            "..",
        ] {
            let zip = zip(CompressionMethod::Stored, &[(name, MANIFEST)]);
            assert!(
                matches!(unpacked(zip, 1_000).await, Err(ArchiveError::Name(_))),
                "{name}"
            );
        }
        let many: Vec<(String, &[u8])> = (0..=MOST_FILES).map(|n| (n.to_string(), MANIFEST)).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        let many = zip(CompressionMethod::Stored, &many);
        assert!(matches!(unpacked(many, 1 << 20).await, Err(ArchiveError::TooMany)));
        let empty = zip(CompressionMethod::Stored, &[]);
        assert!(matches!(unpacked(empty, 1_000).await, Err(ArchiveError::Empty)));
        let mut broken = tempfile::tempfile().unwrap();
        broken.write_all(b"no zip").unwrap();
        assert!(matches!(unpacked(broken, 1_000).await, Err(ArchiveError::Invalid(_))));
    }

    #[tokio::test]
    async fn a_bomb_is_given_up_at_the_limit() {
        let zip = zip(CompressionMethod::Deflated, &[("bomb", &vec![b' '; 20 << 20])]);
        assert!(zip.metadata().unwrap().len() < 100_000);
        assert!(matches!(unpacked(zip, 1 << 20).await, Err(ArchiveError::TooLarge(_))));
    }
}
