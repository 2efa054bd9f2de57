//! A query, read as leniently as dbt Cloud does: unknown names are ignored, a value that cannot be read is named.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::CloudError;

/// The parameters of a query, decoded, in their order.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// A parameter that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}={value}` cannot be read: {due} is due")]
pub struct InvalidParam {
    name: String,
    value: String,
    due: &'static str,
}

impl From<InvalidParam> for CloudError {
    fn from(error: InvalidParam) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl Params {
    /// Reads the part of a URL behind the `?`.
    #[must_use]
    pub fn read(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The last value of this name; an empty one counts as absent.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(given, _)| given == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// A whole number.
    ///
    /// # Errors
    /// When the value is none.
    pub fn number(&self, name: &'static str) -> Result<Option<i64>, InvalidParam> {
        self.parsed(name, "a whole number")
    }

    /// Whole numbers as JSON text, such as `[10,20]`, or with commas between them.
    ///
    /// # Errors
    /// When the value is none of the two.
    pub fn numbers(&self, name: &'static str) -> Result<Option<Vec<i64>>, InvalidParam> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let inner = value.trim().trim_start_matches('[').trim_end_matches(']');
        inner
            .split(',')
            .map(str::trim)
            .filter(|number| !number.is_empty())
            .map(|number| number.trim_matches('"').parse())
            .collect::<Result<_, _>>()
            .map(Some)
            .map_err(|_| self.invalid(name, value, "a list of whole numbers such as [10,20]"))
    }

    fn parsed<T: FromStr>(&self, name: &'static str, due: &'static str) -> Result<Option<T>, InvalidParam> {
        let Some(value) = self.text(name) else { return Ok(None) };
        value
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| self.invalid(name, value, due))
    }

    pub(crate) fn invalid(&self, name: &str, value: &str, due: &'static str) -> InvalidParam {
        InvalidParam {
            name: name.to_owned(),
            value: value.chars().take(100).collect(),
            due,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_the_last_counts() {
        let params = Params::read("a=1&a=2&b=x+y%2Fz&c=&limit=abc&status__in=%5B10,%2020%5D");
        assert_eq!(params.number("a").unwrap(), Some(2));
        assert_eq!(params.text("b"), Some("x y/z"));
        assert_eq!(params.text("c"), None);
        assert_eq!(params.numbers("status__in").unwrap(), Some(vec![10, 20]));
        let error = params.number("limit").unwrap_err().to_string();
        assert_eq!(error, "`limit=abc` cannot be read: a whole number is due");
    }
}
