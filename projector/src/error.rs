//! Errors of applying an event.

/// Why an event was not applied. The variants differ in how the caller continues.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something that the event needs is unavailable. The event waits for it.
    #[error("{0}")]
    Unavailable(String),
    /// PostgreSQL refused a statement because of a deadlock or a lack of resources. That passes, and may concern only some of the events that
    /// are applied together. An event alone waits, as if something were unavailable.
    #[error("{0}")]
    Refused(String),
    /// A lock was not free in time. It concerns only the events that need the lock; these wait, as if something were unavailable.
    #[error("{0}")]
    Locked(String),
    /// A statement timed out, which may or may not be the event's fault. The event is tried again, but the start counts.
    #[error("{0}")]
    TimedOut(String),
    /// The event cannot be applied, no matter how often it is tried. It becomes a dead letter.
    #[error("{0}")]
    Rejected(String),
}

impl ApplyError {
    /// The error if a lock was not free that all accounts share: the events wait together, since each part of them needs it.
    pub(crate) fn of_common_lock(error: sqlx::Error) -> Self {
        match Self::from(error) {
            Self::Locked(cause) => Self::Unavailable(cause),
            other => other,
        }
    }
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        let text = format!("PostgreSQL: {error}");
        if read_model::outage::is_timeout(&error) {
            Self::TimedOut(text)
        } else if read_model::outage::is_lock_wait(&error) {
            Self::Locked(text)
        } else if read_model::outage::is_contention(&error) {
            Self::Refused(text)
        } else if read_model::outage::is_outage(&error) {
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
