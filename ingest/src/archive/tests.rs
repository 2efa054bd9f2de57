use std::io::{Seek, Write};

use schemas::{ArtifactKind, Sha256};
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

pub(super) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub(super) fn bytes_of(method: CompressionMethod, files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut bytes) = (zip(method, files), Vec::new());
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(super) async fn unpacked(zip: File, limit: u64) -> Result<Unpacked, ArchiveError> {
    tokio::task::spawn_blocking(move || unpack(zip, None, limit))
        .await
        .unwrap()
}

async fn refusal(zip: File) -> ArchiveError {
    unpacked(zip, 1 << 20).await.err().expect("the zip is refused")
}

fn numbered(folder: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{folder}{number}")).collect()
}

/// A zip whose files have one byte each.
fn zip_of(names: &[String]) -> File {
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    zip(CompressionMethod::Stored, &files)
}

pub(super) const MANIFEST: &[u8] = br#"{"metadata": {"invocation_id": "i"}, "nodes": {}, "macros": {}}"#;

const PARQUET: &[u8] = b"PAR1 a table PAR1";

#[tokio::test]
async fn files_are_recognized_by_content_and_share_the_invocation() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let zip = zip(method, &[("dbt.log", b"12:00 Running\n"), ("manifest.json", MANIFEST)]);
        let files = unpacked(zip, 1_000).await.unwrap().files;
        let found: Vec<_> = files
            .iter()
            .map(|file| {
                (
                    file.uploaded.name.as_str(),
                    file.uploaded.kind,
                    file.uploaded.invocation_id.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("dbt.log", ArtifactKind::Other, Some("i")),
                ("manifest.json", ArtifactKind::Manifest, Some("i"))
            ]
        );
    }
}

#[tokio::test]
async fn a_file_in_a_folder_is_kept_without_scanning_it() {
    let other: &[u8] = br#"{"metadata": {"invocation_id": "other"}, "nodes": {}, "macros": {}}"#;
    let files: [(&str, &[u8]); 4] = [
        ("old/manifest.json", other),
        ("manifest.json", MANIFEST),
        ("info_schema/v1/x.parquet", PARQUET),
        ("broken/manifest.json", b"no JSON"),
    ];
    let zip = zip(CompressionMethod::Deflated, &files);
    let Unpacked { files, left_out } = unpacked(zip, 1_000).await.unwrap();
    assert!(left_out.is_empty(), "{left_out:?}");
    let found: Vec<_> = files
        .iter()
        .map(|file| (file.uploaded.name.as_str(), file.uploaded.kind, file.uploaded.sha256))
        .collect();
    assert_eq!(
        found,
        [
            ("manifest.json", ArtifactKind::Manifest, Sha256::of(MANIFEST)),
            ("old/manifest.json", ArtifactKind::Other, Sha256::of(other)),
            ("info_schema/v1/x.parquet", ArtifactKind::Other, Sha256::of(PARQUET)),
            ("broken/manifest.json", ArtifactKind::Other, Sha256::of(b"no JSON")),
        ]
    );
    assert!(
        files
            .iter()
            .all(|file| file.uploaded.invocation_id.as_deref() == Some("i"))
    );
}

/// Returns three zips whose last file, with this name, has damaged bytes, is encrypted, or uses an unknown compression method.
fn broken(name: &str) -> [Vec<u8>; 3] {
    let whole = bytes_of(
        CompressionMethod::Stored,
        &[("manifest.json", MANIFEST), (name, PARQUET)],
    );
    let last = |word: &[u8]| whole.windows(word.len()).rposition(|bytes| bytes == word).unwrap();
    let entry = last(b"PK\x01\x02");
    [(last(b"table"), b'T'), (entry + 8, 1), (entry + 10, 96)].map(|(at, byte)| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    })
}

