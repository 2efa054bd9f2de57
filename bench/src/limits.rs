//! What one core needs at least.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use schemas::Scanner;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

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

/// A text that is borrowed where it has no escapes.
#[derive(Deserialize, PartialEq, Eq, Hash)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a reader of manifests needs of one.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is parsed, and nothing else")]
struct Manifest<'a> {
    #[serde(borrow)]
    metadata: HashMap<Text<'a>, &'a RawValue>,
    #[serde(borrow)]
    nodes: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    sources: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    macros: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    exposures: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    docs: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    parent_map: HashMap<Text<'a>, Vec<Text<'a>>>,
    #[serde(borrow)]
    child_map: HashMap<Text<'a>, Vec<Text<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[allow(dead_code, reason = "it is parsed, and nothing else")]
struct Node<'a> {
    #[serde(borrow)]
    unique_id: Option<Text<'a>>,
    #[serde(borrow)]
    resource_type: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    package_name: Option<Text<'a>>,
    #[serde(borrow)]
    original_file_path: Option<Text<'a>>,
    #[serde(borrow)]
    relation_name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    fqn: Vec<Text<'a>>,
    #[serde(borrow)]
    tags: Vec<Text<'a>>,
    #[serde(borrow)]
    config: HashMap<Text<'a>, &'a RawValue>,
    #[serde(borrow)]
    columns: HashMap<Text<'a>, Column<'a>>,
    #[serde(borrow)]
    raw_code: Option<Text<'a>>,
    #[serde(borrow)]
    compiled_code: Option<Text<'a>>,
    #[serde(borrow)]
    depends_on: DependsOn<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[allow(dead_code, reason = "it is parsed, and nothing else")]
struct DependsOn<'a> {
    #[serde(borrow)]
    macros: Vec<Text<'a>>,
    #[serde(borrow)]
    nodes: Vec<Text<'a>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "it is parsed, and nothing else")]
struct Column<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    data_type: Option<Text<'a>>,
}
