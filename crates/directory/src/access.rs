//! What a token allows.

use schemas::{AccountId, EnvironmentId, Scope, TokenId};

/// What the bearer of a token may do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The token.
    pub token_id: TokenId,
    /// The only account that it sees.
    pub account_id: AccountId,
    /// The only environment that it sees; none: all of the account.
    pub environment_id: Option<EnvironmentId>,
    /// What it allows.
    pub scopes: Vec<Scope>,
}

impl Access {
    /// Does the token allow this?
    #[must_use]
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Does the token see this environment of its account?
    #[must_use]
    pub fn sees(&self, environment_id: EnvironmentId) -> bool {
        self.environment_id.is_none_or(|bound| bound == environment_id)
    }
}
