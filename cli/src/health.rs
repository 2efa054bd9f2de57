//! The health checks of what the roles need.

use std::future::{Ready, ready};
use std::time::Duration;

use bucket::Bucket;
use futures_util::future::BoxFuture;
use ingest::Directory;
use service::DatabaseSettings;
use sqlx::PgPool;
use stream::Stream;
use tokio::time::timeout;

use crate::missing::advice_for;
use crate::pools::PoolRole;

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

/// How long a connection of a pool is waited for. A pool tries again and again to open one, and does not say why it cannot.
const MAX_POOL_WAIT: Duration = Duration::from_secs(1);

/// Checks that the database is reachable, gives connections their role, and has its tables.
pub(crate) fn database_check(
    database: &DatabaseSettings,
    bucket: &Bucket,
    role: PoolRole,
    pool: &PgPool,
) -> impl Fn() -> BoxFuture<'static, Result<(), String>> + use<> {
    let (database, bucket, pool) = (database.clone(), bucket.clone(), pool.clone());
    move || {
        let (database, bucket, pool) = (database.clone(), bucket.clone(), pool.clone());
        Box::pin(async move {
            let checked = match timeout(MAX_POOL_WAIT, directory::queries::check(&pool)).await {
                Ok(checked) => checked,
                Err(_) => check_outside(&database, role).await,
            };
            match checked {
                Err(error) if lacks_tables(&error) => {
                    let advice = advice_for(&database, &bucket).await;
                    Err(format!("{error}: {advice}"))
                }
                checked => checked.map_err(|error| service::explained(error).to_string()),
            }
        })
    }
}

/// Checks the database with a connection of its own, while all of the pool's are busy or cannot be opened.
async fn check_outside(database: &DatabaseSettings, role: PoolRole) -> sqlx::Result<()> {
    let mut connection = role.connect(database).await?;
    directory::queries::check(&mut connection).await
}

/// Checks that the database accepts writes. Whether it answers at all is another check.
pub(crate) fn writes_check(pool: &PgPool) -> impl Fn() -> BoxFuture<'static, Result<(), &'static str>> + use<> {
    let pool = pool.clone();
    move || {
        let pool = pool.clone();
        Box::pin(async move {
            match timeout(MAX_POOL_WAIT, directory::queries::accepts_writes(&pool)).await {
                Ok(Ok(false)) => Err("PostgreSQL is read-only: uploads are stored, and shown once it accepts writes"),
                _ => Ok(()),
            }
        })
    }
}

/// Whether a table, a schema, a function or a role does not exist.
fn lacks_tables(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["42P01", "3F000", "42883", "22023"].contains(&code.as_ref()))
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
