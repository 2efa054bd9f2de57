//! Which errors of PostgreSQL pass by themselves.

/// Whether a statement took longer than it may. It is not told by it whether PostgreSQL is slow at present or the statement is too much.
#[must_use]
pub fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.code().as_deref() == Some("57014"))
}

/// Whether what failed may succeed later unchanged: PostgreSQL is away, overloaded, or not ready for us. Otherwise the statement or its values
/// are at fault.
#[must_use]
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // Connection, transaction rollback (deadlock), lack of resources, object in use, operator intervention, system error;
            // and what a database that is not migrated yet, or is read-only after a failover, answers.
            ["08", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
                || ["42P01", "42703", "42501", "3F000", "3D000", "25006", "28000", "28P01"].contains(&code.as_ref())
        }),
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_) => false,
        _ => true,
    }
}
