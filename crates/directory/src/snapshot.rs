//! A copy of the directory in memory, which ingest uses while PostgreSQL does not answer.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, Event, EventData, ProjectId, RecordState, Sha256, Slug, TokenId};
use sqlx::PgConnection;

use crate::apply::applied_events;
use crate::newest::Newest;
use crate::queries::OperatorToken;
use crate::{Access, Environments, IdOrSlug};

/// The destination of an upload: an environment with its project and account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentEntry {
    /// The account that owns the environment.
    pub account_id: AccountId,
    /// The environment's project.
    pub project_id: ProjectId,
    /// The project's slug, if it is known.
    pub project_slug: Option<Slug>,
    /// Its number, unique across all accounts.
    pub environment_id: EnvironmentId,
    /// The environment's slug.
    pub slug: Slug,
}

/// The access that a token gives, and when it expires.
#[derive(Debug)]
struct Bearer {
    access: Access,
    expires_at: Option<DateTime<Utc>>,
}

/// All environments that are active with their project and account, and all tokens of active accounts, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    tokens: HashMap<Sha256, Bearer>,
    operators: HashMap<Sha256, OperatorToken>,
    entries: HashMap<EnvironmentId, EnvironmentEntry>,
    by_slug: HashMap<(AccountId, Slug), EnvironmentId>,
    events: i64,
}

