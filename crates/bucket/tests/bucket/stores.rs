//! Creates an empty bucket of each kind for a test.

use std::path::Path;

use bucket::{Bucket, Settings};
use tempfile::TempDir;
use testkit::s3::S3Server;

/// Defines a test per function and kind of bucket. Each function takes an empty `&Bucket`.
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod on_local {
            $(#[tokio::test]
            async fn $name() {
                let (_folder, bucket) = crate::stores::local();
                super::$name(&bucket).await;
            })*
        }

        mod on_s3 {
            $(#[tokio::test]
            async fn $name() {
                let (_server, bucket) = crate::stores::s3().await;
                super::$name(&bucket).await;
            })*
        }
    };
}

pub(crate) use on_each_store;

pub(crate) fn local() -> (TempDir, Bucket) {
    let folder = tempfile::tempdir().unwrap();
    let bucket = open_folder(folder.path()).unwrap();
    (folder, bucket)
}

pub(crate) fn open_folder(path: &Path) -> Result<Bucket, bucket::Error> {
    Bucket::open(&Settings::Local { path: path.into() })
}

pub(crate) async fn s3() -> (S3Server, Bucket) {
    let server = S3Server::start().await.unwrap();
    let bucket = Bucket::open(&server.settings("artifacts").unwrap()).unwrap();
    (server, bucket)
}
