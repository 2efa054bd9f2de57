//! Reads queries as leniently as dbt Cloud does: unknown names are ignored, and invalid values are reported.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::CloudError;

/// The decoded parameters of a query, in order.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// The first and the last time of a range, both inclusive.
pub type TimeRange = (DateTime<Utc>, DateTime<Utc>);

/// An invalid parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid `{name}`: expected {expected}, got `{value}`")]
pub struct InvalidParam {
    name: String,
    value: String,
    expected: String,
}

impl From<InvalidParam> for CloudError {
    fn from(error: InvalidParam) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl Params {
    /// Reads the part of a URL after the `?`.
    #[must_use]
    pub fn read(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Returns all names and values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the last value with this name. An empty value counts as missing.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(given, _)| given == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// Returns a whole number.
    ///
    /// # Errors
    /// If the value is not a whole number.
    pub fn number(&self, name: &'static str) -> Result<Option<i64>, InvalidParam> {
        self.parsed(name, "a whole number")
    }

    /// Returns all values with this name that are not empty, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.iter().filter(move |(given, _)| given == name);
        values
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Returns a required value.
    ///
    /// # Errors
    /// If the value is missing or empty.
    pub fn required(&self, name: &'static str) -> Result<&str, InvalidParam> {
        self.text(name).ok_or_else(|| self.invalid(name, "", "a value"))
    }

    /// Returns one of these words, or the first if the parameter is missing.
    ///
    /// # Errors
    /// If the value is another word.
    pub fn one_of(&self, name: &'static str, words: &[&'static str]) -> Result<&'static str, InvalidParam> {
        let Some(value) = self.text(name) else {
            return Ok(words.first().copied().unwrap_or_default());
        };
        let known = words.iter().find(|word| **word == value).copied();
        known.ok_or_else(|| self.invalid(name, value, &format!("one of {}", words.join(", "))))
    }

    /// Returns a boolean.
    ///
    /// # Errors
    /// If the value is not a boolean.
    pub fn truth(&self, name: &'static str) -> Result<Option<bool>, InvalidParam> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(self.invalid(name, value, "true or false")),
        }
    }

    /// Returns a list of strings, written as JSON, such as `["1.9.1","1.10.0"]`, or separated by commas.
    #[must_use]
    pub fn texts(&self, name: &'static str) -> Option<Vec<String>> {
        self.text(name).map(items)
    }

    /// Returns a range of two times, both inclusive, written as JSON: `["2026-01-01T00:00:00Z","2026-02-01"]`. A time without a zone is UTC.
    ///
    /// # Errors
    /// If the value is not two times.
    pub fn times(&self, name: &'static str) -> Result<Option<TimeRange>, InvalidParam> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let times: Option<Vec<DateTime<Utc>>> = items(value).iter().map(|item| time(item)).collect();
        match times.as_deref() {
            Some([from, to]) => Ok(Some((*from, *to))),
            _ => Err(self.invalid(
                name,
                value,
                "two times such as [\"2026-01-01T00:00:00Z\",\"2026-02-01T00:00:00Z\"]",
            )),
        }
    }

    /// Returns a list of whole numbers, written as JSON, such as `[10,20]`, or separated by commas.
    ///
    /// # Errors
    /// If the value is neither.
    pub fn numbers(&self, name: &'static str) -> Result<Option<Vec<i64>>, InvalidParam> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let numbers: Result<Vec<i64>, _> = items(value).iter().map(|item| item.parse()).collect();
        numbers
            .map(Some)
            .map_err(|_| self.invalid(name, value, "a list of whole numbers such as [10,20]"))
    }

    fn parsed<T: FromStr>(&self, name: &'static str, expected: &'static str) -> Result<Option<T>, InvalidParam> {
        let Some(value) = self.text(name) else { return Ok(None) };
        value
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| self.invalid(name, value, expected))
    }

    pub(crate) fn invalid(&self, name: &str, value: &str, expected: &str) -> InvalidParam {
        InvalidParam {
            name: name.to_owned(),
            value: value.chars().take(100).collect(),
            expected: expected.to_owned(),
        }
    }
}

/// Splits a list that is written as `a,b`, `["a","b"]`, `['a', 'b']` or `[a]`.
fn items(list: &str) -> Vec<String> {
    let inner = list.trim().trim_start_matches('[').trim_end_matches(']');
    let items = inner.split(',').map(|item| item.trim().trim_matches(['"', '\'']));
    items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Parses a time in the years 0 to 9999: PostgreSQL cannot store all others.
fn time(text: &str) -> Option<DateTime<Utc>> {
    any_time(text).filter(|time| (0..=9999).contains(&time.year()))
}

fn any_time(text: &str) -> Option<DateTime<Utc>> {
    // An unescaped plus in a query is decoded as a space. Turn it back into a plus.
    let repaired = match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        Some((time, zone)) if zone.starts_with(' ') && time.contains(':') => format!("{time}+{}", &zone[1..]),
        _ => text.to_owned(),
    };
    let zoned = DateTime::parse_from_rfc3339(&repaired)
        .or_else(|_| DateTime::parse_from_str(&repaired, "%Y-%m-%d %H:%M:%S%.f%:z"));
    if let Ok(time) = zoned {
        return Some(time.to_utc());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&repaired, format).ok());
    let day = || {
        Some(
            NaiveDate::parse_from_str(&repaired, "%Y-%m-%d")
                .ok()?
                .and_time(NaiveTime::MIN),
        )
    };
    naive.or_else(day).map(|time| time.and_utc())
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
        let all: Vec<&str> = params.all("a").collect();
        assert_eq!(all, ["1", "2"]);
        let error = params.number("limit").unwrap_err().to_string();
        assert_eq!(error, "invalid `limit`: expected a whole number, got `abc`");
    }

    #[test]
    fn lists_may_be_written_in_several_ways() {
        for query in [
            "v=1.9,1.10",
            "v=[%221.9%22,%221.10%22]",
            "v=['1.9',+'1.10']",
            "v=[1.9,1.10]",
        ] {
            assert_eq!(Params::read(query).texts("v").unwrap(), ["1.9", "1.10"], "{query}");
        }
        assert_eq!(Params::read("v=").texts("v"), None);
        assert_eq!(Params::read("t=True&f=0").truth("t").unwrap(), Some(true));
        assert_eq!(Params::read("t=True&f=0").truth("f").unwrap(), Some(false));
        assert!(Params::read("t=maybe").truth("t").is_err());
    }

    #[test]
    fn times_may_be_written_in_several_ways() {
        for from in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05%2B00:00",
            "2026-01-02T03:04:05+00:00",
            "2026-01-02T03:04:05.000",
            "2026-01-02+03:04:05",
            "2026-01-02 03:04:05.000000%2B00:00",
        ] {
            let query = format!("t=[%22{from}%22,%229999-12-31%22]");
            let (from, to) = Params::read(&query).times("t").unwrap().unwrap();
            assert_eq!(from.to_rfc3339(), "2026-01-02T03:04:05+00:00", "{query}");
            assert_eq!(to.to_rfc3339(), "9999-12-31T00:00:00+00:00");
        }
        assert!(Params::read("t=[%222026-01-02%22]").times("t").is_err());
        assert!(Params::read("t=[1,2]").times("t").is_err());
        assert!(Params::read("t=[-262143-01-01,2026-01-01]").times("t").is_err());
        assert!(Params::read("t=[2026-01-01,%2B262142-12-31]").times("t").is_err());
    }
}
