//! The answer of `whoami`, which dbt Cloud has for people.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The token of the request, in the shape of a user.
#[derive(Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    pub(crate) user: Bearer,
}

/// A token belongs to an account, not to a person: what people have is empty.
#[derive(Serialize, ToSchema)]
pub(crate) struct Bearer {
    pub(crate) id: i64,
    pub(crate) first_name: String,
    pub(crate) last_name: &'static str,
    pub(crate) email: &'static str,
    pub(crate) is_active: bool,
    pub(crate) is_staff: bool,
    #[schema(value_type = Vec<Object>)]
    pub(crate) permissions: [(); 0],
    #[schema(value_type = Object)]
    pub(crate) licenses: Map<String, Value>,
}
