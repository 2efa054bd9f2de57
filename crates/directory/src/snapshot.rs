//! The directory in memory: what ingest knows while PostgreSQL does not answer.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, Event, EventData, EventId, ProjectId, RecordState, Sha256, Slug, TokenId};
use sqlx::PgConnection;

use crate::Access;

/// Where an upload goes: an environment, its project and its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub account_id: AccountId,
    /// The environment's project.
    pub project_id: ProjectId,
    /// The environment.
    pub environment_id: EnvironmentId,
}

/// The newest event of an environment, and where it is if it is in use.
type Recorded = ((DateTime<Utc>, EventId), Option<(Place, Slug)>);

/// A token's bearer, and when the token ends.
#[derive(Debug)]
struct Bearer {
    access: Access,
    expires_at: Option<DateTime<Utc>>,
}

/// All environments that are in use and all tokens, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    tokens: HashMap<Sha256, Bearer>,
    places: HashMap<EnvironmentId, Place>,
    by_slug: HashMap<(AccountId, Slug), EnvironmentId>,
}

impl Snapshot {
    /// Reads it from the tables; for connections that see all accounts.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn load(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let mut snapshot = Self::default();
        let environments = sqlx::query!(
            "SELECT id, account_id, project_id, slug FROM environments WHERE state = 'active' ORDER BY id DESC"
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in environments {
            // Slugs are checked before they are recorded; one that breaks the rule can only come from elsewhere, and names nothing.
            let Ok(slug) = row.slug.parse() else { continue };
            snapshot.add_place(
                Place {
                    account_id: AccountId(row.account_id),
                    project_id: ProjectId(row.project_id),
                    environment_id: EnvironmentId(row.id),
                },
                slug,
            );
        }
        let tokens = sqlx::query!("SELECT id, account_id, key_sha256, scopes, environment_id, expires_at FROM tokens")
            .fetch_all(connection)
            .await?;
        for row in tokens {
            let Ok(key) = <[u8; 32]>::try_from(row.key_sha256) else {
                continue;
            };
            let access = Access {
                token_id: TokenId(row.id),
                account_id: AccountId(row.account_id),
                environment_id: row.environment_id.map(EnvironmentId),
                scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            };
            let expires_at = row.expires_at;
            snapshot.tokens.insert(Sha256(key), Bearer { access, expires_at });
        }
        Ok(snapshot)
    }

    /// Reads it from all events of the directory, in any order. Events of other kinds are passed over.
    #[must_use]
    pub fn from_events(events: &[Event]) -> Self {
        let mut newest: HashMap<EnvironmentId, Recorded> = HashMap::new();
        let mut tokens = HashMap::new();
        let mut revoked = HashSet::new();
        for event in events {
            match event.data() {
                Ok(EventData::EnvironmentRecorded(data)) => {
                    let order = (event.time, event.id);
                    let place = Place {
                        account_id: data.account_id,
                        project_id: data.project_id,
                        environment_id: data.environment_id,
                    };
                    let entry = newest.entry(data.environment_id).or_insert((order, None));
                    if order >= entry.0 {
                        *entry = (order, (data.state == RecordState::Active).then_some((place, data.slug)));
                    }
                }
                Ok(EventData::TokenIssued(data)) => {
                    let access = Access {
                        token_id: data.token_id,
                        account_id: data.account_id,
                        environment_id: data.environment_id,
                        scopes: data.scopes,
                    };
                    let expires_at = data.expires_at;
                    tokens.insert(data.key_sha256, Bearer { access, expires_at });
                }
                Ok(EventData::TokenRevoked(data)) => {
                    revoked.insert(data.token_id);
                }
                _ => {}
            }
        }
        tokens.retain(|_, bearer| !revoked.contains(&bearer.access.token_id));
        let mut snapshot = Self {
            tokens,
            ..Self::default()
        };
        let mut places: Vec<_> = newest.into_values().filter_map(|(_, place)| place).collect();
        places.sort_by_key(|(place, _)| std::cmp::Reverse(place.environment_id));
        for (place, slug) in places {
            snapshot.add_place(place, slug);
        }
        snapshot
    }

    /// In falling order of the ids: of two environments with one slug, the older keeps it.
    fn add_place(&mut self, place: Place, slug: Slug) {
        self.by_slug.insert((place.account_id, slug), place.environment_id);
        self.places.insert(place.environment_id, place);
    }

    /// The bearer of a key, unless the token ended before `now`.
    #[must_use]
    pub fn access(&self, key_sha256: &Sha256, now: DateTime<Utc>) -> Option<&Access> {
        let bearer = self.tokens.get(key_sha256)?;
        let has_ended = bearer.expires_at.is_some_and(|end| end <= now);
        (!has_ended).then_some(&bearer.access)
    }

    /// An environment by its slug.
    #[must_use]
    pub fn place_by_slug(&self, account_id: AccountId, slug: &Slug) -> Option<Place> {
        let id = self.by_slug.get(&(account_id, slug.clone()))?;
        self.places.get(id).copied()
    }

    /// An environment by its number.
    #[must_use]
    pub fn place(&self, environment_id: EnvironmentId) -> Option<Place> {
        self.places.get(&environment_id).copied()
    }
}
