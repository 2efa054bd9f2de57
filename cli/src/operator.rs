//! The changes that operators record: accounts, projects, environments and tokens.
//!
//! Each change is first written to the bucket as an event, then applied to the database. If the database fails in between, the projectors'
//! next sweep applies the event.

use std::fmt::Display;

use anyhow::{Context, bail, ensure};
use bucket::{Bucket, Claim, ClaimKind};
use chrono::TimeDelta;
use clock::Clock;
use directory::{IdOrSlug, Key, queries};
use projector::{Outcome, Projector};
use schemas::{
    AccountId, AccountRecorded, ConnectionDetails, ConnectionRecorded, EnvironmentId, EnvironmentRecorded,
    EnvironmentType, Event, EventData, EventId, ProjectId, ProjectRecorded, RecordState, Scope, Slug, TokenId,
    TokenIssued, TokenRevoked,
};
use serde_json::json;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

/// Records the changes of an operator.
pub(crate) struct Operator {
    /// Connections with the projector's role.
    pub(crate) pool: PgPool,
    pub(crate) bucket: Bucket,
    pub(crate) clock: Clock,
}

impl Operator {
    /// Opens a connection for reading.
    pub(crate) async fn connection(&self) -> anyhow::Result<PoolConnection<Postgres>> {
        self.pool
            .acquire()
            .await
            .context("cannot connect to PostgreSQL: check DB_URL or DB_HOST, DB_USER, DB_PASS and DB_NAME")
    }

    /// Opens a connection for reading what the account has.
    pub(crate) async fn connection_of(&self, account: AccountId) -> anyhow::Result<PoolConnection<Postgres>> {
        let mut connection = self.connection().await?;
        require_account(&mut connection, account).await?;
        Ok(connection)
    }

