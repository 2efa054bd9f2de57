//! A query string, read as leniently as dbt Cloud reads it.
//!
//! Unknown names are ignored, empty values count as absent, and the last of several values counts, except in a list, which takes all of them. A value that cannot be read is an error that names it.

mod de;
mod values;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

pub use values::{Given, List, TimeRange};

use crate::{CloudError, UploadError};

/// The parameters of a query on a route with dbt Cloud's errors.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

/// The parameters of a query on a route of uploads, whose errors have a form of their own.
#[derive(Clone, Debug)]
pub struct UploadQuery<T>(pub T);

/// A parameter that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParam {
    /// It has another form than the one it must have.
    #[error("invalid `{name}`: expected {expected}, got `{value}`")]
    Invalid {
        /// The parameter's name, as in the query.
        name: String,
        /// What was sent, or its beginning: at most 100 characters.
        value: String,
        /// What is allowed, without "expected".
        expected: String,
    },
    /// It is absent or empty.
    #[error("missing `{name}`: this parameter is required")]
    Missing {
        /// The parameter's name, as in the query.
        name: String,
    },
}

impl InvalidParam {
    /// The most characters of a value that an error repeats.
    const MAX_VALUE: usize = 100;

    /// A value that is not allowed, and what is.
    pub fn new(name: &str, value: &str, expected: impl Into<String>) -> Self {
        Self::Invalid {
            name: name.to_owned(),
            value: value.chars().take(Self::MAX_VALUE).collect(),
            expected: expected.into(),
        }
    }
}

impl From<InvalidParam> for CloudError {
    fn from(error: InvalidParam) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<InvalidParam> for UploadError {
    fn from(error: InvalidParam) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl IntoResponse for InvalidParam {
    fn into_response(self) -> Response {
        CloudError::from(self).into_response()
    }
}

/// Reads the part of a URL after the `?`.
///
/// # Errors
/// When a value cannot be read, or a required one is missing.
pub fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, InvalidParam> {
    T::deserialize(de::QueryDeserializer::new(query)).map_err(|error| error.into_param(""))
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = InvalidParam;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, InvalidParam> {
        read_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for UploadQuery<T> {
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, UploadError> {
        Ok(Self(read_query(parts.uri.query().unwrap_or_default())?))
    }
}

#[cfg(test)]
mod tests;
