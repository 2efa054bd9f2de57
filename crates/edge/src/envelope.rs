//! The JSON envelope of dbt Cloud's Administrative API v2.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{OrderBy, Paging};

/// The outcome of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// Whether the request succeeded.
    pub is_success: bool,
    /// A message for the user.
    pub user_message: String,
    /// A message for the developer of the client.
    pub developer_message: String,
}

impl Status {
    fn success() -> Self {
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

/// An answer with a page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Many<T> {
    /// The outcome of the request.
    pub status: Status,
    /// The items of the page.
    pub data: Vec<T>,
    /// The applied filters and the size of the list.
    pub extra: Extra,
}

/// The filters and the order of a list, and its size.
#[derive(Debug, Serialize, ToSchema)]
pub struct Extra {
    /// The filters that were applied, including `limit` and `offset`.
    #[schema(value_type = Object)]
    pub filters: Map<String, Value>,
    /// The field that the list is ordered by, with a leading `-` for descending order.
    pub order_by: String,
    /// The number of items.
    pub pagination: Pagination,
}

/// The number of items in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pagination {
    /// The number of items in this page.
    pub count: usize,
    /// The number of items in all pages.
    pub total_count: i64,
}

/// Answers with a single object.
pub fn one<T: Serialize>(data: T) -> One<T> {
    One {
        status: Status::success(),
        data,
        extra: Map::new(),
    }
}

/// Answers with a page of a list. `filters` are the filters that were applied.
pub fn many<T: Serialize>(
    data: Vec<T>,
    total_count: i64,
    paging: Paging,
    order_by: &OrderBy,
    mut filters: Map<String, Value>,
) -> Many<T> {
    filters.insert("limit".to_owned(), paging.limit.into());
    filters.insert("offset".to_owned(), paging.offset.into());
    Many {
        status: Status::success(),
        extra: Extra {
            filters,
            order_by: order_by.to_string(),
            pagination: Pagination {
                count: data.len(),
                total_count,
            },
        },
        data,
    }
}

impl<T: Serialize> IntoResponse for One<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

impl<T: Serialize> IntoResponse for Many<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
