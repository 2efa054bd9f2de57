//! Why an event was not applied.

/// Why an event was not applied, by what is to be done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something that is needed is away; the event waits for it.
    #[error("{0}")]
    Unavailable(String),
    /// The event cannot be applied, however often it is tried; it becomes a dead letter.
    #[error("{0}")]
    Rejected(String),
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        let text = format!("PostgreSQL: {error}");
        let temporary = match &error {
            sqlx::Error::Database(database) => database.code().is_some_and(|code| {
                // Connection, transaction rollback (deadlock), lack of resources, object in use, operator intervention, system error;
                // and what a database that is not migrated yet, or is read-only after a failover, answers.
                ["08", "40", "53", "55", "57", "58"].contains(&&code[..2])
                    || ["42P01", "42501", "3F000", "3D000", "25006", "28000", "28P01"].contains(&code.as_ref())
            }),
            sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_) => false,
            _ => true,
        };
        if temporary {
            Self::Unavailable(text)
        } else {
            Self::Rejected(text)
        }
    }
}

impl From<bucket::Error> for ApplyError {
    fn from(error: bucket::Error) -> Self {
        let text = format!("the bucket: {error}");
        if error.is_unavailable() {
            Self::Unavailable(text)
        } else {
            Self::Rejected(text)
        }
    }
}