#[tokio::test]
async fn a_broken_file_makes_the_zip_fail_only_if_it_is_an_artifact() {
    for name in ["info_schema/x.parquet", "dbt.log"] {
        for bytes in broken(name) {
            let Unpacked { files, left_out } = unpacked(file(&bytes), 1_000).await.unwrap();
            let names: Vec<&str> = files.iter().map(|file| file.uploaded.name.as_str()).collect();
            assert_eq!(names, ["manifest.json"]);
            let names: Vec<&str> = left_out.iter().map(|left| left.name.as_str()).collect();
            assert_eq!(names, [name]);
            assert!(
                left_out[0].reason.starts_with("it cannot be unpacked: "),
                "{left_out:?}"
            );
        }
    }
    for bytes in broken("catalog.json") {
        let error = refusal(file(&bytes)).await;
        assert!(
            matches!(&error, ArchiveError::Unpack { name, .. } if name == "catalog.json"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn files_in_folders_are_kept_while_there_is_room() {
    let mut names = numbered("info_schema/", MAX_FILES);
    names.push(format!("a/{}", "b".repeat(MAX_NAME_LEN)));
    names.push("dbt.log".to_owned());
    let Unpacked { files, left_out } = unpacked(zip_of(&names), 1_000).await.unwrap();
    assert_eq!(files.len(), MAX_FILES);
    assert_eq!(files[0].uploaded.name, "dbt.log");
    let last = &names[MAX_FILES - 1];
    assert!(left_out.iter().any(|left| left.name == *last), "{left_out:?}");
    assert!(left_out.iter().any(|left| left.reason.contains("257 bytes")));
    assert_eq!(left_out.len(), 2);
}

#[tokio::test]
async fn odd_names_cost_only_their_own_file() {
    let names = [
        "a/./b.json",
        "a//b.json",
        "a\\b.json",
        "a/b\\c.json",
        "a/C:x",
        "12:30.parquet",
    ];
    let mut files = names.map(|name| (name, MANIFEST)).to_vec();
    files.push(("./manifest.json", MANIFEST));
    let Unpacked { files, left_out } = unpacked(zip(CompressionMethod::Stored, &files), 100_000).await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].uploaded.name, "manifest.json");
    let left_out: Vec<&str> = left_out.iter().map(|left| left.name.as_str()).collect();
    assert_eq!(left_out, names);
    let twice = [("./manifest.json", MANIFEST), ("manifest.json", MANIFEST)];
    let error = refusal(zip(CompressionMethod::Stored, &twice)).await;
    assert!(matches!(error, ArchiveError::Twice(_)), "{error}");
}

#[tokio::test]
async fn unsafe_names_large_counts_and_empty_zips_are_refused() {
    for name in [
        "../manifest.json",
        "/etc/passwd",
        "a/../b.json",
        "a\\..\\b.json",
        "\\b.json",
        "C:x",
        "a\nb",
        "a/b\u{7f}",
        "..",
        &"a".repeat(MAX_NAME_LEN + 1),
    ] {
        let zip = zip(
            CompressionMethod::Stored,
            &[("manifest.json", MANIFEST), (name, MANIFEST)],
        );
        let error = refusal(zip).await;
        assert!(matches!(error, ArchiveError::Name(_)), "{name}: {error}");
    }
    let many = zip_of(&numbered("", MAX_FILES + 1));
    assert!(matches!(refusal(many).await, ArchiveError::TooMany(_)));
    let many = zip_of(&numbered("a/", MAX_ENTRIES + 1));
    assert!(matches!(refusal(many).await, ArchiveError::TooManyEntries(_)));
    let empty = zip(CompressionMethod::Stored, &[]);
    assert!(matches!(refusal(empty).await, ArchiveError::Empty));
    let name = format!("a/{}", "b".repeat(MAX_NAME_LEN));
    assert!(matches!(refusal(zip_of(&[name])).await, ArchiveError::AllLeftOut(_)));
    assert!(matches!(refusal(file(b"no zip")).await, ArchiveError::Invalid(_)));
}

#[tokio::test]
async fn a_manifest_that_is_not_json_is_refused() {
    for content in [&b"no JSON"[..], &MANIFEST[..20], b""] {
        let zip = zip(CompressionMethod::Stored, &[("manifest.json", content)]);
        let error = refusal(zip).await;
        assert!(matches!(error, ArchiveError::NotAManifest { .. }), "{error}");
    }
    let json = zip(CompressionMethod::Stored, &[("manifest.json", b"{}")]);
    assert!(unpacked(json, 1_000).await.is_ok());
}

#[tokio::test]
async fn unpacking_a_bomb_stops_at_the_limit() {
    for name in ["bomb", "a/bomb"] {
        let zip = zip(CompressionMethod::Deflated, &[(name, &vec![b' '; 20 << 20])]);
        assert!(zip.metadata().unwrap().len() < 100_000);
        assert!(matches!(unpacked(zip, 1 << 20).await, Err(ArchiveError::TooLarge(_))));
    }
}
