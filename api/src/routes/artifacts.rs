//! The files of runs.

use artifacts::{ArtifactText, InvalidArtifact};
use axum::extract;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use edge::{CloudError, One, Query, hold_until_sent, one};
use read_model::queries;
use read_model::queries::artifacts::RunFile;
use schemas::{AccountId, JobId, RunId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::download::{Download, Extent, content_type, has_already};
use crate::error::Error;
use crate::state::State;
use crate::view::{Ids, View};

/// The largest run results, in bytes, to which variables are added, since they are held in memory meanwhile. Larger ones are sent as they are.
const MAX_CHANGED: i64 = 64 << 20;

/// Selects the artifacts of one step.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StepParams {
    /// Only files of this step of the run, from 1.
    step: Option<i64>,
}

/// Selects the step of the file and the form in which it is sent.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DownloadParams {
    /// The step of the run, from 1. By default the last step that has the file; for `run_results.json` the last one that worked on nodes.
    step: Option<i64>,
    /// `true`: `run_results.json` exactly as it was uploaded.
    raw: Option<bool>,
}

/// List the artifacts of a run
///
/// The names of its files.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/artifacts", tag = "Runs", operation_id = "list_run_artifacts",
    params(("account_id" = i64, Path), ("run_id" = i64, Path), StepParams),
    responses((status = 200, description = "The names", body = One<Vec<String>>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((account, run)): Ids<(AccountId, RunId)>,
    Query(StepParams { step }): Query<StepParams>,
) -> Result<One<Vec<String>>, Error> {
    let row = queries::runs::run(view.connection(), account, run).await?;
    let run = RunId(row.ok_or_else(CloudError::not_found)?.id);
    Ok(one(queries::artifacts::artifact_names(
        view.connection(),
        account,
        run,
        step,
    )
    .await?))
}

/// Download an artifact of a run
///
/// The file as it was uploaded, except that dbt Cloud's variables are added to `metadata.env` of `run_results.json`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/artifacts/{*path}", tag = "Runs", operation_id = "retrieve_run_artifact",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("path" = String, Path, description = "The file's name, such as `manifest.json`"),
        DownloadParams,
    ),
    responses(
        (status = 200, description = "The file", body = Object, headers(("ETag" = String, description = "Identifies the content"))),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
    )
)]
pub async fn download(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, run, path)): Ids<(AccountId, RunId, String)>,
    Query(DownloadParams { step, raw }): Query<DownloadParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let row = queries::runs::run(view.connection(), account, run).await?;
    let row = row.ok_or_else(CloudError::not_found)?;
    let id = RunId(row.id);
    let file = match step {
        None => queries::artifacts::run_file(view.connection(), account, id, &path).await?,
        // A step that wrote no manifest, such as one whose results came alone, used that of an earlier step.
        Some(step) => {
            queries::artifacts::step_file(view.connection(), account, id, &path, step, path == "manifest.json").await?
        }
    };
    let file = file.ok_or_else(CloudError::not_found)?;
    if path != "run_results.json" || raw == Some(true) || file.size > MAX_CHANGED {
        // A slow client must not hold a connection of the database.
        drop(view);
        return whole(account, &path, file).send(&state, &headers).await;
    }
    drop(view);
    with_cloud_variables(&state, file, &row, &headers).await
}

/// Download an artifact of a job
///
/// The file of the newest ended run of the job that has it, as it was uploaded; `run_results.json` of the newest one that worked on nodes.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs/{job_id}/artifacts/{*path}", tag = "Jobs", operation_id = "retrieve_job_artifact",
    params(
        ("account_id" = i64, Path),
        ("job_id" = i64, Path),
        ("path" = String, Path, description = "The file's name, such as `manifest.json`"),
    ),
    responses(
        (status = 200, description = "The file", body = Object, headers(("ETag" = String, description = "Identifies the content"))),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
    )
)]
pub(crate) async fn download_of_job(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, job, path)): Ids<(AccountId, JobId, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let file = queries::artifacts::job_file(view.connection(), account, job, &path).await?;
    let file = file.ok_or_else(CloudError::not_found)?;
    drop(view);
    whole(account, &path, file).send(&state, &headers).await
}

fn whole(account: AccountId, name: &str, file: RunFile) -> Download {
    Download {
        account,
        file,
        extent: Extent::Whole,
        content_type: content_type(name),
    }
}

/// dagster's sensor finds the run of the results by these variables, which plain dbt does not write.
async fn with_cloud_variables(
    state: &State,
    file: RunFile,
    run: &queries::runs::Run,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let etag = format!("\"{}-{}\"", file.sha256, run.id);
    if has_already(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let variables = [
        ("DBT_CLOUD_ACCOUNT_ID", run.account_id.to_string()),
        ("DBT_CLOUD_PROJECT_ID", run.project_id.to_string()),
        ("DBT_CLOUD_ENVIRONMENT_ID", run.environment_id.to_string()),
        ("DBT_CLOUD_JOB_ID", run.job_id.to_string()),
        ("DBT_CLOUD_RUN_ID", run.id.to_string()),
    ];
    let memory = state.contents.admit(file.size.saturating_mul(2)).await?;
    let size = u64::try_from(file.size).unwrap_or_default();
    let bytes = state
        .bucket
        .read_artifact(AccountId(run.account_id), file.sha256, size)
        .await?;
    // The right to the memory goes along, since the work goes on when its client leaves.
    let changing = tokio::task::spawn_blocking(move || {
        let changed = ArtifactText::read(bytes)?.with_env(&variables)?;
        Ok::<_, InvalidArtifact>((changed, memory))
    });
    let (changed, memory) = changing
        .await
        .map_err(|panic| Error::unreadable(&panic))?
        .map_err(|error| Error::unreadable(&error))?;
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (ETAG, etag)];
    Ok(hold_until_sent((headers, changed).into_response(), memory))
}
