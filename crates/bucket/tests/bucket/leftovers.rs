//! What killed processes leave in a local bucket.

use std::fs::{self, File};

use bucket::{ABANDONED_AFTER, Bucket, Settings};
use chrono::TimeDelta;
use clock::Clock;

#[tokio::test]
async fn only_unfinished_files_that_are_old_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let bucket = Bucket::open(&Settings::Local { path }).unwrap();
    let before = Clock::System.now() - ABANDONED_AFTER;
    assert_eq!(bucket.remove_leftovers(before).await.unwrap(), 0);
    let old = (before - TimeDelta::minutes(1)).into();
    for (name, is_old) in [
        ("events/uploads/2026/11/29/08/a.json#1", true),
        ("artifacts/1/sha256/ab/b.zst#12", true),
        ("events/uploads/2026/11/29/08/young.json#1", false),
        ("events/uploads/2026/11/29/08/finished.json", true),
        ("revocations/name#", true),
        // Names of the earlier dbt-api may contain anything.
        ("accounts/1/dags/report#1", true),
    ] {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "{").unwrap();
        if is_old {
            File::options()
                .write(true)
                .open(&file)
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
    }
    assert_eq!(bucket.remove_leftovers(before).await.unwrap(), 2);
    for kept in [
        "events/uploads/2026/11/29/08/young.json#1",
        "events/uploads/2026/11/29/08/finished.json",
        "revocations/name#",
        "accounts/1/dags/report#1",
    ] {
        assert!(folder.path().join(kept).exists(), "{kept}");
    }
    assert_eq!(bucket.remove_leftovers(before).await.unwrap(), 0);
}
