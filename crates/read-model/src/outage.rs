//! Separates temporary errors of PostgreSQL from permanent ones.

/// Whether a statement timed out. The error does not show whether PostgreSQL is slow at the moment or the statement is too expensive.
#[must_use]
pub fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.code().as_deref() == Some("57014"))
}

/// Whether a lock was not free in time, because another transaction holds it.
#[must_use]
pub fn is_lock_wait(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.code().as_deref() == Some("55P03"))
}

/// Whether PostgreSQL refused a statement because of what others do, or of how much the statement needs: a deadlock or a lack of resources. A
/// smaller transaction may succeed.
#[must_use]
pub fn is_contention(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return false;
    };
    let code = database.code();
    code.is_some_and(|code| ["40", "53"].iter().any(|class| code.starts_with(class)))
}

/// Whether the same operation may succeed later because PostgreSQL is unavailable, overloaded, or not ready for this program. Otherwise the
/// statement or its values are at fault.
#[must_use]
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // Connection errors, transaction rollbacks (deadlocks), lack of resources, objects in use, operator intervention and system
            // errors. The codes after them come from a database that is not migrated yet, is read-only after a failover, or has time limits for
            // transactions.
            ["08", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
                || [
                    "42P01", "42703", "42501", "3F000", "3D000", "25006", "25P03", "25P04", "28000", "28P01",
                ]
                .contains(&code.as_ref())
        }),
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_) => false,
        _ => true,
    }
}
