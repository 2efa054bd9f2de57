//! What a token allows.

use std::fmt;
use std::str::FromStr;

use schemas::{AccountId, EnvironmentId, InvalidSlug, Scope, Slug, TokenId};

use crate::Place;

/// What the bearer of a token may do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The token.
    pub token_id: TokenId,
    /// The accounts that it sees: one, but for tokens that Datacoves gave.
    pub accounts: Vec<AccountId>,
    /// What it sees of each of them.
    pub environments: Environments,
    /// What it allows.
    pub scopes: Vec<Scope>,
}

/// Which environments of its accounts a token sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environments {
    /// All.
    All,
    /// These only.
    Only(Vec<Name>),
    /// Those of these projects only.
    OfProjects(Vec<Name>),
}

/// What an environment or a project is called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Its number, unique over all accounts.
    Id(i64),
    /// Its slug, unique in its account.
    Slug(Slug),
}

/// A number or a slug, which is never all digits.
impl FromStr for Name {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Slug),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

impl Name {
    /// Is it the one of this number and slug?
    #[must_use]
    pub fn names(&self, id: i64, slug: Option<&str>) -> bool {
        match self {
            Self::Id(named) => *named == id,
            Self::Slug(named) => slug == Some(named.as_str()),
        }
    }
}

impl Environments {
    /// All, or the one that the token is bound to.
    #[must_use]
    pub fn bound_to(environment: Option<EnvironmentId>) -> Self {
        environment.map_or(Self::All, |id| Self::Only(vec![Name::Id(id.0)]))
    }

    /// The only one, where there is one only.
    #[must_use]
    pub fn only(&self) -> Option<&Name> {
        match self {
            Self::Only(names) => names.first().filter(|_| names.len() == 1),
            _ => None,
        }
    }
}

impl Access {
    /// Does the token allow this?
    #[must_use]
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Does the token see this environment?
    #[must_use]
    pub fn sees(&self, place: &Place) -> bool {
        let is_named = match &self.environments {
            Environments::All => true,
            Environments::Only(names) => names
                .iter()
                .any(|name| name.names(place.environment_id.0, Some(place.slug.as_str()))),
            Environments::OfProjects(names) => names
                .iter()
                .any(|name| name.names(place.project_id.0, place.project_slug.as_ref().map(Slug::as_str))),
        };
        is_named && self.accounts.contains(&place.account_id)
    }
}

#[cfg(test)]
mod tests {
    use schemas::ProjectId;

    use super::*;

    #[test]
    fn a_token_sees_what_it_names_in_its_accounts() {
        let slug = |text: &str| text.parse::<Slug>().unwrap();
        let place = Place {
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
            access.sees(&place)
        };
        let named = |text: &str| vec![Name::Slug(slug(text))];
        assert!(sees(1, Environments::All));
        assert!(!sees(2, Environments::All));
        assert!(sees(1, Environments::bound_to(Some(EnvironmentId(100)))));
        assert!(!sees(1, Environments::bound_to(Some(EnvironmentId(101)))));
        assert!(sees(1, Environments::Only(named("dev123"))));
        assert!(!sees(2, Environments::Only(named("dev123"))));
        assert!(!sees(1, Environments::Only(named("shop"))));
        assert!(!sees(1, Environments::Only(Vec::new())));
        assert!(sees(1, Environments::OfProjects(named("shop"))));
        assert!(sees(1, Environments::OfProjects(vec![Name::Id(10)])));
        assert!(!sees(1, Environments::OfProjects(vec![Name::Id(100)])));
    }
}
