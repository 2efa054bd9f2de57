//! Environments: where dbt runs.

use std::collections::HashMap;

use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use read_model::queries::newest_manifests;
use schemas::{AccountId, EnvironmentId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::format::iso_time;
use crate::list::{Filters, RECORD_FIELDS, RecordKey, page_of_records};
use crate::view::{Ids, View};

/// An environment.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Environment {
    id: i64,
    account_id: i64,
    project_id: i64,
    name: String,
    /// `deployment` or `development`.
    r#type: &'static str,
    /// `production` or `staging`, of deployments.
    deployment_type: Option<&'static str>,
    /// Of the dbt that wrote the newest manifest.
    dbt_version: Option<String>,
    raw_dbt_version: Option<String>,
    use_custom_branch: bool,
    supports_docs: bool,
    /// 1 active, 2 not.
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

/// What dbt Cloud knows of its own environments, and nobody of these: always null.
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
            state: super::state_number(&row.state),
            created_at: iso_time(row.created_at),
            updated_at: iso_time(row.updated_at),
            jobs: [],
            custom_environment_variables: [],
            unknown: UnknownOfEnvironment::default(),
        }
    }
}

/// The environments with these numbers, by number.
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

/// These environments with what their newest manifests tell.
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

/// Lists the environments that the token sees.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments", tag = "Environments", operation_id = "List Environments",
    params(
        ("account_id" = i64, Path),
        ("project_id" = Option<i64>, Query, description = "Only environments of this project"),
        ("order_by" = Option<String>, Query, description = "`id`, `name`, `created_at` or `updated_at`; `-` in front reverses"),
        ("limit" = Option<i64>, Query, description = "At most 100"),
        ("offset" = Option<i64>, Query, description = "How many to pass over"),
    ),
    responses((status = 200, body = Many<Environment>))
)]
pub(crate) async fn list(mut view: View, params: Params) -> Result<Many<Environment>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(&params)?, OrderBy::read(&params, RECORD_FIELDS)?);
    let mut filters = Filters::new(&params, account);
    let project = filters.number("project_id")?;
    let mut rows = directory::queries::environments(view.connection(), account).await?;
    rows.retain(|row| project.is_none_or(|project| project == row.project_id));
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

/// Shows an environment.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}", tag = "Environments", operation_id = "Retrieve Environment",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Environment>))
)]
pub(crate) async fn show(
    mut view: View,
    Ids((account, id)): Ids<(AccountId, EnvironmentId)>,
) -> Result<One<Environment>, Error> {
    let row = directory::queries::environment(view.connection(), account, id).await?;
    let mut answers = answers(&mut view, row.into_iter().collect()).await?;
    Ok(one(answers.pop().ok_or_else(CloudError::not_found)?))
}
