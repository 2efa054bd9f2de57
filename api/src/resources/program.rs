//! The answer of the route at the root.

use serde::Serialize;
use utoipa::ToSchema;

/// The name and the version of dbt-api.
#[derive(Serialize, ToSchema)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}
