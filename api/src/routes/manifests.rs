//! Manifests for those who upload: whole ones to defer to (`--defer --state`), trimmed ones to look nodes up in.

use axum::extract::{self, Path};
use axum::http::HeaderMap;
use axum::response::Response;
use edge::{Params, UploadError};
use read_model::queries::{self, ManifestFilter, RunFile};
use schemas::ProjectId;

use super::deferral::newest_of_project;
use crate::State;
use crate::download::{Download, Extent, content_type};
use crate::error::Error;
use crate::view::{UploaderView, View};

/// Download the manifest of an environment to defer to
///
/// The newest of a run that went well; where none ever did, the newest. The answer is the manifest itself. Trimmed, as it is when nothing is said, it has `metadata` and `nodes` only.
#[utoipa::path(
    get, path = "/manifests", tag = "Manifests", operation_id = "Newest manifest",
    params(
        ("environment_slug" = String, Query, description = "May be left out with a token that is bound to one environment"),
        ("dag_id" = Option<String>, Query, description = "Of a run of this DAG"),
        ("tag" = Option<String>, Query, description = "The newest that was uploaded with this tag, however its run ended"),
        ("dbt_project" = Option<String>, Query, description = "Of this dbt project, as `metadata.project_name` names it"),
        ("trimmed" = Option<bool>, Query, description = "`false`: all of it, byte for byte"),
    ),
    responses(
        (status = 200, description = "The manifest", body = Object),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
        (status = 404, description = "There is no such manifest or environment"),
        (status = 422, description = "`environment_slug` is missing"),
    )
)]
pub(crate) async fn newest(
    extract::State(state): extract::State<State>,
    UploaderView(mut view): UploaderView,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, UploadError> {
    let extent = extent(&params, "trimmed")?;
    let environment = match (params.text("environment_slug"), view.environment()) {
        (Some(slug), _) => {
            let account = view.account();
            let found = directory::queries::environment_named(view.connection(), account, slug).await;
            found.map_err(Error::from)?.map(|found| found.id)
        }
        (None, Some(bound)) => Some(bound.0),
        (None, None) => return Err(UploadError::unprocessable("environment_slug", "can't be blank")),
    };
    let filter = ManifestFilter {
        environments: &[environment.ok_or_else(UploadError::no_place)?],
        dag_id: params.text("dag_id"),
        tag: params.text("tag"),
        dbt_project: params.text("dbt_project"),
    };
    let account = view.account();
    let found = queries::manifest_to_defer_to(view.connection(), account, filter).await;
    let (file, _) = found.map_err(Error::from)?.ok_or_else(no_manifest)?;
    Ok(send(state, view, file, extent, &headers).await?)
}

/// Download the manifest of a project to defer to
///
/// The newest of a run that went well in its production environments; where they have none, in any. The answer is the manifest itself.
#[utoipa::path(
    get, path = "/projects/{project_slug}/latest-manifest", tag = "Manifests", operation_id = "Newest manifest of a project by slug",
    params(
        ("project_slug" = String, Path, description = "The project's slug or number"),
        ("dbt_project" = Option<String>, Query, description = "Of this dbt project, as `metadata.project_name` names it"),
        ("trimmed" = Option<bool>, Query, description = "`false`: all of it, byte for byte"),
    ),
    responses(
        (status = 200, description = "The manifest", body = Object),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
        (status = 404, description = "There is no such manifest or project"),
    )
)]
pub(crate) async fn newest_of_slug(
    extract::State(state): extract::State<State>,
    UploaderView(mut view): UploaderView,
    Path(project): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, UploadError> {
    let extent = extent(&params, "trimmed")?;
    let account = view.account();
    let found = directory::queries::project_named(view.connection(), account, &project).await;
    let project = found.map_err(Error::from)?.ok_or_else(UploadError::no_place)?;
    let found = newest_of_project(&mut view, account, ProjectId(project.id), params.text("dbt_project")).await?;
    let (file, _) = found.ok_or_else(no_manifest)?;
    Ok(send(state, view, file, extent, &headers).await?)
}

/// Trimmed, unless the client says that it is not.
pub(super) fn extent(params: &Params, name: &'static str) -> Result<Extent, Error> {
    let trimmed = params.truth(name)?.unwrap_or(true);
    Ok(if trimmed { Extent::Trimmed } else { Extent::Whole })
}

fn no_manifest() -> UploadError {
    UploadError::nothing("there is no such manifest yet")
}

async fn send(state: State, view: View, file: RunFile, extent: Extent, headers: &HeaderMap) -> Result<Response, Error> {
    let download = Download {
        account: view.account(),
        file,
        extent,
        content_type: content_type("manifest.json"),
    };
    // A slow client must not hold a connection of the database.
    drop(view);
    download.send(&state, headers).await
}
