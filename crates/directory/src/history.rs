//! All that was ever recorded, also what was deleted or retired since.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use schemas::{
    AccountId, EnvironmentId, EnvironmentRecorded, Event, EventData, EventId, OperatorTokenIssued, RecordState, Sha256,
    TokenId, TokenIssued, TokenState,
};

use crate::IdOrSlug;
use crate::newest::Newest;
use crate::queries::OPERATE;

/// What the events of the directory say, also about tokens that were deleted, which PostgreSQL forgets. It gives no access to anything.
#[derive(Debug, Default)]
pub struct History {
    accounts: HashSet<AccountId>,
    /// Each state of an account, from the time and the event on that recorded it.
    states: HashMap<AccountId, BTreeMap<(DateTime<Utc>, EventId), RecordState>>,
    environments: Newest<EnvironmentId, EnvironmentRecorded>,
    tokens: HashMap<TokenId, IssuedToken>,
    by_key: HashMap<Sha256, TokenId>,
    deleted: HashMap<TokenId, DateTime<Utc>>,
}

/// A token that was issued.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token as it was issued first.
    pub issued: Issued,
    /// When it was issued first.
    pub issued_at: DateTime<Utc>,
    /// When it expires, which may be earlier than when it was issued, because a rotated token is issued again with an earlier end.
    pub expires_at: Option<DateTime<Utc>>,
    event: EventId,
}

/// A token as it was issued.
#[derive(Clone, Debug)]
pub enum Issued {
    /// A token of an account.
    OfAccount(TokenIssued),
    /// A token for operators.
    ForOperators(OperatorTokenIssued),
}

impl Issued {
    /// The id of the token.
    #[must_use]
    pub fn token_id(&self) -> TokenId {
        match self {
            Self::OfAccount(token) => token.token_id,
            Self::ForOperators(token) => token.token_id,
        }
    }

    /// The display name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::OfAccount(token) => &token.name,
            Self::ForOperators(token) => &token.name,
        }
    }

    /// The account that it belongs to; none if it is for operators.
    #[must_use]
    pub fn account_id(&self) -> Option<AccountId> {
        match self {
            Self::OfAccount(token) => Some(token.account_id),
            Self::ForOperators(_) => None,
        }
    }

    /// The names of its scopes.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        match self {
            Self::OfAccount(token) => token.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            Self::ForOperators(_) => vec![OPERATE.to_owned()],
        }
    }

    /// The only environment that it sees, if it is bound to one.
    #[must_use]
    pub fn environment_id(&self) -> Option<EnvironmentId> {
        match self {
            Self::OfAccount(token) => token.environment_id,
            Self::ForOperators(_) => None,
        }
    }

    /// When it was to expire.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::OfAccount(token) => token.expires_at,
            Self::ForOperators(token) => Some(token.expires_at),
        }
    }

    /// The event that issues a token like this one. One for operators keeps its end if none is given.
    #[must_use]
    pub fn renewed(&self, token_id: TokenId, key_sha256: Sha256, expires_at: Option<DateTime<Utc>>) -> EventData {
        match self {
            Self::OfAccount(token) => TokenIssued {
                token_id,
                key_sha256,
                expires_at,
                ..token.clone()
            }
            .into(),
            Self::ForOperators(token) => OperatorTokenIssued {
                token_id,
                key_sha256,
                expires_at: expires_at.unwrap_or(token.expires_at),
                name: token.name.clone(),
            }
            .into(),
        }
    }

    /// The event that lets this token expire earlier.
    #[must_use]
    pub fn until(&self, end: DateTime<Utc>) -> EventData {
        match self {
            Self::OfAccount(token) => TokenIssued {
                expires_at: Some(end),
                ..token.clone()
            }
            .into(),
            Self::ForOperators(token) => OperatorTokenIssued {
                expires_at: end,
                ..token.clone()
            }
            .into(),
        }
    }
}

