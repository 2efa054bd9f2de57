//! A project, as v2 and v3 show it.

use serde::Serialize;
use utoipa::ToSchema;

use super::connection::Connection;
use super::environment::Environment;
use crate::format::spaced_time;
use crate::records::{Record, state_number};

/// A project of an account, from the directory, with the connection to its warehouse.
#[derive(Serialize, ToSchema)]
pub(crate) struct Project {
    pub(crate) id: i64,
    account_id: i64,
    name: String,
    /// 1 active, 2 deleted.
    state: i16,
    r#type: i16,
    /// The project's own id, if its manifests name an adapter or an operator said where its warehouse is.
    pub(crate) connection_id: Option<i64>,
    pub(crate) connection: Connection,
    /// With `include_related=environments`.
    pub(crate) environments: Vec<Environment>,
    #[schema(value_type = Vec<Object>)]
    group_permissions: [(); 0],
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[serde(flatten)]
    unknown: UnknownOfProject,
}

/// What only dbt Cloud knows about its projects: always null.
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

impl Project {
    /// A project with this many environments, whose newest manifest names this adapter, with what an operator said of its warehouse.
    pub(crate) fn new(
        row: directory::queries::Project,
        adapter: Option<String>,
        environments: usize,
        said: Option<directory::queries::Connection>,
    ) -> Self {
        let is_known = adapter.is_some() || said.as_ref().is_some_and(|said| !said.details.is_empty());
        Self {
            id: row.id,
            account_id: row.account_id,
            state: state_number(&row.state),
            r#type: 0,
            connection_id: is_known.then_some(row.id),
            connection: Connection::new(&row, adapter, environments, said),
            environments: Vec::new(),
            group_permissions: [],
            created_at: spaced_time(row.created_at),
            updated_at: spaced_time(row.updated_at),
            name: row.name,
            unknown: UnknownOfProject::default(),
        }
    }
}

impl Record for Project {
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
