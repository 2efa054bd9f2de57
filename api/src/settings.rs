//! The settings of the read side.

use std::num::NonZeroU32;

use ::settings::Reader;

/// The limit of dbt Cloud.
const REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(5_000).unwrap();

/// The limits on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most requests that a token may make per minute.
    pub requests_per_minute: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            requests_per_minute: REQUESTS_PER_MINUTE,
        }
    }
}

impl Settings {
    /// Reads `READS_PER_MINUTE`. The default is the limit of dbt Cloud.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            requests_per_minute: reader.number(
                "READS_PER_MINUTE",
                NonZeroU32::MIN..=NonZeroU32::MAX,
                REQUESTS_PER_MINUTE,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::settings::Source;

    use super::*;

    #[test]
    fn requests_per_minute_must_be_a_positive_number() {
        assert_eq!(Source::default().read(Settings::read), Ok(Settings::default()));
        let read = |value| Source::of(&[("READS_PER_MINUTE", value)]).read(Settings::read);
        assert_eq!(read("7").unwrap().requests_per_minute.get(), 7);
        for bad in ["0", "-1", "many"] {
            assert!(read(bad).unwrap_err().problems()[0].contains(bad));
        }
    }
}
