//! The minimum time that one core needs for the work.

mod typed;

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use artifacts::{Manifest as IndexedManifest, Scanner};
use sha2::{Digest, Sha256};
use typed::Manifest;

/// The compression level of ingest.
const LEVEL: i32 = 3;

/// Hashes the bytes with SHA-256, compresses them with zstd, scans them and syncs the file, one after the other.
pub(crate) fn store(bytes: &[u8], folder: &Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    black_box(Sha256::digest(bytes));
    let mut scanner = Scanner::new();
    scanner.push(bytes)?;
    black_box(scanner.finish()?);
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&zstd::bulk::compress(bytes, LEVEL)?)?;
    file.sync_all()?;
    Ok(begun.elapsed())
}

/// Decompresses a frame and scans the result.
pub(crate) fn decompress_and_scan(frame: &[u8]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let bytes = zstd::decode_all(frame)?;
    let mut scanner = Scanner::new();
    scanner.push(&bytes)?;
    black_box(scanner.finish()?);
    Ok(begun.elapsed())
}

/// Decompresses a frame and parses the result into typed values.
pub(crate) fn decompress_and_parse(frame: &[u8]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let bytes = zstd::decode_all(frame)?;
    parse(&bytes)?;
    Ok(begun.elapsed())
}

/// Decompresses frames, indexes the manifests in them and hashes their nodes, on all cores. Returns the frames per second.
pub(crate) fn index_rate(frames: &[Vec<u8>]) -> anyhow::Result<f64> {
    let cores = std::thread::available_parallelism()?.get();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = frames
            .chunks(frames.len().div_ceil(cores))
            .map(|frames| scope.spawn(|| frames.iter().try_for_each(|frame| index(frame))))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
        })
    })?;
    Ok(frames.len() as f64 / begun.elapsed().as_secs_f64())
}

fn index(frame: &[u8]) -> anyhow::Result<()> {
    let bytes = zstd::decode_all(frame)?;
    black_box(Sha256::digest(&bytes));
    black_box(IndexedManifest::read(bytes)?.map_nodes(|node| node.content().sha256));
    Ok(())
}

/// Parses into typed values, borrowing text where possible.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let manifest: Manifest<'_> = serde_json::from_slice(bytes)?;
    ensure!(!manifest.nodes.is_empty(), "the manifest has no nodes");
    black_box(&manifest);
    Ok(begun.elapsed())
}
