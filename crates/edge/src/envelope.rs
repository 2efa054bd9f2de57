//! dbt Cloud's envelope, as its Administrative API v2 has it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// How a request ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// Did it succeed?
    pub is_success: bool,
    /// For people.
    pub user_message: String,
    /// For those who write the client.
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

/// The answer that holds one thing.
#[derive(Debug, Serialize, ToSchema)]
pub struct One<T> {
    /// How the request ended.
    pub status: Status,
    /// The thing.
    pub data: T,
    /// Empty.
    #[schema(value_type = Object)]
    pub extra: Map<String, Value>,
}

/// Answers with one thing.
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
