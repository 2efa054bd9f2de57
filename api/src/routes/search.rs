//! Search in the nodes of an environment. dbt Cloud's API does not have this route.

use axum::extract;
use discovery::Wanted;
use edge::{One, Query, one};
use schemas::{AccountId, EnvironmentId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::Error;
use crate::listing::PageOnly;
use crate::resources::search::SearchResults;
use crate::search::search;
use crate::state::State;
use crate::view::{Ids, View};

/// What is searched for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchParams {
    /// Words, of which a node must have all in its name, tags, columns or descriptions. Without any, nothing is found.
    q: Option<String>,
    /// Only nodes of this type, such as `model`.
    resource_type: Option<String>,
}

/// Search the nodes of an environment
///
/// As the newest manifests define them. The best come first: by name, then by tag, column and description.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/environments/{id}/search", tag = "Nodes", operation_id = "search_nodes",
    params(("account_id" = i64, Path), ("id" = i64, Path, description = "The environment"), SearchParams, PageOnly),
    responses((status = 200, description = "A page of the nodes that were found", body = One<SearchResults>))
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(params): Query<SearchParams>,
    PageOnly(paging): PageOnly,
) -> Result<One<SearchResults>, Error> {
    let wanted = Wanted {
        text: params.q.as_deref().unwrap_or_default(),
        resource_type: params.resource_type.as_deref(),
        offset: usize::try_from(paging.offset).unwrap_or(usize::MAX),
        limit: usize::try_from(paging.limit).unwrap_or_default(),
    };
    let (defined, found) = search(&mut view, &state.discovery, environment, &wanted).await?;
    Ok(one(SearchResults::new(&defined, found)))
}
