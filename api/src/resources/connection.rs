//! Connections: the warehouses of projects.

use schemas::ConnectionDetails;
use serde::Serialize;
use utoipa::ToSchema;

use crate::format::spaced_time;
use crate::records::{Record, state_number};

/// The warehouse of a project, as far as its manifests describe it.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Connection {
    /// The project's id.
    id: i64,
    account_id: i64,
    project_id: i64,
    name: Option<String>,
    /// dbt's adapter, such as `snowflake`.
    r#type: Option<String>,
    /// Such as `snowflake_v0`.
    adapter_version: Option<String>,
    /// The state of its project: 1 active, 2 deleted.
    state: i16,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[serde(rename = "environment__count")]
    environment_count: usize,
    is_ssh_tunnel_enabled: bool,
    is_configured_for_native_oauth: bool,
    /// Where it is, as far as an operator said so with `dbt-api project set-connection`: `account`, `host`, `port`, `path`, `warehouse`,
    /// `database`, `schema`, `role`, `catalog`, `http_path`, `method`, `region_name` and `server`.
    #[schema(value_type = Object)]
    details: ConnectionDetails,
    #[serde(flatten)]
    unknown: UnknownOfConnection,
}

/// What only dbt Cloud knows about its connections: always null.
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

impl Connection {
    /// The warehouse of a project with this many environments, whose newest manifest names this adapter, with what an operator said of it.
    pub(crate) fn new(
        project: &directory::queries::Project,
        adapter: Option<String>,
        environments: usize,
        said: Option<directory::queries::Connection>,
    ) -> Self {
        let said_at = said.as_ref().map_or(project.updated_at, |said| said.updated_at);
        Self {
            id: project.id,
            account_id: project.account_id,
            project_id: project.id,
            name: adapter.clone(),
            adapter_version: adapter.as_ref().map(|adapter| format!("{adapter}_v0")),
            r#type: adapter,
            state: state_number(&project.state),
            created_at: spaced_time(project.created_at),
            updated_at: spaced_time(project.updated_at.max(said_at)),
            environment_count: environments,
            is_ssh_tunnel_enabled: false,
            is_configured_for_native_oauth: false,
            details: said.map(|said| said.details.0).unwrap_or_default(),
            unknown: UnknownOfConnection::default(),
        }
    }
}

impl Record for Connection {
    fn id(&self) -> i64 {
        self.id
    }
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
    fn created_at(&self) -> &str {
        &self.created_at
    }
    fn updated_at(&self) -> &str {
        &self.updated_at
    }
}
