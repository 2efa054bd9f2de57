//! Small parts that many pages have: moments, durations, statuses.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use schemas::RunStatus;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A moment, to the second, in UTC.
pub(crate) fn moment(time: DateTime<Utc>) -> Markup {
    html! { time datetime=(time.to_rfc3339()) { (time.format("%Y-%m-%d %H:%M:%S")) " UTC" } }
}

/// How long ago a moment was, with the moment itself for those who point at it.
pub(crate) fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time datetime=(time.to_rfc3339()) title=(time.format("%Y-%m-%d %H:%M:%S UTC")) { (duration_in_words(now - time)) " ago" } }
}

/// A duration in its largest unit, or in two if the first is small: `3 min`, `1 h 20 min`, `2 d`.
fn duration_in_words(time: TimeDelta) -> String {
    match time.num_seconds() {
        ..60 => format!("{} s", time.num_seconds().max(0)),
        60..3600 => format!("{} min", time.num_minutes()),
        3600..18_000 => format!("{} h {} min", time.num_hours(), time.num_minutes() % 60),
        18_000..172_800 => format!("{} h", time.num_hours()),
        _ => format!("{} d", time.num_days()),
    }
}

/// The name of a node as people use it: dbt's id without the type, the package, and the hash at the end of a test.
pub(crate) fn node_name(unique_id: &str) -> String {
    let mut parts: Vec<&str> = unique_id.split('.').collect();
    let is_test = parts.first() == Some(&"test");
    let is_hash = |part: &&str| part.len() == 10 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_test && parts.len() > 3 && parts.last().is_some_and(is_hash) {
        parts.pop();
    }
    if parts.len() < 3 {
        unique_id.to_owned()
    } else {
        parts[2..].join(".")
    }
}

/// The name of a job.
pub(crate) fn job_name(dag_id: Option<&str>) -> &str {
    dag_id.unwrap_or("Uploads without a DAG")
}

/// The type of a node, such as `model`.
pub(crate) fn node_type(unique_id: &str) -> &str {
    unique_id
        .split_once('.')
        .map_or("node", |(resource_type, _)| resource_type)
}

/// The beginning of a text that may be very long, and whether anything was cut off.
pub(crate) fn beginning(text: &str, most: usize) -> (&str, bool) {
    match text.char_indices().nth(most) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

/// Where one is in a list of several pages, and the ways to those before and after.
pub(crate) fn pages(page: i64, on_page: i64, shown: usize, total: i64, address: impl Fn(i64) -> String) -> Markup {
    let before = (page - 1).saturating_mul(on_page).min(total);
    let last = before.saturating_add(i64::try_from(shown).unwrap_or_default());
    html! {
        nav.pages aria-label="Pages" {
            @if page > 1 { a rel="prev" href=(address(page - 1)) { "← Before" } }
            span { @if shown > 0 { (before + 1) "–" (last) " of " } @else { "none of " } (total) }
            @if last < total { a rel="next" href=(address(page + 1)) { "After →" } }
        }
    }
}

/// How many of a list are not shown; nothing if all are.
pub(crate) fn rest(total: i64, shown: usize) -> Markup {
    let rest = total.saturating_sub(count(shown));
    html! { @if rest > 0 { p.note { "And " (rest) " more." } } }
}

/// How old the newest row of a source may be until dbt warns, and until it fails: `12 hours`. Each only if the criteria name it.
pub(crate) fn freshness_limits(criteria: Option<&RawValue>) -> [Option<String>; 2] {
    #[derive(Deserialize)]
    struct Limit {
        count: Option<i64>,
        period: Option<String>,
    }
    let criteria: serde_json::Map<String, serde_json::Value> = criteria
        .and_then(|json| serde_json::from_str(json.get()).ok())
        .unwrap_or_default();
    ["warn_after", "error_after"].map(|name| {
        let limit = Limit::deserialize(criteria.get(name)?).ok()?;
        let period = limit.period?;
        Some(plural(limit.count?, &period, &format!("{period}s")))
    })
}

/// The word for one thing or for several.
pub(crate) fn plural(count: i64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A duration in its two largest units: `1 h 4 min`, `2 min 5 s`, `3.21 s`.
pub(crate) fn duration(time: TimeDelta) -> String {
    let seconds = time.num_seconds();
    match seconds {
        ..0 => "0 s".to_owned(),
        0..10 => format!("{:.2} s", time.as_seconds_f64()),
        10..60 => format!("{:.1} s", time.as_seconds_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A duration of this many seconds, as [`duration`] writes it; one that is negative or not a number counts as 0.
pub(crate) fn seconds(seconds: f64) -> String {
    let exact = std::time::Duration::try_from_secs_f64(seconds).ok();
    duration(
        exact
            .and_then(|exact| TimeDelta::from_std(exact).ok())
            .unwrap_or_default(),
    )
}

/// A number of bytes in the largest unit of which there is at least one.
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes as f64, None);
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, Some(next));
    }
    match unit {
        None => format!("{bytes} B"),
        Some(unit) => format!("{value:.1} {unit}"),
    }
}

/// The length of a list, for [`plural`] and [`pages`].
pub(crate) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The status of a run, with dbt Cloud's word for it.
pub(crate) fn run_status(number: i16) -> Markup {
    let status = RunStatus::from_number(number);
    let word = status.map_or("Unknown", RunStatus::humanized);
    html! { span.status.(tone_of_run(number)) { (word) } }
}

/// The class of a run's colour.
pub(crate) fn tone_of_run(number: i16) -> &'static str {
    match RunStatus::from_number(number) {
        Some(RunStatus::Success) => "good",
        Some(RunStatus::Error) => "bad",
        Some(RunStatus::Queued | RunStatus::Starting | RunStatus::Running) => "busy",
        Some(RunStatus::Cancelled) | None => "idle",
    }
}

