//! The format of the rows in the read model.

use sqlx::PgConnection;

/// Whether the read model contains rows of an earlier format, which a rebuild replaces.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn needs_rebuild(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT version < 3 AS "is_old!" FROM read_model.format"#)
        .fetch_one(connection)
        .await
}
