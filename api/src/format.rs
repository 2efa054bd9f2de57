//! Times and durations in the formats of dbt Cloud.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// Formats a time as in runs and projects: `2021-12-07 10:32:24.326116+00:00`.
pub(crate) fn spaced_time(time: DateTime<Utc>) -> String {
    iso_time(time).replace('T', " ")
}

/// Formats a time as in jobs, accounts and environments: `2021-11-18T15:19:03.185668+00:00`.
pub(crate) fn iso_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// Formats a duration as `01:02:03`. Hours may exceed 24; a negative duration is `00:00:00`.
pub(crate) fn clock_duration(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds().max(0);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The units and their lengths in seconds. A month counts as 30 days and a year as 365.
const UNITS: [(&str, i64); 7] = [
    ("year", 365 * 86_400),
    ("month", 30 * 86_400),
    ("week", 7 * 86_400),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
    ("second", 1),
];

/// Formats a duration in its two largest units, if they are adjacent: `1 minute, 50 seconds`, `2 weeks`. Less than a second is `0 minutes`.
pub(crate) fn humanized_duration(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds();
    let Some(largest) = UNITS.iter().position(|(_, length)| seconds >= *length) else {
        return "0 minutes".to_owned();
    };
    let (name, length) = UNITS[largest];
    let mut text = count_of(seconds / length, name);
    if let Some((name, next)) = UNITS.get(largest + 1) {
        let count = seconds % length / next;
        if count > 0 {
            text.push_str(", ");
            text.push_str(&count_of(count, name));
        }
    }
    text
}

/// Formats an age: `2 weeks, 1 day ago`.
pub(crate) fn humanized_age(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    humanized_duration(now - time) + " ago"
}

fn count_of(count: i64, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_always_have_six_decimals() {
        let time: DateTime<Utc> = "2021-12-07T10:32:24Z".parse().unwrap();
        assert_eq!(spaced_time(time), "2021-12-07 10:32:24.000000+00:00");
        let time: DateTime<Utc> = "2021-11-18T15:19:03.185668Z".parse().unwrap();
        assert_eq!(iso_time(time), "2021-11-18T15:19:03.185668+00:00");
    }

    #[test]
    fn durations_are_written_as_on_a_clock() {
        assert_eq!(clock_duration(TimeDelta::milliseconds(110_900)), "00:01:50");
        assert_eq!(clock_duration(TimeDelta::hours(30)), "30:00:00");
        assert_eq!(clock_duration(TimeDelta::seconds(-5)), "00:00:00");
    }

    #[test]
    fn durations_use_at_most_two_units() {
        for (seconds, text) in [
            (0, "0 minutes"),
            (-5, "0 minutes"),
            (1, "1 second"),
            (110, "1 minute, 50 seconds"),
            (120, "2 minutes"),
            (3_605, "1 hour"),
            (7_260, "2 hours, 1 minute"),
            (15 * 86_400 + 4_000, "2 weeks, 1 day"),
            (365 * 86_400, "1 year"),
            (61 * 86_400, "2 months"),
        ] {
            assert_eq!(humanized_duration(TimeDelta::seconds(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn an_age_is_a_duration_ago() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(humanized_age(now - TimeDelta::days(15), now), "2 weeks, 1 day ago");
    }
}
