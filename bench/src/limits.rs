//! What one core needs at least.

mod typed;

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use schemas::Scanner;
use sha2::{Digest, Sha256};
use typed::Manifest;

/// As ingest compresses.
const LEVEL: i32 = 3;

/// SHA-256, zstd, a scan and an fsync of these bytes, one after the other.
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

/// Decompression, and a scan of what comes out.
pub(crate) fn decompress_and_scan(frame: &[u8]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let bytes = zstd::decode_all(frame)?;
    let mut scanner = Scanner::new();
    scanner.push(&bytes)?;
    black_box(scanner.finish()?);
    Ok(begun.elapsed())
}

/// Decompression, and a typed parse of what comes out.
pub(crate) fn decompress_and_parse(frame: &[u8]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let bytes = zstd::decode_all(frame)?;
    parse(&bytes)?;
    Ok(begun.elapsed())
}

/// A typed parse that borrows what it can.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let manifest: Manifest<'_> = serde_json::from_slice(bytes)?;
    ensure!(!manifest.nodes.is_empty(), "the manifest has no nodes");
    black_box(&manifest);
    Ok(begun.elapsed())
}
