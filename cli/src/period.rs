//! Periods and points in time, as operators write them.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// A length of time, written as numbers with units: `90d`, `12h`, `30m`, `45s` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) TimeDelta);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length = humantime::parse_duration(text).ok();
        length
            .and_then(|length| TimeDelta::from_std(length).ok())
            // Longer periods could exceed the range of dates.
            .filter(|length| *length <= TimeDelta::days(36_500))
            .map(Self)
            .ok_or_else(|| {
                format!("invalid period: expected a number and a unit, such as 90d, 12h, 30m or 45s, got `{text}`")
            })
    }
}

/// A point in time: an RFC 3339 time, or an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// An absolute time.
    At(DateTime<Utc>),
    /// A period before now.
    Ago(Period),
}

impl Moment {
    pub(crate) fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(time) => time,
            Self::Ago(period) => now - period.0,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(period) = text.parse() {
            return Ok(Self::Ago(period));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self::At(time.to_utc()))
            .map_err(|_| {
                format!(
                    "invalid time: expected a time such as 2026-11-24T09:00:00Z, or an age such as 2h or 7d, got `{text}`"
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_written_as_numbers_with_units() {
        for (text, seconds) in [
            ("90d", 7_776_000),
            ("12h", 43_200),
            ("30m", 1_800),
            ("45s", 45),
            ("0d", 0),
            ("0s", 0),
            ("36500d", 3_153_600_000),
            ("1w", 604_800),
            ("1h 30m", 5_400),
            ("2 hours", 7_200),
        ] {
            assert_eq!(text.parse(), Ok(Period(TimeDelta::seconds(seconds))), "{text}");
        }
        for bad in [
            "",
            "d",
            "5",
            "-1d",
            "5é",
            "36501d",
            "9999999999999d",
            "99999999999999999999d",
        ] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}
