//! Settings of the read side.

use std::num::NonZeroU32;

/// As dbt Cloud's.
const REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(5_000).unwrap();

/// Limits of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a token may ask within a minute.
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
    /// The names of the settings.
    pub const VARIABLES: &[&str] = &["READS_PER_MINUTE"];

    /// Reads the settings; what is not set has its default.
    ///
    /// # Errors
    /// Each problem, naming the setting, its value and the rule.
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
    fn a_number_of_requests_is_due() {
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
