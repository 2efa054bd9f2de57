//! Errors in dbt Cloud's format.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::causes::Causes;
use crate::envelope::Status;
use crate::{NotPermitted, Reason, TooMany, UploadError};

/// An error in dbt Cloud's envelope. Clients distinguish 401, 403 and 404, and read the body as JSON.
#[derive(Debug)]
pub struct CloudError {
    status: StatusCode,
    message: String,
    /// When to retry, in seconds, if that makes sense.
    retry_after: Option<u64>,
}

impl CloudError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(5),
        }
    }

    /// 400: a parameter is invalid.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: the key is missing, unknown or expired.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized: Invalid or expired token.")
    }

    /// Whether the key is missing, unknown or expired.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// 403: the token does not allow this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Forbidden: You do not have permission to access this resource.",
        )
    }

    /// 403: what was sent does not allow this, for this reason.
    pub fn forbidden_because(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason)
    }

    /// 403: the permission in the URL is invalid or has expired.
    #[must_use]
    pub fn not_permitted(error: NotPermitted) -> Self {
        Self::new(StatusCode::FORBIDDEN, error.to_string())
    }

    /// 404: the resource does not exist, or the token does not see it. The message is the same for both.
    #[must_use]
    pub fn not_found() -> Self {
        let message = "The requested resource was not found. Please check that you have the proper permissions.";
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 404: what the token sees does not have what is asked for, for this reason.
    pub fn not_found_because(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    /// 405: the API is read-only.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed: this API is read-only.",
        )
    }

    /// 414: the query has `length` bytes, more than `limit`.
    #[must_use]
    pub fn query_too_long(length: usize, limit: usize) -> Self {
        let message = format!("invalid query: expected at most {limit} bytes, got {length}");
        Self::new(StatusCode::URI_TOO_LONG, message)
    }

    /// 422: the request body breaks a rule.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// 503: there are more requests than can be answered in time.
    #[must_use]
    pub fn busy() -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The service is busy. Please try again shortly.",
            )
        }
    }

    /// 503: a service that is needed is unavailable. The cause is logged.
    #[must_use]
    pub fn unavailable(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(cause = %Causes(cause), "answered 503");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The service is temporarily unavailable. Please try again shortly.",
        )
    }

    /// 500: an internal error. The cause is logged; the header `X-Request-Id` identifies it.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "answered 500");
        let message = "An internal error occurred. Please send the X-Request-Id of this answer to the operator.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

/// 429: too many requests.
impl From<TooMany> for CloudError {
    fn from(error: TooMany) -> Self {
        Self {
            retry_after: Some(error.retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string())
        }
    }
}

/// Puts an upload error into dbt Cloud's envelope, for routes of dbt Cloud.
impl From<UploadError> for CloudError {
    fn from(error: UploadError) -> Self {
        let status = error.status();
        let retry_after = error.retry_after();
        Self {
            retry_after,
            ..Self::new(status, error.message_with_field())
        }
    }
}

/// Puts the error into the format of the upload routes.
impl From<CloudError> for UploadError {
    fn from(error: CloudError) -> Self {
        Self::with_status(error.status, error.message, error.retry_after)
    }
}

impl IntoResponse for CloudError {
    fn into_response(self) -> Response {
        let reason = Reason(self.message.clone());
        let status = Status {
            code: self.status.as_u16(),
            is_success: false,
            user_message: self.message,
            developer_message: String::new(),
        };
        let mut response = (self.status, Json(json!({ "status": status, "data": null }))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        reason.add_to(&mut response);
        response
    }
}
