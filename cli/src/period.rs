//! Periods and points in time, as operators write them.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// A length of time, written as a whole number and a unit: `90d`, `12h`, `30m` or `45s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) TimeDelta);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid =
            || format!("invalid period `{text}`: expected a whole number and a unit, such as 90d, 12h, 30m or 45s");
        let unit = text.chars().next_back().ok_or_else(invalid)?;
        let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| invalid())?;
        let length = match unit {
            'd' => TimeDelta::try_days(number),
            'h' => TimeDelta::try_hours(number),
            'm' => TimeDelta::try_minutes(number),
            's' => TimeDelta::try_seconds(number),
            _ => None,
        };
        // Longer periods could exceed the range of dates.
        let limit = TimeDelta::days(36_500);
        length
            .filter(|length| *length >= TimeDelta::zero() && *length <= limit)
            .map(Self)
            .ok_or_else(invalid)
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
                    "invalid time `{text}`: expected a time such as 2026-11-24T09:00:00Z, or an age such as 2h or 7d"
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_with_a_unit() {
        for (text, seconds) in [
            ("90d", 7_776_000),
            ("12h", 43_200),
            ("30m", 1_800),
            ("45s", 45),
            ("0d", 0),
        ] {
            assert_eq!(text.parse(), Ok(Period(TimeDelta::seconds(seconds))), "{text}");
        }
        for bad in ["", "d", "5", "-1d", "1.5h", "1w", "5é", "9999999999999d"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}
