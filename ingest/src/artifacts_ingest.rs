//! dbt's own upload: dbt Core 1.10 and later asks for a URL, puts a zip of all artifacts there, and reports that it is done.

use std::io::{Seek, SeekFrom, Write};

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{Access, EnvironmentEntry, IdOrSlug};
use edge::{CloudError, Needed, One, UploadError, one};
use futures_util::StreamExt;
use schemas::{AccountId, ArtifactsUploaded, EnvironmentId, EventId, ProjectId, TokenId, UploadRoute};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Ingest;
use crate::archive::{self, ArchiveError, LeftOut, Unpacked};
use crate::body::{ClientBody, TooLarge, head_of};
use crate::refused::Found;
use crate::spool::SpoolError;
use crate::store::{NamedFile, Upload, to_the_end};
use crate::upload_metrics;

/// The purpose that upload URLs are signed for.
const PURPOSE: &str = "ingest";

/// The maximum size of a zip in bytes, not counting its files, which have their own limit.
const MAX_AROUND_FILES: u64 = 1 << 20;

/// How many left-out files of a zip are logged. The answer names all of them.
const MAX_LOGGED: usize = 50;

/// An upload that may begin.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invitation {
    /// The upload's id.
    id: Uuid,
    /// The URL to send the zip to with `PUT`, valid for 15 minutes.
    upload_url: String,
}

/// The signed permission in an upload URL: one upload to one environment.
#[derive(Serialize, Deserialize)]
struct Permitted {
    id: Uuid,
    account_id: AccountId,
    project_id: ProjectId,
    environment_id: EnvironmentId,
    token_id: TokenId,
}

/// A stored upload.
#[derive(Serialize, ToSchema)]
pub(crate) struct Kept {
    /// The id of the upload's event.
    event_id: Uuid,
    /// The names of the stored files.
    files: Vec<String>,
    /// Files that were not kept, with the reasons.
    left_out: Vec<LeftOut>,
}

