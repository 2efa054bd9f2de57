#![doc = include_str!("../README.md")]

mod edits;
pub mod events;
pub mod history;
mod records;
pub mod refused;
pub mod status;
mod tokens;

pub use edits::Edit;
pub use history::readable;
pub use records::{NewRecord, SameName};
pub use tokens::{Created, Deleted, Rotated};

use std::fmt::Display;

use anyhow::{Context, ensure};
use bucket::Bucket;
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use directory::{IdOrSlug, queries};
use projector::{Outcome, Projector};
use schemas::{AccountId, EnvironmentId, Event, EventData, EventId, OperatorActed, OperatorAction, TokenId};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use stream::Announcer;

/// Records the changes of an operator. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    /// Connections with the projector's role.
    pub pool: PgPool,
    /// The bucket with the journal.
    pub bucket: Bucket,
    /// The clock of events.
    pub clock: Clock,
    /// The operator who acts. Commands have no token, so their events name none.
    pub behalf: Option<Behalf>,
}

/// The operator who acts through a page.
#[derive(Clone)]
pub struct Behalf {
    /// The token of the operator.
    pub operator: TokenId,
    /// Announces the events that say what the operator did.
    pub announcer: Announcer,
}

impl Operator {
    /// Opens a connection for reading.
    ///
    /// # Errors
    /// Fails if PostgreSQL is unavailable.
    pub async fn connection(&self) -> anyhow::Result<PoolConnection<Postgres>> {
        self.pool
            .acquire()
            .await
            .context("cannot connect to PostgreSQL: check DB_URL or DB_HOST, DB_USER, DB_PASS and DB_NAME")
    }

    /// Opens a connection for reading what the bucket may have, but PostgreSQL not yet.
    ///
    /// # Errors
    /// Fails if PostgreSQL is unavailable, or was not recovered.
    pub async fn recovered_connection(&self) -> anyhow::Result<PoolConnection<Postgres>> {
        let mut connection = self.connection().await?;
        self.ensure_recovered(&mut connection).await?;
        Ok(connection)
    }

    /// Opens a connection for reading the data of an account.
    ///
    /// # Errors
    /// Fails if PostgreSQL is unavailable, or there is no such account.
    pub async fn connection_of(&self, account: AccountId) -> anyhow::Result<PoolConnection<Postgres>> {
        let mut connection = self.recovered_connection().await?;
        require_account(&mut connection, account).await?;
        Ok(connection)
    }

    /// Writes an event about the read model to the bucket, and applies it.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable, or the event cannot be applied now or ever.
    pub async fn write(&self, projector: &Projector, data: EventData) -> anyhow::Result<()> {
        let time = self.clock.now();
        let event = Event::new(EventId(self.clock.new_id(time)), time, &data)?;
        // From here on the event is permanent. If this process does not apply it, the sweep does.
        self.bucket.put_event(&event).await?;
        let outcome = projector.apply_or_wait(&event).await?;
        ensure!(
            outcome != Outcome::DeadLetter,
            "event {} became a dead letter: `dbt-api dead-letters show {}` says why",
            event.id,
            event.id
        );
        Ok(())
    }

    /// Writes to the bucket what an operator does, before it is done, and announces it. The event is later than `after`, even if another machine's
    /// clock was ahead. Without a token of an operator, there is nothing to write. Returns the id of the event.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable. Then nothing may be done.
    pub async fn act(
        &self,
        account_id: Option<AccountId>,
        action: OperatorAction,
        after: Option<DateTime<Utc>>,
    ) -> anyhow::Result<Option<EventId>> {
        let Some(behalf) = &self.behalf else { return Ok(None) };
        let operator = behalf.operator;
        let data = OperatorActed {
            operator,
            account_id,
            action,
        };
        let time = self.clock.now();
        let time = after.map_or(time, |after| time.max(after + TimeDelta::microseconds(1)));
        let event = Event::new(EventId(self.clock.new_id(time)), time, &data.into())?;
        self.bucket.put_event(&event).await?;
        behalf.announcer.announce(&event).await;
        tracing::info!(event_id = %event.id, token_id = %operator, ?action, "an operator acts");
        Ok(Some(event.id))
    }

    /// Begins a transaction that may change the directory.
    async fn begin_change(&self) -> anyhow::Result<Transaction<'static, Postgres>> {
        let mut change = self.pool.begin().await?;
        directory::begin_change(&mut change).await?;
        self.ensure_recovered(&mut change).await?;
        Ok(change)
    }

    /// Checks that PostgreSQL has something of the accounts and tokens that are in the bucket.
    ///
    /// # Errors
    /// Fails if it has nothing, or one of both is unavailable.
    pub async fn ensure_recovered(&self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let is_empty = directory::applied_events(&mut *connection).await? == 0;
        ensure!(
            !is_empty || self.bucket.list_directory_events().await?.is_empty(),
            "PostgreSQL has no accounts, but the bucket has: run `dbt-api recover`, which restores everything from the bucket"
        );
        Ok(())
    }

    async fn record(&self, change: &mut PgConnection, data: EventData) -> anyhow::Result<()> {
        self.record_at(change, self.clock.now(), data).await
    }

    /// Records a change of what was recorded at `before`. Its event is later, even if another machine's clock was ahead.
    async fn record_after(
        &self,
        change: &mut PgConnection,
        before: DateTime<Utc>,
        data: EventData,
    ) -> anyhow::Result<()> {
        let time = self.clock.now().max(before + TimeDelta::microseconds(1));
        self.record_at(change, time, data).await
    }

    async fn record_at(&self, change: &mut PgConnection, time: DateTime<Utc>, data: EventData) -> anyhow::Result<()> {
        let event = Event::new(EventId(self.clock.new_id(time)), time, &data)?;
        self.bucket.put_event(&event).await?;
        directory::apply(change, &event, &data).await?;
        Ok(())
    }
}

/// Finds the account's environment with this name.
///
/// # Errors
/// Fails if there is no such environment, or the query fails.
pub async fn environment_named(
    connection: &mut PgConnection,
    account: AccountId,
    name: &IdOrSlug,
) -> anyhow::Result<EnvironmentId> {
    let found = queries::environment_named(connection, account, &name.to_string()).await?;
    let found = found.with_context(|| no_environment(account, name))?;
    Ok(EnvironmentId(found.id))
}

/// What to say where the account has no such project.
#[must_use]
pub fn no_project(account: AccountId, project: impl Display) -> String {
    format!(
        "unknown project `{project}`: `dbt-api project list --account {account}` lists the projects of account {account}"
    )
}

/// What to say where the account has no such environment.
#[must_use]
pub fn no_environment(account: AccountId, environment: impl Display) -> String {
    format!(
        "unknown environment `{environment}`: `dbt-api environment list --account {account}` lists the environments of account {account}"
    )
}

/// What to say where there is no such account.
#[must_use]
pub fn no_account(account: AccountId) -> String {
    format!("unknown account `{account}`: `dbt-api account list` lists all accounts")
}

async fn require_account(connection: &mut PgConnection, account: AccountId) -> anyhow::Result<()> {
    let found = queries::account(connection, account).await?;
    found.map(drop).with_context(|| no_account(account))
}
