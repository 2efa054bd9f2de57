//! The health checks of what the roles need.

use std::future::{Ready, ready};

use bucket::Bucket;
use futures_util::future::BoxFuture;
use ingest::Directory;
use sqlx::PgPool;
use stream::Stream;

/// Checks that the bucket answers.
pub(crate) fn bucket_check(bucket: &Bucket) -> impl Fn() -> BoxFuture<'static, Result<(), bucket::Error>> + use<> {
    let bucket = bucket.clone();
    move || {
        let bucket = bucket.clone();
        Box::pin(async move { bucket.check().await })
    }
}

/// Checks that NATS answers.
pub(crate) fn stream_check(stream: &Stream) -> impl Fn() -> BoxFuture<'static, Result<(), stream::Error>> + use<> {
    let stream = stream.clone();
    move || {
        let stream = stream.clone();
        Box::pin(async move { stream.check().await })
    }
}

/// Checks that the database is reachable and has its tables.
pub(crate) fn database_check(pool: &PgPool) -> impl Fn() -> BoxFuture<'static, Result<(), sqlx::Error>> + use<> {
    let pool = pool.clone();
    move || {
        let pool = pool.clone();
        Box::pin(async move { directory::queries::check(&pool).await })
    }
}

/// Checks that the directory is in memory.
pub(crate) fn directory_check(directory: &Directory) -> impl Fn() -> Ready<Result<(), &'static str>> + use<> {
    let directory = directory.clone();
    move || {
        ready(if directory.loaded() {
            Ok(())
        } else {
            Err("not loaded yet from PostgreSQL or the bucket")
        })
    }
}
