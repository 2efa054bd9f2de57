//! What to do about tables, or what they should contain, that are missing.

use bucket::Bucket;
use read_model::migrations::{self, State};
use service::DatabaseSettings;
use sqlx::PgConnection;

/// What to do where the tables are missing, and the bucket has accounts and tokens.
const RECOVER: &str = "run `dbt-api recover`, which creates the tables and restores everything from the bucket";

/// What to do where the tables are missing.
const MIGRATE: &str = "run `dbt-api migrate`";

/// What is missing in PostgreSQL.
pub(crate) async fn advice(connection: &mut PgConnection, bucket: &Bucket) -> sqlx::Result<Option<String>> {
    Ok(match migrations::state(connection).await? {
        Some(State::Absent) if holds_accounts(bucket).await => Some(format!("has no tables: {RECOVER}")),
        Some(State::Absent) => Some(format!("has no tables: {MIGRATE}")),
        Some(State::Behind) => Some(format!("is of an earlier version: {MIGRATE}")),
        Some(State::Current) | None => None,
    })
}

/// What to do about a table, a schema, a function or a role that does not exist.
pub(crate) async fn advice_for(database: &DatabaseSettings, bucket: &Bucket) -> String {
    let asked = async {
        let mut connection = database.connect_as_user().await?;
        advice(&mut connection, bucket).await
    };
    match asked.await {
        Ok(Some(advice)) => format!("the database {advice}"),
        _ => MIGRATE.to_owned(),
    }
}

/// Whether the bucket has anything to recover. It may not be there yet.
pub(crate) async fn holds_accounts(bucket: &Bucket) -> bool {
    let events = bucket.list_directory_events().await;
    events.is_ok_and(|events| !events.is_empty())
}