/// Begin an upload of all artifacts of a dbt command
///
/// dbt Core 1.10 and later does this by itself when `DBT_UPLOAD_TO_ARTIFACTS_INGEST_API` is set.
#[utoipa::path(
    post,
    path = "/api/private/accounts/{account_id}/environments/{environment_id}/ingests",
    tag = "Uploads",
    operation_id = "begin_ingest",
    params(("account_id" = i64, Path), ("environment_id" = i64, Path)),
    responses((status = 200, description = "Where to send the artifacts", body = One<Invitation>)),
    security(("token" = []))
)]
pub(crate) async fn begin(
    State(ingest): State<Ingest>,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<One<Invitation>, CloudError> {
    let (access, entry) = permitted_environment(&ingest, request, &path).await?;
    let now = ingest.clock.now();
    let id = ingest.clock.new_id(now);
    let permitted = Permitted {
        id,
        account_id: entry.account_id,
        project_id: entry.project_id,
        environment_id: entry.environment_id,
        token_id: access.token_id,
    };
    let signer = ingest.signer().await.map_err(|error| CloudError::unavailable(&error))?;
    let signed = signer
        .sign(PURPOSE, permitted, now)
        .map_err(|error| CloudError::internal(&error))?;
    Ok(one(Invitation {
        id,
        upload_url: format!("{}/api/private/ingests/{signed}", ingest.public_url),
    }))
}

/// Report that an upload is done
///
/// This has no effect: an upload is stored once its `PUT` is answered.
#[utoipa::path(
    patch,
    path = "/api/private/accounts/{account_id}/environments/{environment_id}/ingests/{id}",
    tag = "Uploads",
    operation_id = "end_ingest",
    params(("account_id" = i64, Path), ("environment_id" = i64, Path), ("id" = String, Path)),
    responses((status = 204, description = "Nothing more to do")),
    security(("token" = []))
)]
pub(crate) async fn end(
    State(ingest): State<Ingest>,
    Path((account, environment, _)): Path<(String, String, String)>,
    request: Request,
) -> Result<StatusCode, CloudError> {
    permitted_environment(&ingest, request, &(account, environment)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Finds the environment of the path, if the token may upload to it. The answer is the same for environments that the token does not see
/// and for those that do not exist.
async fn permitted_environment(
    ingest: &Ingest,
    request: Request,
    (account, environment): &(String, String),
) -> Result<(Access, EnvironmentEntry), CloudError> {
    let head = head_of(request).await;
    let access = ingest.authenticate(&head).await.map_err(CloudError::from)?;
    let account: AccountId = account.parse().map_err(|_| CloudError::not_found())?;
    let environment: i64 = environment.parse().map_err(|_| CloudError::not_found())?;
    if !access.accounts.contains(&account) {
        return Err(CloudError::not_found());
    }
    let entry = ingest
        .seen_environment(&access, account, &IdOrSlug::Id(environment))
        .await
        .map_err(|error| CloudError::unavailable(&error))?;
    Ok((access, entry.ok_or_else(CloudError::not_found)?))
}

/// Upload a zip of artifacts
///
/// The URL itself is the permission. The same zip may be sent again to the same URL. A file in a folder is stored under its path, or left out
/// if that is not possible.
#[utoipa::path(
    put,
    path = "/api/private/ingests/{signed}",
    tag = "Uploads",
    operation_id = "put_ingest",
    params(("signed" = String, Path, description = "From the `upload_url` that the upload began with")),
    request_body(content = Vec<u8>, content_type = "application/zip"),
    responses(
        (status = 200, description = "Stored durably", body = One<Kept>),
        (status = 403, description = "The URL has expired, or this service did not issue it"),
        (status = 408, description = "The upload stalled"),
        (status = 413, description = "The zip or its content is too large"),
        (status = 422, description = "The body is not a zip of artifacts, or the manifest in it is not JSON"),
        (status = 429, description = "Too many uploads with the token that the URL was issued to"),
        (status = 503, description = "The storage is unavailable; nothing was stored"),
    ),
    security(())
)]
pub(crate) async fn put(State(ingest): State<Ingest>, Path(signed): Path<String>, request: Request) -> Response {
    let limit = ingest.settings.max_upload_bytes + MAX_AROUND_FILES;
    let (head, body) = request.into_parts();
    let body = ClientBody::new(body, limit);
    let result = accept(&ingest, &signed, &Found::of(&head), &body).await;
    let status = result.as_ref().map_or_else(UploadError::status, |_| StatusCode::OK);
    upload_metrics::count(upload_metrics::ZIP, status);
    match result {
        Ok(kept) => Json(one(kept)).into_response(),
        Err(error) => {
            body.drain().await;
            error.into_response()
        }
    }
}

