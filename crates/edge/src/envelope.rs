//! The JSON envelope of dbt Cloud's Administrative API v2.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The outcome of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// Whether the request succeeded.
    pub is_success: bool,
    /// `Success!`, or what was wrong with the request.
    pub user_message: String,
    /// A message for the developer of the client.
    pub developer_message: String,
}

impl Status {
    /// 200, in dbt Cloud's words.
    #[must_use]
    pub fn success() -> Self {
        Self {
            code: 200,
            is_success: true,
            user_message: "Success!".to_owned(),
            developer_message: String::new(),
        }
    }
}

/// An answer with a single object.
#[derive(Debug, Serialize, ToSchema)]
pub struct One<T> {
    /// The outcome of the request.
    pub status: Status,
    /// The object.
    pub data: T,
    /// Always empty.
    #[schema(value_type = Object)]
    pub extra: Map<String, Value>,
}

/// Answers with a single object.
pub fn one<T: Serialize>(data: T) -> One<T> {
    One {
        status: Status::success(),
        data,
        extra: Map::new(),
    }
}

impl<T: Serialize> IntoResponse for One<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
