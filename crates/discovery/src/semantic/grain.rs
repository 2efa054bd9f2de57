//! The units of time by which time dimensions can be grouped.

use serde_json::{Value as Json, json};

/// A unit of time, the smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Grain {
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Grain {
    const ALL: [Self; 11] = [
        Self::Nanosecond,
        Self::Microsecond,
        Self::Millisecond,
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];

    /// Finds a unit by dbt's name. The units that a project defines itself are not among them.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|grain| grain.name().eq_ignore_ascii_case(name))
    }

    /// dbt's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanosecond => "nanosecond",
            Self::Microsecond => "microsecond",
            Self::Millisecond => "millisecond",
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// Its name in the schema.
    pub(crate) fn enum_name(self) -> String {
        self.name().to_ascii_uppercase()
    }

    /// The fields that say by which units something of this unit can be grouped: this and larger ones, or none.
    pub(crate) fn queryable(grain: Option<Self>) -> [(&'static str, Json); 2] {
        let larger = |name: fn(Self) -> Json| -> Json {
            let all = Self::ALL.into_iter();
            all.filter(|other| grain.is_some_and(|grain| *other >= grain))
                .map(name)
                .collect()
        };
        [
            ("queryableGranularities", larger(|grain| json!(grain.enum_name()))),
            ("queryableTimeGranularities", larger(|grain| json!(grain.name()))),
        ]
    }
}
