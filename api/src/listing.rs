//! The parameters that all lists have in common, and the envelope of a page.

mod choice;
mod order;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use edge::{InvalidParam, List, Status, read_query};
use read_model::queries::page::{Order, Paging};
use schemas::AccountId;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

pub(crate) use choice::Choice;
use choice::text_of;
pub(crate) use order::OrderBy;

/// The most that one page holds, and what it holds by default.
const MAX_PAGE: i64 = 100;

/// `order_by`, `limit` and `offset`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing<F> {
    pub(crate) order: Order<F>,
    pub(crate) paging: Paging,
}

/// `limit` and `offset` of a list whose order cannot be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageOnly(pub(crate) Paging);

#[derive(Deserialize)]
#[serde(bound = "F: Choice")]
struct ListingParams<F> {
    order_by: Option<OrderBy<F>>,
    limit: Option<i64>,
    offset: Option<i64>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PagingParams {
    /// How many to return.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<i64>,
    /// How many to skip.
    #[param(minimum = 0, default = 0)]
    offset: Option<i64>,
}

impl PagingParams {
    /// A limit above the highest one counts as the highest, as in dbt Cloud.
    fn paging(&self) -> Result<Paging, InvalidParam> {
        let limit = self.limit.unwrap_or(MAX_PAGE);
        let offset = self.offset.unwrap_or(0);
        if limit < 1 {
            return Err(InvalidParam::new("limit", &limit.to_string(), "a number from 1 to 100"));
        }
        if offset < 0 {
            return Err(InvalidParam::new("offset", &offset.to_string(), "a number from 0"));
        }
        Ok(Paging {
            limit: limit.min(MAX_PAGE),
            offset,
        })
    }
}

impl<F: Choice> Listing<F> {
    pub(crate) fn read(query: &str) -> Result<Self, InvalidParam> {
        let ListingParams {
            order_by,
            limit,
            offset,
        } = read_query(query)?;
        Ok(Self {
            order: order_by.unwrap_or_default().0,
            paging: PagingParams { limit, offset }.paging()?,
        })
    }
}

impl<F: Choice, S: Sync> FromRequestParts<S> for Listing<F> {
    type Rejection = InvalidParam;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, InvalidParam> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

impl<S: Sync> FromRequestParts<S> for PageOnly {
    type Rejection = InvalidParam;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, InvalidParam> {
        let params: PagingParams = read_query(parts.uri.query().unwrap_or_default())?;
        params.paging().map(Self)
    }
}

impl<F: Choice> IntoParams for Listing<F> {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The field to order by; `-` in front reverses the order.";
        let mut params = vec![parameter("order_by", description, OrderBy::<F>::schema()).build()];
        params.extend(PagingParams::into_params(parameter_in));
        params
    }
}

impl IntoParams for PageOnly {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        PagingParams::into_params(parameter_in)
    }
}

/// `include_related`: related objects to include in the answer. Unknown names are ignored, as in dbt Cloud.
#[derive(Clone, Debug)]
pub(crate) struct Related<R>(Vec<R>);

impl<R: Choice> Related<R> {
    pub(crate) fn has(&self, related: R) -> bool {
        self.0.contains(&related)
    }

    fn read(query: &str) -> Result<Self, InvalidParam> {
        #[derive(Deserialize)]
        struct RelatedParams {
            include_related: Option<List<String>>,
        }
        let params: RelatedParams = read_query(query)?;
        let names = params.include_related.map(|names| names.0).unwrap_or_default();
        Ok(Self(names.iter().filter_map(|name| R::named(name)).collect()))
    }
}

impl<R: Choice, S: Sync> FromRequestParts<S> for Related<R> {
    type Rejection = InvalidParam;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, InvalidParam> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

impl<R: Choice> IntoParams for Related<R> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let names = text_of(R::ALL.iter().map(|(name, _)| (*name).to_owned()));
        let description = "What to include in the answer, separated by commas.";
        let related = parameter("include_related", description, ArrayBuilder::new().items(names));
        vec![related.style(Some(ParameterStyle::Form)).explode(Some(false)).build()]
    }
}

/// An optional parameter whose schema depends on a type, so that it cannot be derived from the struct that is read.
fn parameter(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}

/// `state`: 1 for active records, 2 for deleted ones. Clients of dbt Cloud also send `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateFilter(Option<i64>);

impl StateFilter {
    /// Whether a record in this state is wanted.
    pub(crate) fn includes(self, state: i16) -> bool {
        self.0.is_none_or(|wanted| wanted == i64::from(state))
    }
}

impl<'de> Deserialize<'de> for StateFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "all" {
            return Ok(Self(None));
        }
        let number = text.trim().parse().map_err(|_| D::Error::custom("`1`, `2` or `all`"))?;
        Ok(Self(Some(number)))
    }
}

impl Serialize for StateFilter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The values that a filter for one value and a filter for several allow together.
pub(crate) fn any_of<T: Clone + PartialEq>(one: Option<&T>, many: Option<&List<T>>) -> Option<Vec<T>> {
    match (one, many) {
        (None, many) => many.map(|many| many.0.clone()),
        (Some(one), None) => Some(vec![one.clone()]),
        (Some(one), Some(many)) => Some(many.0.iter().find(|other| *other == one).cloned().into_iter().collect()),
    }
}

/// The answer that holds a page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Many<T> {
    /// How the request ended.
    status: Status,
    /// The page.
    data: Vec<T>,
    /// The filters, the order and the number of objects.
    extra: Extra,
}

/// The filters, the order and the number of objects.
#[derive(Debug, Serialize, ToSchema)]
struct Extra {
    /// The filters that were applied, with limit and offset.
    #[schema(value_type = Object)]
    filters: Map<String, Value>,
    /// The field by which the list is ordered, with `-` in front where the order is reversed.
    order_by: String,
    /// The number of objects in this page and in all pages.
    pagination: Pagination,
}

/// The number of objects in this page and in all pages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pagination {
    /// Number of objects in this page.
    pub(crate) count: usize,
    /// Number of objects in all pages.
    pub(crate) total_count: i64,
}

/// The filters that a list of this account applied, as its answer repeats them.
pub(crate) fn applied(account: AccountId, params: &impl Serialize) -> Map<String, Value> {
    let mut applied = match serde_json::to_value(params) {
        Ok(Value::Object(params)) => params,
        _ => Map::new(),
    };
    applied.retain(|_, value| !value.is_null());
    applied.insert("account_id".to_owned(), account.0.into());
    applied
}

/// Answers with a page of a list; `filters` are those that were applied.
pub(crate) fn many<T: Serialize, F: Choice>(
    data: Vec<T>,
    total_count: i64,
    listing: Listing<F>,
    mut filters: Map<String, Value>,
) -> Many<T> {
    let Listing { order, paging } = listing;
    filters.insert("limit".to_owned(), paging.limit.into());
    filters.insert("offset".to_owned(), paging.offset.into());
    Many {
        status: Status::success(),
        extra: Extra {
            filters,
            order_by: format!("{}{}", if order.descending { "-" } else { "" }, order.field.name()),
            pagination: Pagination {
                count: data.len(),
                total_count,
            },
        },
        data,
    }
}

impl<T: Serialize> IntoResponse for Many<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

#[cfg(test)]
mod tests;
