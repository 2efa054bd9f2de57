//! Why an event was not applied.

/// Why an event was not applied, by what is to be done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something that is needed is away; the event waits for it.
    #[error("{0}")]
    Unavailable(String),
    /// A statement took longer than it may, which may be the event's fault or not. The event is tried again, but the start counts.
    #[error("{0}")]
    TimedOut(String),
    /// The event cannot be applied, however often it is tried; it becomes a dead letter.
    #[error("{0}")]
    Rejected(String),
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        let text = format!("PostgreSQL: {error}");
        if read_model::is_timeout(&error) {
            Self::TimedOut(text)
        } else if read_model::is_outage(&error) {
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
