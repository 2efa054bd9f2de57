//! Changes of accounts, projects and environments.

use anyhow::{Context, bail, ensure};
use bucket::{Claim, ClaimKind};
use directory::{IdOrSlug, queries};
use schemas::{
    AccountId, AccountRecorded, ConnectionDetails, ConnectionRecorded, EnvironmentId, EnvironmentRecorded,
    EnvironmentType, ProjectId, ProjectRecorded, RecordState, Slug,
};
use serde_json::{Value, json};

use crate::edits::ensure_new_name;
use crate::{Operator, no_project, require_account};

/// What is said of a new account, project or environment.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord {
    /// The number that it gets. It must never have been used. By default, it is one more than the highest so far.
    pub id: Option<i64>,
    /// Whether its name may be taken.
    pub same_name: SameName,
}

/// What becomes of a name that another account has, or another project or environment of the account.
#[derive(Clone, Copy, Debug)]
pub struct SameName {
    /// Whether it may be taken.
    pub allow_same_name: bool,
}

/// How far a chosen number may be above the highest so far, so that a mistyped one does not make all later numbers huge.
const MAX_STEP: i64 = 1_000_000;

impl Operator {
    /// Adds an account.
    ///
    /// # Errors
    /// Fails if its name, slug or number is taken, what it belongs to is unknown, or the bucket or PostgreSQL is unavailable.
    pub async fn add_account(
        &self,
        name: String,
        slug: Option<Slug>,
        new: &NewRecord,
    ) -> anyhow::Result<queries::Account> {
        let mut change = self.begin_change().await?;
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
        let others = accounts.iter().map(|account| (account.id, account.name.as_str()));
        ensure_new_name(&name, new.same_name, others)?;
        let is_taken = |id| accounts.iter().any(|account| account.id == id);
        if let Some(id) = new.id.filter(|id| is_taken(*id)) {
            bail!("the number {id} is taken by another account: choose another one");
        }
        let highest = accounts.iter().map(|account| account.id).max();
        let owner = json!({ "name": name, "slug": slug });
        let id = AccountId(self.number(ClaimKind::Account, new.id, highest, &owner).await?);
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

    /// Adds a project.
    ///
    /// # Errors
    /// Fails if its name, slug or number is taken, what it belongs to is unknown, or the bucket or PostgreSQL is unavailable.
    pub async fn add_project(
        &self,
        account: AccountId,
        name: String,
        slug: Slug,
        new: &NewRecord,
    ) -> anyhow::Result<queries::Project> {
        let mut change = self.begin_change().await?;
        require_account(&mut change, account).await?;
        let projects = queries::projects(&mut change, account).await?;
        ensure!(
            projects.iter().all(|project| project.slug != slug.as_str()),
            "the slug `{slug}` is taken by another project of account {account}: choose another one"
        );
        let others = projects.iter().map(|project| (project.id, project.name.as_str()));
        ensure_new_name(&name, new.same_name, others)?;
        if let Some(id) = new.id
            && let Some(account) = queries::account_of_project(&mut change, ProjectId(id)).await?
        {
            bail!("the number {id} is taken by a project of account {account}: choose another one");
        }
        let highest = queries::highest_project(&mut change).await?;
        let owner = json!({ "account_id": account, "slug": slug });
        let id = ProjectId(self.number(ClaimKind::Project, new.id, highest, &owner).await?);
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
    ///
    /// # Errors
    /// Fails if there is no such project, or the bucket or PostgreSQL is unavailable.
    pub async fn set_connection(
        &self,
        account: AccountId,
        project: &IdOrSlug,
        details: ConnectionDetails,
    ) -> anyhow::Result<ConnectionRecorded> {
        let mut change = self.begin_change().await?;
        require_account(&mut change, account).await?;
        let found = queries::project_named(&mut change, account, &project.to_string()).await?;
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

    /// Adds an environment.
    ///
    /// # Errors
    /// Fails if its name, slug or number is taken, what it belongs to is unknown, or the bucket or PostgreSQL is unavailable.
    pub async fn add_environment(
        &self,
        account: AccountId,
        project: &IdOrSlug,
        name: String,
        slug: Slug,
        environment_type: EnvironmentType,
        new: &NewRecord,
    ) -> anyhow::Result<queries::Environment> {
        let mut change = self.begin_change().await?;
        require_account(&mut change, account).await?;
        let found = queries::project_named(&mut change, account, &project.to_string()).await?;
        let project = ProjectId(found.with_context(|| no_project(account, project))?.id);
        let environments = queries::environments(&mut change, account).await?;
        ensure!(
            environments.iter().all(|environment| environment.slug != slug.as_str()),
            "the slug `{slug}` is taken by another environment of account {account}: choose another one"
        );
        let others = environments
            .iter()
            .map(|environment| (environment.id, environment.name.as_str()));
        ensure_new_name(&name, new.same_name, others)?;
        if let Some(id) = new.id
            && let Some(account) = queries::account_of_environment(&mut change, EnvironmentId(id)).await?
        {
            bail!("the number {id} is taken by an environment of account {account}: choose another one");
        }
        let highest = queries::highest_environment(&mut change).await?;
        let owner = json!({ "account_id": account, "slug": slug });
        let id = EnvironmentId(self.number(ClaimKind::Environment, new.id, highest, &owner).await?);
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

    /// Claims the chosen number, or else the lowest unclaimed one above those in the database.
    async fn number(
        &self,
        kind: ClaimKind,
        chosen: Option<i64>,
        highest: Option<i64>,
        owner: &Value,
    ) -> anyhow::Result<i64> {
        let highest = highest.unwrap_or(0);
        let most = highest.saturating_add(MAX_STEP);
        if let Some(chosen) = chosen.filter(|chosen| *chosen > most) {
            bail!(
                "the number {chosen} is far above the highest so far, {highest}: choose one up to {most}, because all later numbers are higher"
            );
        }
        let mut number = chosen.unwrap_or(highest + 1);
        while let Claim::Taken(holder) = self.bucket.claim(kind, number, owner).await? {
            ensure!(
                chosen.is_none(),
                "the number {number} was used before, for {holder}: choose another one"
            );
            number += 1;
        }
        Ok(number)
    }
}
