#![doc = include_str!("../README.md")]

use chrono::{DateTime, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// The source of the time. Cheap to copy.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A fixed time, for tests.
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// Returns the current time in microseconds, PostgreSQL's precision, so that a time does not change when it is stored.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn now(&self) -> DateTime<Utc> {
        let now = match self {
            Self::System => Utc::now(),
            Self::Fixed(moment) => *moment,
        };
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// Creates a new UUIDv7 (RFC 9562) for this time.
    #[must_use]
    pub fn new_id(&self, moment: DateTime<Utc>) -> Uuid {
        let seconds = u64::try_from(moment.timestamp()).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(
            ContextV7::new(),
            seconds,
            moment.timestamp_subsec_nanos(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_contains_its_time_and_is_unique() {
        let moment = DateTime::from_timestamp_millis(1_795_510_800_123).unwrap();
        let clock = Clock::Fixed(moment);
        let id = clock.new_id(clock.now());
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos / 1_000_000), (1_795_510_800, 123));
        assert_ne!(id, clock.new_id(clock.now()));
    }
}
