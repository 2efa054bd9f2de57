//! Collections of dbt Cloud that are always empty here, and answers that hold no stored data.

use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use schemas::{AccountId, ProjectId};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::Error;
use crate::list::{Filters, RECORD_FIELDS};
use crate::view::{Ids, View};

/// The empty collections of an account in v2. The service has no tunnels, invitations, notifications or clones, and its tokens do not
/// belong to people.
const OF_ACCOUNT_V2: &[&str] = &[
    "audit-logs",
    "connections",
    "encryptions",
    "groups",
    "invites",
    "notifications",
    "repositories",
    "users",
];

/// The empty collections of an account in v3.
const OF_ACCOUNT_V3: &[&str] = &[
    "audit-logs",
    "groups",
    "license-maps",
    "oauth-configurations",
    "private-endpoints",
    "semantic-layer-credentials",
    "service-tokens",
    "users",
];

/// The empty collections of a project in v3.
const OF_PROJECT_V3: &[&str] = &["credentials", "profiles", "repositories"];

fn empty(view: &View, params: &Params, known: &[&str], name: &str) -> Result<Many<Value>, Error> {
    if !known.contains(&name) {
        return Err(CloudError::not_found().into());
    }
    let (paging, order) = (Paging::read(params)?, OrderBy::read(params, RECORD_FIELDS)?);
    let filters = Filters::new(params, view.account());
    Ok(many(Vec::new(), 0, paging, &order, filters.applied()))
}

/// Lists a collection that is always empty.
///
/// The collection is one of `audit-logs`, `connections`, `encryptions`, `groups`, `invites`, `notifications`, `repositories` and `users`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/{collection}", tag = "Empty", operation_id = "List an empty collection",
    params(("account_id" = i64, Path), ("collection" = String, Path, example = "users"), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Many<Value>))
)]
pub(crate) async fn of_account_v2(
    view: View,
    Ids((_, name)): Ids<(AccountId, String)>,
    params: Params,
) -> Result<Many<Value>, Error> {
    empty(&view, &params, OF_ACCOUNT_V2, &name)
}

/// Lists a collection that is always empty.
///
/// The collection is one of `audit-logs`, `groups`, `license-maps`, `oauth-configurations`, `private-endpoints`,
/// `semantic-layer-credentials`, `service-tokens` and `users`.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/{collection}", tag = "Empty", operation_id = "List an empty collection (v3)",
    params(("account_id" = i64, Path), ("collection" = String, Path, example = "groups"), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Many<Value>))
)]
pub(crate) async fn of_account_v3(
    view: View,
    Ids((_, name)): Ids<(AccountId, String)>,
    params: Params,
) -> Result<Many<Value>, Error> {
    empty(&view, &params, OF_ACCOUNT_V3, &name)
}

/// Lists a collection that is always empty: `credentials`, `profiles` or `repositories`.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/{collection}", tag = "Empty",
    operation_id = "List an empty collection of a project",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("collection" = String, Path, example = "repositories"),
        ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Many<Value>))
)]
pub(crate) async fn of_project_v3(
    mut view: View,
    Ids((account, project, name)): Ids<(AccountId, ProjectId, String)>,
    params: Params,
) -> Result<Many<Value>, Error> {
    let known = directory::queries::project(view.connection(), account, project).await?;
    known.ok_or_else(CloudError::not_found)?;
    empty(&view, &params, OF_PROJECT_V3, &name)
}

/// Lists the environment variables of a job. Always empty, because they are not stored.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environment-variables/job", tag = "Empty",
    operation_id = "Retrieve Projects Environment Variables Job",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("job_definition_id" = Option<i64>, Query)),
    responses((status = 200, body = One<Object>))
)]
pub(crate) async fn variables_of_job(
    mut view: View,
    Ids((account, project)): Ids<(AccountId, ProjectId)>,
) -> Result<One<Map<String, Value>>, Error> {
    let known = directory::queries::project(view.connection(), account, project).await?;
    known.ok_or_else(CloudError::not_found)?;
    Ok(one(Map::new()))
}

/// The owner of the token.
#[derive(Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    user: Bearer,
}

/// Describes the token. A token belongs to an account, not to a person, so the personal fields are empty.
#[derive(Serialize, ToSchema)]
struct Bearer {
    id: i64,
    first_name: String,
    last_name: &'static str,
    email: &'static str,
    is_active: bool,
    is_staff: bool,
    #[schema(value_type = Vec<Object>)]
    permissions: [(); 0],
    #[schema(value_type = Object)]
    licenses: Map<String, Value>,
}

/// Shows which account the token belongs to.
#[utoipa::path(
    get, path = "/api/v2/whoami", tag = "Service", operation_id = "Who am I",
    responses((status = 200, body = One<WhoAmI>))
)]
pub(crate) async fn who_am_i(mut view: View) -> Result<One<WhoAmI>, Error> {
    let account = view.account();
    let row = directory::queries::account(view.connection(), account).await?;
    let row = row.ok_or_else(CloudError::not_found)?;
    Ok(one(WhoAmI {
        user: Bearer {
            id: row.id,
            first_name: format!("Token of {}", row.name),
            last_name: "",
            email: "",
            is_active: true,
            is_staff: false,
            permissions: [],
            licenses: Map::new(),
        },
    }))
}
