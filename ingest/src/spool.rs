//! From the bytes of an upload to what is stored: hashed, scanned and compressed while they come, and kept in memory while they are
//! few, else in a file without a name. Two threads share the work, since hashing and scanning take about as long as compressing.

use std::io::{self, Write};
use std::path::PathBuf;

use bucket::{Compressed, FrameSpool};
use bytes::Bytes;
use schemas::{ArtifactKind, ScanError, Scanned, Scanner, Sha256};
use sha2::Digest;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

/// Compressed bytes of an artifact that are kept in memory; more of them go into a file.
const MAX_IN_MEMORY: usize = 1 << 20;

/// The same of a file that comes with others.
const MAX_IN_MEMORY_IN_BATCH: usize = 256 << 10;

/// Chunks that may wait for each of the threads.
const CHUNKS_WAITING: usize = 2;

/// A byte order mark in UTF-8, which stands at the beginning of some files.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What is read before a list or a text, so that the scanner, which reads objects only, takes it for the value of one.
const BEFORE_VALUE: &[u8] = br#"{"":"#;

/// The end of that object.
const AFTER_VALUE: &[u8] = b"}";

/// zstd's own default: higher levels cost more time than they save space.
const LEVEL: i32 = 3;

/// A file that was read to its end.
#[derive(Debug)]
pub(crate) struct Spooled {
    /// Of the bytes as they came.
    pub(crate) sha256: Sha256,
    /// Bytes as they came.
    pub(crate) size: u64,
    /// What the file is.
    pub(crate) scanned: Scanned,
    /// Why a file that may be anything is not JSON.
    not_json: Option<ScanError>,
    /// Bytes as they will be stored.
    pub(crate) stored_size: u64,
    /// As it will be stored.
    pub(crate) compressed: Compressed,
}

