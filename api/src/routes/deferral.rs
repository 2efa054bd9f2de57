//! Manifests to defer to. dbt's newer engines and dbt Cloud's command line ask for a URL, and download the manifest there without a token.

use axum::extract::{self, Path};
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use edge::{CloudError, One, Query, one};
use read_model::queries;
use read_model::queries::artifacts::RunFile;
use read_model::queries::deferral::ManifestFilter;
use schemas::{AccountId, EnvironmentId, EnvironmentType, ProjectId, Sha256};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::download::{Download, Extent, content_type};
use crate::error::Error;
use crate::resources::manifest::ManifestHref;
use crate::state::State;
use crate::view::{Ids, View};

/// The purpose that URLs of manifests are signed for.
const PURPOSE: &str = "manifest";

#[derive(Serialize, Deserialize)]
struct Permitted {
    account_id: AccountId,
    sha256: Sha256,
    size: i64,
}

/// Which dbt project's manifest.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DbtProject {
    /// Only manifests of this dbt project, as `metadata.project_name` names it.
    pub(super) dbt_project: Option<String>,
}

/// Show the URL of a project's manifest to defer to
///
/// The newest manifest of a successful run in its production environments; if they have none, in any environment.
#[utoipa::path(
    get, path = "/api/private/accounts/{account_id}/projects/{project_id}/manifest/latest", tag = "Deferral",
    operation_id = "retrieve_latest_manifest_of_project",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), DbtProject),
    responses((status = 200, description = "The URL", body = One<ManifestHref>))
)]
pub(crate) async fn latest(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, project)): Ids<(AccountId, ProjectId)>,
    Query(params): Query<DbtProject>,
) -> Result<One<ManifestHref>, Error> {
    let file = newest_of_project(&mut view, account, project, params.dbt_project.as_deref()).await?;
    let (file, _) = file.ok_or_else(CloudError::not_found)?;
    href(&state, account, file).await
}

/// The manifest to defer to in a project's production environments; where they have none, in any of its environments.
pub(super) async fn newest_of_project(
    view: &mut View,
    account: AccountId,
    project: ProjectId,
    dbt_project: Option<&str>,
) -> Result<Option<(RunFile, DateTime<Utc>)>, Error> {
    let mut environments = directory::queries::environments(view.connection(), account).await?;
    environments.retain(|environment| environment.project_id == project.0);
    let ids_of = |production: bool| -> Vec<i64> {
        let of_type = environments
            .iter()
            .filter(|environment| (environment.deployment_type() == EnvironmentType::Production) == production);
        of_type.map(|environment| environment.id).collect()
    };
    for environments in [&ids_of(true), &ids_of(false)] {
        if let Some(found) = newest_of(view, account, environments, dbt_project).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The manifest to defer to in some environments.
pub(super) async fn newest_of(
    view: &mut View,
    account: AccountId,
    environments: &[i64],
    dbt_project: Option<&str>,
) -> Result<Option<(RunFile, DateTime<Utc>)>, Error> {
    let filter = ManifestFilter {
        environments,
        dbt_project,
        ..ManifestFilter::default()
    };
    Ok(queries::deferral::manifest_to_defer_to(view.connection(), account, filter).await?)
}

/// Show the URL of an environment's manifest to defer to
///
/// The newest manifest of a successful run; if there is none, the newest.
#[utoipa::path(
    get, path = "/api/private/accounts/{account_id}/projects/{project_id}/manifest/{environment_id}", tag = "Deferral",
    operation_id = "retrieve_latest_manifest_of_environment",
    params(
        ("account_id" = i64, Path), ("project_id" = i64, Path), ("environment_id" = i64, Path),
        DbtProject,
    ),
    responses((status = 200, description = "The URL", body = One<ManifestHref>))
)]
pub(crate) async fn of_environment(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, project, environment)): Ids<(AccountId, ProjectId, EnvironmentId)>,
    Query(params): Query<DbtProject>,
) -> Result<One<ManifestHref>, Error> {
    let known = directory::queries::environment(view.connection(), account, environment).await?;
    known
        .filter(|known| known.project_id == project.0)
        .ok_or_else(CloudError::not_found)?;
    let file = newest_of(&mut view, account, &[environment.0], params.dbt_project.as_deref()).await?;
    let (file, _) = file.ok_or_else(CloudError::not_found)?;
    href(&state, account, file).await
}

async fn href(state: &State, account_id: AccountId, file: RunFile) -> Result<One<ManifestHref>, Error> {
    let permitted = Permitted {
        account_id,
        sha256: file.sha256,
        size: file.size,
    };
    let signed = state
        .signer()
        .await?
        .sign(PURPOSE, permitted, state.clock.now())
        .map_err(|error| Error::unreadable(&error))?;
    Ok(one(ManifestHref {
        manifest_href: format!("{}/api/private/manifests/{signed}", state.public_url),
    }))
}

/// Download a manifest by its URL
///
/// The URL itself is the permission.
#[utoipa::path(
    get, path = "/api/private/manifests/{signed}", tag = "Deferral", operation_id = "download_manifest", security(()),
    params(("signed" = String, Path, description = "The last part of `manifest_href`")),
    responses(
        (status = 200, description = "The manifest as it was uploaded", body = Object),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
        (status = 403, description = "The URL has expired, or was not issued by this service"),
        (status = 503, description = "The service is busy, or the storage is unavailable"),
    )
)]
pub(crate) async fn download(
    extract::State(state): extract::State<State>,
    Path(signed): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let opened = state.signer().await?.open(PURPOSE, &signed, state.clock.now());
    let permitted: Permitted = opened.map_err(CloudError::not_permitted)?;
    let download = Download {
        account: permitted.account_id,
        file: RunFile {
            sha256: permitted.sha256,
            size: permitted.size,
        },
        extent: Extent::Whole,
        content_type: content_type("manifest.json"),
    };
    download.send(&state, &headers).await
}
