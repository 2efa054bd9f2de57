//! The results of nodes as a table in the format that the client accepts: JSON, CSV or Parquet.

mod columns;
mod csv;
mod cursor;
mod parquet;

use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LINK, VARY};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, extract::FromRequestParts, http::request::Parts};
use edge::{InvalidParam, Status, read_query};
use read_model::queries::page::Order;
use read_model::queries::result_table::{TablePosition, TableRange};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::error::Error;
use crate::listing::{Choice, OrderBy};
use crate::resources::result_row::ResultRow;

/// The most rows of one page, and how many there are by default.
const MAX_PAGE: i64 = 5_000;
const DEFAULT_PAGE: i64 = 100;

/// A field that the table can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableOrder {
    CompletedAt,
}

impl Choice for TableOrder {
    const ALL: &'static [(&'static str, Self)] = &[("completed_at", Self::CompletedAt)];
}

/// A type without parameters, whose schema utoipa can show in its place.
type TableOrderBy = OrderBy<TableOrder>;

/// Which page of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TablePaging {
    order: Order<TableOrder>,
    pub(crate) range: TableRange,
}

/// The parameters that [`TablePaging`] reads.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TablePagingParams {
    /// `completed_at`, or `-completed_at` for the newest results first.
    #[param(inline)]
    order_by: Option<TableOrderBy>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many rows to return at most. A page can have fewer rows although others follow; `next_cursor` is set then.
    #[param(minimum = 1, maximum = 5000, default = 100)]
    limit: Option<i64>,
}

impl TablePaging {
    fn read(query: &str) -> Result<Self, InvalidParam> {
        let params: TablePagingParams = read_query(query)?;
        let limit = params.limit.unwrap_or(DEFAULT_PAGE);
        if limit < 1 {
            return Err(InvalidParam::new(
                "limit",
                &limit.to_string(),
                "a number from 1 to 5000",
            ));
        }
        let order = params.order_by.unwrap_or_default().0;
        let after = params.cursor.as_deref().map(cursor::read).transpose()?;
        Ok(Self {
            order,
            range: TableRange {
                descending: order.descending,
                after,
                limit: usize::try_from(limit.min(MAX_PAGE)).unwrap_or_default(),
            },
        })
    }
}

impl<S: Sync> FromRequestParts<S> for TablePaging {
    type Rejection = InvalidParam;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, InvalidParam> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

/// A page of the table in JSON.
#[derive(Serialize, ToSchema)]
#[schema(as = ResultTable)]
pub(crate) struct Table {
    /// How the request ended.
    status: Status,
    /// The rows of this page, in the order that `extra.order_by` names.
    data: Vec<ResultRow>,
    /// The filters, the order and the cursor of the next page.
    extra: TableExtra,
}

/// The filters, the order and the cursor of the next page.
#[derive(Serialize, ToSchema)]
struct TableExtra {
    /// The filters that were applied, with the limit.
    #[schema(value_type = Object)]
    filters: Map<String, Value>,
    order_by: String,
    pagination: TablePagination,
}

/// The number of rows in this page and the cursor of the next page.
#[derive(Serialize, ToSchema)]
struct TablePagination {
    /// Number of rows in this page.
    count: usize,
    /// The `cursor` of the next page; null at the end.
    next_cursor: Option<String>,
}

/// A format of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    Parquet,
}

/// The media type of Parquet.
pub(crate) const PARQUET: &str = "application/vnd.apache.parquet";

impl Format {
    /// Chooses the format that the client prefers. A client that accepts none of them gets JSON, as from all other routes.
    fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut best = (0.0, Self::Json);
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/csv" => Self::Csv,
                PARQUET => Self::Parquet,
                "application/json" | "application/*" | "*/*" => Self::Json,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            let quality: f64 = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }
}

/// Answers with a page. `filters` are those that were applied, and `uri` is what the client asked for.
pub(crate) fn answer(
    headers: &HeaderMap,
    uri: &Uri,
    paging: TablePaging,
    rows: Vec<ResultRow>,
    next: Option<TablePosition>,
    mut filters: Map<String, Value>,
) -> Result<Response, Error> {
    let next = next.map(cursor::write);
    let link = next.as_ref().map(|next| link_to(uri, next));
    let mut response = match Format::accepted(headers) {
        Format::Json => {
            filters.insert("limit".to_owned(), paging.range.limit.into());
            let sign = if paging.order.descending { "-" } else { "" };
            let table = Table {
                status: Status::success(),
                extra: TableExtra {
                    filters,
                    order_by: format!("{sign}{}", paging.order.field.name()),
                    pagination: TablePagination {
                        count: rows.len(),
                        next_cursor: next,
                    },
                },
                data: rows,
            };
            Json(table).into_response()
        }
        Format::Csv => ([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv::write(&rows)).into_response(),
        Format::Parquet => {
            let bytes = parquet::write(&rows).map_err(|error| Error::unreadable(&error))?;
            ([(CONTENT_TYPE, PARQUET)], bytes).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("accept"));
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        headers.insert(LINK, link);
    }
    Ok(response)
}

/// The `Link` to the next page (RFC 8288), relative to this one, for formats that have no room for a cursor.
fn link_to(uri: &Uri, cursor: &str) -> String {
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|param| !param.is_empty() && !param.starts_with("cursor="));
    let params: String = kept.map(|param| format!("{param}&")).collect();
    format!("<{}?{params}cursor={cursor}>; rel=\"next\"", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_format_is_chosen() {
        let of = |value: &'static str| Format::accepted(&HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]));
        for (accept, format) in [
            ("*/*", Format::Json),
            ("text/html,application/xhtml+xml;q=0.9", Format::Json),
            ("Text/CSV", Format::Csv),
            ("text/csv, application/json;q=0.5", Format::Csv),
            ("text/csv;q=0.5, application/json", Format::Json),
            ("text/csv;q=0", Format::Json),
            ("application/vnd.apache.parquet", Format::Parquet),
            (
                "text/csv;header=present;q=0.2, application/vnd.apache.parquet;q=0.3",
                Format::Parquet,
            ),
        ] {
            assert_eq!(of(accept), format, "{accept}");
        }
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Json);
    }

    #[test]
    fn the_link_keeps_the_filters() {
        let link = |uri: &str| link_to(&uri.parse().unwrap(), "c2");
        assert_eq!(
            link("/a?status=fail&cursor=c1&limit=2"),
            "</a?status=fail&limit=2&cursor=c2>; rel=\"next\""
        );
        assert_eq!(link("/a"), "</a?cursor=c2>; rel=\"next\"");
    }
}
