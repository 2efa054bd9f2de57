//! Queries, written well and written badly.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod check;

use check::Param;
use chrono::{DateTime, Utc};
use edge::{List, TimeRange, read_query};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::DeserializeOwned;

const PIECES: &[&str] = &[
    "&",
    "=",
    "+",
    "%",
    "%00",
    "%ff",
    "%C3%A9",
    "%ed%a0%80",
    "[",
    "]",
    "%5B",
    "%5D",
    ",",
    "\"",
    "'",
    "-",
    " ",
    ";",
    "#",
    "é",
    "a",
    "limit",
    "offset",
    "order_by",
    "id",
    "1",
    "true",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1e9",
    "NaN",
    "../..",
    "\0",
];

const TIMES: &[&str] = &[
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-01-01 00:00:00+01:00",
    "-262143-01-01",
    "+262142-12-31T23:59:59",
    "0000-01-01T00:00:00+23:59",
    "9999-12-31T23:59:60-23:59",
];

/// Names and values of which a client writes a query.
fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(
        (select(&["a", "b", "c"][..]).prop_map(str::to_owned), any::<String>()),
        0..6,
    )
}

fn encoded(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// An item of a list, without the signs that lists are written with.
fn item() -> impl Strategy<Value = String> {
    "[^\\[\\],\"'\\s]([^\\[\\],\"']{0,8}[^\\[\\],\"'\\s])?"
}

/// Any time that can be written with four digits for the year, in whole seconds.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (-62_167_219_200..=253_402_300_799_i64).prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap())
}

/// The value of `a` in a query.
fn read<T: DeserializeOwned>(query: &str) -> Option<T> {
    read_query::<Param<T>>(query).unwrap().a
}

/// The value of a query's only parameter.
fn read_value<T: DeserializeOwned>(value: &str) -> T {
    read(&encoded(&[("a".to_owned(), value.to_owned())])).unwrap()
}

fn strange_query() -> impl Strategy<Value = String> {
    let list = (select(TIMES), select(TIMES)).prop_map(|(from, to)| format!("a=[{from},{to}]"));
    let pieces = vec(select(PIECES), 0..24).prop_map(|pieces| pieces.concat());
    let long = "[0-9é]{900,1000}".prop_map(|value| format!("limit={value}&a={value}"));
    prop_oneof![4 => any::<String>(), 4 => pieces, 2 => list, 1 => long]
}

proptest! {
    #[test]
    fn no_query_is_too_strange(query in strange_query()) {
        check::check(&query);
    }

    #[test]
    fn what_was_encoded_is_read(pairs in pairs()) {
        let query = encoded(&pairs);
        let last = pairs.iter().rev().find(|(name, value)| name == "a" && !value.is_empty());
        prop_assert_eq!(read::<String>(&query), last.map(|(_, value)| value.clone()));
    }

    #[test]
    fn lists_are_read_however_they_are_written(items in vec(item(), 1..5), numbers in vec(any::<i64>(), 1..5)) {
        let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
        for list in [items.join(","), format!("[{}]", items.join(", ")), format!("[{}]", quoted.join(",")), format!("'[{}]'", items.join(","))] {
            prop_assert_eq!(read_value::<List<String>>(&list).0, items.clone(), "{}", list);
        }
        let repeated: Vec<(String, String)> = items.iter().map(|item| ("a".to_owned(), item.clone())).collect();
        prop_assert_eq!(read::<List<String>>(&encoded(&repeated)).unwrap().0, items);
        let list = serde_json::to_string(&numbers).unwrap();
        prop_assert_eq!(read_value::<List<i64>>(&list).0, numbers.clone());
        prop_assert_eq!(read_value::<i64>(&numbers[0].to_string()), numbers[0]);
    }

    #[test]
    fn times_are_read_as_they_were_written(from in time(), to in time()) {
        for (from_text, to_text) in [
            (from.to_rfc3339(), to.to_rfc3339()),
            (from.format("%Y-%m-%d %H:%M:%S").to_string(), to.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ] {
            let list = format!("[\"{from_text}\",\"{to_text}\"]");
            prop_assert_eq!(read_value::<TimeRange>(&list), TimeRange { from, to });
        }
    }
}
