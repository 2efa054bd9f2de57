//! An environment, as v2 and v3 show it.

use schemas::EnvironmentType;
use serde::Serialize;
use utoipa::ToSchema;

use crate::format::iso_time;
use crate::records::{Record, state_number};

/// An environment of a project, from the directory, with the version of dbt in its newest manifest.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Environment {
    pub(crate) id: i64,
    account_id: i64,
    pub(crate) project_id: i64,
    pub(crate) name: String,
    /// `deployment` or `development`.
    pub(crate) r#type: &'static str,
    /// `production` or `staging`; null for development environments.
    pub(crate) deployment_type: Option<&'static str>,
    /// The version of dbt that wrote the newest manifest.
    pub(crate) dbt_version: Option<String>,
    raw_dbt_version: Option<String>,
    use_custom_branch: bool,
    supports_docs: bool,
    is_deferrable: bool,
    enable_model_query_history: bool,
    enable_dbt_state: bool,
    /// 1 active, 2 deleted.
    pub(crate) state: i16,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(value_type = Vec<Object>)]
    jobs: [(); 0],
    #[schema(value_type = Vec<Object>)]
    custom_environment_variables: [(); 0],
    #[serde(flatten)]
    unknown: UnknownOfEnvironment,
}

/// What only dbt Cloud knows about its environments: always null.
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
    pub(crate) fn new(row: directory::queries::Environment, dbt_version: Option<String>) -> Self {
        let (kind, deployment_type) = match row.deployment_type() {
            kind @ (EnvironmentType::Production | EnvironmentType::Staging) => ("deployment", Some(kind.as_str())),
            EnvironmentType::Development => ("development", None),
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
            state: state_number(&row.state),
            created_at: iso_time(row.created_at),
            updated_at: iso_time(row.updated_at),
            jobs: [],
            custom_environment_variables: [],
            unknown: UnknownOfEnvironment::default(),
        }
    }
}

impl Record for Environment {
    fn id(&self) -> i64 {
        self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn created_at(&self) -> &str {
        &self.created_at
    }
    fn updated_at(&self) -> &str {
        &self.updated_at
    }
}
