//! Property tests with valid and malformed queries.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod check;

use chrono::{DateTime, Utc};
use edge::{OrderBy, Paging, Params};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

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

/// Generates names and values for a query.
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

/// Generates an item of a list, without brackets, commas or quotes.
fn item() -> impl Strategy<Value = String> {
    "[^\\[\\],\"'\\s]([^\\[\\],\"']{0,8}[^\\[\\],\"'\\s])?"
}

/// Generates any time with a four-digit year, in whole seconds.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (-62_167_219_200..=253_402_300_799_i64).prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap())
}

/// Returns a query with a single parameter `a`.
fn query_of(value: &str) -> Params {
    Params::read(&encoded(&[("a".to_owned(), value.to_owned())]))
}

fn strange_query() -> impl Strategy<Value = String> {
    let list = (select(TIMES), select(TIMES)).prop_map(|(from, to)| format!("a=[{from},{to}]"));
    let pieces = vec(select(PIECES), 0..24).prop_map(|pieces| pieces.concat());
    let long = "[0-9é]{900,1000}".prop_map(|value| format!("limit={value}&a={value}"));
    prop_oneof![4 => any::<String>(), 4 => pieces, 2 => list, 1 => long]
}

proptest! {
    #[test]
    fn any_query_can_be_read(query in strange_query()) {
        check::check(&query);
    }

    #[test]
    fn encoded_pairs_are_read_back(pairs in pairs()) {
        let params = Params::read(&encoded(&pairs));
        for name in ["a", "b", "c"] {
            let given: Vec<&str> = pairs.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect();
            prop_assert_eq!(params.text(name), given.last().copied().filter(|value| !value.is_empty()));
            let all: Vec<&str> = params.all(name).collect();
            prop_assert_eq!(all, given.into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lists_are_read_in_every_notation(items in vec(item(), 1..5), numbers in vec(any::<i64>(), 1..5)) {
        let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
        for list in [items.join(","), format!("[{}]", items.join(", ")), format!("[{}]", quoted.join(","))] {
            prop_assert_eq!(query_of(&list).texts("a").unwrap(), items.clone(), "{}", list);
        }
        let list = serde_json::to_string(&numbers).unwrap();
        prop_assert_eq!(query_of(&list).numbers("a").unwrap().unwrap(), numbers.clone());
        prop_assert_eq!(query_of(&numbers[0].to_string()).number("a").unwrap(), Some(numbers[0]));
    }

    #[test]
    fn written_times_are_read_back(from in time(), to in time()) {
        for (from_text, to_text) in [
            (from.to_rfc3339(), to.to_rfc3339()),
            (from.format("%Y-%m-%d %H:%M:%S").to_string(), to.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ] {
            let list = format!("[\"{from_text}\",\"{to_text}\"]");
            prop_assert_eq!(query_of(&list).times("a").unwrap().unwrap(), (from, to));
        }
    }

    #[test]
    fn pages_and_orders_stay_within_bounds(limit in any::<i64>(), offset in any::<i64>(), field in "-?(id|name|x)") {
        let params = Params::read(&format!("limit={limit}&offset={offset}&order_by={field}"));
        match Paging::read(&params) {
            Ok(paging) => {
                prop_assert!(limit >= 1 && offset >= 0);
                prop_assert_eq!((paging.limit, paging.offset), (limit.min(100), offset));
            }
            Err(_) => prop_assert!(limit < 1 || offset < 0),
        }
        match OrderBy::read(&params, &["id", "name"]) {
            Ok(order) => prop_assert_eq!(order.to_string(), field),
            Err(_) => prop_assert!(field.ends_with('x')),
        }
    }
}
