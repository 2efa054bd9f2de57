//! The access that a token gives.

use std::fmt;
use std::str::FromStr;

use schemas::{AccountId, EnvironmentId, InvalidSlug, Scope, Slug, TokenId};

use crate::EnvironmentEntry;

/// What the holder of a token may do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The id of the token.
    pub token_id: TokenId,
    /// The accounts that the token sees: a single one, except for tokens issued by Datacoves.
    pub accounts: Vec<AccountId>,
    /// The environments that the token sees in these accounts.
    pub environments: Environments,
    /// The actions that the token allows.
    pub scopes: Vec<Scope>,
}

/// Which environments of its accounts a token sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environments {
    /// All environments.
    All,
    /// Only these environments.
    Only(Vec<IdOrSlug>),
    /// Only the environments of these projects.
    OfProjects(Vec<IdOrSlug>),
}

/// The number or slug of an environment or project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdOrSlug {
    /// The number, which is unique across all accounts.
    Id(i64),
    /// The slug, which is unique in its account.
    Slug(Slug),
}

/// Parses a number or a slug. A slug never consists only of digits.
impl FromStr for IdOrSlug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Slug),
        }
    }
}

impl fmt::Display for IdOrSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

impl IdOrSlug {
    /// Whether this name means the object with this number and slug.
    #[must_use]
    pub fn names(&self, id: i64, slug: Option<&str>) -> bool {
        match self {
            Self::Id(named) => *named == id,
            Self::Slug(named) => slug == Some(named.as_str()),
        }
    }
}

impl Environments {
    /// Returns only the environment that a token is bound to, or all environments for `None`.
    #[must_use]
    pub fn bound_to(environment: Option<EnvironmentId>) -> Self {
        environment.map_or(Self::All, |id| Self::Only(vec![IdOrSlug::Id(id.0)]))
    }

    /// Returns the name of the environment if there is only one.
    #[must_use]
    pub fn only(&self) -> Option<&IdOrSlug> {
        match self {
            Self::Only(names) => names.first().filter(|_| names.len() == 1),
            _ => None,
        }
    }
}

impl Access {
    /// The access of a token that sees nothing and may do nothing, such as one for operators.
    #[must_use]
    pub fn none(token_id: TokenId) -> Self {
        Self {
            token_id,
            accounts: Vec::new(),
            environments: Environments::Only(Vec::new()),
            scopes: Vec::new(),
        }
    }

    /// Whether the token allows this action.
    #[must_use]
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether the token sees this environment.
    #[must_use]
    pub fn sees(&self, entry: &EnvironmentEntry) -> bool {
        let is_named = match &self.environments {
            Environments::All => true,
            Environments::Only(names) => names
                .iter()
                .any(|name| name.names(entry.environment_id.0, Some(entry.slug.as_str()))),
            Environments::OfProjects(names) => names
                .iter()
                .any(|name| name.names(entry.project_id.0, entry.project_slug.as_ref().map(Slug::as_str))),
        };
        is_named && self.accounts.contains(&entry.account_id)
    }
}

#[cfg(test)]
mod tests {
    use schemas::ProjectId;

    use super::*;

    #[test]
    fn a_token_sees_what_it_names_in_its_accounts() {
        let slug = |text: &str| text.parse::<Slug>().unwrap();
        let entry = EnvironmentEntry {
            account_id: AccountId(1),
            project_id: ProjectId(10),
            project_slug: Some(slug("shop")),
            environment_id: EnvironmentId(100),
            slug: slug("dev123"),
        };
        let sees = |account: i64, environments: Environments| {
            let access = Access {
                token_id: TokenId(uuid::Uuid::nil()),
                accounts: vec![AccountId(account)],
                environments,
                scopes: vec![Scope::Upload],
            };
            access.sees(&entry)
        };
        let named = |text: &str| vec![IdOrSlug::Slug(slug(text))];
        assert!(sees(1, Environments::All));
        assert!(!sees(2, Environments::All));
        assert!(sees(1, Environments::bound_to(Some(EnvironmentId(100)))));
        assert!(!sees(1, Environments::bound_to(Some(EnvironmentId(101)))));
        assert!(sees(1, Environments::Only(named("dev123"))));
        assert!(!sees(2, Environments::Only(named("dev123"))));
        assert!(!sees(1, Environments::Only(named("shop"))));
        assert!(!sees(1, Environments::Only(Vec::new())));
        assert!(sees(1, Environments::OfProjects(named("shop"))));
        assert!(sees(1, Environments::OfProjects(vec![IdOrSlug::Id(10)])));
        assert!(!sees(1, Environments::OfProjects(vec![IdOrSlug::Id(100)])));
    }
}
