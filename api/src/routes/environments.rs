//! Environments: where dbt runs.

use std::collections::HashMap;

use edge::{CloudError, List, One, Query, one};
use read_model::queries::nodes::newest_manifests;
use schemas::{AccountId, EnvironmentId};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::error::Error;
use crate::listing::{Listing, Many, StateFilter, any_of, applied, many};
use crate::records::{RecordField, contains, page_of_records};
use crate::resources::environment::Environment;
use crate::view::{FilesView, Ids, View};

/// Environments of which projects, on routes whose path does not name the project.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
pub(crate) struct ProjectFilters {
    /// Only environments of this project.
    project_id: Option<i64>,
    /// Only environments of one of these projects.
    #[param(value_type = Option<Vec<i64>>, style = Form, explode = false)]
    project_id__in: Option<List<i64>>,
}

impl ProjectFilters {
    fn ids(&self) -> Option<Vec<i64>> {
        any_of(self.project_id.as_ref(), self.project_id__in.as_ref())
    }
}

/// Which environments; all filters must hold.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
pub(crate) struct EnvironmentFilters {
    /// Only the environment with this id.
    pk: Option<i64>,
    /// Only environments with one of these ids.
    #[param(value_type = Option<Vec<i64>>, style = Form, explode = false)]
    pk__in: Option<List<i64>>,
    /// Only environments with a higher id.
    id__gt: Option<i64>,
    /// Only environments with exactly this name.
    name: Option<String>,
    /// Only environments whose name contains this, ignoring case.
    name__icontains: Option<String>,
    /// `deployment` or `development`.
    r#type: Option<String>,
    /// `production` or `staging`.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    deployment_type: Option<List<String>>,
    /// The same as `deployment_type`.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    deployment_type__in: Option<List<String>>,
    /// Only environments whose newest manifest was written by one of these versions of dbt.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    dbt_version: Option<List<String>>,
    /// The same as `dbt_version`.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    dbt_version__in: Option<List<String>>,
    /// 1 for active environments, 2 for deleted ones, `all` for both.
    #[param(value_type = Option<String>)]
    state: Option<StateFilter>,
}

/// The filters of a list, as its answer repeats them.
#[derive(Serialize)]
struct AllFilters {
    #[serde(flatten)]
    of_projects: Option<ProjectFilters>,
    #[serde(flatten)]
    of_environments: EnvironmentFilters,
}

impl EnvironmentFilters {
    fn retain(&self, environments: &mut Vec<Environment>) {
        let ids = any_of(self.pk.as_ref(), self.pk__in.as_ref());
        let is_one_of = |wanted: Option<&List<String>>, value: Option<&str>| {
            wanted.is_none_or(|wanted| value.is_some_and(|value| wanted.0.iter().any(|one| one == value)))
        };
        let deployment_types = self.deployment_type__in.as_ref().or(self.deployment_type.as_ref());
        let versions = self.dbt_version__in.as_ref().or(self.dbt_version.as_ref());
        environments.retain(|row| {
            ids.as_ref().is_none_or(|wanted| wanted.contains(&row.id))
                && self.id__gt.is_none_or(|id| row.id > id)
                && self.name.as_ref().is_none_or(|name| *name == row.name)
                && self
                    .name__icontains
                    .as_ref()
                    .is_none_or(|part| contains(&row.name, part))
                && self.r#type.as_ref().is_none_or(|kind| kind == row.r#type)
                && self.state.is_none_or(|state| state.includes(row.state))
                && is_one_of(deployment_types, row.deployment_type)
                && is_one_of(versions, row.dbt_version.as_deref())
        });
    }
}

pub(super) async fn by_id(view: &mut View, ids: &[i64]) -> Result<HashMap<i64, Environment>, Error> {
    let account = view.account();
    let mut rows = directory::queries::environments(view.connection(), account).await?;
    rows.retain(|row| ids.contains(&row.id));
    Ok(answers(view, rows)
        .await?
        .into_iter()
        .map(|answer| (answer.id, answer))
        .collect())
}

/// Adds what the newest manifests of these environments say.
async fn answers(view: &mut View, rows: Vec<directory::queries::Environment>) -> Result<Vec<Environment>, Error> {
    let account = view.account();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let manifests = newest_manifests(view.connection(), account, &ids).await?;
    let mut versions: HashMap<i64, Option<String>> = manifests
        .into_iter()
        .map(|manifest| (manifest.environment_id, manifest.dbt_version))
        .collect();
    let answer = |row: directory::queries::Environment| {
        let dbt_version = versions.remove(&row.id).flatten();
        Environment::new(row, dbt_version)
    };
    Ok(rows.into_iter().map(answer).collect())
}

/// The environments of these projects, by project.
pub(super) async fn by_project(view: &mut View, projects: &[i64]) -> Result<HashMap<i64, Vec<Environment>>, Error> {
    let account = view.account();
    let mut rows = directory::queries::environments(view.connection(), account).await?;
    rows.retain(|row| projects.contains(&row.project_id));
    let mut by_project: HashMap<i64, Vec<Environment>> = HashMap::new();
    for environment in answers(view, rows).await? {
        by_project.entry(environment.project_id).or_default().push(environment);
    }
    Ok(by_project)
}

