//! dbt projects.

use std::collections::HashMap;

use edge::{CloudError, List, One, Query, one};
use read_model::queries::nodes::newest_manifests;
use schemas::{AccountId, ProjectId};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::environments;
use crate::error::Error;
use crate::listing::{Choice, Listing, Many, Related, StateFilter, any_of, applied, many};
use crate::records::{RecordField, contains, page_of_records, state_number};
use crate::resources::connection::Connection;
use crate::resources::project::Project;
use crate::view::{FilesView, Ids, View};

/// Which projects; all filters must hold.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
pub(crate) struct ProjectFilters {
    /// Only projects whose name contains this, ignoring case.
    name__icontains: Option<String>,
    /// Only the project with this id.
    pk: Option<i64>,
    /// Only projects with one of these ids.
    #[param(value_type = Option<Vec<i64>>, style = Form, explode = false)]
    pk__in: Option<List<i64>>,
    /// Only projects with a higher id.
    pk__gt: Option<i64>,
    /// 1 for active projects, 2 for deleted ones, `all` for both.
    #[param(value_type = Option<String>)]
    state: Option<StateFilter>,
}

/// What can be included with a project.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelatedToProject {
    Environments,
}

impl Choice for RelatedToProject {
    const ALL: &'static [(&'static str, Self)] = &[("environments", Self::Environments)];
}

/// Adds what the newest manifests of their environments, and operators, say about these projects.
async fn answers(view: &mut View, rows: Vec<directory::queries::Project>) -> Result<Vec<Project>, Error> {
    let account = view.account();
    let environments = directory::queries::environments(view.connection(), account).await?;
    let project_of: HashMap<i64, i64> = environments.iter().map(|row| (row.id, row.project_id)).collect();
    let shown = |environment: &&i64| rows.iter().any(|row| project_of.get(*environment) == Some(&row.id));
    let ids: Vec<i64> = project_of.keys().filter(shown).copied().collect();
    let mut manifests = newest_manifests(view.connection(), account, &ids).await?;
    manifests.sort_by_key(|manifest| (manifest.event_time, manifest.environment_id));
    let mut adapters: HashMap<i64, Option<String>> = HashMap::new();
    for manifest in manifests {
        if let Some(project) = project_of.get(&manifest.environment_id) {
            adapters.insert(*project, manifest.adapter_type);
        }
    }
    let said = directory::queries::connections(view.connection(), account).await?;
    let mut said: HashMap<i64, _> = said.into_iter().map(|row| (row.project_id, row)).collect();
    let answer = |row: directory::queries::Project| {
        let adapter = adapters.remove(&row.id).flatten();
        let environments = environments
            .iter()
            .filter(|environment| environment.project_id == row.id)
            .count();
        let said = said.remove(&row.id);
        Project::new(row, adapter, environments, said)
    };
    Ok(rows.into_iter().map(answer).collect())
}

/// A page of the projects of the account.
async fn page(
    mut view: View,
    filters: ProjectFilters,
    related: &Related<RelatedToProject>,
    listing: Listing<RecordField>,
) -> Result<Many<Project>, Error> {
    let account = view.account();
    let ids = any_of(filters.pk.as_ref(), filters.pk__in.as_ref());
    let mut rows = directory::queries::projects(view.connection(), account).await?;
    rows.retain(|row| {
        ids.as_ref().is_none_or(|wanted| wanted.contains(&row.id))
            && filters.pk__gt.is_none_or(|id| row.id > id)
            && filters
                .name__icontains
                .as_ref()
                .is_none_or(|part| contains(&row.name, part))
            && filters
                .state
                .is_none_or(|state| state.includes(state_number(&row.state)))
    });
    let projects = answers(&mut view, rows).await?;
    let (mut rows, total) = page_of_records(projects, listing);
    add_related(&mut view, related, &mut rows).await?;
    Ok(many(rows, total, listing, applied(account, &filters)))
}

async fn add_related(
    view: &mut View,
    related: &Related<RelatedToProject>,
    projects: &mut [Project],
) -> Result<(), Error> {
    if related.has(RelatedToProject::Environments) {
        let ids: Vec<i64> = projects.iter().map(|project| project.id).collect();
        let mut environments = environments::by_project(view, &ids).await?;
        for project in projects {
            project.environments = environments.remove(&project.id).unwrap_or_default();
        }
    }
    Ok(())
}

async fn one_of(
    mut view: View,
    account: AccountId,
    named: &str,
    related: &Related<RelatedToProject>,
) -> Result<One<Project>, Error> {
    let row = directory::queries::project_named(view.connection(), account, named).await?;
    let mut projects = answers(&mut view, row.into_iter().collect()).await?;
    add_related(&mut view, related, &mut projects).await?;
    Ok(one(projects.pop().ok_or_else(CloudError::not_found)?))
}

/// The warehouses of the account's projects, or of one of them, as far as manifests or operators describe them.
pub(super) async fn connections(view: &mut View, project: Option<ProjectId>) -> Result<Vec<Connection>, Error> {
    let account = view.account();
    let mut rows = directory::queries::projects(view.connection(), account).await?;
    rows.retain(|row| project.is_none_or(|project| project.0 == row.id));
    let projects = answers(view, rows).await?;
    Ok(projects
        .into_iter()
        .filter(|project| project.connection_id.is_some())
        .map(|project| project.connection)
        .collect())
}

/// List projects
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/projects", tag = "Projects", operation_id = "list_projects",
    params(("account_id" = i64, Path), ProjectFilters, Related<RelatedToProject>, Listing<RecordField>),
    responses((status = 200, description = "A page of projects", body = Many<Project>))
)]
pub(crate) async fn list(
    view: View,
    Query(filters): Query<ProjectFilters>,
    related: Related<RelatedToProject>,
    listing: Listing<RecordField>,
) -> Result<Many<Project>, Error> {
    page(view, filters, &related, listing).await
}

/// List projects (v3)
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects", tag = "Projects", operation_id = "list_projects_v3",
    params(("account_id" = i64, Path), ProjectFilters, Related<RelatedToProject>, Listing<RecordField>),
    responses((status = 200, description = "A page of projects", body = Many<Project>))
)]
pub(crate) async fn list_v3(
    view: View,
    Query(filters): Query<ProjectFilters>,
    related: Related<RelatedToProject>,
    listing: Listing<RecordField>,
) -> Result<Many<Project>, Error> {
    page(view, filters, &related, listing).await
}

/// Retrieve a project
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/projects/{id}", tag = "Projects", operation_id = "retrieve_project",
    params(
        ("account_id" = i64, Path),
        ("id" = String, Path, description = "The project's id or slug"),
        Related<RelatedToProject>,
    ),
    responses((status = 200, description = "The project", body = One<Project>))
)]
pub(crate) async fn show(
    view: View,
    Ids((account, id)): Ids<(AccountId, String)>,
    related: Related<RelatedToProject>,
) -> Result<One<Project>, Error> {
    one_of(view, account, &id, &related).await
}

/// Retrieve a project (v3)
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{id}", tag = "Projects", operation_id = "retrieve_project_v3",
    params(
        ("account_id" = i64, Path),
        ("id" = String, Path, description = "The project's id or slug"),
        Related<RelatedToProject>,
    ),
    responses((status = 200, description = "The project", body = One<Project>))
)]
pub(crate) async fn show_v3(
    FilesView(view): FilesView,
    Ids((account, id)): Ids<(AccountId, String)>,
    related: Related<RelatedToProject>,
) -> Result<One<Project>, Error> {
    one_of(view, account, &id, &related).await
}
