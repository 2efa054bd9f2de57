//! Errors of Airflow.

/// Why Airflow did not answer a request. Never contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Airflow cannot be reached, or did not answer in time.
    #[error("Airflow cannot be reached: {0}")]
    Unreachable(String),
    /// Airflow refused the login.
    #[error(
        "Airflow refuses the login (HTTP {status}): {said}; check its username and password, or token, and the user's role"
    )]
    Login {
        /// The HTTP status.
        status: u16,
        /// Airflow's message.
        said: String,
    },
    /// Neither version of the API exists at the URL.
    #[error("no Airflow answers at this url: neither /api/v2/version nor /api/v1/version exists; check the url")]
    NoAirflow,
    /// Airflow answered with an error.
    #[error("Airflow answers HTTP {status} to a request for {what}: {said}")]
    Refused {
        /// What was requested.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// Airflow's message.
        said: String,
    },
    /// The answer does not have the format of the API.
    #[error("Airflow's answer to a request for {what} cannot be read: {cause}")]
    Unreadable {
        /// What was requested.
        what: &'static str,
        /// What is wrong with the answer.
        cause: String,
    },
}

impl Error {
    /// Whether Airflow answered, but refused this request. It may answer others.
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
        // Leave out the URL, whose query is long, but add the causes, which reqwest's message lacks.
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
