//! What can go wrong with the bucket, and whether trying again helps.

use object_store::Error as StoreError;
use schemas::EventId;

/// An error of the bucket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket cannot be used at the moment.
    #[error("{place} {problem}")]
    Unavailable {
        /// Which bucket, and where.
        place: String,
        /// Why, and what to do about it.
        problem: Problem,
        /// What the store said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such object.
    #[error("the bucket holds no `{key}`")]
    NotFound {
        /// The object's key.
        key: String,
    },
    /// An object is there, but cannot be what it should be.
    #[error("`{key}` in the bucket cannot be read: {reason}")]
    Corrupt {
        /// The object's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An event whose id does not say when it was made has no place in the journal.
    #[error("the event id `{0}` is not a UUIDv7, so the journal has no place for it")]
    InvalidEventId(EventId),
    /// What was to be stored cannot be read or written as JSON.
    #[error("what was to be stored as `{key}` cannot be read")]
    Input {
        /// The object's key.
        key: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a bucket is unavailable. Reads on from the name of the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing answered in time.
    #[error("does not answer: is it running, and is its address right?")]
    Unreachable,
    /// The credentials are wrong, or do not allow what was asked.
    #[error("refuses access: check the access keys in the settings, and that they may read, list and write")]
    Refused,
    /// There is no bucket of that name.
    #[error("does not exist: create it, or correct its name in the settings")]
    Missing,
    /// It does not honour create-if-absent, so that no claim would be safe.
    #[error("overwrites what `If-None-Match: *` protects: use a store that supports conditional writes")]
    Unconditional,
    /// It answered, but with an error; or a local folder cannot be read or written.
    #[error("failed; see the log for what it said")]
    Failed,
}

impl Error {
    /// Whether the same request may succeed once the bucket is well again: it could not be reached, refused access, does not
    /// exist, or answered with an error. Tell the client to try later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether there is no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// What an error of the store means for the object `key`.
    pub(crate) fn from_store(place: &str, key: &str, source: StoreError) -> Self {
        let problem = match &source {
            StoreError::NotFound { .. } if !says_missing_bucket(&source) => {
                return Self::NotFound { key: key.to_owned() };
            }
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => Problem::Refused,
            _ if says_missing_bucket(&source) => Problem::Missing,
            _ if says_refused(&source) => Problem::Refused,
            _ if was_not_answered(&source) => Problem::Unreachable,
            _ => Problem::Failed,
        };
        Self::unavailable(place, problem, source)
    }

    pub(crate) fn unavailable(
        place: &str,
        problem: Problem,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            place: place.to_owned(),
            problem,
            source: source.into(),
        }
    }

    pub(crate) fn corrupt(key: &str, reason: impl ToString) -> Self {
        Self::Corrupt {
            key: key.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// The code that S3 and Azure put into the body of a 404 when it is the bucket that is absent, not the object.
fn says_missing_bucket(error: &StoreError) -> bool {
    let text = error.to_string();
    text.contains("NoSuchBucket") || text.contains("ContainerNotFound")
}

/// The codes of a 403 or 401, which listing answers with an error of no kind.
fn says_refused(error: &StoreError) -> bool {
    let text = error.to_string();
    [
        "SignatureDoesNotMatch",
        "AccessDenied",
        "InvalidAccessKeyId",
        "AuthenticationFailed",
        "AuthorizationFailure",
    ]
    .iter()
    .any(|code| text.contains(code))
}

fn was_not_answered(error: &StoreError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<object_store::client::HttpError>() {
            return true;
        }
        next = error.source();
    }
    false
}