/// A page of the environments of these projects, or of all projects of the account.
async fn page(
    mut view: View,
    projects: Option<Vec<i64>>,
    filters: AllFilters,
    listing: Listing<RecordField>,
) -> Result<Many<Environment>, Error> {
    let account = view.account();
    let mut rows = directory::queries::environments(view.connection(), account).await?;
    let is_wanted = |project: i64| projects.as_ref().is_none_or(|wanted| wanted.contains(&project));
    rows.retain(|row| is_wanted(row.project_id));
    let mut environments = answers(&mut view, rows).await?;
    filters.of_environments.retain(&mut environments);
    let (rows, total) = page_of_records(environments, listing);
    Ok(many(rows, total, listing, applied(account, &filters)))
}

/// A page of the environments that the token sees.
async fn page_of_account(
    view: View,
    of_projects: ProjectFilters,
    of_environments: EnvironmentFilters,
    listing: Listing<RecordField>,
) -> Result<Many<Environment>, Error> {
    let projects = of_projects.ids();
    let filters = AllFilters {
        of_projects: Some(of_projects),
        of_environments,
    };
    page(view, projects, filters, listing).await
}

/// List environments
///
/// The environments that the token sees.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments", tag = "Environments", operation_id = "list_environments",
    params(("account_id" = i64, Path), ProjectFilters, EnvironmentFilters, Listing<RecordField>),
    responses((status = 200, description = "A page of environments", body = Many<Environment>))
)]
pub(crate) async fn list(
    view: View,
    Query(of_environments): Query<EnvironmentFilters>,
    Query(of_projects): Query<ProjectFilters>,
    listing: Listing<RecordField>,
) -> Result<Many<Environment>, Error> {
    page_of_account(view, of_projects, of_environments, listing).await
}

/// List environments (v3)
///
/// The environments that the token sees.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/environments", tag = "Environments", operation_id = "list_environments_v3",
    params(("account_id" = i64, Path), ProjectFilters, EnvironmentFilters, Listing<RecordField>),
    responses((status = 200, description = "A page of environments", body = Many<Environment>))
)]
pub(crate) async fn list_v3(
    view: View,
    Query(of_environments): Query<EnvironmentFilters>,
    Query(of_projects): Query<ProjectFilters>,
    listing: Listing<RecordField>,
) -> Result<Many<Environment>, Error> {
    page_of_account(view, of_projects, of_environments, listing).await
}

/// List the environments of a project
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments", tag = "Environments",
    operation_id = "list_environments_of_project",
    params(
        ("account_id" = i64, Path),
        ("project_id" = String, Path, description = "The project's id or slug"),
        EnvironmentFilters, Listing<RecordField>,
    ),
    responses((status = 200, description = "A page of environments", body = Many<Environment>))
)]
pub(crate) async fn list_of_project(
    mut view: View,
    Ids((account, project)): Ids<(AccountId, String)>,
    Query(of_environments): Query<EnvironmentFilters>,
    listing: Listing<RecordField>,
) -> Result<Many<Environment>, Error> {
    let known = directory::queries::project_named(view.connection(), account, &project).await?;
    let project = known.ok_or_else(CloudError::not_found)?;
    let filters = AllFilters {
        of_projects: None,
        of_environments,
    };
    page(view, Some(vec![project.id]), filters, listing).await
}

async fn one_of(mut view: View, account: AccountId, id: EnvironmentId) -> Result<Environment, Error> {
    let row = directory::queries::environment(view.connection(), account, id).await?;
    let mut answers = answers(&mut view, row.into_iter().collect()).await?;
    Ok(answers.pop().ok_or_else(CloudError::not_found)?)
}

/// Retrieve an environment
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}", tag = "Environments", operation_id = "retrieve_environment",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, description = "The environment", body = One<Environment>))
)]
pub(crate) async fn show(
    view: View,
    Ids((account, id)): Ids<(AccountId, EnvironmentId)>,
) -> Result<One<Environment>, Error> {
    Ok(one(one_of(view, account, id).await?))
}

/// Retrieve an environment (v3)
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/environments/{id}", tag = "Environments", operation_id = "retrieve_environment_v3",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, description = "The environment", body = One<Environment>))
)]
pub(crate) async fn show_v3(
    view: View,
    Ids((account, id)): Ids<(AccountId, EnvironmentId)>,
) -> Result<One<Environment>, Error> {
    Ok(one(one_of(view, account, id).await?))
}

/// Retrieve an environment of a project
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{id}", tag = "Environments",
    operation_id = "retrieve_environment_of_project",
    params(
        ("account_id" = i64, Path),
        ("project_id" = String, Path, description = "The project's id or slug"),
        ("id" = String, Path, description = "The environment's id or slug"),
    ),
    responses((status = 200, description = "The environment", body = One<Environment>))
)]
pub(crate) async fn show_of_project(
    FilesView(mut view): FilesView,
    Ids((account, project, named)): Ids<(AccountId, String, String)>,
) -> Result<One<Environment>, Error> {
    let project = directory::queries::project_named(view.connection(), account, &project).await?;
    let found = directory::queries::environment_named(view.connection(), account, &named).await?;
    match (project, found) {
        (Some(project), Some(found)) if found.project_id == project.id => {
            Ok(one(one_of(view, account, EnvironmentId(found.id)).await?))
        }
        _ => Err(CloudError::not_found().into()),
    }
}
