//! The desired directory: the rows of Datacoves that follow our rules.

use std::collections::{BTreeMap, HashSet};

use schemas::{
    AccountId, AccountRecorded, EnvironmentId, EnvironmentRecorded, EnvironmentType, ProjectId, ProjectRecorded,
    RecordState, Slug,
};

use super::Rows;
use super::rows::{AccountRow, EnvironmentRow, ProjectRow};

/// Accounts, projects and environments by number. Rows that break a rule are left out.
#[derive(Debug, Default)]
pub struct Wanted {
    pub(super) accounts: BTreeMap<i64, AccountRecorded>,
    pub(super) projects: BTreeMap<i64, ProjectRecorded>,
    pub(super) environments: BTreeMap<i64, EnvironmentRecorded>,
    /// The rows that were left out, with the reasons.
    pub problems: Vec<String>,
}

impl Wanted {
    /// Converts the rows in the order of their numbers. If two rows have the same number or slug, the first one counts.
    #[must_use]
    pub fn from_rows(mut rows: Rows) -> Self {
        rows.accounts.sort_by_key(|row| row.id);
        rows.projects.sort_by_key(|row| row.id);
        rows.environments.sort_by_key(|row| row.id);
        let mut wanted = Self::default();
        let mut slugs = HashSet::new();
        for row in rows.accounts {
            wanted.add_account(row, &mut slugs);
        }
        let mut slugs = HashSet::new();
        for row in rows.projects {
            if let Err(problem) = wanted.add_project(&row, &mut slugs) {
                wanted.problems.push(format!("project {}: {problem}", shown(row.id)));
            }
        }
        let mut slugs = HashSet::new();
        for row in rows.environments {
            if let Err(problem) = wanted.add_environment(&row, &mut slugs) {
                let id = shown(row.id);
                wanted.problems.push(format!("environment {id}: {problem}"));
            }
        }
        wanted
    }

    /// Adds an account. Accounts are found by number, so an account with an invalid slug is added without the slug.
    fn add_account(&mut self, row: AccountRow, slugs: &mut HashSet<Slug>) {
        let id = match new_id(row.id, &self.accounts) {
            Ok(id) => id,
            Err(problem) => {
                self.problems.push(format!("account {}: {problem}", shown(row.id)));
                return;
            }
        };
        let slug = row.slug.as_deref().filter(|text| !text.is_empty());
        let slug = slug.and_then(|text| {
            read_slug(Some(text))
                .and_then(|slug| unique(slug, |slug| slugs.insert(slug.clone()), "another account"))
                .map_err(|problem| {
                    self.problems
                        .push(format!("account {id}: {problem}; it is recorded without a slug"));
                })
                .ok()
        });
        let name = row.name.filter(|name| !name.trim().is_empty()).or(row.slug);
        let account = AccountRecorded {
            account_id: AccountId(id),
            name: name.unwrap_or_else(|| id.to_string()),
            slug,
            state: if row.is_deactivated {
                RecordState::Inactive
            } else {
                RecordState::Active
            },
        };
        self.accounts.insert(id, account);
    }

    fn add_project(&mut self, row: &ProjectRow, slugs: &mut HashSet<(i64, Slug)>) -> Result<(), String> {
        let id = new_id(row.id, &self.projects)?;
        let account = row.account_id.and_then(|account| self.accounts.get(&account));
        let account = account.ok_or_else(|| format!("its account {} does not exist", shown(row.account_id)))?;
        let is_new = |slug: &Slug| slugs.insert((account.account_id.0, slug.clone()));
        let slug = unique(
            read_slug(row.slug.as_deref())?,
            is_new,
            "another project of its account",
        )?;
        let project = ProjectRecorded {
            account_id: account.account_id,
            project_id: ProjectId(id),
            name: name_or_slug(row.name.as_deref(), &slug),
            slug,
            state: account.state,
        };
        self.projects.insert(id, project);
        Ok(())
    }

    fn add_environment(&mut self, row: &EnvironmentRow, slugs: &mut HashSet<(i64, Slug)>) -> Result<(), String> {
        let id = new_id(row.id, &self.environments)?;
        let project = row.project_id.and_then(|project| self.projects.get(&project));
        let project = project.ok_or_else(|| format!("its project {} does not exist", shown(row.project_id)))?;
        let is_new = |slug: &Slug| slugs.insert((project.account_id.0, slug.clone()));
        let slug = unique(
            read_slug(row.slug.as_deref())?,
            is_new,
            "another environment of its account",
        )?;
        let environment = EnvironmentRecorded {
            account_id: project.account_id,
            project_id: project.project_id,
            environment_id: EnvironmentId(id),
            name: name_or_slug(row.name.as_deref(), &slug),
            slug,
            environment_type: match row.kind.as_deref() {
                Some("prod") => EnvironmentType::Production,
                Some("test") => EnvironmentType::Staging,
                _ => EnvironmentType::Development,
            },
            state: project.state,
        };
        self.environments.insert(id, environment);
        Ok(())
    }
}

fn shown(id: Option<i64>) -> String {
    id.map_or_else(|| "without a number".to_owned(), |id| id.to_string())
}

fn new_id<T>(id: Option<i64>, known: &BTreeMap<i64, T>) -> Result<i64, String> {
    let id = id.filter(|id| *id > 0);
    let id = id.ok_or("invalid `id`: expected a number above 0")?;
    if known.contains_key(&id) {
        return Err("there are several rows with this `id`".to_owned());
    }
    Ok(id)
}

fn read_slug(text: Option<&str>) -> Result<Slug, String> {
    let text = text.ok_or("`slug` is null")?;
    text.parse::<Slug>().map_err(|error| error.to_string())
}

fn unique(slug: Slug, is_new: impl FnOnce(&Slug) -> bool, other: &str) -> Result<Slug, String> {
    if is_new(&slug) {
        Ok(slug)
    } else {
        Err(format!("the slug `{slug}` is taken by {other}"))
    }
}

fn name_or_slug(name: Option<&str>, slug: &Slug) -> String {
    let name = name.filter(|name| !name.trim().is_empty());
    name.unwrap_or(slug.as_str()).to_owned()
}
