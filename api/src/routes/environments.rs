//! Environments, in which dbt runs.

use std::collections::HashMap;

use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use read_model::queries::newest_manifests;
use schemas::{AccountId, EnvironmentId, ProjectId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::format::iso_time;
use crate::list::{Filters, RECORD_FIELDS, RecordKey, contains, page_of_records};
use crate::view::{FilesView, Ids, View};

/// An environment.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Environment {
    id: i64,
    account_id: i64,
    project_id: i64,
    name: String,
    /// `deployment` or `development`.
    r#type: &'static str,
    /// `production` or `staging` for deployment environments, else null.
    deployment_type: Option<&'static str>,
    /// The version of dbt that wrote the newest manifest.
    dbt_version: Option<String>,
    raw_dbt_version: Option<String>,
    use_custom_branch: bool,
    supports_docs: bool,
    is_deferrable: bool,
    enable_model_query_history: bool,
    enable_dbt_state: bool,
    /// 1 is active, 2 is not.
    state: i16,
    created_at: String,
    updated_at: String,
    #[schema(value_type = Vec<Object>)]
    jobs: [(); 0],
    #[schema(value_type = Vec<Object>)]
    custom_environment_variables: [(); 0],
    #[serde(flatten)]
    unknown: UnknownOfEnvironment,
}

/// Fields of dbt Cloud that this service does not know. Always null.
#[derive(Clone, Default, Serialize, ToSchema)]
struct UnknownOfEnvironment {
    connection_id: Option<i64>,
    credentials_id: Option<i64>,
    repository_id: Option<i64>,
    extended_attributes_id: Option<i64>,
    custom_branch: Option<String>,
    dbt_project_subdirectory: Option<String>,
    created_by_id: Option<i64>,
    #[schema(value_type = Option<Object>)]
    repository: Option<()>,
    #[schema(value_type = Option<Object>)]
    connection: Option<()>,
    primary_profile_id: Option<i64>,
    #[schema(value_type = Option<Object>)]
    project: Option<()>,
    #[schema(value_type = Option<Object>)]
    credentials: Option<()>,
    #[schema(value_type = Option<Object>)]
    fusion_readiness: Option<()>,
}

impl Environment {
    fn new(row: directory::queries::Environment, dbt_version: Option<String>) -> Self {
        let (kind, deployment_type) = match row.environment_type.as_str() {
            "production" => ("deployment", Some("production")),
            "staging" => ("deployment", Some("staging")),
            _ => ("development", None),
        };
        Self {
            id: row.id,
            account_id: row.account_id,
            project_id: row.project_id,
            name: row.name,
            r#type: kind,
            deployment_type,
            raw_dbt_version: dbt_version.clone(),
            dbt_version,
            use_custom_branch: false,
            supports_docs: true,
            is_deferrable: false,
            enable_model_query_history: false,
            enable_dbt_state: false,
            state: super::state_number(&row.state),
            created_at: iso_time(row.created_at),
            updated_at: iso_time(row.updated_at),
            jobs: [],
            custom_environment_variables: [],
            unknown: UnknownOfEnvironment::default(),
        }
    }
}

/// Returns the environments with these ids, by id.
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

/// Adds the dbt version from the newest manifests.
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

/// Returns the environments of these projects, by project id.
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

