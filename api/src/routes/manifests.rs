//! Manifests for clients that upload: whole ones to defer to (`--defer --state`), trimmed ones to look up nodes.

use axum::extract::{self, Path};
use axum::http::HeaderMap;
use axum::response::Response;
use edge::{UploadError, UploadQuery};
use read_model::queries;
use read_model::queries::artifacts::RunFile;
use read_model::queries::deferral::ManifestFilter;
use schemas::ProjectId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::deferral::newest_of_project;
use crate::download::{Download, Extent, content_type};
use crate::error::Error;
use crate::state::State;
use crate::view::{UploaderView, View};

/// Which manifest, and how much of it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ManifestParams {
    /// The environment's slug. Optional if the token is bound to one environment.
    environment_slug: Option<String>,
    /// Only manifests of runs of this DAG.
    dag_id: Option<String>,
    /// The newest manifest that was uploaded with this tag, however its run ended.
    tag: Option<String>,
    /// Only manifests of this dbt project, as `metadata.project_name` names it.
    dbt_project: Option<String>,
    /// `false`: the whole manifest, byte for byte.
    trimmed: Option<bool>,
}

/// Which manifest of a project, and how much of it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProjectManifestParams {
    /// Only manifests of this dbt project, as `metadata.project_name` names it.
    dbt_project: Option<String>,
    /// `false`: the whole manifest, byte for byte.
    trimmed: Option<bool>,
}

/// Download an environment's manifest to defer to
///
/// The newest manifest of a successful run; if there is none, the newest. The answer is the manifest itself. By default it is trimmed to
/// `metadata` and `nodes`.
#[utoipa::path(
    get, path = "/manifests", tag = "Manifests", operation_id = "download_newest_manifest", params(ManifestParams),
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
    UploadQuery(params): UploadQuery<ManifestParams>,
    headers: HeaderMap,
) -> Result<Response, UploadError> {
    let environment = match (&params.environment_slug, view.environment()) {
        (Some(slug), _) => {
            let account = view.account();
            let found = directory::queries::environment_named(view.connection(), account, slug).await;
            found.map_err(Error::from)?.map(|found| found.id)
        }
        (None, Some(bound)) => Some(bound.0),
        (None, None) => {
            let message = "can't be blank: this token is not bound to one environment";
            return Err(UploadError::unprocessable("environment_slug", message));
        }
    };
    let filter = ManifestFilter {
        environments: &[environment.ok_or_else(UploadError::no_environment)?],
        dag_id: params.dag_id.as_deref(),
        tag: params.tag.as_deref(),
        dbt_project: params.dbt_project.as_deref(),
    };
    let account = view.account();
    let found = queries::deferral::manifest_to_defer_to(view.connection(), account, filter).await;
    let (file, _) = found.map_err(Error::from)?.ok_or_else(no_manifest)?;
    Ok(send(state, view, file, extent(params.trimmed), &headers).await?)
}

/// Download a project's manifest to defer to
///
/// The newest manifest of a successful run in its production environments; if they have none, in any environment. The answer is the
/// manifest itself.
#[utoipa::path(
    get, path = "/projects/{project_slug}/latest-manifest", tag = "Manifests", operation_id = "download_newest_manifest_of_project",
    params(("project_slug" = String, Path, description = "The project's slug or id"), ProjectManifestParams),
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
    UploadQuery(params): UploadQuery<ProjectManifestParams>,
    headers: HeaderMap,
) -> Result<Response, UploadError> {
    let account = view.account();
    let found = directory::queries::project_named(view.connection(), account, &project).await;
    let project = found.map_err(Error::from)?.ok_or_else(UploadError::no_environment)?;
    let found = newest_of_project(&mut view, account, ProjectId(project.id), params.dbt_project.as_deref()).await?;
    let (file, _) = found.ok_or_else(no_manifest)?;
    Ok(send(state, view, file, extent(params.trimmed), &headers).await?)
}

/// Trimmed, unless the client asks for the whole manifest.
pub(super) fn extent(trimmed: Option<bool>) -> Extent {
    if trimmed.unwrap_or(true) {
        Extent::Trimmed
    } else {
        Extent::Whole
    }
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
