//! Whether a token is accepted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a token is accepted, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// It is accepted.
    Active,
    /// It was deleted.
    Deleted,
    /// It has expired.
    Expired,
    /// Its account was retired.
    Inactive,
}

impl TokenState {
    /// The state in lower case, as it is shown and stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Inactive => "inactive",
        }
    }
}

impl fmt::Display for TokenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
