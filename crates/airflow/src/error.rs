//! Why Airflow did not tell.

/// Why Airflow did not tell what it was asked. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not reached, or did not answer in time.
    #[error("Airflow cannot be reached: {0}")]
    Unreachable(String),
    /// The login was refused.
    #[error(
        "Airflow refuses the login (HTTP {status}): {said}; check its username and password, or token, and the user's role"
    )]
    Login {
        /// HTTP's.
        status: u16,
        /// Airflow's words.
        said: String,
    },
    /// Neither API is there.
    #[error("no Airflow answers at this url: neither /api/v2/version nor /api/v1/version does; check the url")]
    NoAirflow,
    /// It answered with an error.
    #[error("Airflow answers {what} with HTTP {status}: {said}")]
    Refused {
        /// What it was asked.
        what: &'static str,
        /// HTTP's.
        status: u16,
        /// Airflow's words.
        said: String,
    },
    /// The answer is not what the API promises.
    #[error("Airflow's answer to {what} cannot be read: {cause}")]
    Unreadable {
        /// What it was asked.
        what: &'static str,
        /// Why.
        cause: String,
    },
}

impl Error {
    /// Did Airflow answer, and not with what it was asked for? It may answer other questions.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Login { .. } | Self::Unreadable { .. } => true,
            Self::Refused { status, .. } => (400..500).contains(status) && *status != 429,
            Self::Unreachable(_) | Self::NoAirflow => false,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let mut text = String::new();
        // Without the URL, whose query is long; with the causes, which reqwest leaves to its reader.
        let error = error.without_url();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::Unreachable(text)
    }
}