/// Returns a page of the environments of the account, or of one of its projects.
async fn page(mut view: View, params: &Params, project: Option<ProjectId>) -> Result<Many<Environment>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(params)?, OrderBy::read(params, RECORD_FIELDS)?);
    let mut filters = Filters::new(params, account);
    let projects = match project {
        Some(ProjectId(id)) => Some(vec![id]),
        None => filters.ids("project_id", "project_id__in")?,
    };
    let (ids, id_above) = (filters.ids("pk", "pk__in")?, filters.number("id__gt")?);
    let (name, name_part) = (filters.text("name"), filters.text("name__icontains"));
    let (kind, state) = (filters.text("type"), filters.state()?);
    let deployment_types = filters
        .texts("deployment_type__in")
        .or(filters.texts("deployment_type"));
    let versions = filters.texts("dbt_version__in").or(filters.texts("dbt_version"));
    let rows = directory::queries::environments(view.connection(), account).await?;
    let mut environments = answers(&mut view, rows).await?;
    let is_one_of = |wanted: &Option<Vec<String>>, value: Option<&str>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| value.is_some_and(|value| wanted.iter().any(|one| one == value)))
    };
    environments.retain(|row| {
        projects.as_ref().is_none_or(|wanted| wanted.contains(&row.project_id))
            && ids.as_ref().is_none_or(|wanted| wanted.contains(&row.id))
            && id_above.is_none_or(|id| row.id > id)
            && name.as_ref().is_none_or(|name| *name == row.name)
            && name_part.as_ref().is_none_or(|part| contains(&row.name, part))
            && kind.as_ref().is_none_or(|kind| kind == row.r#type)
            && state.is_none_or(|state| state == i64::from(row.state))
            && is_one_of(&deployment_types, row.deployment_type)
            && is_one_of(&versions, row.dbt_version.as_deref())
    });
    let (rows, total) = page_of_records(environments, order, paging, |row| RecordKey {
        id: row.id,
        name: &row.name,
        created_at: &row.created_at,
        updated_at: &row.updated_at,
    });
    Ok(many(rows, total, paging, &order, filters.applied()))
}

/// Lists the environments that the token may see.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments", tag = "Environments", operation_id = "List Environments",
    params(
        ("account_id" = i64, Path),
        ("project_id" = Option<i64>, Query, description = "Only environments of this project"),
        ("project_id__in" = Option<String>, Query, description = "Only environments of one of these projects, as JSON", example = "[1,2]"),
        ("name__icontains" = Option<String>, Query, description = "Only environments whose name contains this, ignoring case"),
        ("dbt_version" = Option<String>, Query, description = "Only environments whose newest manifest was written by this version of dbt"),
        ("deployment_type" = Option<String>, Query, description = "`production` or `staging`"),
        ("pk" = Option<i64>, Query, description = "Only the environment with this id"),
        ("state" = Option<i64>, Query, description = "1: active, 2: deleted"),
        ("order_by" = Option<String>, Query, description = "`id`, `name`, `created_at` or `updated_at`; a leading `-` reverses the order"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<Environment>))
)]
pub(crate) async fn list(view: View, params: Params) -> Result<Many<Environment>, Error> {
    page(view, &params, None).await
}

/// Lists the environments that the token may see, with the filters of v2.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/environments", tag = "Environments", operation_id = "List Environments (v3)",
    params(("account_id" = i64, Path), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Many<Environment>))
)]
pub(crate) async fn list_v3(view: View, params: Params) -> Result<Many<Environment>, Error> {
    page(view, &params, None).await
}

/// Lists the environments of a project, with the filters of v2.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments", tag = "Environments",
    operation_id = "List Environments of a project",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Many<Environment>))
)]
pub(crate) async fn list_of_project(
    mut view: View,
    Ids((account, project)): Ids<(AccountId, String)>,
    params: Params,
) -> Result<Many<Environment>, Error> {
    let known = directory::queries::project_named(view.connection(), account, &project).await?;
    let project = known.ok_or_else(CloudError::not_found)?;
    page(view, &params, Some(ProjectId(project.id))).await
}

async fn one_of(mut view: View, account: AccountId, id: EnvironmentId) -> Result<Environment, Error> {
    let row = directory::queries::environment(view.connection(), account, id).await?;
    let mut answers = answers(&mut view, row.into_iter().collect()).await?;
    Ok(answers.pop().ok_or_else(CloudError::not_found)?)
}

/// Shows an environment.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}", tag = "Environments", operation_id = "Retrieve Environment",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Environment>))
)]
pub(crate) async fn show(
    view: View,
    Ids((account, id)): Ids<(AccountId, EnvironmentId)>,
) -> Result<One<Environment>, Error> {
    Ok(one(one_of(view, account, id).await?))
}

/// Shows an environment.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/environments/{id}", tag = "Environments", operation_id = "Retrieve Environment (v3)",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Environment>))
)]
pub(crate) async fn show_v3(
    view: View,
    Ids((account, id)): Ids<(AccountId, EnvironmentId)>,
) -> Result<One<Environment>, Error> {
    Ok(one(one_of(view, account, id).await?))
}

/// Shows an environment of a project.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{id}", tag = "Environments",
    operation_id = "Retrieve Environment of a project",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Environment>))
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
