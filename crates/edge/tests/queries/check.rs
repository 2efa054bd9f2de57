//! What must hold for every query. A fuzz target checks the same.

use chrono::Datelike;
use edge::{Given, List, TimeRange, read_query};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The most characters of an error: it names a value, but does not repeat all of it.
const MAX_ERROR: usize = 500;

#[derive(Deserialize)]
pub(crate) struct Param<T> {
    pub(crate) a: Option<T>,
}

#[derive(Deserialize)]
struct GivenParam {
    #[serde(default)]
    a: Given,
}

#[derive(Deserialize)]
struct RequiredParam {
    a: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Id,
    Name,
}

/// The parameter `a`, unless it cannot be read.
fn read<T: DeserializeOwned>(query: &str) -> Option<T> {
    match read_query::<Param<T>>(query) {
        Ok(param) => param.a,
        Err(error) => {
            assert!(error.to_string().chars().count() <= MAX_ERROR, "{error}");
            None
        }
    }
}

/// Reads a query in all ways.
pub(crate) fn check(query: &str) {
    let text: Option<String> = read(query);
    assert!(text.as_deref() != Some(""));
    // A text can always be read.
    match read_query::<GivenParam>(query).unwrap().a {
        Given::Text(given) => assert_eq!(Some(given), text),
        Given::Blank | Given::Absent => assert_eq!(text, None),
    }
    assert_eq!(read_query::<RequiredParam>(query).ok().map(|param| param.a), text);
    if let Some(number) = read::<i64>(query) {
        assert_eq!(text.as_ref().and_then(|text| text.trim().parse().ok()), Some(number));
    }
    if let Some(List(items)) = read::<List<String>>(query) {
        assert!(items.iter().all(|item| !item.is_empty()));
    }
    if let Some(word) = read::<Word>(query) {
        assert_eq!(
            text.as_deref(),
            Some(if matches!(word, Word::Id) { "id" } else { "name" })
        );
    }
    read::<bool>(query);
    read::<List<i64>>(query);
    // PostgreSQL cannot store every time that can be written.
    if let Some(TimeRange { from, to }) = read::<TimeRange>(query) {
        assert!([from, to].iter().all(|time| (0..=9999).contains(&time.year())));
    }
}
