//! Of which format the read model's rows are.

use sqlx::PgConnection;

/// Whether the read model has rows of an earlier format, which a rebuild replaces.
///
/// # Errors
/// Those of the database.
pub async fn needs_rebuild(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT version < 2 AS "is_old!" FROM read_model.format"#)
        .fetch_one(connection)
        .await
}