impl History {
    /// Takes note of an event of the directory. The order makes no difference.
    pub fn note(&mut self, event: &Event) {
        self.accounts.extend(event.account());
        match event.data() {
            Ok(EventData::AccountRecorded(data)) => {
                let states = self.states.entry(data.account_id).or_default();
                states.insert((event.time, event.id), data.state);
            }
            Ok(EventData::EnvironmentRecorded(data)) => self.environments.record(data.environment_id, event, data),
            Ok(EventData::TokenIssued(data)) => self.note_token(event, data.key_sha256, Issued::OfAccount(data)),
            Ok(EventData::OperatorTokenIssued(data)) => {
                self.note_token(event, data.key_sha256, Issued::ForOperators(data));
            }
            Ok(EventData::TokenRevoked(data)) => self.note_deleted(event, data.token_id),
            Ok(EventData::OperatorTokenRevoked(data)) => self.note_deleted(event, data.token_id),
            _ => {}
        }
    }

    fn note_deleted(&mut self, event: &Event, token: TokenId) {
        let deleted = self.deleted.entry(token).or_insert(event.time);
        *deleted = event.time.min(*deleted);
    }

    fn note_token(&mut self, event: &Event, key_sha256: Sha256, issued: Issued) {
        self.by_key.insert(key_sha256, issued.token_id());
        let token = IssuedToken {
            issued_at: event.time,
            expires_at: issued.expires_at(),
            issued,
            event: event.id,
        };
        let known = self
            .tokens
            .entry(token.issued.token_id())
            .or_insert_with(|| token.clone());
        let expires_at = known.expires_at.into_iter().chain(token.expires_at).min();
        if (token.issued_at, token.event) < (known.issued_at, known.event) {
            *known = token;
        }
        known.expires_at = expires_at;
    }

    /// Whether there is such an account, in use or not.
    #[must_use]
    pub fn has_account(&self, account: AccountId) -> bool {
        self.accounts.contains(&account)
    }

    /// Returns the environment with this name, of this account if one is given. One that is in use takes precedence, then the oldest.
    #[must_use]
    pub fn environment(&self, account: Option<AccountId>, name: &IdOrSlug) -> Option<&EnvironmentRecorded> {
        self.environments
            .values()
            .filter(|known| account.is_none_or(|account| known.account_id == account))
            .filter(|known| name.names(known.environment_id.0, Some(known.slug.as_str())))
            .min_by_key(|known| (known.state != RecordState::Active, known.environment_id))
    }

    /// Returns the slug of an environment.
    #[must_use]
    pub fn slug(&self, environment: EnvironmentId) -> Option<&str> {
        self.environments.get(&environment).map(|known| known.slug.as_str())
    }

    /// Returns the id of the token with this key.
    #[must_use]
    pub fn id_of_key(&self, key_sha256: &Sha256) -> Option<TokenId> {
        self.by_key.get(key_sha256).copied()
    }

    /// Returns a token.
    #[must_use]
    pub fn token(&self, id: TokenId) -> Option<&IssuedToken> {
        self.tokens.get(&id)
    }

    /// Returns all tokens in the order in which they were issued.
    #[must_use]
    pub fn tokens(&self) -> Vec<&IssuedToken> {
        let mut tokens: Vec<_> = self.tokens.values().collect();
        tokens.sort_by_key(|token| (token.issued_at, token.event));
        tokens
    }

    /// Returns when a token was deleted.
    #[must_use]
    pub fn deleted_at(&self, id: TokenId) -> Option<DateTime<Utc>> {
        self.deleted.get(&id).copied()
    }

    /// Returns the state that a token had.
    #[must_use]
    pub fn state(&self, id: TokenId, now: DateTime<Utc>) -> TokenState {
        let token = self.tokens.get(&id);
        if self.deleted_at(id).is_some_and(|deleted| deleted <= now) {
            TokenState::Deleted
        } else if token.and_then(|token| token.expires_at).is_some_and(|end| end <= now) {
            TokenState::Expired
        } else if token
            .and_then(|token| token.issued.account_id())
            .is_some_and(|account| self.is_retired(account, now))
        {
            TokenState::Inactive
        } else {
            TokenState::Active
        }
    }

    /// Whether an account was retired at this time.
    fn is_retired(&self, account: AccountId, now: DateTime<Utc>) -> bool {
        let mut states = self.states.get(&account).into_iter().flatten().rev();
        let last = states.find(|((since, _), _)| *since <= now);
        last.is_some_and(|(_, state)| *state == RecordState::Inactive)
    }
}
