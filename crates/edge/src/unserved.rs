//! Answers requests that no route serves.

use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use crate::{CloudError, UploadError, is_upload_path};

/// Answers a path that does not exist with 404, whatever the method is. Some clients probe for other services of dbt Cloud with a POST, and
/// tell from 404 that there is none.
pub async fn not_found(uri: Uri) -> Response {
    if is_upload_path(uri.path()) {
        return UploadError::not_found().into_response();
    }
    CloudError::not_found().into_response()
}

/// Answers a path that exists, but not with this method, with 405.
pub async fn method_not_allowed(uri: Uri) -> Response {
    if is_upload_path(uri.path()) {
        return UploadError::method_not_allowed().into_response();
    }
    CloudError::method_not_allowed().into_response()
}
