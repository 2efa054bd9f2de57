//! Errors of the bucket, and whether a retry may help.

use object_store::Error as StoreError;
use schemas::EventId;

/// An error of the bucket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket cannot be used at the moment.
    #[error("{location} {problem}")]
    Unavailable {
        /// The bucket and its location.
        location: String,
        /// The cause, and how to fix it.
        problem: Problem,
        /// The error of the store.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The object does not exist.
    #[error("`{key}` does not exist in the bucket")]
    NotFound {
        /// The key that was asked for.
        key: String,
    },
    /// The object exists, but its content is wrong.
    #[error("`{key}` in the bucket cannot be read: {reason}")]
    Corrupt {
        /// The key at which an operator finds the object.
        key: String,
        /// What is wrong with it, as the end of the message.
        reason: String,
    },
    /// The event id contains no time, which the journal needs to file the event.
    #[error("invalid event id: expected a UUIDv7, got `{0}`")]
    InvalidEventId(EventId),
    /// The input cannot be read, or not be written as JSON.
    #[error("the input for `{key}` cannot be read")]
    Input {
        /// The key at which it was to be stored, or for a segment its folder.
        key: String,
        /// The error of reading the file, or of writing JSON.
        source: std::io::Error,
    },
}

/// Why a bucket is unavailable. The messages continue a sentence that begins with the bucket's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The store did not answer in time.
    #[error("does not answer: is it running, and is its address right?")]
    Unreachable,
    /// The credentials are wrong, or do not allow the request.
    #[error("refuses access: check the credentials in the settings, and that they may read, list and write")]
    Refused,
    /// The bucket does not exist.
    #[error("does not exist: create it, or correct its name in the settings")]
    Missing,
    /// The store ignores create-if-absent, so claims would not be safe.
    #[error("ignores `If-None-Match: *`: use a store that supports conditional writes")]
    Unconditional,
    /// The store answered with an error, or a local folder cannot be read or written.
    #[error("cannot be used; its error is in the log")]
    Failed,
}

impl Error {
    /// Whether the same request may succeed later: the bucket could not be reached, refused access, does not exist, or answered with an error.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether the store ignores create-if-absent, so that nothing can be stored in it.
    #[must_use]
    pub fn is_unconditional(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                problem: Problem::Unconditional,
                ..
            }
        )
    }

    /// Whether the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Converts an error of the store for the object `key`.
    pub(crate) fn from_store(location: &str, key: &str, source: StoreError) -> Self {
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
        Self::unavailable(location, problem, source)
    }

    pub(crate) fn unavailable(
        location: &str,
        problem: Problem,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            location: location.to_owned(),
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

/// Finds the code that S3 and Azure put into the body of a 404 if the bucket is missing, and not the object.
fn says_missing_bucket(error: &StoreError) -> bool {
    let text = error.to_string();
    text.contains("NoSuchBucket") || text.contains("ContainerNotFound")
}

/// Finds the codes of a 403 or 401: listing reports those as generic errors.
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
