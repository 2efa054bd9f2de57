//! dbt Cloud's envelope, as its Administrative API v2 has it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{OrderBy, Paging};

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
    fn success() -> Self {
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

/// The answer that holds a page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Many<T> {
    /// How the request ended.
    pub status: Status,
    /// The page.
    pub data: Vec<T>,
    /// What was asked for, and how much there is.
    pub extra: Extra,
}

/// What was asked for, and how much there is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Extra {
    /// The filters that were applied, with limit and offset.
    #[schema(value_type = Object)]
    pub filters: Map<String, Value>,
    /// The field by which the list is ordered, `-` in front for falling.
    pub order_by: String,
    /// How much there is.
    pub pagination: Pagination,
}

/// How much there is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pagination {
    /// In this page.
    pub count: usize,
    /// In all pages.
    pub total_count: i64,
}

/// Answers with one thing.
pub fn one<T: Serialize>(data: T) -> One<T> {
    One {
        status: Status::success(),
        data,
        extra: Map::new(),
    }
}

/// Answers with a page of a list; `filters` are those that were applied.
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