/// The status of a result, with dbt's word for it.
pub(crate) fn result_status(word: &str) -> Markup {
    html! { span.status.(tone_of_result(word)) { (word) } }
}

/// The class of a result's colour.
pub(crate) fn tone_of_result(word: &str) -> &'static str {
    match word {
        "success" | "pass" => "good",
        "error" | "fail" | "runtime error" | "partial success" => "bad",
        "warn" => "warn",
        _ => "idle",
    }
}

/// A word of dbt with spaces: `unit_test` is `unit test`.
pub(crate) fn words(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_the_names_that_people_use() {
        for (unique_id, name) in [
            ("model.shop.orders", "orders"),
            ("model.shop.orders.v2", "orders.v2"),
            ("source.shop.pos.sales", "pos.sales"),
            ("test.shop.not_null_orders_id.0123456789", "not_null_orders_id"),
            ("test.shop.assert_positive", "assert_positive"),
            ("odd", "odd"),
        ] {
            assert_eq!(node_name(unique_id), name);
        }
    }

    #[test]
    fn the_age_of_a_moment_is_in_its_largest_unit() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (3_599, "59 min"),
            (4_000, "1 h 6 min"),
            (40_000, "11 h"),
            (200_000, "2 d"),
        ] {
            let page = ago(now - TimeDelta::seconds(seconds), now).into_string();
            assert!(page.contains(&format!(">{words} ago<")), "{page}");
        }
    }

    #[test]
    fn limits_of_freshness_are_read_as_far_as_they_are_there() {
        let limits = |json: &str| freshness_limits(serde_json::from_str(json).ok());
        let both = r#"{"warn_after": {"count": 1, "period": "day"}, "error_after": {"count": 36, "period": "hour"}}"#;
        assert_eq!(limits(both), [Some("1 day".to_owned()), Some("36 hours".to_owned())]);
        let one = r#"{"warn_after": {"count": null, "period": null}, "error_after": {"count": 2, "period": "day"}}"#;
        assert_eq!(limits(one), [None, Some("2 days".to_owned())]);
        assert_eq!(limits(r#"{"warn_after": 3, "error_after": null}"#), [None, None]);
        assert_eq!(limits("[]"), [None, None]);
        assert_eq!(freshness_limits(None), [None, None]);
    }

    #[test]
    fn the_rest_of_a_list_is_counted() {
        assert_eq!(rest(7, 5).into_string(), r#"<p class="note">And 2 more.</p>"#);
        assert_eq!(rest(5, 5).into_string(), "");
    }

    #[test]
    fn a_text_is_cut_between_letters() {
        assert_eq!(beginning("äöü", 2), ("äö", true));
        assert_eq!(beginning("äöü", 3), ("äöü", false));
    }
}
