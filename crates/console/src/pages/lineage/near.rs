//! Which node is near a place of a drawing, for JavaScript: names of all dots would be most of a page.

use api::lineage::{LineageQuery, choose};
use api::{Error, Ids, View};
use axum::Json;
use axum::extract::{Extension, State};
use edge::{CloudError, Query};
use schemas::{AccountId, EnvironmentId};
use serde::{Deserialize, Serialize};

use super::picture::{self, Drawn, Pictures};
use super::{dots, name_of};
use crate::links;

/// A place, in the units of the drawing.
#[derive(Deserialize)]
pub(super) struct PlaceParams {
    x: i64,
    y: i64,
}

/// A node.
#[derive(Serialize)]
pub(super) struct Near {
    /// Its name and type.
    name: String,
    /// The address of its lineage.
    address: String,
}

/// Names the node that is nearest to a place.
pub(super) async fn near(
    State(state): State<api::State>,
    Extension(pictures): Extension<Pictures>,
    mut view: View,
    Ids((account, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(query): Query<LineageQuery>,
    Query(PlaceParams { x, y }): Query<PlaceParams>,
) -> Result<Json<Near>, Error> {
    let chosen = choose(&mut view, &state.discovery, environment, &query).await??;
    drop(view);
    let picture = picture::of(&pictures, account, &chosen).await?;
    let nearest = match &picture.drawn {
        Drawn::Dots(layout) => dots::nearest(layout, (x, y)),
        Drawn::Labels(_) => None,
    };
    let node = chosen.nodes[nearest.ok_or_else(CloudError::not_found)?];
    let of = chosen.defined.graph().node(node);
    Ok(Json(Near {
        name: format!("{} · {}", name_of(&chosen, node), of.resource_type),
        address: links::lineage(account, environment.0, &of.unique_id),
    }))
}