    /// Writes an event about the read model to the bucket, and applies it.
    pub(crate) async fn write(&self, projector: &Projector, data: EventData) -> anyhow::Result<()> {
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

    pub(crate) async fn add_account(&self, name: String, slug: Option<Slug>) -> anyhow::Result<queries::Account> {
        let mut change = self.pool.begin().await?;
        directory::begin_change(&mut change).await?;
        let accounts = queries::accounts(&mut change).await?;
        if let Some(slug) = &slug {
            let taken = accounts
                .iter()
                .find(|account| account.slug.as_deref() == Some(slug.as_str()));
            ensure!(
                taken.is_none(),
                "the slug `{slug}` is taken by another account: choose another one"
            );
        }
        let highest = accounts.iter().map(|account| account.id).max();
        let id = AccountId(
            self.new_number(ClaimKind::Account, highest, &json!({ "name": name, "slug": slug }))
                .await?,
        );
        let data = AccountRecorded {
            account_id: id,
            name,
            slug,
            state: RecordState::Active,
        };
        self.record(&mut change, data.into()).await?;
        let account = queries::account(&mut change, id).await?;
        change.commit().await?;
        account.context("the account does not exist after it was added")
    }

    pub(crate) async fn add_project(
        &self,
        account: AccountId,
        name: String,
        slug: Slug,
    ) -> anyhow::Result<queries::Project> {
        let mut change = self.pool.begin().await?;
        directory::begin_change(&mut change).await?;
        require_account(&mut change, account).await?;
        let projects = queries::projects(&mut change, account).await?;
        ensure!(
            projects.iter().all(|project| project.slug != slug.as_str()),
            "the slug `{slug}` is taken by another project of account {account}: choose another one"
        );
        let highest = queries::highest_project(&mut change).await?;
        let owner = json!({ "account_id": account, "slug": slug });
        let id = ProjectId(self.new_number(ClaimKind::Project, highest, &owner).await?);
        let data = ProjectRecorded {
            account_id: account,
            project_id: id,
            name,
            slug,
            state: RecordState::Active,
        };
        self.record(&mut change, data.into()).await?;
        let project = queries::project(&mut change, account, id).await?;
        change.commit().await?;
        project.context("the project does not exist after it was added")
    }

    /// Records where the warehouse of a project is, in place of what was recorded before.
    pub(crate) async fn set_connection(
        &self,
        account: AccountId,
        project: &str,
        details: ConnectionDetails,
    ) -> anyhow::Result<ConnectionRecorded> {
        let mut change = self.pool.begin().await?;
        directory::begin_change(&mut change).await?;
        require_account(&mut change, account).await?;
        let found = queries::project_named(&mut change, account, project).await?;
        let found = found.with_context(|| no_project(account, project))?;
        let data = ConnectionRecorded {
            account_id: account,
            project_id: ProjectId(found.id),
            details,
        };
        self.record(&mut change, data.clone().into()).await?;
        change.commit().await?;
        Ok(data)
    }

    pub(crate) async fn add_environment(
        &self,
        account: AccountId,
        project: ProjectId,
        name: String,
        slug: Slug,
        environment_type: EnvironmentType,
    ) -> anyhow::Result<queries::Environment> {
        let mut change = self.pool.begin().await?;
        directory::begin_change(&mut change).await?;
        require_account(&mut change, account).await?;
        if queries::project(&mut change, account, project).await?.is_none() {
            bail!(no_project(account, project));
        }
        let environments = queries::environments(&mut change, account).await?;
        ensure!(
            environments.iter().all(|environment| environment.slug != slug.as_str()),
            "the slug `{slug}` is taken by another environment of account {account}: choose another one"
        );
        let highest = queries::highest_environment(&mut change).await?;
        let owner = json!({ "account_id": account, "slug": slug });
        let id = EnvironmentId(self.new_number(ClaimKind::Environment, highest, &owner).await?);
        let data = EnvironmentRecorded {
            account_id: account,
            project_id: project,
            environment_id: id,
            name,
            slug,
            environment_type,
            state: RecordState::Active,
        };
        self.record(&mut change, data.into()).await?;
        let environment = queries::environment(&mut change, account, id).await?;
        change.commit().await?;
        environment.context("the environment does not exist after it was added")
    }

    /// Creates a token. Its key is only returned, and never stored.
    pub(crate) async fn create_token(
        &self,
        account: AccountId,
        name: String,
        environment: Option<IdOrSlug>,
        scopes: Vec<Scope>,
        lifetime: Option<TimeDelta>,
    ) -> anyhow::Result<(TokenId, Key)> {
        let mut change = self.pool.begin().await?;
        directory::begin_change(&mut change).await?;
        require_account(&mut change, account).await?;
        let environment_id = match environment {
            None => None,
            Some(name) => Some(environment_named(&mut change, account, &name).await?),
        };
        let mut scopes = scopes;
        scopes.sort_unstable();
        scopes.dedup();
        let key = Key::generate()?;
        let token_id = TokenId(self.clock.new_id(self.clock.now()));
        let data = TokenIssued {
            account_id: account,
            token_id,
            name,
            key_sha256: key.sha256(),
            scopes,
            environment_id,
            expires_at: lifetime.map(|lifetime| self.clock.now() + lifetime),
        };
        self.record(&mut change, data.into()).await?;
        change.commit().await?;
        Ok((token_id, key))
    }

    /// Deletes a token. The revocation is written first, because it is effective even while the database is down. So a later failure never
    /// leaves a token that seems deleted but still works.
    pub(crate) async fn delete_token(&self, token: TokenId) -> anyhow::Result<()> {
        let mut change = self.pool.begin().await?;
        directory::begin_change(&mut change).await?;
        let Some(account) = queries::account_of_token(&mut change, token).await? else {
            bail!("unknown token `{token}`: `dbt-api token list` lists all tokens");
        };
        self.bucket.revoke(token).await?;
        let data = TokenRevoked {
            account_id: account,
            token_id: token,
        };
        self.record(&mut change, data.into()).await?;
        change.commit().await?;
        Ok(())
    }

    /// Claims the lowest unclaimed number above those in the database.
    async fn new_number(
        &self,
        kind: ClaimKind,
        highest: Option<i64>,
        owner: &serde_json::Value,
    ) -> anyhow::Result<i64> {
        let mut number = highest.unwrap_or(0) + 1;
        while let Claim::Taken(_) = self.bucket.claim(kind, number, owner).await? {
            number += 1;
        }
        Ok(number)
    }

    async fn record(&self, change: &mut PgConnection, data: EventData) -> anyhow::Result<()> {
        let time = self.clock.now();
        let event = Event::new(EventId(self.clock.new_id(time)), time, &data)?;
        self.bucket.put_event(&event).await?;
        directory::apply(change, &event, &data).await?;
        Ok(())
    }
}

/// Finds the account's environment with this name.
pub(crate) async fn environment_named(
    connection: &mut PgConnection,
    account: AccountId,
    name: &IdOrSlug,
) -> anyhow::Result<EnvironmentId> {
    let environments = queries::environments(connection, account).await?;
    let found = environments
        .iter()
        .find(|environment| name.names(environment.id, Some(&environment.slug)));
    let found = found.with_context(|| no_environment(account, name))?;
    Ok(EnvironmentId(found.id))
}

/// What to say where the account has no such project.
pub(crate) fn no_project(account: AccountId, project: impl Display) -> String {
    format!(
        "unknown project `{project}`: `dbt-api project list --account {account}` lists the projects of account {account}"
    )
}

/// What to say where the account has no such environment.
pub(crate) fn no_environment(account: AccountId, environment: impl Display) -> String {
    format!(
        "unknown environment `{environment}`: `dbt-api environment list --account {account}` lists the environments of account {account}"
    )
}

async fn require_account(connection: &mut PgConnection, account: AccountId) -> anyhow::Result<()> {
    match queries::account(connection, account).await? {
        Some(_) => Ok(()),
        None => bail!("unknown account `{account}`: `dbt-api account list` lists all accounts"),
    }
}
