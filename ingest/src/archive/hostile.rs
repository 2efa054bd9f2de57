//! Tests with zips that dbt would never write.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Component, Path};
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use schemas::Sha256;
use tokio::runtime::Runtime;
use zip::CompressionMethod;

use super::tests::{MANIFEST, bytes_of, file, unpacked, zip};
use super::{ArchiveError, MAX_FILES};
use crate::mutate::damage;
use crate::store::NamedFile;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// The limit for unpacking, in bytes.
const MAX_BYTES: u64 = 10_000;

/// Signatures of a zip's parts, and pieces of unsafe paths.
const WORDS: &[&str] = &[
    "PK\x01\x02",
    "PK\x03\x04",
    "PK\x05\x06",
    "PK\x06\x06",
    "PK\x06\x07",
    "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f",
    "\0\0\0\0",
    "../",
    "/",
    "\\",
];

fn unpack(zip: File) -> Result<Vec<NamedFile>, ArchiveError> {
    let files = RUNTIME.block_on(unpacked(zip, MAX_BYTES))?.files;
    let names: BTreeSet<&str> = files.iter().map(|file| file.uploaded.name.as_str()).collect();
    assert_eq!(names.len(), files.len());
    assert!(!files.is_empty() && files.len() <= MAX_FILES);
    for name in names {
        for part in name.split('/') {
            let parts: Vec<Component<'_>> = Path::new(part).components().collect();
            assert_eq!(parts, [Component::Normal(part.as_ref())]);
        }
        assert!(!name.contains(|letter: char| letter == '\\' || letter == ':' || letter.is_control()));
    }
    assert!(files.iter().map(|file| file.uploaded.size).sum::<u64>() <= MAX_BYTES);
    Ok(files)
}

fn name() -> impl Strategy<Value = String> {
    let piece = select(&["..", ".", "/", "\\", "C:", "\n", "\u{7f}", "manifest.json", "é", " "][..]);
    prop_oneof![vec(piece, 1..4).prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_zips_are_refused_or_unpacked_within_the_limit(damage in damage(WORDS)) {
        let bomb = vec![b' '; 5_000];
        let files: [(&str, &[u8]); 4] =
            [("dbt.log", b"12:00 Running\n"), ("manifest.json", MANIFEST), ("a/x.parquet", b"PAR1"), ("bomb", &bomb)];
        let zips = [CompressionMethod::Stored, CompressionMethod::Deflated].map(|method| bytes_of(method, &files));
        // `unpack` checks its own result.
        unpack(file(&damage.apply(&zips))).ok();
    }

    #[test]
    fn a_name_is_kept_or_refused(name in name()) {
        match unpack(zip(CompressionMethod::Stored, &[(&name, MANIFEST)])) {
            Ok(files) => prop_assert_eq!(&files[0].uploaded.name, name.trim_start_matches("./")),
            Err(error) => {
                use ArchiveError::{AllLeftOut, Empty, Name};
                prop_assert!(matches!(error, Name(_) | AllLeftOut(_) | Empty), "{}", error);
            }
        }
    }

    #[test]
    fn the_limit_applies_to_all_files_together(sizes in vec(0..8_000_usize, 1..4)) {
        let contents: Vec<(String, Vec<u8>)> = sizes.iter().enumerate().map(|(at, size)| (at.to_string(), vec![b' '; *size])).collect();
        let files: Vec<(&str, &[u8])> = contents.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        let total = sizes.iter().sum::<usize>() as u64;
        match unpack(zip(CompressionMethod::Deflated, &files)) {
            Ok(unpacked) => prop_assert!(total <= MAX_BYTES && unpacked.len() == files.len()),
            Err(error) => prop_assert!(matches!(error, ArchiveError::TooLarge(_)) && total > MAX_BYTES, "{}: {}", total, error),
        }
    }
}

/// The zip reader keeps the names in a map, so the first file is never seen.
#[test]
fn the_last_of_two_files_with_the_same_name_counts() {
    let mut bytes = bytes_of(CompressionMethod::Stored, &[("a.json", MANIFEST), ("b.json", b"{}")]);
    while let Some(at) = bytes.windows(6).position(|name| name == b"b.json") {
        bytes[at] = b'a';
    }
    let files = unpack(file(&bytes)).unwrap_or_default();
    let hashes: Vec<Sha256> = files.iter().map(|file| file.uploaded.sha256).collect();
    assert_eq!(hashes, [Sha256::of(b"{}")]);
}
