//! Errors as dbt Cloud answers them.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::envelope::Status;
use crate::{NotPermitted, TooMany, UploadError};

/// An error in dbt Cloud's envelope. Clients tell 401, 403 and 404 apart and read the body as JSON.
#[derive(Debug)]
pub struct CloudError {
    status: StatusCode,
    message: String,
    /// In seconds, where asking again makes sense.
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

    /// 400: a parameter cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: no key, or one that is not known (any more).
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized: Invalid or expired token.")
    }

    /// 403: the token does not allow this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Forbidden: You do not have permission to access this resource.",
        )
    }

    /// 403: what the URL permits does not hold (any more).
    #[must_use]
    pub fn not_permitted(error: NotPermitted) -> Self {
        Self::new(StatusCode::FORBIDDEN, error.to_string())
    }

    /// 404: there is no such thing, or the token does not see it; which of the two is not told.
    #[must_use]
    pub fn not_found() -> Self {
        let message = "The requested resource was not found. Please check that you have the proper permissions.";
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 405: the API only reads.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed: this API is read-only.",
        )
    }

    /// 414: the query is longer than this.
    #[must_use]
    pub fn query_too_long(limit: usize) -> Self {
        let message = format!("The query is longer than {limit} bytes.");
        Self::new(StatusCode::URI_TOO_LONG, message)
    }

    /// 422: what was sent breaks a rule.
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

    /// 503: what is needed is away for the moment.
    #[must_use]
    pub fn unavailable(cause: &dyn std::fmt::Display) -> Self {
        tracing::warn!(%cause, "answered 503");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The service is temporarily unavailable. Please try again shortly.",
        )
    }

    /// 500: a fault of ours, which is logged; the client finds it by the request id in the header `X-Request-Id`.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "answered 500");
        let message = "An internal error occurred. Please tell the operator the X-Request-Id of this answer.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

/// 429, as dbt Cloud's.
impl From<TooMany> for CloudError {
    fn from(error: TooMany) -> Self {
        Self {
            retry_after: Some(error.retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string())
        }
    }
}

/// The same in dbt Cloud's envelope, for routes that are dbt Cloud's.
impl From<UploadError> for CloudError {
    fn from(error: UploadError) -> Self {
        let status = error.status();
        let retry_after = error.retry_after();
        Self {
            retry_after,
            ..Self::new(status, error.into_message())
        }
    }
}

/// The same in the form of uploads, for routes that are theirs.
impl From<CloudError> for UploadError {
    fn from(error: CloudError) -> Self {
        Self::with_status(error.status, error.message, error.retry_after)
    }
}

impl IntoResponse for CloudError {
    fn into_response(self) -> Response {
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
        response
    }
}
