//! Settings of the write side.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Ten per second, far more than the runs of an account make.
const UPLOADS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// Limits of uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest size of an uploaded file in bytes, before compression.
    pub max_upload_bytes: u64,
    /// How many uploads are read at once; others wait. Each takes up to 12 MiB of memory. The same number of zips can be received at once.
    pub max_uploads: usize,
    /// How many uploads a token may make per minute.
    pub uploads_per_minute: NonZeroU32,
    /// How long a client may pause while it sends an upload.
    pub idle_timeout: Duration,
    /// How long an upload may take from its first byte to its last.
    pub upload_timeout: Duration,
    /// The folder for large uploads while they are received. If `None`, the system's folder for temporary files.
    pub spool_dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_upload_bytes: 1 << 30,
            max_uploads: 32,
            uploads_per_minute: UPLOADS_PER_MINUTE,
            idle_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_secs(600),
            spool_dir: None,
        }
    }
}

impl Settings {
    /// The names of the settings.
    pub const VARIABLES: &[&str] = &[
        "MAX_UPLOAD_BYTES",
        "MAX_UPLOADS",
        "UPLOADS_PER_MINUTE",
        "UPLOAD_IDLE_TIMEOUT_SECONDS",
        "UPLOAD_TIMEOUT_SECONDS",
        "SPOOL_DIR",
    ];

    /// Reads the settings. Those that are not set or empty get their defaults.
    ///
    /// # Errors
    /// A list of all problems, each with the setting, its value and the rule.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut number = |name: &str, default: u64, max: u64| match set(lookup, name) {
            None => default,
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| (1..=max).contains(number))
                .unwrap_or_else(|| {
                    problems.push(format!("{name}: `{text}` is not a whole number from 1 to {max}"));
                    default
                }),
        };
        let default = Self::default();
        let settings = Self {
            max_upload_bytes: number("MAX_UPLOAD_BYTES", default.max_upload_bytes, 1 << 40),
            max_uploads: usize::try_from(number("MAX_UPLOADS", default.max_uploads as u64, 200))
                .unwrap_or(default.max_uploads),
            uploads_per_minute: u32::try_from(number("UPLOADS_PER_MINUTE", UPLOADS_PER_MINUTE.get().into(), 1_000_000))
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(UPLOADS_PER_MINUTE),
            idle_timeout: Duration::from_secs(number(
                "UPLOAD_IDLE_TIMEOUT_SECONDS",
                default.idle_timeout.as_secs(),
                3600,
            )),
            upload_timeout: Duration::from_secs(number(
                "UPLOAD_TIMEOUT_SECONDS",
                default.upload_timeout.as_secs(),
                86_400,
            )),
            spool_dir: set(lookup, "SPOOL_DIR").map(PathBuf::from),
        };
        if let Some(folder) = settings.spool_dir.as_ref().filter(|folder| !folder.is_dir()) {
            problems.push(format!("SPOOL_DIR: `{}` is not a folder; create it", folder.display()));
        }
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }
}

fn set(lookup: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_and_empty_settings_get_their_defaults() {
        assert_eq!(Settings::read(&|_| None).unwrap(), Settings::default());
        assert_eq!(Settings::read(&|_| Some(String::new())).unwrap(), Settings::default());
    }

    #[test]
    fn settings_override_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let lookup = |name: &str| match name {
            "MAX_UPLOAD_BYTES" => Some("1000".to_owned()),
            "UPLOAD_TIMEOUT_SECONDS" => Some("60".to_owned()),
            "SPOOL_DIR" => Some(folder.path().display().to_string()),
            _ => None,
        };
        let settings = Settings::read(&lookup).unwrap();
        assert_eq!(settings.max_upload_bytes, 1000);
        assert_eq!(settings.upload_timeout, Duration::from_secs(60));
        assert_eq!(settings.spool_dir.as_deref(), Some(folder.path()));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let lookup = |name: &str| match name {
            "MAX_UPLOAD_BYTES" => Some("1GiB".to_owned()),
            "MAX_UPLOADS" => Some("0".to_owned()),
            "SPOOL_DIR" => Some("/does/not/exist".to_owned()),
            _ => None,
        };
        let problems = Settings::read(&lookup).unwrap_err();
        assert_eq!(
            problems,
            [
                "MAX_UPLOAD_BYTES: `1GiB` is not a whole number from 1 to 1099511627776",
                "MAX_UPLOADS: `0` is not a whole number from 1 to 200",
                "SPOOL_DIR: `/does/not/exist` is not a folder; create it",
            ]
        );
    }
}
