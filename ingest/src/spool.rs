//! Hashes, scans and compresses the bytes of an upload while they arrive. Small files stay in memory, large ones go to an unnamed
//! temporary file. Two threads share the work, because hashing and scanning take about as long as compressing.

use std::io::{self, Write};
use std::path::PathBuf;

use artifacts::{ScanError, Scanned, Scanner};
use bucket::{Compressed, FrameSpool};
use bytes::Bytes;
use schemas::{ArtifactKind, Sha256};
use sha2::Digest;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

/// How many compressed bytes of an artifact are kept in memory. Larger artifacts go to a file.
const MAX_IN_MEMORY: usize = 1 << 20;

/// How many compressed bytes of a file in a batch or a zip are kept in memory.
const MAX_IN_MEMORY_IN_BATCH: usize = 256 << 10;

/// How many chunks may wait for each thread.
const CHUNKS_WAITING: usize = 2;

/// A UTF-8 byte order mark, which some files begin with.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Put before JSON that is not an object, so that the scanner, which only reads objects, sees it as a value in one.
const BEFORE_VALUE: &[u8] = br#"{"":"#;

/// Closes the object that [`BEFORE_VALUE`] opens.
const AFTER_VALUE: &[u8] = b"}";

/// zstd's default level. Higher levels cost more time than the space they save is worth.
const LEVEL: i32 = 3;

/// A complete file that is ready to be stored.
#[derive(Debug)]
pub(crate) struct Spooled {
    /// The hash of the uncompressed bytes.
    pub(crate) sha256: Sha256,
    /// The uncompressed size in bytes.
    pub(crate) size: u64,
    /// The kind and the metadata that the scanner found.
    pub(crate) scanned: Scanned,
    /// The reason why the file is not JSON, if it is not.
    not_json: Option<ScanError>,
    /// The compressed size in bytes.
    pub(crate) stored_size: u64,
    /// The compressed bytes.
    pub(crate) compressed: Compressed,
}

