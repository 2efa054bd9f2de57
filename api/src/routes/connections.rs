//! The warehouses of projects, as far as manifests describe them.

use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use schemas::{AccountId, ProjectId};

use super::projects::{Connection, connections};
use crate::error::Error;
use crate::list::{Filters, RECORD_FIELDS, page_of_records};
use crate::view::{Ids, View};

async fn page(mut view: View, params: &Params, project: Option<ProjectId>) -> Result<Many<Connection>, Error> {
    let (paging, order) = (Paging::read(params)?, OrderBy::read(params, RECORD_FIELDS)?);
    let filters = Filters::new(params, view.account());
    let rows = connections(&mut view, project).await?;
    let (rows, total) = page_of_records(rows, order, paging, Connection::key);
    Ok(many(rows, total, paging, &order, filters.applied()))
}

async fn one_of(mut view: View, project: ProjectId) -> Result<One<Connection>, Error> {
    let mut rows = connections(&mut view, Some(project)).await?;
    Ok(one(rows.pop().ok_or_else(CloudError::not_found)?))
}

/// Lists the warehouses of the account's projects.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/connections", tag = "Connections", operation_id = "List Account Connections",
    params(("account_id" = i64, Path), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Many<Connection>))
)]
pub(crate) async fn list(view: View, params: Params) -> Result<Many<Connection>, Error> {
    page(view, &params, None).await
}

/// Shows a warehouse. Its id is the id of its project.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/connections/{id}", tag = "Connections", operation_id = "Retrieve Account Connection",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Connection>))
)]
pub(crate) async fn show(view: View, Ids((_, id)): Ids<(AccountId, ProjectId)>) -> Result<One<Connection>, Error> {
    one_of(view, id).await
}

/// Lists the warehouse of a project, if its manifests name one.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/connections", tag = "Connections",
    operation_id = "List Connections",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Many<Connection>))
)]
pub(crate) async fn list_of_project(
    mut view: View,
    Ids((account, project)): Ids<(AccountId, ProjectId)>,
    params: Params,
) -> Result<Many<Connection>, Error> {
    let known = directory::queries::project(view.connection(), account, project).await?;
    known.ok_or_else(CloudError::not_found)?;
    page(view, &params, Some(project)).await
}

/// Shows the warehouse of a project.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/connections/{id}", tag = "Connections",
    operation_id = "Retrieve Connection",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Connection>))
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
