//! Settings of the verifier.

use std::time::Duration;

use ::settings::Reader;
use reqwest::Url;

/// How long an answer is cached by default, in seconds.
const CACHE_SECONDS: u64 = 10;

/// The longest time that an answer may be cached, in seconds. A revoked key still works for that long.
const MAX_CACHE_SECONDS: u64 = 300;

/// Where and how keys are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierSettings {
    /// The URL that verifies keys.
    pub(super) url: Url,
    /// How long an answer is cached.
    pub(super) cache: Duration,
}

impl VerifierSettings {
    /// Reads the settings. Returns `None` if `DATACOVES_VERIFY_URL` is not set, so keys are not verified with Datacoves.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.url("DATACOVES_VERIFY_URL");
        let seconds = reader.number("DATACOVES_VERIFY_CACHE_SECONDS", 1..=MAX_CACHE_SECONDS, CACHE_SECONDS);
        Some(Self {
            url: url?,
            cache: Duration::from_secs(seconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use ::settings::Source;

    use super::*;

    #[test]
    fn all_problems_are_reported_without_the_password() {
        let read = |url, seconds| {
            let variables = [
                ("DATACOVES_VERIFY_URL", url),
                ("DATACOVES_VERIFY_CACHE_SECONDS", seconds),
            ];
            Source::of(&variables).read(VerifierSettings::read)
        };
        assert_eq!(read("", ""), Ok(None));
        let good = read("https://datacoves.example/verify?all=1", "").unwrap().unwrap();
        assert_eq!(good.cache, Duration::from_secs(10));
        let invalid = read("https://user:pa55@datacoves.example/", "soon").unwrap_err();
        assert!(
            invalid.problems().len() == 2 && !invalid.to_string().contains("pa55"),
            "{invalid}"
        );
        assert!(read("datacoves.example", "0").unwrap_err().problems().len() == 2);
    }
}
