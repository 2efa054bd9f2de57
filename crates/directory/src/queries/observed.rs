//! When other systems were last observed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};

/// Datacoves' database as a source, for [`note_observed`].
pub const DATACOVES: &str = "datacoves";

/// A system that is observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// [`DATACOVES`], or `airflow of ACCOUNT/SLUG`.
    pub source: String,
    /// When it was last observed without an error.
    pub observed_at: Option<DateTime<Utc>>,
}

/// Records that a system was observed without an error.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn note_observed<'c>(database: impl PgExecutor<'c>, source: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO observed (source, observed_at) VALUES ($1, now()) ON CONFLICT (source) DO UPDATE SET observed_at = now()",
        source
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Returns when these systems were last observed, in the same order.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn observed(connection: &mut PgConnection, sources: &[String]) -> sqlx::Result<Vec<Observed>> {
    sqlx::query_as!(
        Observed,
        r#"SELECT s.source AS "source!", o.observed_at AS "observed_at?"
         FROM unnest($1::text[]) WITH ORDINALITY AS s (source, place) LEFT JOIN observed o ON o.source = s.source ORDER BY s.place"#,
        sources
    )
    .fetch_all(connection)
    .await
}
