//! Settings of the verifier.

use std::time::Duration;

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
    /// The names of the settings.
    pub const VARIABLES: &[&str] = &["DATACOVES_VERIFY_URL", "DATACOVES_VERIFY_CACHE_SECONDS"];

    /// Reads the settings. Returns `None` if `DATACOVES_VERIFY_URL` is not set, so keys are not verified with Datacoves.
    ///
    /// # Errors
    /// A list of all problems, each with the setting and the rule.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, Vec<String>> {
        let mut problems = Vec::new();
        let url = lookup("DATACOVES_VERIFY_URL").and_then(|text| {
            let url = Url::parse(&text).ok().filter(|url| {
                matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
            });
            if url.is_none() {
                // The value is not shown, because it may contain a password.
                let rule = "expected https://HOST/PATH or http://HOST/PATH without a login";
                problems.push(format!("invalid DATACOVES_VERIFY_URL: {rule}"));
            }
            url
        });
        let cache = lookup("DATACOVES_VERIFY_CACHE_SECONDS").map_or(Some(CACHE_SECONDS), |text| {
            let seconds = text
                .parse()
                .ok()
                .filter(|seconds| (1..=MAX_CACHE_SECONDS).contains(seconds));
            if seconds.is_none() {
                problems.push(format!(
                    "DATACOVES_VERIFY_CACHE_SECONDS: `{text}` is not a whole number from 1 to {MAX_CACHE_SECONDS}"
                ));
            }
            seconds
        });
        match (problems.is_empty(), url, cache) {
            (true, Some(url), Some(seconds)) => Ok(Some(Self {
                url,
                cache: Duration::from_secs(seconds),
            })),
            (true, ..) => Ok(None),
            (false, ..) => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_without_the_password() {
        let read = |url: &'static str, seconds: &'static str| {
            VerifierSettings::read(&move |name| {
                let value = if name == "DATACOVES_VERIFY_URL" { url } else { seconds };
                (!value.is_empty()).then(|| value.to_owned())
            })
        };
        assert_eq!(read("", ""), Ok(None));
        let good = read("https://datacoves.example/verify", "").unwrap().unwrap();
        assert_eq!(good.cache, Duration::from_secs(10));
        let problems = read("https://user:pa55@datacoves.example/", "soon").unwrap_err();
        assert!(
            problems.len() == 2 && !problems.join("").contains("pa55"),
            "{problems:?}"
        );
        assert!(read("datacoves.example", "0").unwrap_err().len() == 2);
    }
}
