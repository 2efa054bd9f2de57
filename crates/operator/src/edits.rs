//! Renames, retires and restores accounts, projects and environments.

use anyhow::{Context, bail};
use directory::{IdOrSlug, queries};
use schemas::{AccountId, EnvironmentId, ProjectId, RecordState};

use crate::records::SameName;
use crate::{Operator, no_account, no_environment, no_project, require_account};

/// A change of an account, a project or an environment.
pub enum Edit {
    /// Gives it another display name.
    Rename(String, SameName),
    /// Takes it out of use, or puts it into use again.
    State(RecordState),
}

impl Edit {
    /// Changes a record. `others` are the numbers and names of those of the same kind, with the record itself.
    fn apply<'a>(
        self,
        name: &mut String,
        state: &mut RecordState,
        own: i64,
        others: impl Iterator<Item = (i64, &'a str)>,
    ) -> anyhow::Result<()> {
        match self {
            Self::State(new) => *state = new,
            Self::Rename(new, same_name) => {
                ensure_new_name(&new, same_name, others.filter(|(id, _)| *id != own))?;
                *name = new;
            }
        }
        Ok(())
    }
}

impl Operator {
    /// Renames, retires or restores an account.
    ///
    /// # Errors
    /// Fails if there is no such account, the name is taken, or the bucket or PostgreSQL is unavailable.
    pub async fn edit_account(&self, id: AccountId, edit: Edit) -> anyhow::Result<queries::Account> {
        let mut change = self.begin_change().await?;
        let accounts = queries::accounts(&mut change).await?;
        let present = accounts.iter().find(|account| account.id == id.0);
        let present = present.with_context(|| no_account(id))?;
        let mut record = present.recorded().with_context(|| invalid("account", id.0))?;
        let others = accounts.iter().map(|account| (account.id, account.name.as_str()));
        edit.apply(&mut record.name, &mut record.state, id.0, others)?;
        if present.recorded().as_ref() != Some(&record) {
            self.record_after(&mut change, present.updated_at, record.into())
                .await?;
        }
        let changed = queries::account(&mut change, id).await?;
        change.commit().await?;
        changed.with_context(|| no_account(id))
    }

    /// Renames, retires or restores a project.
    ///
    /// # Errors
    /// Fails if there is no such project, the name is taken, or the bucket or PostgreSQL is unavailable.
    pub async fn edit_project(
        &self,
        account: AccountId,
        project: &IdOrSlug,
        edit: Edit,
    ) -> anyhow::Result<queries::Project> {
        let mut change = self.begin_change().await?;
        require_account(&mut change, account).await?;
        let present = queries::project_named(&mut change, account, &project.to_string()).await?;
        let present = present.with_context(|| no_project(account, project))?;
        let mut record = present.recorded().with_context(|| invalid("project", present.id))?;
        let projects = queries::projects(&mut change, account).await?;
        let others = projects.iter().map(|project| (project.id, project.name.as_str()));
        edit.apply(&mut record.name, &mut record.state, present.id, others)?;
        if present.recorded().as_ref() != Some(&record) {
            self.record_after(&mut change, present.updated_at, record.into())
                .await?;
        }
        let changed = queries::project(&mut change, account, ProjectId(present.id)).await?;
        change.commit().await?;
        changed.with_context(|| no_project(account, project))
    }

    /// Renames, retires or restores an environment.
    ///
    /// # Errors
    /// Fails if there is no such environment, the name is taken, or the bucket or PostgreSQL is unavailable.
    pub async fn edit_environment(
        &self,
        account: AccountId,
        environment: &IdOrSlug,
        edit: Edit,
    ) -> anyhow::Result<queries::Environment> {
        let mut change = self.begin_change().await?;
        require_account(&mut change, account).await?;
        let present = queries::environment_named(&mut change, account, &environment.to_string()).await?;
        let present = present.with_context(|| no_environment(account, environment))?;
        let mut record = present.recorded().with_context(|| invalid("environment", present.id))?;
        let environments = queries::environments(&mut change, account).await?;
        let others = environments
            .iter()
            .map(|environment| (environment.id, environment.name.as_str()));
        edit.apply(&mut record.name, &mut record.state, present.id, others)?;
        if present.recorded().as_ref() != Some(&record) {
            self.record_after(&mut change, present.updated_at, record.into())
                .await?;
        }
        let changed = queries::environment(&mut change, account, EnvironmentId(present.id)).await?;
        change.commit().await?;
        changed.with_context(|| no_environment(account, environment))
    }
}

/// Fails if one of the others, with these numbers and names, has this name, unless that is accepted.
pub(super) fn ensure_new_name<'a>(
    name: &str,
    same_name: SameName,
    mut others: impl Iterator<Item = (i64, &'a str)>,
) -> anyhow::Result<()> {
    match others.find(|(_, other)| *other == name) {
        Some((id, _)) if !same_name.allow_same_name => {
            bail!("the name `{name}` is taken by number {id}: choose another one, or accept it with --allow-same-name")
        }
        _ => Ok(()),
    }
}

fn invalid(kind: &str, id: i64) -> String {
    format!("the row of {kind} {id} is not valid: another version of dbt-api wrote it")
}
