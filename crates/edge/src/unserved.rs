//! Answers requests that no route serves.

use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use crate::{CloudError, UploadError, is_upload_path};

/// Marks an answer to a request that no route serves. It is among the extensions of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Unserved;

/// Answers a path that does not exist with 404, whatever the method is. Some clients probe for other services of dbt Cloud with a POST, and
/// tell from 404 that there is none.
pub async fn not_found(uri: Uri) -> Response {
    let error = if is_upload_path(uri.path()) {
        UploadError::not_found().into_response()
    } else {
        CloudError::not_found().into_response()
    };
    marked(error)
}

/// Answers a path that exists, but not with this method, with 405.
pub async fn method_not_allowed(uri: Uri) -> Response {
    let error = if is_upload_path(uri.path()) {
        UploadError::method_not_allowed().into_response()
    } else {
        CloudError::method_not_allowed().into_response()
    };
    marked(error)
}

fn marked(mut response: Response) -> Response {
    response.extensions_mut().insert(Unserved);
    response
}
