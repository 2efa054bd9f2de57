//! The settings of the read side.

use std::num::NonZeroU32;

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
    /// The names of the environment variables that are read.
    pub const VARIABLES: &[&str] = &["READS_PER_MINUTE"];

    /// Reads the settings. Those that are not set keep their default.
    ///
    /// # Errors
    /// A message for each invalid setting, with its name, its value and what is allowed.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let Some(text) = lookup("READS_PER_MINUTE") else {
            return Ok(Self::default());
        };
        match text.parse() {
            Ok(requests_per_minute) => Ok(Self { requests_per_minute }),
            Err(_) => Err(vec![format!(
                "READS_PER_MINUTE: `{text}` is not a whole number from 1 to {}",
                u32::MAX
            )]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_per_minute_must_be_a_positive_number() {
        assert_eq!(Settings::read(&|_| None).unwrap(), Settings::default());
        assert_eq!(
            Settings::read(&|_| Some("7".to_owned()))
                .unwrap()
                .requests_per_minute
                .get(),
            7
        );
        for bad in ["0", "-1", "many"] {
            assert!(Settings::read(&|_| Some(bad.to_owned())).unwrap_err()[0].contains(bad));
        }
    }
}
