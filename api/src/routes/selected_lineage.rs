//! The lineage of what a selection of dbt names. dbt Cloud's API does not have this route.

use axum::extract;
use edge::{One, Query, one};
use schemas::{AccountId, EnvironmentId};

use crate::error::Error;
use crate::lineage::{LineageQuery, choose};
use crate::resources::selected_lineage::SelectedLineage;
use crate::state::State;
use crate::view::{Ids, View};

/// Show the lineage of a selection
///
/// The selected nodes of an environment with their parents, as the newest manifests define them, and what dbt last did to them.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/environments/{id}/lineage", tag = "Nodes", operation_id = "retrieve_lineage_of_selection",
    params(("account_id" = i64, Path), ("id" = i64, Path, description = "The environment"), LineageQuery),
    responses((status = 200, description = "The selected nodes", body = One<SelectedLineage>))
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(query): Query<LineageQuery>,
) -> Result<One<SelectedLineage>, Error> {
    let mut chosen = choose(&mut view, &state.discovery, environment, &query).await??;
    chosen.read_statuses(&mut view).await?;
    Ok(one(SelectedLineage::new(&chosen)))
}