impl Spooled {
    /// Checks that a file named like a manifest is JSON: readers will take it for a manifest.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), ScanError> {
        match &self.not_json {
            Some(error) if ArtifactKind::Manifest.file_name() == Some(name) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

/// What kind of file is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// An artifact of dbt. Anything else is refused as early as possible.
    Artifact,
    /// Any file, which may be one of several in an upload.
    AnyFile,
    /// Any file, which never counts as an artifact.
    Opaque,
}

impl Expected {
    fn max_in_memory(self) -> usize {
        match self {
            Self::Artifact => MAX_IN_MEMORY,
            Self::AnyFile | Self::Opaque => MAX_IN_MEMORY_IN_BATCH,
        }
    }
}

/// Why a file could not be spooled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// The file is not an artifact of dbt.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The disk failed, or is full.
    #[error("cannot write the upload to disk; check the free space in SPOOL_DIR: {0}")]
    Disk(#[from] io::Error),
    /// A thread ended without a result.
    #[error("a thread that reads the upload failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// A file that is being received.
pub(crate) struct Spool {
    to_reader: Sender<Bytes>,
    to_compressor: Sender<Bytes>,
    reader: JoinHandle<Result<Content, ScanError>>,
    compressor: JoinHandle<io::Result<(Compressed, u64)>>,
}

impl Spool {
    /// Begins a file. Large files go to `folder`, or to the system's folder for temporary files.
    pub(crate) fn begin(folder: Option<PathBuf>, expected: Expected) -> Self {
        let (to_reader, chunks) = mpsc::channel(CHUNKS_WAITING);
        let reader = tokio::task::spawn_blocking(move || read(chunks, expected));
        let (to_compressor, chunks) = mpsc::channel(CHUNKS_WAITING);
        let compressor =
            tokio::task::spawn_blocking(move || compress(chunks, FrameSpool::new(folder, expected.max_in_memory())));
        Self {
            to_reader,
            to_compressor,
            reader,
            compressor,
        }
    }

    /// Adds bytes, waiting until there is room for them. Returns false if the file is already refused; [`Self::finish`] returns the reason.
    pub(crate) async fn push(&self, chunk: Bytes) -> bool {
        self.to_compressor.send(chunk.clone()).await.is_ok() && self.to_reader.send(chunk).await.is_ok()
    }

    /// Ends the file and returns it.
    pub(crate) async fn finish(self) -> Result<Spooled, SpoolError> {
        drop((self.to_reader, self.to_compressor));
        // Check the disk first: if it failed, the reader did not get the whole file and would report it as truncated.
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

/// What the reader found in a file.
struct Content {
    sha256: Sha256,
    size: u64,
    scanned: Scanned,
    not_json: Option<ScanError>,
}

fn read(mut chunks: Receiver<Bytes>, expected: Expected) -> Result<Content, ScanError> {
    let mut hash = sha2::Sha256::new();
    let mut scan = Scan::begin(expected);
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

/// Finds out what a file is while it arrives. A file is refused only if an artifact is expected.
struct Scan {
    expected: Expected,
    /// `None` if the rest of the file makes no difference.
    scanner: Option<Scanner>,
    /// The scanner's error if the file begins like JSON that is not an object: a list, a string, a number or a word.
    no_object: Option<ScanError>,
    not_json: Option<ScanError>,
}

impl Scan {
    fn begin(expected: Expected) -> Self {
        Self {
            expected,
            scanner: (expected != Expected::Opaque).then(Scanner::new),
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
            Err(error) if self.expected == Expected::Artifact => Err(error),
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

    /// Returns what the file is, and the reason why it is not JSON, if it is not.
    fn finish(mut self) -> Result<(Scanned, Option<ScanError>), ScanError> {
        if self.no_object.is_some() {
            self.push(AFTER_VALUE)?;
        }
        match self.scanner.take().map(Scanner::finish) {
            Some(Ok(scanned)) => return Ok((scanned, None)),
            Some(Err(error)) if self.expected == Expected::Artifact => return Err(error),
            Some(Err(error)) => self.give_up(error),
            None => {}
        }
        Ok((Scanned::other(), self.not_json))
    }

    fn give_up(&mut self, error: ScanError) {
        self.scanner = None;
        self.not_json = match error {
            // As far as it was read, the file is JSON.
            ScanError::NotAnArtifact { .. } | ScanError::TooDeep { .. } => None,
            // Prefer the first error: the offsets in the wrapped value are not those of the file.
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

    /// Returns a manifest of about this size in bytes that zstd cannot compress well.
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
        spool_as(Expected::Artifact, bytes, chunk).await
    }

    async fn spool_as(expected: Expected, bytes: &[u8], chunk: usize) -> Result<Spooled, SpoolError> {
        let spool = Spool::begin(None, expected);
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
    async fn the_chunk_size_makes_no_difference() {
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
    async fn a_file_that_is_not_an_artifact_is_refused_before_its_end() {
        let spool = Spool::begin(None, Expected::Artifact);
        let mut pushed = 0;
        while spool.push(Bytes::from_static(b"PK\x03\x04")).await {
            pushed += 1;
            assert!(pushed < 1000, "the zip is not refused");
        }
        let error = spool.finish().await.unwrap_err();
        assert!(matches!(error, SpoolError::Scan(ScanError::NotJson { .. })), "{error}");
    }

    #[tokio::test]
    async fn a_truncated_file_is_refused() {
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
    async fn a_file_named_like_a_manifest_must_be_json() {
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
            let spooled = spool_as(Expected::AnyFile, text.as_bytes(), 1_000).await.unwrap();
            assert_eq!(spooled.scanned.kind, ArtifactKind::Other, "{text}");
            assert_eq!(spooled.check_name("manifest.json").is_ok(), is_json, "{text}");
            assert!(spooled.check_name("state.json").is_ok(), "{text}");
        }
    }

    #[tokio::test]
    async fn an_opaque_file_is_never_an_artifact() {
        let bytes = manifest(1_000);
        let spooled = spool_as(Expected::Opaque, &bytes, 100).await.unwrap();
        assert_eq!(spooled.scanned, Scanned::other());
        assert_eq!(spooled.sha256, Sha256::of(&bytes));
    }
}