async fn accept(ingest: &Ingest, signed: &str, found: &Found, body: &ClientBody) -> Result<Kept, UploadError> {
    let signer = ingest
        .signer()
        .await
        .map_err(|error| UploadError::unavailable(Needed::Storage, &error))?;
    let permitted: Permitted = signer
        .open(PURPOSE, signed, ingest.clock.now())
        .map_err(|error| UploadError::forbidden(error.to_string()))?;
    traces::set_account(permitted.account_id.0);
    found.note_token(permitted.token_id, &[permitted.account_id]);
    found.note_environment(&permitted.environment_id.to_string());
    ingest.rate.check(permitted.token_id)?;
    let revoked = ingest.bucket.is_revoked(permitted.token_id).await;
    if revoked.map_err(|error| UploadError::unavailable(Needed::Storage, &error))? {
        return Err(UploadError::forbidden(
            "the token that this URL was issued to has been deleted",
        ));
    }
    let settings = &ingest.settings;
    // Held until the zip is stored, which limits how many zips are on disk at once.
    let receiving = ingest.receiving.admit(body, settings.idle_timeout).await?;
    let zip = async {
        timeout(settings.upload_timeout, receive(ingest, body))
            .await
            .unwrap_or_else(|_| Err(UploadError::timeout()))
    };
    let zip = ingest.receiving.unless_slow(body, zip).await?;
    let ingest = ingest.clone();
    to_the_end(async move {
        let _receiving = receiving;
        // Receiving writes to a file, but unpacking takes memory.
        let _turn = ingest.turns.take_whole().await?;
        let settings = ingest.settings.clone();
        let unpacking = tokio::task::spawn_blocking(move || {
            archive::unpack(zip, settings.spool_dir.as_ref(), settings.max_upload_bytes)
        });
        let unpacked = unpacking.await.map_err(|error| UploadError::internal(&error))??;
        let Unpacked { files, left_out } = unpacked;
        log_left_out(permitted.id, &left_out);
        let names = files.iter().map(|file| file.uploaded.name.clone()).collect();
        let (files, contents) = NamedFile::split(files);
        let data = ArtifactsUploaded {
            account_id: permitted.account_id,
            project_id: permitted.project_id,
            environment_id: permitted.environment_id,
            dag_id: None,
            run_id: None,
            tag: None,
            route: Some(UploadRoute::Ingests),
            uploader: permitted.token_id,
            files,
        };
        let upload = Upload {
            after: None,
            // The same upload makes a single event, however often it is sent.
            event_id: Some(EventId(permitted.id)),
            data: data.into(),
            contents,
        };
        let event_id = ingest.store(upload).await?.id.0;
        Ok(Kept {
            event_id,
            files: names,
            left_out,
        })
    })
    .await
}

fn log_left_out(upload: Uuid, left_out: &[LeftOut]) {
    for LeftOut { name, reason } in left_out.iter().take(MAX_LOGGED) {
        tracing::warn!(%upload, %name, %reason, "left out a file of a zip");
    }
    if left_out.len() > MAX_LOGGED {
        let count = left_out.len();
        tracing::warn!(%upload, count, "left out more files of a zip than are logged; the answer names all");
    }
}

/// Writes the body to an unnamed temporary file. A zip has to be complete before it can be read: its list of files is at the end.
async fn receive(ingest: &Ingest, body: &ClientBody) -> Result<std::fs::File, UploadError> {
    let folder = ingest.settings.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut file = tempfile::tempfile_in(folder).map_err(|error| UploadError::unavailable(Needed::Disk, &error))?;
    let mut chunks = body.clone();
    loop {
        let next = timeout(ingest.settings.idle_timeout, chunks.next()).await;
        body.made_progress();
        let chunk = match next.map_err(|_| UploadError::timeout())? {
            None => break,
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) if error.is::<TooLarge>() => {
                return Err(UploadError::too_large(ingest.settings.max_upload_bytes));
            }
            Some(Err(error)) => {
                return Err(UploadError::bad_request(format!(
                    "the body ended before it was complete: {error}"
                )));
            }
        };
        let written = tokio::task::spawn_blocking(move || {
            file.write_all(&chunk)?;
            std::io::Result::Ok(file)
        });
        file = written
            .await
            .map_err(|error| UploadError::internal(&error))?
            .map_err(|error| UploadError::unavailable(Needed::Disk, &error))?;
    }
    file.seek(SeekFrom::Start(0))
        .map_err(|error| UploadError::unavailable(Needed::Disk, &error))?;
    Ok(file)
}

impl From<ArchiveError> for UploadError {
    fn from(error: ArchiveError) -> Self {
        match &error {
            ArchiveError::TooLarge(limit) => Self::too_large(*limit),
            ArchiveError::Spool(SpoolError::Disk(_)) => Self::unavailable(Needed::Disk, &error),
            ArchiveError::Spool(SpoolError::Thread(_)) => Self::internal(&error),
            _ => Self::unprocessable("file", error.to_string()),
        }
    }
}
