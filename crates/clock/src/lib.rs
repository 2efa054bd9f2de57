//! What time it is, and new ids: the one place that asks the system, so that tests can say both.

use chrono::{DateTime, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// Where the time comes from. Cheap to copy, and handed to whoever needs it.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Always this moment; for tests.
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// The present moment, in microseconds: what PostgreSQL can hold, so that a time is the same before and after it was stored.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn now(&self) -> DateTime<Utc> {
        let now = match self {
            Self::System => Utc::now(),
            Self::Fixed(moment) => *moment,
        };
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// A new UUIDv7 (RFC 9562) of this moment.
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
    fn a_new_id_holds_the_moment_it_was_made_in() {
        let moment = DateTime::from_timestamp_millis(1_795_510_800_123).unwrap();
        let clock = Clock::Fixed(moment);
        let id = clock.new_id(clock.now());
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos / 1_000_000), (1_795_510_800, 123));
        assert_ne!(id, clock.new_id(clock.now()));
    }
}
