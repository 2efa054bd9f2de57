//! Settings of the write side.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ::settings::Reader;

/// Ten per second, far more than the runs of an account make.
const UPLOADS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();

const MAX_UPLOADS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

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
    /// Reads the settings. Those that are not set get their defaults.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let default = Self::default();
        let mut seconds = |name: &str, max: u64, default: Duration| {
            Duration::from_secs(reader.number(name, 1..=max, default.as_secs()))
        };
        Self {
            idle_timeout: seconds("UPLOAD_IDLE_TIMEOUT_SECONDS", 3600, default.idle_timeout),
            upload_timeout: seconds("UPLOAD_TIMEOUT_SECONDS", 86_400, default.upload_timeout),
            max_upload_bytes: reader.number("MAX_UPLOAD_BYTES", 1..=1 << 40, default.max_upload_bytes),
            max_uploads: reader.number("MAX_UPLOADS", 1..=200, default.max_uploads),
            uploads_per_minute: reader.number(
                "UPLOADS_PER_MINUTE",
                NonZeroU32::MIN..=MAX_UPLOADS_PER_MINUTE,
                default.uploads_per_minute,
            ),
            spool_dir: reader.folder("SPOOL_DIR"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::settings::Source;

    use super::*;

    #[test]
    fn unset_and_empty_settings_get_their_defaults() {
        assert_eq!(Source::default().read(Settings::read), Ok(Settings::default()));
        let empty = Source::of(&[("MAX_UPLOADS", ""), ("UPLOADS_PER_MINUTE", ""), ("SPOOL_DIR", "")]);
        assert_eq!(empty.read(Settings::read), Ok(Settings::default()));
    }

    #[test]
    fn settings_override_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ("MAX_UPLOAD_BYTES", "1000"),
            ("UPLOAD_TIMEOUT_SECONDS", "60"),
            ("SPOOL_DIR", folder.path().to_str().unwrap()),
        ];
        let settings = Source::of(&variables).read(Settings::read).unwrap();
        assert_eq!(settings.max_upload_bytes, 1000);
        assert_eq!(settings.upload_timeout, Duration::from_secs(60));
        assert_eq!(settings.spool_dir.as_deref(), Some(folder.path()));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let variables = [
            ("MAX_UPLOAD_BYTES", "1GiB"),
            ("MAX_UPLOADS", "0"),
            ("UPLOADS_PER_MINUTE", "1000001"),
            ("SPOOL_DIR", "/does/not/exist"),
        ];
        assert_eq!(
            Source::of(&variables).read(Settings::read).unwrap_err().problems(),
            [
                "invalid `MAX_UPLOAD_BYTES`: expected a number from 1 to 1099511627776, got `1GiB`",
                "invalid `MAX_UPLOADS`: expected a number from 1 to 200, got `0`",
                "invalid `UPLOADS_PER_MINUTE`: expected a number from 1 to 1000000, got `1000001`",
                "invalid `SPOOL_DIR`: expected a folder that exists, got `/does/not/exist`",
            ]
        );
    }
}
