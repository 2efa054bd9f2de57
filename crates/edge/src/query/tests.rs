use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
struct Sample {
    number: Option<i64>,
    text: Option<String>,
    flag: Option<bool>,
    numbers: Option<List<i64>>,
    texts: Option<List<String>>,
    times: Option<TimeRange>,
    direction: Option<Direction>,
    #[serde(default)]
    tag: Given,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Up,
    Down,
}

#[derive(Debug, Deserialize)]
struct Strict {
    from: i64,
    id: String,
}

fn read(query: &str) -> Sample {
    read_query(query).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn error(query: &str) -> String {
    read_query::<Sample>(query).unwrap_err().to_string()
}

#[test]
fn values_are_decoded_and_the_last_one_counts() {
    assert_eq!(read("numbers=1&numbers=&direction=").numbers, Some(List(vec![1])));
    assert_eq!(read("direction=").direction, None);
    let sample = read("number=1&number=+2+&text=x+y%2Fz&flag=&unknown=1&numbers=%5B10,%2020%5D&direction=down&tag=");
    assert_eq!((sample.number, sample.text.as_deref()), (Some(2), Some("x y/z")));
    assert_eq!((sample.flag, sample.numbers), (None, Some(List(vec![10, 20]))));
    assert_eq!((sample.direction, sample.tag), (Some(Direction::Down), Given::Blank));
    let sample = read("flag=True&tag=x&numbers=1&numbers=2");
    assert_eq!(
        (sample.flag, sample.tag, sample.numbers),
        (Some(true), Given::Text("x".to_owned()), Some(List(vec![1, 2])))
    );
    let sample = read("flag=0&direction=up");
    assert_eq!(
        (sample.flag, sample.direction, sample.tag),
        (Some(false), Some(Direction::Up), Given::Absent)
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    for (query, message) in [
        ("number=abc", "invalid `number`: expected a whole number, got `abc`"),
        (
            "number=1&number=x",
            "invalid `number`: expected a whole number, got `x`",
        ),
        ("flag=maybe", "invalid `flag`: expected `true` or `false`, got `maybe`"),
        (
            "numbers=[1,x]",
            "invalid `numbers`: expected a list of whole numbers such as [10,20], got `[1,x]`",
        ),
        (
            "direction=left",
            "invalid `direction`: expected one of `up`, `down`, got `left`",
        ),
    ] {
        assert_eq!(error(query), message);
    }
    let long = error(&format!("number={}", "9".repeat(1000)));
    assert!(long.len() < 200, "{long}");
}

#[test]
fn required_parameters_are_asked_for() {
    for query in ["id=x", "from=&id=x"] {
        let error = read_query::<Strict>(query).unwrap_err().to_string();
        assert_eq!(error, "missing `from`: this parameter is required");
    }
    let strict: Strict = read_query("from=7&id=x").unwrap();
    assert_eq!((strict.from, strict.id.as_str()), (7, "x"));
    let error = read_query::<Strict>("from=7&id=").unwrap_err().to_string();
    assert_eq!(error, "missing `id`: this parameter is required");
}

#[test]
fn lists_are_written_in_many_ways() {
    for query in [
        "texts=1.9,1.10",
        "texts=[%221.9%22,%221.10%22]",
        "texts=['1.9',+'1.10']",
        "texts=[1.9,1.10]",
        "texts=1.9&texts=1.10",
    ] {
        let texts = read(query).texts.unwrap_or_else(|| panic!("{query}"));
        assert_eq!(texts.0, ["1.9", "1.10"], "{query}");
    }
}

#[test]
fn times_are_written_in_many_ways() {
    for from in [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05%2B00:00",
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:05.000",
        "2026-01-02+03:04:05",
        "2026-01-02 03:04:05.000000%2B00:00",
    ] {
        let query = format!("times=[%22{from}%22,%229999-12-31%22]");
        let times = read(&query).times.unwrap();
        assert_eq!(times.from.to_rfc3339(), "2026-01-02T03:04:05+00:00", "{query}");
        assert_eq!(times.to.to_rfc3339(), "9999-12-31T00:00:00+00:00");
    }
    for times in [
        "[%222026-01-02%22]",
        "[1,2]",
        "[-262143-01-01,2026-01-01]",
        "[2026-01-01,%2B262142-12-31]",
    ] {
        assert!(
            error(&format!("times={times}")).contains("expected two times such as"),
            "{times}"
        );
    }
}

#[test]
fn numbers_from_0_are_read_and_others_are_named() {
    #[derive(Debug, Deserialize)]
    struct Page {
        page: Option<usize>,
    }
    assert_eq!(read_query::<Page>("page=+3+").unwrap().page, Some(3));
    assert_eq!(read_query::<Page>("page=").unwrap().page, None);
    let error = read_query::<Page>("page=-1").unwrap_err().to_string();
    assert_eq!(error, "invalid `page`: expected a whole number from 0, got `-1`");
}
