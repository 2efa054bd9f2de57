//! The data of the events that recorded accounts, projects and environments, from their rows.

use schemas::{
    AccountId, AccountRecorded, EnvironmentId, EnvironmentRecorded, ProjectId, ProjectRecorded, RecordState, Slug,
};

use super::{Account, Environment, Project};

impl Account {
    /// Returns the record of this row, or `None` if the row is not a valid record.
    #[must_use]
    pub fn recorded(&self) -> Option<AccountRecorded> {
        Some(AccountRecorded {
            account_id: AccountId(self.id),
            name: self.name.clone(),
            slug: self.slug.as_deref().map(str::parse::<Slug>).transpose().ok()?,
            state: RecordState::of_name(&self.state),
        })
    }
}

impl Project {
    /// Returns the record of this row, or `None` if the row is not a valid record.
    #[must_use]
    pub fn recorded(&self) -> Option<ProjectRecorded> {
        Some(ProjectRecorded {
            account_id: AccountId(self.account_id),
            project_id: ProjectId(self.id),
            name: self.name.clone(),
            slug: self.slug.parse().ok()?,
            state: RecordState::of_name(&self.state),
        })
    }
}

impl Environment {
    /// Returns the record of this row, or `None` if the row is not a valid record.
    #[must_use]
    pub fn recorded(&self) -> Option<EnvironmentRecorded> {
        Some(EnvironmentRecorded {
            account_id: AccountId(self.account_id),
            project_id: ProjectId(self.project_id),
            environment_id: EnvironmentId(self.id),
            name: self.name.clone(),
            slug: self.slug.parse().ok()?,
            environment_type: self.environment_type.parse().ok()?,
            state: RecordState::of_name(&self.state),
        })
    }
}
