//! Which part of a list, and in which order.

use std::fmt;

use crate::{InvalidParam, Params};

/// The most that one page holds, and what it holds when nothing is said.
const LARGEST_PAGE: i64 = 100;

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// 1 to 100.
    pub limit: i64,
    /// How many come before.
    pub offset: i64,
}

impl Paging {
    /// Reads `limit` and `offset`. A higher limit counts as the highest, as dbt Cloud has it.
    ///
    /// # Errors
    /// When one of them is no number, or too low.
    pub fn read(params: &Params) -> Result<Self, InvalidParam> {
        let limit = params.number("limit")?.unwrap_or(LARGEST_PAGE);
        let offset = params.number("offset")?.unwrap_or(0);
        if limit < 1 {
            return Err(params.invalid("limit", &limit.to_string(), "a number from 1 to 100"));
        }
        if offset < 0 {
            return Err(params.invalid("offset", &offset.to_string(), "a number from 0"));
        }
        Ok(Self {
            limit: limit.min(LARGEST_PAGE),
            offset,
        })
    }
}

/// By which field a list is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// One of those that the list allows.
    pub field: &'static str,
    /// From the highest down.
    pub descending: bool,
}

impl OrderBy {
    /// Reads `order_by`: one of these fields, `-` in front for falling; by default the first of them, rising.
    ///
    /// # Errors
    /// When it is another field.
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
                "a field that this list can be ordered by, such as `id` or `-id`,",
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
    fn limits_are_kept() {
        let paging = |query: &str| Paging::read(&Params::read(query)).map(|paging| (paging.limit, paging.offset));
        assert_eq!(paging("").unwrap(), (100, 0));
        assert_eq!(paging("limit=5000&offset=7").unwrap(), (100, 7));
        assert!(paging("limit=0").is_err());
        assert!(paging("offset=-1").is_err());
        assert!(paging("limit=abc").is_err());
    }

    #[test]
    fn orders_are_those_of_the_list() {
        let order =
            |query: &str| OrderBy::read(&Params::read(query), &["id", "created_at"]).map(|order| order.to_string());
        assert_eq!(order("").unwrap(), "id");
        assert_eq!(order("order_by=-created_at").unwrap(), "-created_at");
        assert!(order("order_by=secret").is_err());
    }
}
