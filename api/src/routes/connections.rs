//! Connections: the warehouses of projects, as far as manifests and operators describe them.

use edge::{CloudError, One, one};
use schemas::{AccountId, ProjectId};

use super::projects::connections;
use crate::error::Error;
use crate::listing::{Listing, Many, applied, many};
use crate::records::{RecordField, page_of_records};
use crate::resources::connection::Connection;
use crate::view::{Ids, View};

async fn page(
    mut view: View,
    listing: Listing<RecordField>,
    project: Option<ProjectId>,
) -> Result<Many<Connection>, Error> {
    let rows = connections(&mut view, project).await?;
    let (rows, total) = page_of_records(rows, listing);
    Ok(many(rows, total, listing, applied(view.account(), &())))
}

async fn one_of(mut view: View, project: ProjectId) -> Result<One<Connection>, Error> {
    let mut rows = connections(&mut view, Some(project)).await?;
    Ok(one(rows.pop().ok_or_else(CloudError::not_found)?))
}

/// List the connections of the account
///
/// The warehouses of its projects.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/connections", tag = "Connections", operation_id = "list_connections",
    params(("account_id" = i64, Path), Listing<RecordField>),
    responses((status = 200, description = "A page of connections", body = Many<Connection>))
)]
pub(crate) async fn list_v2(view: View, listing: Listing<RecordField>) -> Result<Many<Connection>, Error> {
    page(view, listing, None).await
}

/// List the connections of the account (v3)
///
/// The warehouses of its projects.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/connections", tag = "Connections", operation_id = "list_account_connections",
    params(("account_id" = i64, Path), Listing<RecordField>),
    responses((status = 200, description = "A page of connections", body = Many<Connection>))
)]
pub(crate) async fn list(view: View, listing: Listing<RecordField>) -> Result<Many<Connection>, Error> {
    page(view, listing, None).await
}

/// Retrieve a connection
///
/// Its id is the id of its project.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/connections/{id}", tag = "Connections", operation_id = "retrieve_connection",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, description = "The connection", body = One<Connection>))
)]
pub(crate) async fn show_v2(view: View, Ids((_, id)): Ids<(AccountId, ProjectId)>) -> Result<One<Connection>, Error> {
    one_of(view, id).await
}

/// Retrieve a connection (v3)
///
/// Its id is the id of its project.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/connections/{id}", tag = "Connections", operation_id = "retrieve_account_connection",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, description = "The connection", body = One<Connection>))
)]
pub(crate) async fn show(view: View, Ids((_, id)): Ids<(AccountId, ProjectId)>) -> Result<One<Connection>, Error> {
    one_of(view, id).await
}

/// List the connections of a project
///
/// One, if a manifest of the project names an adapter or an operator described the warehouse; otherwise none.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/connections", tag = "Connections",
    operation_id = "list_connections_of_project",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), Listing<RecordField>),
    responses((status = 200, description = "A page of connections", body = Many<Connection>))
)]
pub(crate) async fn list_of_project(
    mut view: View,
    Ids((account, project)): Ids<(AccountId, ProjectId)>,
    listing: Listing<RecordField>,
) -> Result<Many<Connection>, Error> {
    let known = directory::queries::project(view.connection(), account, project).await?;
    known.ok_or_else(CloudError::not_found)?;
    page(view, listing, Some(project)).await
}

/// Retrieve the connection of a project
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/connections/{id}", tag = "Connections",
    operation_id = "retrieve_connection_of_project",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, description = "The connection", body = One<Connection>))
)]
pub(crate) async fn show_of_project(
    view: View,
    Ids((_, project, id)): Ids<(AccountId, ProjectId, ProjectId)>,
) -> Result<One<Connection>, Error> {
    if project != id {
        return Err(CloudError::not_found().into());
    }
    one_of(view, id).await
}
