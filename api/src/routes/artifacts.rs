//! The artifacts of runs.

use axum::extract;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use edge::{CloudError, One, Params, hold_until_sent, one};
use read_model::queries::{self, RunFile};
use schemas::{AccountId, ArtifactText, InvalidArtifact, JobId, RunId};

use crate::State;
use crate::download::{Download, Extent, content_type, has_already};
use crate::error::Error;
use crate::view::{Ids, View};

/// The largest run results, in bytes, to which dbt Cloud's variables are added, because that happens in memory. Larger ones are sent as
/// uploaded.
const MAX_EXTENDED: i64 = 64 << 20;

/// Lists the names of a run's artifacts.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/artifacts", tag = "Runs", operation_id = "List Run Artifacts",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("step" = Option<i64>, Query, description = "Only artifacts of this step of the run, counted from 1"),
    ),
    responses((status = 200, body = One<Vec<String>>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((account, run)): Ids<(AccountId, RunId)>,
    params: Params,
) -> Result<One<Vec<String>>, Error> {
    let step = params.number("step")?;
    let row = queries::run(view.connection(), account, run).await?;
    let run = RunId(row.ok_or_else(CloudError::not_found)?.id);
    Ok(one(
        queries::artifact_names(view.connection(), account, run, step).await?
    ))
}

/// Downloads an artifact of a run as it was uploaded, except that `run_results.json` gets dbt Cloud's variables in `metadata.env`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/artifacts/{*path}", tag = "Runs", operation_id = "Retrieve Run Artifact",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("path" = String, Path, description = "The file's name, such as `manifest.json`"),
        ("step" = Option<i64>, Query, description = "The step of the run, counted from 1. By default, the last step that has the file, or for `run_results.json` the last step that worked on nodes"),
        ("raw" = Option<bool>, Query, description = "`true` returns `run_results.json` as it was uploaded, too"),
    ),
    responses(
        (status = 200, description = "The file", body = Object, headers(("ETag" = String, description = "Identifies the content"))),
        (status = 304, description = "Not modified: `If-None-Match` lists the current `ETag`"),
    )
)]
pub(crate) async fn download(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, run, path)): Ids<(AccountId, RunId, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (step, raw) = (params.number("step")?, params.truth("raw")?.unwrap_or(false));
    let row = queries::run(view.connection(), account, run).await?;
    let row = row.ok_or_else(CloudError::not_found)?;
    let id = RunId(row.id);
    let file = match step {
        None => queries::run_file(view.connection(), account, id, &path).await?,
        // A step that wrote no manifest, such as one that only uploaded results, used the manifest of the step before it.
        Some(step) => queries::step_file(view.connection(), account, id, &path, step, path == "manifest.json").await?,
    };
    let file = file.ok_or_else(CloudError::not_found)?;
    if path != "run_results.json" || raw || file.size > MAX_EXTENDED {
        // A slow client must not hold a database connection.
        drop(view);
        return whole(account, &path, file).send(&state, &headers).await;
    }
    drop(view);
    with_cloud_variables(&state, file, &row, &headers).await
}

/// Downloads an artifact of a job, as uploaded by its newest finished run that has it.
///
/// `run_results.json` is from the newest finished run that worked on nodes.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs/{job_id}/artifacts/{*path}", tag = "Jobs", operation_id = "Retrieve Job Artifact",
    params(
        ("account_id" = i64, Path),
        ("job_id" = i64, Path),
        ("path" = String, Path, description = "The file's name, such as `manifest.json`"),
    ),
    responses(
        (status = 200, description = "The file", body = Object, headers(("ETag" = String, description = "Identifies the content"))),
        (status = 304, description = "Not modified: `If-None-Match` lists the current `ETag`"),
    )
)]
pub(crate) async fn download_of_job(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, job, path)): Ids<(AccountId, JobId, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let file = queries::job_file(view.connection(), account, job, &path).await?;
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

/// Sends run results with dbt Cloud's variables. Dagster's sensor finds the run by them, and dbt Core does not write them.
async fn with_cloud_variables(
    state: &State,
    file: RunFile,
    run: &queries::Run,
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
    // The task owns the reserved memory, because it continues when its client disconnects.
    let extending = tokio::task::spawn_blocking(move || {
        let extended = ArtifactText::read(bytes)?.with_env(&variables)?;
        Ok::<_, InvalidArtifact>((extended, memory))
    });
    let (extended, memory) = extending
        .await
        .map_err(|panic| Error::unreadable(&panic))?
        .map_err(|error| Error::unreadable(&error))?;
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (ETAG, etag)];
    Ok(hold_until_sent((headers, extended).into_response(), memory))
}
