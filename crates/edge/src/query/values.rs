//! Types of values that parameters have.

use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A list, written as JSON text such as `[10,20]`, with commas between the items, or as a repeated parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

/// From when to when, both included: `["2026-01-01T00:00:00Z","2026-02-01"]`. A time without a zone is in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The last moment.
    pub to: DateTime<Utc>,
}

/// A text that may be absent, or present and empty, where these differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// The parameter is not in the query.
    #[default]
    Absent,
    /// It is there, without a value: a variable of a script was not set.
    Blank,
    /// It has this value.
    Text(String),
}

/// What a list may hold: numbers or texts.
pub trait Item: Sized {
    /// What is allowed, as errors say it.
    const EXPECTED: &'static str;
}

impl Item for i64 {
    const EXPECTED: &'static str = "a list of whole numbers such as [10,20]";
}

impl Item for String {
    const EXPECTED: &'static str = "a list of texts such as [\"a\",\"b\"]";
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Item + Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(List(items))
    }
}

impl<'de, T: Item + Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

struct TimeRangeVisitor;

impl<'de> Visitor<'de> for TimeRangeVisitor {
    type Value = TimeRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two times such as [\"2026-01-01T00:00:00Z\",\"2026-02-01T00:00:00Z\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<TimeRange, A::Error> {
        let mut next = || -> Result<Option<DateTime<Utc>>, A::Error> {
            Ok(access.next_element::<String>()?.as_deref().and_then(time))
        };
        match (next()?, next()?, access.next_element::<String>()?) {
            (Some(from), Some(to), None) => Ok(TimeRange { from, to }),
            _ => Err(A::Error::custom("two times")),
        }
    }
}

impl<'de> Deserialize<'de> for TimeRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TimeRangeVisitor)
    }
}

impl Serialize for TimeRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.from.to_rfc3339(), self.to.to_rfc3339()].serialize(serializer)
    }
}

struct GivenVisitor;

impl Visitor<'_> for GivenVisitor {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Given, E> {
        Ok(if text.is_empty() {
            Given::Blank
        } else {
            Given::Text(text.to_owned())
        })
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GivenVisitor)
    }
}

/// A time in the years that are written with four digits, since PostgreSQL cannot store all others.
fn time(text: &str) -> Option<DateTime<Utc>> {
    any_time(text).filter(|time| (0..=9999).contains(&time.year()))
}

fn any_time(text: &str) -> Option<DateTime<Utc>> {
    // In a query, an unescaped plus is a space.
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
        let day = NaiveDate::parse_from_str(&repaired, "%Y-%m-%d").ok()?;
        Some(day.and_time(NaiveTime::MIN))
    };
    naive.or_else(day).map(|time| time.and_utc())
}