impl Spooled {
    /// A file of this name is read as a manifest by whoever finds it, so it has to be JSON, whichever way it comes.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), ScanError> {
        match &self.not_json {
            Some(error) if ArtifactKind::Manifest.file_name() == Some(name) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

/// What a file has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// An artifact of dbt; all else is refused as soon as that is seen.
    Artifact,
    /// Anything, one of several files of an upload.
    AnyFile,
    /// The same, and never an artifact, whatever is in it.
    Opaque,
}

impl Due {
    fn most_in_memory(self) -> usize {
        match self {
            Self::Artifact => MAX_IN_MEMORY,
            Self::AnyFile | Self::Opaque => MAX_IN_MEMORY_IN_BATCH,
        }
    }
}

/// Why a file was not spooled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// It is no artifact of dbt.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The disk is full, or the like.
    #[error("the upload cannot be kept while it comes; is there room where SPOOL_DIR points? {0}")]
    Disk(#[from] io::Error),
    /// A thread ended without a result.
    #[error("a thread that reads the upload failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// A file that is coming.
pub(crate) struct Spool {
    to_reader: Sender<Bytes>,
    to_compressor: Sender<Bytes>,
    reader: JoinHandle<Result<Content, ScanError>>,
    compressor: JoinHandle<io::Result<(Compressed, u64)>>,
}

impl Spool {
    /// Begins a file. Large ones go to `folder`, or to the system's folder for temporary files.
    pub(crate) fn begin(folder: Option<PathBuf>, due: Due) -> Self {
        let (to_reader, chunks) = mpsc::channel(CHUNKS_WAITING);
        let reader = tokio::task::spawn_blocking(move || read(chunks, due));
        let (to_compressor, chunks) = mpsc::channel(CHUNKS_WAITING);
        let compressor =
            tokio::task::spawn_blocking(move || compress(chunks, FrameSpool::new(folder, due.most_in_memory())));
        Self {
            to_reader,
            to_compressor,
            reader,
            compressor,
        }
    }

    /// Takes the next bytes, when there is room for them. False when no more are wanted, since the file is refused: [`Self::finish`]
    /// says why.
    pub(crate) async fn push(&self, chunk: Bytes) -> bool {
        self.to_compressor.send(chunk.clone()).await.is_ok() && self.to_reader.send(chunk).await.is_ok()
    }

    /// The file has ended.
    pub(crate) async fn finish(self) -> Result<Spooled, SpoolError> {
        drop((self.to_reader, self.to_compressor));
        // First the disk: without it, the reader did not see the whole file, and would call it truncated.
        let (compressed, stored_size) = self.compressor.await??;
        let content = self.reader.await??;
        Ok(Spooled {
            sha256: content.sha256,
            size: content.size,
            scanned: content.scanned,
            not_json: content.not_json,
            stored_size,
            compressed,
        })
    }
}

/// What was read of a file.
struct Content {
    sha256: Sha256,
    size: u64,
    scanned: Scanned,
    not_json: Option<ScanError>,
}

fn read(mut chunks: Receiver<Bytes>, due: Due) -> Result<Content, ScanError> {
    let mut hash = sha2::Sha256::new();
    let mut scan = Scan::begin(due);
    let mut size = 0;
    while let Some(chunk) = chunks.blocking_recv() {
        hash.update(&chunk);
        scan.push(&chunk)?;
        size += chunk.len() as u64;
    }
    let (scanned, not_json) = scan.finish()?;
    Ok(Content {
        sha256: Sha256(hash.finalize().into()),
        size,
        scanned,
        not_json,
    })
}

/// Finds out what a file is while it comes. Only one that has to be an artifact is refused.
struct Scan {
    due: Due,
    /// None: what else comes makes no difference.
    scanner: Option<Scanner>,
    /// Why it is no artifact, though it may be JSON: a list, a text, a number or a word, of which only the beginning was read.
    no_object: Option<ScanError>,
    not_json: Option<ScanError>,
}

impl Scan {
    fn begin(due: Due) -> Self {
        Self {
            due,
            scanner: (due != Due::Opaque).then(Scanner::new),
            no_object: None,
            not_json: None,
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), ScanError> {
        let Some(scanner) = &mut self.scanner else {
            return Ok(());
        };
        match scanner.push(chunk) {
            Ok(()) => Ok(()),
            Err(error) if self.due == Due::Artifact => Err(error),
            Err(error @ ScanError::NotAnArtifact { .. }) if self.no_object.is_none() => {
                self.no_object = Some(error);
                self.scanner = Some(Scanner::new());
                self.push(BEFORE_VALUE)?;
                self.push(chunk.strip_prefix(MARK).unwrap_or(chunk))
            }
            Err(error) => {
                self.give_up(error);
                Ok(())
            }
        }
    }

    /// What the file is, and why it is not JSON.
    fn finish(mut self) -> Result<(Scanned, Option<ScanError>), ScanError> {
        if self.no_object.is_some() {
            self.push(AFTER_VALUE)?;
        }
        match self.scanner.take().map(Scanner::finish) {
            Some(Ok(scanned)) => return Ok((scanned, None)),
            Some(Err(error)) if self.due == Due::Artifact => return Err(error),
            Some(Err(error)) => self.give_up(error),
            None => {}
        }
        Ok((Scanned::other(), self.not_json))
    }

    fn give_up(&mut self, error: ScanError) {
        self.scanner = None;
        self.not_json = match error {
            // JSON, as far as it was read.
            ScanError::NotAnArtifact { .. } | ScanError::TooDeep { .. } => None,
            // An offset in what was read as an object would be none of the file's.
            error => Some(self.no_object.take().unwrap_or(error)),
        };
    }
}

fn compress(mut chunks: Receiver<Bytes>, spool: FrameSpool) -> io::Result<(Compressed, u64)> {
    let mut encoder = zstd::Encoder::new(spool, LEVEL)?;
    while let Some(chunk) = chunks.blocking_recv() {
        encoder.write_all(&chunk)?;
    }
    Ok(encoder.finish()?.finish())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use schemas::ArtifactKind;

    use super::*;

    /// A manifest of about this many bytes that zstd cannot shrink much.
    fn manifest(size: usize) -> Vec<u8> {
        let mut text = String::from(r#"{"metadata":{"invocation_id":"i-1"},"nodes":{},"macros":{},"docs":{"#);
        let mut seed = Sha256::of(b"seed");
        text.push_str(r#""first":"""#);
        while text.len() < size {
            seed = Sha256::of(&seed.0);
            text.push_str(&format!(r#","{seed}":1"#));
        }
        text.push_str("}}");
        text.into_bytes()
    }

    async fn spool(bytes: &[u8], chunk: usize) -> Result<Spooled, SpoolError> {
        spool_as(Due::Artifact, bytes, chunk).await
    }

    async fn spool_as(due: Due, bytes: &[u8], chunk: usize) -> Result<Spooled, SpoolError> {
        let spool = Spool::begin(None, due);
        for part in bytes.chunks(chunk) {
            if !spool.push(Bytes::copy_from_slice(part)).await {
                break;
            }
        }
        spool.finish().await
    }

    fn content(compressed: Compressed) -> Vec<u8> {
        match compressed {
            Compressed::Bytes(bytes) => zstd::decode_all(bytes.as_ref()).unwrap(),
            Compressed::File { mut file, size } => {
                let mut bytes = Vec::new();
                file.rewind().unwrap();
                file.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes.len() as u64, size);
                zstd::decode_all(bytes.as_slice()).unwrap()
            }
        }
    }

    #[tokio::test]
    async fn chunks_of_any_size_make_the_same_file() {
        let bytes = manifest(100_000);
        for chunk in [1, 7, 4096, 1 << 20] {
            let spooled = spool(&bytes, chunk).await.unwrap();
            assert_eq!(spooled.sha256, Sha256::of(&bytes));
            assert_eq!(spooled.size, bytes.len() as u64);
            assert_eq!(spooled.scanned.kind, ArtifactKind::Manifest);
            assert_eq!(spooled.scanned.invocation_id.as_deref(), Some("i-1"));
            assert!(matches!(spooled.compressed, Compressed::Bytes(_)));
            assert_eq!(content(spooled.compressed), bytes);
        }
    }

    #[tokio::test]
    async fn a_large_file_goes_to_disk_unchanged() {
        let bytes = manifest(24 << 20);
        let spooled = spool(&bytes, 64 << 10).await.unwrap();
        assert!(matches!(spooled.compressed, Compressed::File { .. }));
        assert!(spooled.stored_size > MAX_IN_MEMORY as u64);
        assert_eq!(spooled.sha256, Sha256::of(&bytes));
        assert_eq!(content(spooled.compressed), bytes);
    }

    #[tokio::test]
    async fn a_file_that_is_no_artifact_is_refused_before_its_end() {
        let spool = Spool::begin(None, Due::Artifact);
        let mut pushed = 0;
        while spool.push(Bytes::from_static(b"PK\x03\x04")).await {
            pushed += 1;
            assert!(pushed < 1000, "a zip is not refused");
        }
        let error = spool.finish().await.unwrap_err();
        assert!(matches!(error, SpoolError::Scan(ScanError::NotJson { .. })), "{error}");
    }

    #[tokio::test]
    async fn a_truncated_file_is_found_out() {
        let bytes = manifest(10_000);
        let error = spool(&bytes[..9_000], 512).await.unwrap_err();
        assert!(
            matches!(error, SpoolError::Scan(ScanError::Truncated { .. })),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_empty_file_is_refused() {
        let error = spool(b"", 1).await.unwrap_err();
        assert!(matches!(error, SpoolError::Scan(ScanError::Empty)), "{error}");
    }
    #[tokio::test]
    async fn what_is_called_a_manifest_has_to_be_json() {
        for (text, is_json) in [
            (r#"{"a": 1}"#, true),
            (r#"[1, {"a": NaN}]"#, true),
            ("\u{feff}[]\n", true),
            (r#" "text""#, true),
            ("12", true),
            ("null\n", true),
            ("", false),
            ("no JSON", false),
            (r#"{"a": "#, false),
            ("[1, 2", false),
            ("[1] 2", false),
            (r#""text"#, false),
            ("1}", false),
            ("2026-11-23 12:00 Running", false),
        ] {
            let spooled = spool_as(Due::AnyFile, text.as_bytes(), 1_000).await.unwrap();
            assert_eq!(spooled.scanned.kind, ArtifactKind::Other, "{text}");
            assert_eq!(spooled.check_name("manifest.json").is_ok(), is_json, "{text}");
            assert!(spooled.check_name("state.json").is_ok(), "{text}");
        }
    }

    #[tokio::test]
    async fn an_opaque_file_is_no_artifact_whatever_is_in_it() {
        let bytes = manifest(1_000);
        let spooled = spool_as(Due::Opaque, &bytes, 100).await.unwrap();
        assert_eq!(spooled.scanned, Scanned::other());
        assert_eq!(spooled.sha256, Sha256::of(&bytes));
    }
}
