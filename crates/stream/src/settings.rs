//! Where NATS is.

use std::fmt;
use std::path::PathBuf;

use async_nats::ServerAddr;

use crate::Error;

const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// Where NATS is, and how to log in. Never prints a secret.
#[derive(Clone)]
pub struct Settings {
    /// One or more with commas between them; with `user:password@` or `token@` where the server asks for it.
    url: String,
    /// A file of the kind `nsc` makes.
    pub(crate) credentials_file: Option<PathBuf>,
}

impl Settings {
    /// The environment variables that [`Settings::read`] reads.
    pub const VARIABLES: &[&str] = &["NATS_URL", "NATS_CREDENTIALS_FILE"];

    /// Reads the settings; `lookup` gives the value of a variable.
    ///
    /// # Errors
    /// All problems at once.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let settings = Self {
            url: lookup("NATS_URL").unwrap_or_else(|| DEFAULT_URL.to_owned()),
            credentials_file: lookup("NATS_CREDENTIALS_FILE").map(PathBuf::from),
        };
        let mut problems = Vec::new();
        if settings.servers().is_err() {
            // The value is not told: it may hold a password.
            problems.push("NATS_URL is no URL of NATS: nats://HOST:PORT or tls://HOST:PORT is due".to_owned());
        }
        if let Some(file) = &settings.credentials_file
            && !file.is_file()
        {
            problems.push(format!("NATS_CREDENTIALS_FILE={} is no file", file.display()));
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    pub(crate) fn servers(&self) -> Result<Vec<ServerAddr>, Error> {
        self.url
            .split(',')
            .map(|url| url.trim().parse().map_err(|_| Error::Refused("NATS_URL is no URL of NATS".to_owned())))
            .collect()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("credentials_file", &self.credentials_file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_without_secrets() {
        let read = |url: &'static str| Settings::read(&move |name| (name == "NATS_URL").then(|| url.to_owned()));
        assert!(read("nats://user:pa55@localhost:4222, nats://other:4222").is_ok());
        let problems = read("http://user:pa55@localhost").unwrap_err().join(" ");
        assert!(problems.contains("NATS_URL") && !problems.contains("pa55"), "{problems}");
        assert!(!format!("{:?}", read("nats://user:pa55@localhost:4222").unwrap()).contains("pa55"));
    }
}
