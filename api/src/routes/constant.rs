//! Collections of dbt Cloud that are always empty here, and answers that are the same for every token.

use edge::{CloudError, One, one};
use schemas::{AccountId, ProjectId};
use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, Error as ValueError};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::Error;
use crate::listing::{Listing, Many, applied, many};
use crate::records::RecordField;
use crate::resources::who_am_i::{Bearer, WhoAmI};
use crate::view::{Ids, View};

/// Collections of an account in v2: there are no SSH tunnels, invitations, notifications or repositories here, and tokens do not belong to people.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CollectionV2 {
    AuditLogs,
    Encryptions,
    Groups,
    Invites,
    Notifications,
    Repositories,
    Users,
}

/// Collections of an account in v3.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CollectionV3 {
    AuditLogs,
    Groups,
    LicenseMaps,
    OauthConfigurations,
    PrivateEndpoints,
    SemanticLayerCredentials,
    ServiceTokens,
    Users,
}

/// Collections of a project in v3.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CollectionOfProject {
    Credentials,
    Profiles,
    Repositories,
}

/// Whether a path of the routes below names a collection that exists.
pub(super) fn is_collection(path: &str, name: &str) -> bool {
    fn is<'a, T: Deserialize<'a>>(name: &'a str) -> bool {
        T::deserialize(BorrowedStrDeserializer::<ValueError>::new(name)).is_ok()
    }
    if path.contains("/projects/") {
        is::<CollectionOfProject>(name)
    } else if path.starts_with("/api/v3/") {
        is::<CollectionV3>(name)
    } else {
        is::<CollectionV2>(name)
    }
}

fn empty(view: &View, listing: Listing<RecordField>) -> Many<Value> {
    many(Vec::new(), 0, listing, applied(view.account(), &()))
}

/// List an empty collection
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/{collection}", tag = "Empty collections", operation_id = "list_empty_collection",
    params(("account_id" = i64, Path), ("collection" = inline(CollectionV2), Path), Listing<RecordField>),
    responses((status = 200, description = "An empty page", body = Many<Value>))
)]
pub(crate) async fn of_account_v2(
    view: View,
    Ids((_, _)): Ids<(AccountId, CollectionV2)>,
    listing: Listing<RecordField>,
) -> Many<Value> {
    empty(&view, listing)
}

/// List an empty collection (v3)
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/{collection}", tag = "Empty collections", operation_id = "list_empty_collection_v3",
    params(("account_id" = i64, Path), ("collection" = inline(CollectionV3), Path), Listing<RecordField>),
    responses((status = 200, description = "An empty page", body = Many<Value>))
)]
pub(crate) async fn of_account_v3(
    view: View,
    Ids((_, _)): Ids<(AccountId, CollectionV3)>,
    listing: Listing<RecordField>,
) -> Many<Value> {
    empty(&view, listing)
}

/// List an empty collection of a project
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/{collection}", tag = "Empty collections",
    operation_id = "list_empty_collection_of_project",
    params(
        ("account_id" = i64, Path), ("project_id" = i64, Path), ("collection" = inline(CollectionOfProject), Path),
        Listing<RecordField>,
    ),
    responses((status = 200, description = "An empty page", body = Many<Value>))
)]
pub(crate) async fn of_project_v3(
    mut view: View,
    Ids((account, project, _)): Ids<(AccountId, ProjectId, CollectionOfProject)>,
    listing: Listing<RecordField>,
) -> Result<Many<Value>, Error> {
    let known = directory::queries::project(view.connection(), account, project).await?;
    known.ok_or_else(CloudError::not_found)?;
    Ok(empty(&view, listing))
}

/// List the environment variables of a job
///
/// dbt-api does not know any.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environment-variables/job", tag = "Empty collections",
    operation_id = "list_environment_variables_of_job",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("job_definition_id" = Option<i64>, Query, description = "The job; it changes nothing")),
    responses((status = 200, description = "An empty object", body = One<Object>))
)]
pub(crate) async fn variables_of_job(
    mut view: View,
    Ids((account, project)): Ids<(AccountId, ProjectId)>,
) -> Result<One<Map<String, Value>>, Error> {
    let known = directory::queries::project(view.connection(), account, project).await?;
    known.ok_or_else(CloudError::not_found)?;
    Ok(one(Map::new()))
}

/// Show whose token it is
///
/// A token belongs to an account.
#[utoipa::path(
    get, path = "/api/v2/whoami", tag = "Service", operation_id = "who_am_i",
    responses((status = 200, description = "The token's account, in the form of a user", body = One<WhoAmI>))
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
