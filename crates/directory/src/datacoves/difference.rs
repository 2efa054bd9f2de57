//! Computes the changes that make the directory the same as Datacoves' database.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EventData, ProjectId, RecordState};
use sqlx::PgConnection;

use super::Wanted;
use crate::queries::{self, Account, Environment, Project};

/// The present directory in PostgreSQL.
#[derive(Debug, Default)]
pub struct Present {
    pub(super) accounts: Vec<Account>,
    pub(super) projects: Vec<Project>,
    pub(super) environments: Vec<Environment>,
}

/// An event that must be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The data of the event.
    pub data: EventData,
    /// The time of the event that it replaces. The new event must be later, or the old one would still count.
    pub after: Option<DateTime<Utc>>,
}

/// The changes, and the rows that cannot be followed.
#[derive(Debug, Default)]
pub struct Difference {
    /// The changes, in an order in which they can be applied.
    pub changes: Vec<Change>,
    /// What stays as it is, with the reasons.
    pub problems: Vec<String>,
}

/// Datacoves' database has no accounts, projects or environments at all, while the directory has active ones. Such an answer must not disable
/// all uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the query for {rows} returns none that can be recorded, but the directory has active ones; check that the database and {variable} are right"
)]
pub struct NothingThere {
    rows: &'static str,
    variable: &'static str,
}

impl Present {
    /// Loads the present directory. The connection must see all accounts.
    ///
    /// # Errors
    /// Returns an error if a query fails.
    pub async fn load(connection: &mut PgConnection) -> sqlx::Result<Self> {
        Ok(Self {
            accounts: queries::accounts(&mut *connection).await?,
            projects: sqlx::query_as!(
                Project,
                "SELECT id, account_id, name, slug, state, created_at, updated_at FROM projects ORDER BY id"
            )
            .fetch_all(&mut *connection)
            .await?,
            environments: sqlx::query_as!(
                Environment,
                "SELECT id, account_id, project_id, name, slug, environment_type, state, created_at, updated_at
                 FROM environments ORDER BY id"
            )
            .fetch_all(connection)
            .await?,
        })
    }
}

impl Wanted {
    /// Returns the changes that make `present` the same as this. Nothing is deleted: what is not wanted becomes inactive.
    ///
    /// # Errors
    /// Fails if there are no accounts, projects or environments at all, because that is most likely a mistake.
    pub fn changes(mut self, present: Present) -> Result<Difference, NothingThere> {
        let is_in_use = |state: &str| RecordState::of_name(state) == RecordState::Active;
        let (accounts, projects) = (&present.accounts, &present.projects);
        let any_account = accounts.iter().any(|row| is_in_use(&row.state));
        let any_project = projects.iter().any(|row| is_in_use(&row.state));
        let any_environment = present.environments.iter().any(|row| is_in_use(&row.state));
        for (nothing, any, rows, variable) in [
            (
                self.accounts.is_empty(),
                any_account,
                "accounts",
                "DATACOVES_ACCOUNTS_QUERY",
            ),
            (
                self.projects.is_empty(),
                any_project,
                "projects",
                "DATACOVES_PROJECTS_QUERY",
            ),
            (
                self.environments.is_empty(),
                any_environment,
                "environments",
                "DATACOVES_ENVIRONMENTS_QUERY",
            ),
        ] {
            if nothing && any {
                return Err(NothingThere { rows, variable });
            }
        }
        let mut found = Difference::default();
        for row in present.accounts {
            let wanted = self.accounts.remove(&row.id);
            found.compare(row.updated_at, row.recorded(), wanted, |record| {
                record.state = RecordState::Inactive
            });
        }
        found.add(self.accounts.into_values());
        for row in present.projects {
            let wanted = self.projects.remove(&row.id);
            let wanted = found.of_same_account(
                wanted,
                |new| new.account_id,
                row.account_id,
                || format!("project {}", row.id),
            );
            found.compare(row.updated_at, row.recorded(), wanted, |record| {
                record.state = RecordState::Inactive
            });
        }
        found.add(self.projects.into_values());
        for row in present.environments {
            let wanted = self.environments.remove(&row.id);
            let mut wanted = found.of_same_account(
                wanted,
                |new| new.account_id,
                row.account_id,
                || format!("environment {}", row.id),
            );
            if let Some(new) = wanted.as_mut().filter(|new| new.project_id.0 != row.project_id) {
                found.problems.push(format!(
                    "environment {}: it belongs to project {} now, but stays in project {} here, with its uploads",
                    row.id, new.project_id, row.project_id
                ));
                new.project_id = ProjectId(row.project_id);
            }
            found.compare(row.updated_at, row.recorded(), wanted, |record| {
                record.state = RecordState::Inactive
            });
        }
        found.add(self.environments.into_values());
        Ok(found)
    }
}

impl Difference {
    /// Adds a change if the present record differs from the wanted one. `present` is `None` if its row is not a valid record; then it is
    /// replaced.
    fn compare<T: Clone + Into<EventData> + PartialEq>(
        &mut self,
        updated_at: DateTime<Utc>,
        present: Option<T>,
        wanted: Option<T>,
        end: impl FnOnce(&mut T),
    ) {
        let target = wanted.or_else(|| {
            let mut ended = present.clone()?;
            end(&mut ended);
            Some(ended)
        });
        if let Some(target) = target.filter(|target| present.as_ref() != Some(target)) {
            self.changes.push(Change {
                data: target.into(),
                after: Some(updated_at),
            });
        }
    }

    fn add<T: Into<EventData>>(&mut self, new: impl Iterator<Item = T>) {
        self.changes.extend(new.map(|data| Change {
            data: data.into(),
            after: None,
        }));
    }

    /// Returns the wanted record if its account is unchanged. A record never moves to another account, because its uploads belong to the old one.
    fn of_same_account<T>(
        &mut self,
        wanted: Option<T>,
        account: impl Fn(&T) -> AccountId,
        present: i64,
        which: impl Fn() -> String,
    ) -> Option<T> {
        let wanted = wanted?;
        let new = account(&wanted);
        if new.0 == present {
            return Some(wanted);
        }
        self.problems.push(format!(
            "{}: it belongs to account {new} now, but its number belongs to account {present} here, where it becomes inactive",
            which()
        ));
        None
    }
}
