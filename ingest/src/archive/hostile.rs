//! Tests with zips that dbt would never write.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use schemas::Sha256;
use zip::CompressionMethod;

use super::ArchiveError;
use super::tests::{MANIFEST, bytes_of, file, zip};
use crate::hostile::{MAX_BYTES, unpacked};
use crate::mutate::damage;

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
        crate::hostile::zip(&damage.apply(&zips));
    }

    #[test]
    fn a_name_is_kept_or_refused(name in name()) {
        match unpacked(zip(CompressionMethod::Stored, &[(&name, MANIFEST)])) {
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
        match unpacked(zip(CompressionMethod::Deflated, &files)) {
            Ok(found) => prop_assert!(total <= MAX_BYTES && found.len() == files.len()),
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
    let files = unpacked(file(&bytes)).unwrap_or_default();
    let hashes: Vec<Sha256> = files.iter().map(|file| file.uploaded.sha256).collect();
    assert_eq!(hashes, [Sha256::of(b"{}")]);
}
