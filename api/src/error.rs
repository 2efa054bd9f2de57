//! The errors of the read side.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use edge::{CloudError, InvalidParam, Outage, UploadError};
use read_model::doc::InvalidDoc;
use read_model::outage::{is_conflict, is_outage};

/// An error as the client sees it. Errors that the client cannot fix are also logged.
#[derive(Debug)]
pub struct Error {
    error: CloudError,
    outage: Option<Outage>,
}

impl Error {
    /// A stored row that cannot be turned into an answer.
    #[must_use]
    pub fn unreadable(cause: &dyn Display) -> Self {
        CloudError::internal(cause).into()
    }

    /// Whether the key is missing, unknown or expired.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.error.is_unauthorized()
    }
}

impl From<CloudError> for Error {
    fn from(error: CloudError) -> Self {
        Self { error, outage: None }
    }
}

impl From<InvalidParam> for Error {
    fn from(error: InvalidParam) -> Self {
        CloudError::from(error).into()
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_outage(&error) {
            let outage = if is_conflict(&error) {
                Outage::Conflict
            } else {
                Outage::Other
            };
            return Self {
                error: CloudError::unavailable(&error),
                outage: Some(outage),
            };
        }
        CloudError::internal(&format_args!("a query failed: {error}")).into()
    }
}

impl From<bucket::Error> for Error {
    fn from(error: bucket::Error) -> Self {
        if error.is_unavailable() {
            return CloudError::unavailable(&error).into();
        }
        CloudError::internal(&error).into()
    }
}

impl From<discovery::Error> for Error {
    fn from(error: discovery::Error) -> Self {
        match error {
            discovery::Error::Query(errors) => {
                let reasons: Vec<String> = errors.into_iter().map(|error| error.message).collect();
                CloudError::bad_request(reasons.join("; ")).into()
            }
            discovery::Error::Database(error) => error.into(),
            discovery::Error::Busy | discovery::Error::Late => CloudError::busy().into(),
            discovery::Error::Internal(cause) => Self::unreadable(&cause),
        }
    }
}

impl From<InvalidDoc> for Error {
    fn from(error: InvalidDoc) -> Self {
        Self::unreadable(&error)
    }
}

/// For the routes that uploaders use, whose errors have their own form.
impl From<Error> for UploadError {
    fn from(error: Error) -> Self {
        let outage = error.outage;
        Self::from(error.error).with_outage(outage)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.error.into_response();
        if let Some(outage) = self.outage {
            response.extensions_mut().insert(outage);
        }
        response
    }
}
