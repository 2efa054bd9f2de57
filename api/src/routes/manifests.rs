//! Manifests for uploaders: whole ones to defer to (`--defer --state`), and trimmed ones to look up nodes in.

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
/// The newest of a successful run or, if there is none, the newest. The answer is the manifest itself. By default it is trimmed to
/// `metadata` and `nodes`.
#[utoipa::path(
    get, path = "/manifests", tag = "Manifests", operation_id = "Newest manifest",
    params(
        ("environment_slug" = String, Query, description = "Optional if the token is bound to a single environment"),
        ("dag_id" = Option<String>, Query, description = "Only manifests of runs of this DAG"),
        ("tag" = Option<String>, Query, description = "The newest manifest with this tag, even if its run failed"),
        ("dbt_project" = Option<String>, Query, description = "Only manifests of this dbt project, as in `metadata.project_name`"),
        ("trimmed" = Option<bool>, Query, description = "`false` returns the whole manifest, byte for byte"),
    ),
    responses(
        (status = 200, description = "The manifest", body = Object),
        (status = 304, description = "Not modified: `If-None-Match` lists the current `ETag`"),
        (status = 404, description = "The manifest or environment does not exist"),
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
/// The newest of a successful run in its production environments or, if they have none, in any other. The answer is the manifest itself.
#[utoipa::path(
    get, path = "/projects/{project_slug}/latest-manifest", tag = "Manifests", operation_id = "Newest manifest of a project by slug",
    params(
        ("project_slug" = String, Path, description = "The project's slug or id"),
        ("dbt_project" = Option<String>, Query, description = "Only manifests of this dbt project, as in `metadata.project_name`"),
        ("trimmed" = Option<bool>, Query, description = "`false` returns the whole manifest, byte for byte"),
    ),
    responses(
        (status = 200, description = "The manifest", body = Object),
        (status = 304, description = "Not modified: `If-None-Match` lists the current `ETag`"),
        (status = 404, description = "The manifest or project does not exist"),
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

/// Reads whether the manifest is trimmed, which is the default.
pub(super) fn extent(params: &Params, name: &'static str) -> Result<Extent, Error> {
    let trimmed = params.truth(name)?.unwrap_or(true);
    Ok(if trimmed { Extent::Trimmed } else { Extent::Whole })
}

fn no_manifest() -> UploadError {
    UploadError::nothing("no such manifest exists yet")
}

async fn send(state: State, view: View, file: RunFile, extent: Extent, headers: &HeaderMap) -> Result<Response, Error> {
    let download = Download {
        account: view.account(),
        file,
        extent,
        content_type: content_type("manifest.json"),
    };
    // A slow client must not hold a database connection.
    drop(view);
    download.send(&state, headers).await
}
