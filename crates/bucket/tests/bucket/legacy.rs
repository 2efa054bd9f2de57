//! Tests with objects of the earlier dbt-api.

use bucket::{Bucket, Error, LegacyManifest, LegacyObject};
use futures_util::TryStreamExt;
use tempfile::TempDir;

use crate::stores::local;

const KEY: &str = "accounts/1/environments/dev/dags/load/dag_runs/a%3Ab+c/manifest.json";

fn put(folder: &TempDir, key: &str, content: &[u8]) {
    let path = folder.path().join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

async fn manifests(bucket: &Bucket) -> Result<Vec<LegacyManifest>, Error> {
    let objects: Vec<LegacyObject> = bucket.legacy_objects(None, None).try_collect().await?;
    let manifest = |object| match object {
        LegacyObject::Manifest(manifest) => Some(manifest),
        LegacyObject::Other => None,
    };
    Ok(objects.into_iter().filter_map(manifest).collect())
}

#[tokio::test]
async fn an_encoded_key_is_not_encoded_again() {
    let (folder, bucket) = local();
    put(&folder, KEY, b"content");
    let [manifest] = manifests(&bucket).await.unwrap().try_into().unwrap();
    assert_eq!(
        (manifest.key(), manifest.run.as_ref().unwrap().run_id.as_str()),
        (KEY, "a:b+c")
    );
    let content: Vec<_> = bucket
        .open_legacy(&manifest)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(content.concat(), b"content");
}

#[tokio::test]
async fn a_manifest_that_was_replaced_or_removed_after_listing_is_an_error() {
    let (folder, bucket) = local();
    put(&folder, KEY, b"content");
    let [manifest] = manifests(&bucket).await.unwrap().try_into().unwrap();
    put(&folder, KEY, b"other content");
    let error = bucket.open_legacy(&manifest).await.err().unwrap().to_string();
    assert!(
        error.contains(KEY) && error.contains("replaced after it was listed"),
        "{error}"
    );
    std::fs::remove_file(folder.path().join(KEY)).unwrap();
    assert!(bucket.open_legacy(&manifest).await.err().unwrap().is_not_found());
}

#[tokio::test]
async fn a_key_that_cannot_be_listed_is_reported() {
    let (folder, bucket) = local();
    put(&folder, "accounts/1/environments/dev/manifests/a\nb/manifest.json", b"");
    let error = manifests(&bucket).await.err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert!(
        error.to_string().contains("a\\nb") || error.to_string().contains("a\nb"),
        "{error}"
    );
}
