//! Tests that keys do not change: operators and older versions rely on them.

use std::path::Path;

use bucket::{ClaimKind, Compressed, Error, Journal};
use schemas::{AccountId, Sha256, TokenId};
use serde_json::json;
use uuid::Uuid;

use crate::journal::{at, upload};
use crate::stores::local;

pub(crate) fn files(root: &Path, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(root, &path));
        } else {
            found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn each_kind_of_object_has_its_key() {
    let (folder, bucket) = local();
    let sha256 = Sha256::of(b"abc");
    let frames = Compressed::Bytes(zstd::encode_all(b"abc".as_slice(), 3).unwrap().into());
    let event = upload(at(17, 5));
    bucket.check().await.unwrap();
    bucket.put_artifact(AccountId(7), sha256, frames).await.unwrap();
    bucket.put_event(&event).await.unwrap();
    bucket.claim(ClaimKind::Run, 12, &json!({})).await.unwrap();
    bucket.revoke(TokenId(Uuid::nil())).await.unwrap();
    assert_eq!(
        files(folder.path(), folder.path()),
        [
            "artifacts/7/sha256/ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.zst".to_owned(),
            "check".to_owned(),
            format!("events/uploads/2026/11/23/17/{}.json", event.id),
            "ids/runs/12.json".to_owned(),
            "revocations/00000000-0000-0000-0000-000000000000".to_owned(),
        ]
    );
}

#[tokio::test]
async fn segments_are_named_by_their_hour_the_number_of_their_events_and_a_hash() {
    let (folder, bucket) = local();
    for minute in [5, 6] {
        bucket.put_event(&upload(at(17, minute))).await.unwrap();
    }
    bucket.pack(at(18, 0), &|_, _| {}).await.unwrap();
    bucket.trim(at(18, 0), true, &|_, _| {}).await.unwrap();
    let names = files(folder.path(), folder.path());
    let [check, mark, segment] = names.as_slice() else {
        panic!("{names:?}")
    };
    assert_eq!(check, "check");
    let hash = segment
        .strip_prefix("events/segments/2026/11/23/17/2-")
        .and_then(|name| name.strip_suffix(".zst"));
    assert!(hash.unwrap().parse::<Sha256>().is_ok(), "{segment}");
    assert_eq!(mark, &segment.replace(".zst", ".trimmed"));
}

#[tokio::test]
async fn objects_that_are_not_events_are_corrupt_or_skipped() {
    let (folder, bucket) = local();
    let event = upload(at(17, 5));
    bucket.put_event(&event).await.unwrap();
    let hour = folder.path().join("events/uploads/2026/11/23/17");
    std::fs::write(hour.join("README.txt"), "not an event").unwrap();
    std::fs::create_dir_all(folder.path().join("events/uploads/2026/11/23/16")).unwrap();
    assert_eq!(bucket.list_events_of_hour(at(17, 0)).await.unwrap(), [event.id]);
    assert_eq!(bucket.first_hour().await.unwrap(), Some(at(17, 0)));

    let file = hour.join(format!("{}.json", event.id));
    for content in [
        r#"{"specversion":"1.0""#.as_bytes(),
        &upload(at(17, 5)).to_json().unwrap(),
    ] {
        std::fs::write(&file, content).unwrap();
        let error = bucket.get_event(Journal::Uploads, event.id).await.unwrap_err();
        assert!(
            matches!(error, Error::Corrupt { .. }) && error.to_string().contains(&event.id.to_string()),
            "{error}"
        );
    }

    std::fs::create_dir_all(folder.path().join("ids/runs")).unwrap();
    std::fs::write(folder.path().join("ids/runs/1.json"), "{").unwrap();
    let error = bucket.claim(ClaimKind::Run, 1, &json!({})).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}
