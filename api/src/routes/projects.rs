//! dbt projects.

use std::collections::HashMap;

use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use read_model::queries::newest_manifests;
use schemas::{AccountId, ProjectId};
use serde::Serialize;
use utoipa::ToSchema;

use super::environments::{self, Environment};
use crate::error::Error;
use crate::format::spaced_time;
use crate::list::{Filters, RECORD_FIELDS, RecordKey, contains, includes, page_of_records};
use crate::view::{FilesView, Ids, View};

/// A project.
#[derive(Serialize, ToSchema)]
pub(crate) struct Project {
    id: i64,
    account_id: i64,
    name: String,
    /// 1 is active, 2 is not.
    state: i16,
    r#type: i16,
    /// The project's own id, if its manifests name a warehouse.
    connection_id: Option<i64>,
    connection: Connection,
    /// Present with `include_related=environments`.
    environments: Vec<Environment>,
    #[schema(value_type = Vec<Object>)]
    group_permissions: [(); 0],
    created_at: String,
    updated_at: String,
    #[serde(flatten)]
    unknown: UnknownOfProject,
}

/// Fields of dbt Cloud that this service does not know. Always null.
#[derive(Default, Serialize, ToSchema)]
struct UnknownOfProject {
    description: Option<String>,
    repository_id: Option<i64>,
    semantic_layer_config_id: Option<i64>,
    dbt_project_subdirectory: Option<String>,
    docs_job_id: Option<i64>,
    freshness_job_id: Option<i64>,
    #[schema(value_type = Option<Object>)]
    repository: Option<()>,
    #[schema(value_type = Option<Object>)]
    docs_job: Option<()>,
    #[schema(value_type = Option<Object>)]
    freshness_job: Option<()>,
    #[schema(value_type = Option<Object>)]
    fusion_readiness: Option<()>,
    default_version: Option<String>,
}

/// The warehouse of a project, as far as its manifests describe it.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Connection {
    /// The id of the project.
    id: i64,
    account_id: i64,
    project_id: i64,
    name: Option<String>,
    /// dbt's adapter, such as `snowflake`.
    r#type: Option<String>,
    /// The adapter with a version as dbt Cloud writes it, such as `snowflake_v0`.
    adapter_version: Option<String>,
    state: i16,
    created_at: String,
    updated_at: String,
    #[serde(rename = "environment__count")]
    environment_count: usize,
    is_ssh_tunnel_enabled: bool,
    is_configured_for_native_oauth: bool,
    #[schema(value_type = Object)]
    details: HashMap<String, String>,
    #[serde(flatten)]
    unknown: UnknownOfConnection,
}

/// Fields of dbt Cloud that this service does not know. Always null.
#[derive(Clone, Default, Serialize, ToSchema)]
struct UnknownOfConnection {
    created_by_id: Option<i64>,
    created_by_service_token_id: Option<i64>,
    private_link_endpoint_id: Option<String>,
    oauth_configuration_id: Option<i64>,
    oauth_redirect_uri: Option<String>,
    platform_metadata_credentials_id: Option<i64>,
    analytics_credentials_id: Option<i64>,
    #[schema(value_type = Option<Object>)]
    config: Option<()>,
}

impl Project {
    fn new(row: directory::queries::Project, adapter: Option<String>, environments: usize) -> Self {
        let state = super::state_number(&row.state);
        Self {
            connection_id: adapter.is_some().then_some(row.id),
            connection: Connection {
                id: row.id,
                adapter_version: adapter.as_ref().map(|adapter| format!("{adapter}_v0")),
                created_at: spaced_time(row.created_at),
                updated_at: spaced_time(row.updated_at),
                account_id: row.account_id,
                project_id: row.id,
                name: adapter.clone(),
                r#type: adapter,
                state,
                environment_count: environments,
                is_ssh_tunnel_enabled: false,
                is_configured_for_native_oauth: false,
                details: HashMap::new(),
                unknown: UnknownOfConnection::default(),
            },
            id: row.id,
            account_id: row.account_id,
            name: row.name,
            state,
            r#type: 0,
            environments: Vec::new(),
            group_permissions: [],
            created_at: spaced_time(row.created_at),
            updated_at: spaced_time(row.updated_at),
            unknown: UnknownOfProject::default(),
        }
    }
}

/// Adds the adapters from the newest manifests of the projects' environments.
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
    let answer = |row: directory::queries::Project| {
        let adapter = adapters.remove(&row.id).flatten();
        let environments = environments
            .iter()
            .filter(|environment| environment.project_id == row.id)
            .count();
        Project::new(row, adapter, environments)
    };
    Ok(rows.into_iter().map(answer).collect())
}

