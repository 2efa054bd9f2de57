//! The page and the order of a list.

use std::fmt;

use crate::{InvalidParam, Params};

/// The largest page size, which is also the default.
const LARGEST_PAGE: i64 = 100;

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// The page size, 1 to 100.
    pub limit: i64,
    /// How many items to skip.
    pub offset: i64,
}

impl Paging {
    /// Reads `limit` and `offset`. A limit above 100 counts as 100, like in dbt Cloud.
    ///
    /// # Errors
    /// If one of them is not a number, or is too low.
    pub fn read(params: &Params) -> Result<Self, InvalidParam> {
        let limit = params.number("limit")?.unwrap_or(LARGEST_PAGE);
        let offset = params.number("offset")?.unwrap_or(0);
        if limit < 1 {
            return Err(params.invalid("limit", &limit.to_string(), "a number from 1 to 100"));
        }
        if offset < 0 {
            return Err(params.invalid("offset", &offset.to_string(), "a number of at least 0"));
        }
        Ok(Self {
            limit: limit.min(LARGEST_PAGE),
            offset,
        })
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// One of the fields that the list can be ordered by.
    pub field: &'static str,
    /// Whether the highest value comes first.
    pub descending: bool,
}

impl OrderBy {
    /// Reads `order_by`: one of the allowed fields, with a leading `-` for descending order. The default is the first field, ascending.
    ///
    /// # Errors
    /// If the field is not allowed.
    pub fn read(params: &Params, allowed: &[&'static str]) -> Result<Self, InvalidParam> {
        let default = Self {
            field: allowed.first().copied().unwrap_or("id"),
            descending: false,
        };
        let Some(value) = params.text("order_by") else {
            return Ok(default);
        };
        let (name, descending) = match value.strip_prefix('-') {
            Some(name) => (name, true),
            None => (value, false),
        };
        match allowed.iter().find(|field| **field == name) {
            Some(field) => Ok(Self { field, descending }),
            None => Err(params.invalid(
                "order_by",
                value,
                "a field that this list can be ordered by, such as `id` or `-id`",
            )),
        }
    }
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, self.field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_offsets_are_checked() {
        let paging = |query: &str| Paging::read(&Params::read(query)).map(|paging| (paging.limit, paging.offset));
        assert_eq!(paging("").unwrap(), (100, 0));
        assert_eq!(paging("limit=5000&offset=7").unwrap(), (100, 7));
        assert!(paging("limit=0").is_err());
        assert!(paging("offset=-1").is_err());
        assert!(paging("limit=abc").is_err());
    }

    #[test]
    fn only_allowed_fields_can_order_a_list() {
        let order =
            |query: &str| OrderBy::read(&Params::read(query), &["id", "created_at"]).map(|order| order.to_string());
        assert_eq!(order("").unwrap(), "id");
        assert_eq!(order("order_by=-created_at").unwrap(), "-created_at");
        assert!(order("order_by=secret").is_err());
    }
}
