//! Errors of the write side: clients read `errors` of the body, as JSON.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::TooMany;

/// The field of errors that are no field's.
const MESSAGE: &str = "message";

/// What a request waits for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Needed {
    /// The bucket.
    #[error("the storage does not answer")]
    Storage,
    /// The folder that uploads wait in.
    #[error("the disk does not take it")]
    Disk,
    /// PostgreSQL.
    #[error("the database does not answer")]
    Database,
    /// Who knows whose a key is and where it leads: PostgreSQL, and the bucket in its place.
    #[error("whose token this is and what it may do cannot be found out")]
    Directory,
    /// Datacoves.
    #[error("Datacoves, which gave this token, does not tell whose it is")]
    Verifier,
    /// A place among those that upload at once.
    #[error("too many others upload")]
    Turn,
}

/// An error with the body `{"errors": {"message": "…"}}`, or `{"errors": {"<field>": ["…"]}}` where one field is at fault.
#[derive(Debug)]
pub struct UploadError {
    status: StatusCode,
    field: Cow<'static, str>,
    message: String,
    /// In seconds, where sending again makes sense.
    retry_after: Option<u64>,
}

impl UploadError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            field: MESSAGE.into(),
            message: message.into(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(5),
        }
    }

    pub(crate) fn with_status(status: StatusCode, message: String, retry_after: Option<u64>) -> Self {
        Self {
            retry_after,
            ..Self::new(status, message)
        }
    }

    /// 400: the request is broken.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: no key, or one that is not known (any more).
    #[must_use]
    pub fn unauthorized() -> Self {
        let message = "the token is missing, unknown or deleted; send `Authorization: Bearer <token>`";
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403: the token does not allow this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: there is no such route.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing here")
    }

    /// 404: what is asked for is not there.
    pub fn nothing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 404: there is no file of that slug, tag or name.
    #[must_use]
    pub fn no_file() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such file in this place")
    }

    /// 404: there is no such environment or project, or the token does not see it.
    #[must_use]
    pub fn no_place() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "there is no such environment or project that the token sees",
        )
    }

    /// 405: the route knows other methods only.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this route does not know this method")
    }

    /// 408: the client stopped sending.
    #[must_use]
    pub fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "the upload stalled and was given up; send it again",
        )
    }

    /// 413: more bytes than are accepted.
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        let message =
            format!("the file is larger than {limit} bytes, which is the most that is accepted (MAX_UPLOAD_BYTES)");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// 422: a field is missing or wrong.
    pub fn unprocessable(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            field: field.into(),
            message: message.into(),
            retry_after: None,
        }
    }

    /// 503: what is needed is away for the moment; nothing was kept or changed. The cause is logged.
    #[must_use]
    pub fn unavailable(needed: Needed, cause: &dyn std::fmt::Display) -> Self {
        tracing::warn!(%cause, "answered 503");
        let message = format!("{needed} at the moment, and nothing was kept; send it again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 500: a fault of ours, which is logged; the client finds it by the request id in the header `X-Request-Id`.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "answered 500");
        let message = "an internal error occurred; tell the operator the X-Request-Id of this answer";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// What is told to the client.
    pub(crate) fn into_message(self) -> String {
        self.message
    }

    /// After how many seconds it may be sent again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// 429: the token is used too often.
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
        response
    }
}
