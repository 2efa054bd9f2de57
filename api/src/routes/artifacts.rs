//! The files of runs.

use axum::body::Body;
use axum::extract;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use edge::{CloudError, One, Params, one};
use read_model::queries;
use schemas::{AccountId, RunId};

use crate::State;
use crate::error::Error;
use crate::view::{Ids, View};

/// Lists the names of a run's files.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/artifacts", tag = "Runs", operation_id = "List Run Artifacts",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("step" = Option<i64>, Query, description = "Only files of this step of the run, from 1"),
    ),
    responses((status = 200, body = One<Vec<String>>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((account, run)): Ids<(AccountId, RunId)>,
    params: Params,
) -> Result<One<Vec<String>>, Error> {
    let step = params.number("step")?;
    queries::run(view.connection(), account, run)
        .await?
        .ok_or_else(CloudError::not_found)?;
    Ok(one(
        queries::artifact_names(view.connection(), account, run, step).await?
    ))
}

/// Downloads a file of a run, as it was uploaded.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/artifacts/{*path}", tag = "Runs", operation_id = "Retrieve Run Artifact",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("path" = String, Path, description = "The file's name, such as `manifest.json`"),
        ("step" = Option<i64>, Query, description = "The step of the run, from 1; without it the last that has the file"),
    ),
    responses(
        (status = 200, description = "The file", body = Object, headers(("ETag" = String, description = "Names the content"))),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
    )
)]
pub(crate) async fn download(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, run, path)): Ids<(AccountId, RunId, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let step = params.number("step")?;
    let file = queries::run_file(view.connection(), account, run, &path, step).await?;
    let file = file.ok_or_else(CloudError::not_found)?;
    // A slow client must not hold a connection of the database.
    drop(view);
    let etag = format!("\"{}\"", file.sha256);
    if has_already(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let content = state.bucket.open_artifact(account, file.sha256).await?;
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_LENGTH, file.size.to_string()),
        (ETAG, etag),
    ];
    Ok((headers, Body::from_stream(content)).into_response())
}

/// Does the client say that it has this content?
fn has_already(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_has_is_read_from_its_header() {
        let has = |value: &'static str| {
            has_already(
                &HeaderMap::from_iter([(IF_NONE_MATCH, value.parse().unwrap())]),
                "\"ab\"",
            )
        };
        assert!(has("\"ab\""));
        assert!(has("\"cd\", W/\"ab\""));
        assert!(has("*"));
        assert!(!has("\"abc\""));
        assert!(!has_already(&HeaderMap::new(), "\"ab\""));
    }
}