/// Returns a page of the projects of the account.
async fn page(mut view: View, params: &Params) -> Result<Many<Project>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(params)?, OrderBy::read(params, RECORD_FIELDS)?);
    let mut filters = Filters::new(params, account);
    let (ids, id_above) = (filters.ids("pk", "pk__in")?, filters.number("pk__gt")?);
    let (name_part, state) = (filters.text("name__icontains"), filters.state()?);
    let mut rows = directory::queries::projects(view.connection(), account).await?;
    rows.retain(|row| {
        ids.as_ref().is_none_or(|wanted| wanted.contains(&row.id))
            && id_above.is_none_or(|id| row.id > id)
            && name_part.as_ref().is_none_or(|part| contains(&row.name, part))
            && state.is_none_or(|state| state == i64::from(super::state_number(&row.state)))
    });
    let projects = answers(&mut view, rows).await?;
    let (mut rows, total) = page_of_records(projects, order, paging, |row: &Project| RecordKey {
        id: row.id,
        name: &row.name,
        created_at: &row.created_at,
        updated_at: &row.updated_at,
    });
    add_environments(&mut view, params, &mut rows).await?;
    Ok(many(rows, total, paging, &order, filters.applied()))
}

async fn add_environments(view: &mut View, params: &Params, projects: &mut [Project]) -> Result<(), Error> {
    if includes(params, "environments") {
        let ids: Vec<i64> = projects.iter().map(|project| project.id).collect();
        let mut environments = environments::by_project(view, &ids).await?;
        for project in projects {
            project.environments = environments.remove(&project.id).unwrap_or_default();
        }
    }
    Ok(())
}

async fn one_of(mut view: View, account: AccountId, named: &str, params: &Params) -> Result<One<Project>, Error> {
    let row = directory::queries::project_named(view.connection(), account, named).await?;
    let mut projects = answers(&mut view, row.into_iter().collect()).await?;
    add_environments(&mut view, params, &mut projects).await?;
    Ok(one(projects.pop().ok_or_else(CloudError::not_found)?))
}

/// Returns the warehouses of the account's projects, or of one of them, as far as manifests describe them.
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

impl Connection {
    /// The values by which lists of connections are ordered.
    pub(super) fn key(&self) -> RecordKey<'_> {
        RecordKey {
            id: self.id,
            name: self.name.as_deref().unwrap_or_default(),
            created_at: &self.created_at,
            updated_at: &self.updated_at,
        }
    }
}

/// Lists the projects of the account.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/projects", tag = "Projects", operation_id = "List Projects",
    params(
        ("account_id" = i64, Path),
        ("name__icontains" = Option<String>, Query, description = "Only projects whose name contains this, ignoring case"),
        ("pk" = Option<i64>, Query, description = "Only the project with this id"),
        ("pk__in" = Option<String>, Query, description = "Only projects with one of these ids, as JSON", example = "[1,2]"),
        ("pk__gt" = Option<i64>, Query, description = "Only projects with a higher id"),
        ("state" = Option<i64>, Query, description = "1: active, 2: deleted"),
        ("include_related" = Option<String>, Query, description = "`environments`"),
        ("order_by" = Option<String>, Query, description = "`id`, `name`, `created_at` or `updated_at`; a leading `-` reverses the order"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<Project>))
)]
pub(crate) async fn list(view: View, params: Params) -> Result<Many<Project>, Error> {
    page(view, &params).await
}

/// Lists the projects of the account, with the filters of v2.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects", tag = "Projects", operation_id = "List Projects (v3)",
    params(
        ("account_id" = i64, Path),
        ("name__icontains" = Option<String>, Query, description = "Only projects whose name contains this, ignoring case"),
        ("limit" = Option<i64>, Query),
        ("offset" = Option<i64>, Query),
    ),
    responses((status = 200, body = Many<Project>))
)]
pub(crate) async fn list_v3(view: View, params: Params) -> Result<Many<Project>, Error> {
    page(view, &params).await
}

/// Shows a project.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/projects/{id}", tag = "Projects", operation_id = "Retrieve Project",
    params(("account_id" = i64, Path), ("id" = i64, Path), ("include_related" = Option<String>, Query, description = "`environments`")),
    responses((status = 200, body = One<Project>))
)]
pub(crate) async fn show(
    view: View,
    Ids((account, id)): Ids<(AccountId, String)>,
    params: Params,
) -> Result<One<Project>, Error> {
    one_of(view, account, &id, &params).await
}

/// Shows a project.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{id}", tag = "Projects", operation_id = "Retrieve Project (v3)",
    params(("account_id" = i64, Path), ("id" = i64, Path), ("include_related" = Option<String>, Query, description = "`environments`")),
    responses((status = 200, body = One<Project>))
)]
pub(crate) async fn show_v3(
    FilesView(view): FilesView,
    Ids((account, id)): Ids<(AccountId, String)>,
    params: Params,
) -> Result<One<Project>, Error> {
    one_of(view, account, &id, &params).await
}
