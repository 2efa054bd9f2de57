//! The errors of the read side.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use edge::{CloudError, InvalidParam, UploadError};
use read_model::doc::InvalidDoc;

/// An error as the client sees it. Errors that the client cannot fix are also logged.
#[derive(Debug)]
pub(crate) struct Error(CloudError);

impl Error {
    /// A stored row that cannot be turned into an answer.
    pub(crate) fn unreadable(cause: &dyn Display) -> Self {
        Self(CloudError::internal(cause))
    }
}

impl From<CloudError> for Error {
    fn from(error: CloudError) -> Self {
        Self(error)
    }
}

impl From<InvalidParam> for Error {
    fn from(error: InvalidParam) -> Self {
        Self(error.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if read_model::outage::is_outage(&error) {
            return Self(CloudError::unavailable(&error));
        }
        Self(CloudError::internal(&format_args!("a query failed: {error}")))
    }
}

impl From<bucket::Error> for Error {
    fn from(error: bucket::Error) -> Self {
        if error.is_unavailable() {
            return Self(CloudError::unavailable(&error));
        }
        Self(CloudError::internal(&error))
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
        error.0.into()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
