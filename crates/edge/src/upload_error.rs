//! Errors of the write side. Clients read `errors` in the JSON body.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::causes::Causes;
use crate::{Outage, Reason, TooMany};

/// The key for errors that do not belong to a field.
const MESSAGE: &str = "message";

/// A resource that a request needs but that is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Needed {
    /// The bucket, which must have the files and events before an upload is accepted.
    #[error("the storage does not answer")]
    Storage,
    /// The folder for uploads that are being received.
    #[error("the disk cannot be written to")]
    Disk,
    /// PostgreSQL, which finds the stored files that a request names.
    #[error("the database does not answer")]
    Database,
    /// The directory of tokens and environments: PostgreSQL, or else the bucket.
    #[error("the token cannot be checked")]
    Directory,
    /// Datacoves, which verifies the tokens that it issued.
    #[error("Datacoves, which issued this token, does not verify it")]
    Verifier,
    /// A turn among the uploads that are read at once.
    #[error("there are too many other uploads")]
    Turn,
}

/// An error with the body `{"errors": {"message": "…"}}`, or `{"errors": {"<field>": ["…"]}}` if a field is wrong.
#[derive(Debug)]
pub struct UploadError {
    status: StatusCode,
    field: Cow<'static, str>,
    message: String,
    /// When to retry, in seconds, if that makes sense.
    retry_after: Option<u64>,
    /// PostgreSQL could not answer.
    outage: Option<Outage>,
}

impl UploadError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            field: MESSAGE.into(),
            message: message.into(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(5),
            outage: None,
        }
    }

    pub(crate) fn with_status(status: StatusCode, message: String, retry_after: Option<u64>) -> Self {
        Self {
            retry_after,
            ..Self::new(status, message)
        }
    }

    /// 400: the request is malformed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: the key is missing, unknown or deleted.
    #[must_use]
    pub fn unauthorized() -> Self {
        let message = "the token is missing, unknown or deleted; send `Authorization: Bearer <token>`";
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403: the token does not allow this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: the route does not exist.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "this route does not exist")
    }

    /// 404: the requested resource does not exist.
    pub fn nothing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 404: no file has this slug, tag or name.
    #[must_use]
    pub fn no_file() -> Self {
        Self::new(StatusCode::NOT_FOUND, "the file does not exist")
    }

    /// 404: the environment or project does not exist, or the token does not see it.
    #[must_use]
    pub fn no_environment() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "the environment or project does not exist, or the token does not see it",
        )
    }

    /// 405: the route does not support this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this route does not support this method",
        )
    }

    /// 408: the client stopped sending.
    #[must_use]
    pub fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "the upload stalled and was cancelled; send it again",
        )
    }

    /// 413: the file is larger than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        let message = format!("the file is larger than {limit} bytes, the maximum (MAX_UPLOAD_BYTES)");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// 422: a field is missing or wrong.
    pub fn unprocessable(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            field: field.into(),
            message: message.into(),
            retry_after: None,
            outage: None,
        }
    }

    /// 503: a service that is needed is unavailable; nothing was stored or changed. The cause is logged.
    #[must_use]
    pub fn unavailable(needed: Needed, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(cause = %Causes(cause), "answered 503");
        let message = format!("{needed} at the moment, and nothing was stored; send it again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 500: an internal error. The cause is logged; the header `X-Request-Id` identifies it.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "answered 500");
        let message = "an internal error occurred; send the X-Request-Id of this answer to the operator";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Returns the message for the client, with the name of the field if one is at fault.
    pub(crate) fn message_with_field(&self) -> String {
        if self.field == MESSAGE {
            self.message.clone()
        } else {
            format!("invalid `{}`: {}", self.field, self.message)
        }
    }

    /// Returns when to retry, in seconds, if that makes sense.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// Marks the answer, so that the request can be tried again.
    #[must_use]
    pub fn with_outage(self, outage: Option<Outage>) -> Self {
        Self { outage, ..self }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// 429: too many requests with this token.
impl From<TooMany> for UploadError {
    fn from(error: TooMany) -> Self {
        Self {
            retry_after: Some(error.retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string())
        }
    }
}

impl IntoResponse for UploadError {
    fn into_response(self) -> Response {
        let reason = Reason(self.message_with_field());
        let value = if self.field == MESSAGE {
            Value::from(self.message)
        } else {
            json!([self.message])
        };
        let errors = Map::from_iter([(self.field.into_owned(), value)]);
        let mut response = (self.status, Json(json!({ "errors": errors }))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if let Some(outage) = self.outage {
            response.extensions_mut().insert(outage);
        }
        reason.add_to(&mut response);
        response
    }
}
