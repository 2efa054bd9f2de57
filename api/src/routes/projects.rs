//! dbt projects.

use std::collections::HashMap;

use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use read_model::queries::newest_manifests;
use schemas::{AccountId, ProjectId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::format::spaced_time;
use crate::list::{Filters, RECORD_FIELDS, RecordKey, page_of_records};
use crate::view::{Ids, View};

/// A project.
#[derive(Serialize, ToSchema)]
pub(crate) struct Project {
    id: i64,
    account_id: i64,
    name: String,
    /// 1 active, 2 not.
    state: i16,
    r#type: i16,
    connection: Connection,
    #[schema(value_type = Vec<Object>)]
    environments: [(); 0],
    #[schema(value_type = Vec<Object>)]
    group_permissions: [(); 0],
    created_at: String,
    updated_at: String,
    #[serde(flatten)]
    unknown: UnknownOfProject,
}

/// What dbt Cloud knows of its own projects, and nobody of these: always null.
#[derive(Default, Serialize, ToSchema)]
struct UnknownOfProject {
    description: Option<String>,
    connection_id: Option<i64>,
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

/// The warehouse of a project, as far as its manifests tell.
#[derive(Serialize, ToSchema)]
struct Connection {
    account_id: i64,
    project_id: i64,
    name: Option<String>,
    /// dbt's adapter, such as `snowflake`.
    r#type: Option<String>,
    state: i16,
    #[schema(value_type = Object)]
    details: HashMap<String, String>,
    #[serde(flatten)]
    unknown: UnknownOfConnection,
}

/// What dbt Cloud knows of its own connections: always null.
#[derive(Default, Serialize, ToSchema)]
struct UnknownOfConnection {
    id: Option<i64>,
    adapter_version: Option<String>,
    created_by_id: Option<i64>,
    created_by_service_token_id: Option<i64>,
    private_link_endpoint_id: Option<String>,
    oauth_configuration_id: Option<i64>,
}

impl Project {
    fn new(row: directory::queries::Project, adapter: Option<String>) -> Self {
        let state = super::state_number(&row.state);
        Self {
            connection: Connection {
                account_id: row.account_id,
                project_id: row.id,
                name: adapter.clone(),
                r#type: adapter,
                state,
                details: HashMap::new(),
                unknown: UnknownOfConnection::default(),
            },
            id: row.id,
            account_id: row.account_id,
            name: row.name,
            state,
            r#type: 0,
            environments: [],
            group_permissions: [],
            created_at: spaced_time(row.created_at),
            updated_at: spaced_time(row.updated_at),
            unknown: UnknownOfProject::default(),
        }
    }
}

/// These projects with what the newest manifests of their environments tell.
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
        Project::new(row, adapter)
    };
    Ok(rows.into_iter().map(answer).collect())
}

/// Lists the projects of the account.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/projects", tag = "Projects", operation_id = "List Projects",
    params(
        ("account_id" = i64, Path),
        ("order_by" = Option<String>, Query, description = "`id`, `name`, `created_at` or `updated_at`; `-` in front reverses"),
        ("limit" = Option<i64>, Query, description = "At most 100"),
        ("offset" = Option<i64>, Query, description = "How many to pass over"),
    ),
    responses((status = 200, body = Many<Project>))
)]
pub(crate) async fn list(mut view: View, params: Params) -> Result<Many<Project>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(&params)?, OrderBy::read(&params, RECORD_FIELDS)?);
    let filters = Filters::new(&params, account);
    let rows = directory::queries::projects(view.connection(), account).await?;
    let (rows, total) = page_of_records(rows, order, paging, |row| RecordKey {
        id: row.id,
        name: &row.name,
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(many(
        answers(&mut view, rows).await?,
        total,
        paging,
        &order,
        filters.applied(),
    ))
}

/// Shows a project.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/projects/{id}", tag = "Projects", operation_id = "Retrieve Project",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Project>))
)]
pub(crate) async fn show(
    mut view: View,
    Ids((account, id)): Ids<(AccountId, ProjectId)>,
) -> Result<One<Project>, Error> {
    let row = directory::queries::project(view.connection(), account, id).await?;
    let mut answers = answers(&mut view, row.into_iter().collect()).await?;
    Ok(one(answers.pop().ok_or_else(CloudError::not_found)?))
}