impl Snapshot {
    /// Loads a snapshot from the tables. The connection must see all accounts.
    ///
    /// # Errors
    /// Returns an error if a query fails.
    pub async fn load(connection: &mut PgConnection) -> sqlx::Result<Self> {
        // Counted before the rows are read, so that these are not older.
        let mut snapshot = Self {
            events: applied_events(&mut *connection).await?,
            ..Self::default()
        };
        let environments = sqlx::query!(
            r#"SELECT e.id, e.account_id, e.project_id, e.slug, p.slug AS "project_slug?"
             FROM environments e LEFT JOIN projects p ON p.id = e.project_id
             WHERE e.state = 'active' AND coalesce(p.state, 'active') = 'active'
                AND NOT EXISTS (SELECT FROM accounts a WHERE a.id = e.account_id AND a.state <> 'active')
             ORDER BY e.id DESC"#
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in environments {
            // Slugs are checked before they are recorded. An invalid one was written by something else, and is ignored.
            let Ok(slug) = row.slug.parse() else { continue };
            snapshot.add_environment(EnvironmentEntry {
                account_id: AccountId(row.account_id),
                project_id: ProjectId(row.project_id),
                project_slug: row.project_slug.and_then(|slug| slug.parse().ok()),
                environment_id: EnvironmentId(row.id),
                slug,
            });
        }
        let tokens = sqlx::query!(
            "SELECT id, account_id, key_sha256, scopes, environment_id, expires_at FROM tokens t
             WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.id = t.account_id AND a.state <> 'active')"
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in tokens {
            let Ok(key) = <[u8; 32]>::try_from(row.key_sha256) else {
                continue;
            };
            let access = Access {
                token_id: TokenId(row.id),
                accounts: vec![AccountId(row.account_id)],
                environments: Environments::bound_to(row.environment_id.map(EnvironmentId)),
                scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            };
            let expires_at = row.expires_at;
            snapshot.tokens.insert(Sha256(key), Bearer { access, expires_at });
        }
        let operators = sqlx::query!("SELECT id, name, key_sha256, expires_at FROM operator_tokens")
            .fetch_all(connection)
            .await?;
        for row in operators {
            let Ok(key) = <[u8; 32]>::try_from(row.key_sha256) else {
                continue;
            };
            let token = OperatorToken {
                id: TokenId(row.id),
                name: row.name,
                expires_at: row.expires_at,
            };
            snapshot.operators.insert(Sha256(key), token);
        }
        Ok(snapshot)
    }

    /// Builds a snapshot from all events of the directory, in any order. Other events are ignored.
    #[must_use]
    pub fn from_events(events: &[Event]) -> Self {
        let mut accounts = Newest::default();
        let mut projects = Newest::default();
        let mut environments = Newest::default();
        let mut tokens = HashMap::new();
        let mut operators: HashMap<Sha256, OperatorToken> = HashMap::new();
        let mut revoked = HashSet::new();
        let mut applied = 0;
        for event in events {
            match event.data() {
                Ok(EventData::AccountRecorded(data)) => accounts.record(data.account_id, event, data.state),
                Ok(EventData::ProjectRecorded(data)) => projects.record(data.project_id, event, data),
                Ok(EventData::EnvironmentRecorded(data)) => environments.record(data.environment_id, event, data),
                Ok(EventData::TokenIssued(data)) => {
                    let access = Access {
                        token_id: data.token_id,
                        accounts: vec![data.account_id],
                        environments: Environments::bound_to(data.environment_id),
                        scopes: data.scopes,
                    };
                    let expires_at = data.expires_at;
                    match tokens.entry(data.key_sha256) {
                        Entry::Vacant(new) => {
                            new.insert(Bearer { access, expires_at });
                        }
                        // Another event about the same token, which can only let it expire earlier.
                        Entry::Occupied(mut known) => {
                            let known: &mut Bearer = known.get_mut();
                            known.expires_at = known.expires_at.into_iter().chain(expires_at).min();
                        }
                    }
                }
                Ok(EventData::TokenRevoked(data)) => {
                    revoked.insert(data.token_id);
                }
                Ok(EventData::OperatorTokenIssued(data)) => {
                    let token = OperatorToken {
                        id: data.token_id,
                        name: data.name,
                        expires_at: data.expires_at,
                    };
                    let known = operators.entry(data.key_sha256).or_insert(token);
                    known.expires_at = known.expires_at.min(data.expires_at);
                }
                Ok(EventData::OperatorTokenRevoked(data)) => {
                    revoked.insert(data.token_id);
                }
                Ok(
                    EventData::ArtifactsUploaded(_)
                    | EventData::FilesStored(_)
                    | EventData::FileDeleted(_)
                    | EventData::AirflowRunObserved(_)
                    | EventData::RetentionPruned(_)
                    | EventData::DbtProjectRetired(_)
                    | EventData::OperatorActed(_),
                )
                | Err(_) => continue,
                Ok(EventData::ConnectionRecorded(_)) => {}
            }
            applied += 1;
        }
        let is_in_use = |account: &AccountId| accounts.get(account) != Some(&RecordState::Inactive);
        tokens.retain(|_, bearer: &mut Bearer| {
            let access = &bearer.access;
            !revoked.contains(&access.token_id) && access.accounts.iter().all(is_in_use)
        });
        operators.retain(|_, token| !revoked.contains(&token.id));
        let mut snapshot = Self {
            tokens,
            operators,
            events: applied,
            ..Self::default()
        };
        let mut environments: Vec<_> = environments.into_values().collect();
        environments.retain(|data| {
            let project = projects.get(&data.project_id);
            let is_in_used_project = project.is_none_or(|project| project.state == RecordState::Active);
            data.state == RecordState::Active && is_in_used_project && is_in_use(&data.account_id)
        });
        environments.sort_by_key(|data| std::cmp::Reverse(data.environment_id));
        for data in environments {
            snapshot.add_environment(EnvironmentEntry {
                account_id: data.account_id,
                project_id: data.project_id,
                project_slug: projects.get(&data.project_id).map(|project| project.slug.clone()),
                environment_id: data.environment_id,
                slug: data.slug,
            });
        }
        snapshot
    }

    /// How many events of the directory it is made of.
    #[must_use]
    pub fn events(&self) -> i64 {
        self.events
    }

    /// Adds an environment. Must be called in descending order of ids: if two environments have the same slug, the older one keeps it.
    fn add_environment(&mut self, entry: EnvironmentEntry) {
        let key = (entry.account_id, entry.slug.clone());
        self.by_slug.insert(key, entry.environment_id);
        self.entries.insert(entry.environment_id, entry);
    }

    /// Returns the access that a key gives, unless the token expired before `now`.
    #[must_use]
    pub fn access(&self, key_sha256: &Sha256, now: DateTime<Utc>) -> Option<&Access> {
        let bearer = self.tokens.get(key_sha256)?;
        let has_expired = bearer.expires_at.is_some_and(|end| end <= now);
        (!has_expired).then_some(&bearer.access)
    }

    /// Returns the token for operators with this key, unless it expired before `now`.
    #[must_use]
    pub fn operator(&self, key_sha256: &Sha256, now: DateTime<Utc>) -> Option<&OperatorToken> {
        self.operators.get(key_sha256).filter(|token| token.expires_at > now)
    }

    /// Returns the environments with this name in these accounts. If the name is a slug, there may be one per account.
    #[must_use]
    pub fn environments(&self, accounts: &[AccountId], name: &IdOrSlug) -> Vec<EnvironmentEntry> {
        let ids: Vec<EnvironmentId> = match name {
            IdOrSlug::Id(id) => vec![EnvironmentId(*id)],
            IdOrSlug::Slug(slug) => accounts
                .iter()
                .filter_map(|account| self.by_slug.get(&(*account, slug.clone())).copied())
                .collect(),
        };
        let entries = ids.iter().filter_map(|id| self.entries.get(id));
        entries
            .filter(|entry| accounts.contains(&entry.account_id))
            .cloned()
            .collect()
    }
}
