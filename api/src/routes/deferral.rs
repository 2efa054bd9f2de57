//! Manifests to defer to: dbt's newer engines and dbt Cloud's command line ask for a URL, and get the manifest there without a token.

use axum::body::Body;
use axum::extract::{self, Path};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use edge::{CloudError, One, one};
use read_model::queries::{self, RunFile};
use schemas::{AccountId, EnvironmentId, ProjectId, Sha256};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::State;
use crate::error::Error;
use crate::view::{Ids, View};

/// What a URL for a manifest is signed for.
const PURPOSE: &str = "manifest";

/// Where a manifest is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ManifestHref {
    /// Holds for 15 minutes, without a token.
    manifest_href: String,
}

#[derive(Serialize, Deserialize)]
struct Permitted {
    account_id: AccountId,
    sha256: Sha256,
    size: i64,
}

/// Shows where the newest manifest of a project is: of its production environments; else of any.
#[utoipa::path(
    get, path = "/api/private/accounts/{account_id}/projects/{project_id}/manifest/latest", tag = "Deferral",
    operation_id = "Newest manifest of a project",
    params(("account_id" = i64, Path), ("project_id" = i64, Path)),
    responses((status = 200, body = One<ManifestHref>))
)]
pub(crate) async fn latest(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, project)): Ids<(AccountId, ProjectId)>,
) -> Result<One<ManifestHref>, Error> {
    let mut environments = directory::queries::environments(view.connection(), account).await?;
    environments.retain(|environment| environment.project_id == project.0);
    let ids_of = |production: bool| -> Vec<i64> {
        let of_type = environments
            .iter()
            .filter(|environment| (environment.environment_type == "production") == production);
        of_type.map(|environment| environment.id).collect()
    };
    for ids in [ids_of(true), ids_of(false)] {
        if let Some(file) = queries::newest_manifest_file(view.connection(), account, &ids).await? {
            return href(&state, account, file).await;
        }
    }
    Err(CloudError::not_found().into())
}

/// Shows where the newest manifest of an environment is.
#[utoipa::path(
    get, path = "/api/private/accounts/{account_id}/projects/{project_id}/manifest/{environment_id}", tag = "Deferral",
    operation_id = "Newest manifest of an environment",
    params(("account_id" = i64, Path), ("project_id" = i64, Path), ("environment_id" = i64, Path)),
    responses((status = 200, body = One<ManifestHref>))
)]
pub(crate) async fn of_environment(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, project, environment)): Ids<(AccountId, ProjectId, EnvironmentId)>,
) -> Result<One<ManifestHref>, Error> {
    let known = directory::queries::environment(view.connection(), account, environment).await?;
    known
        .filter(|known| known.project_id == project.0)
        .ok_or_else(CloudError::not_found)?;
    let file = queries::newest_manifest_file(view.connection(), account, &[environment.0]).await?;
    href(&state, account, file.ok_or_else(CloudError::not_found)?).await
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

/// Downloads a manifest. The URL itself is the permission.
#[utoipa::path(
    get, path = "/api/private/manifests/{signed}", tag = "Deferral", operation_id = "Download a manifest", security(()),
    params(("signed" = String, Path, description = "As `manifest_href` told it")),
    responses(
        (status = 200, description = "The manifest as it was uploaded", body = Object),
        (status = 403, description = "The URL has expired, or was not given out here"),
    )
)]
pub(crate) async fn download(
    extract::State(state): extract::State<State>,
    Path(signed): Path<String>,
) -> Result<Response, Error> {
    let opened = state.signer().await?.open(PURPOSE, &signed, state.clock.now());
    let permitted: Permitted = opened.map_err(CloudError::not_permitted)?;
    let content = state
        .bucket
        .open_artifact(permitted.account_id, permitted.sha256)
        .await?;
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_LENGTH, permitted.size.to_string()),
    ];
    Ok((headers, Body::from_stream(content)).into_response())
}
