//! `POST /manifests`: uploads an artifact of dbt, with the environment and the run that it belongs to.

use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use directory::{Access, EnvironmentEntry};
use edge::UploadError;
use schemas::{ArtifactsUploaded, UploadRoute};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Ingest;
use crate::body::ClientBody;
use crate::form::{self, Form};
use crate::parameters::Parameters;
use crate::spool::{Expected, Spooled};
use crate::store::{NamedFile, Upload, to_the_end};
use crate::upload_metrics;

/// The form of an upload. All fields except the file may be sent in the query instead. The empty examples keep Swagger UI from filling
/// in "string" for fields that a person does not touch.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the form is read as a stream")]
struct ManifestForm {
    /// An artifact of dbt, such as `target/manifest.json`. Its kind is detected from its content.
    #[schema(value_type = String, format = Binary)]
    file: String,
    /// The environment in which dbt ran. Optional if the token is bound to one environment.
    #[schema(example = "")]
    environment_slug: Option<String>,
    /// The id of the Airflow DAG.
    #[schema(example = "")]
    dag_id: Option<String>,
    /// Airflow's id of the DAG run.
    #[schema(example = "")]
    run_id: Option<String>,
    /// A name for the upload.
    #[schema(example = "")]
    tag: Option<String>,
}

/// The parameters of an upload, from the form or else from the query.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ManifestParams {
    /// The same as in the form, which takes precedence.
    environment_slug: Option<String>,
    /// The same as in the form, which takes precedence.
    dag_id: Option<String>,
    /// The same as in the form, which takes precedence.
    run_id: Option<String>,
    /// The same as in the form, which takes precedence.
    tag: Option<String>,
}

/// The answer to an accepted upload.
#[derive(Serialize, ToSchema)]
struct Answer {
    /// The upload.
    data: Accepted,
}

/// A stored upload.
#[derive(Serialize, ToSchema)]
struct Accepted {
    /// The id of the upload's event.
    event_id: Uuid,
    /// `manifest`, `run_results`, `catalog`, `sources` or `semantic_manifest`.
    kind: &'static str,
    /// The name that the artifact is stored under, such as `manifest.json`.
    name: String,
    /// The SHA-256 of the uploaded bytes, in hexadecimal.
    sha256: String,
    /// The size in bytes as uploaded.
    size: u64,
    /// The number of the environment.
    environment_id: i64,
    /// The slug that the client sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_slug: Option<String>,
    /// The DAG id that the client sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    dag_id: Option<String>,
    /// The run id that the client sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    /// The tag that the client sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

/// Upload an artifact of dbt
///
/// The answer is sent once the artifact is stored durably. Its contents appear in the API moments later. The same artifact may be sent
/// again.
#[utoipa::path(
    post,
    path = "/manifests",
    tag = "Uploads",
    operation_id = "upload_manifest",
    request_body(content = ManifestForm, content_type = "multipart/form-data"),
    params(ManifestParams),
    responses(
        (status = 201, description = "Stored durably", body = Answer),
        (status = 400, description = "The form is broken"),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads to this environment"),
        (status = 408, description = "The upload stalled"),
        (status = 413, description = "The file is too large"),
        (status = 422, description = "A field is missing or wrong, or the file is not an artifact of dbt"),
        (status = 503, description = "The storage is unavailable; nothing was stored"),
    ),
    security(("token" = []))
)]
pub(crate) async fn post_manifest(State(ingest): State<Ingest>, request: Request) -> Response {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let body = ClientBody::new(body, form::largest(&ingest.settings));
    let result = accept(&ingest, &head, &body).await;
    let (kind, status) = match &result {
        Ok(accepted) => (accepted.kind, StatusCode::CREATED),
        Err(error) => (upload_metrics::NONE, error.status()),
    };
    upload_metrics::count(kind, status);
    metrics::histogram!("dbt_api_upload_seconds", "kind" => kind).record(begun.elapsed());
    match result {
        Ok(data) => {
            metrics::counter!("dbt_api_upload_bytes_total", "kind" => kind).increment(data.size);
            (status, Json(Answer { data })).into_response()
        }
        Err(error) => {
            form::discard(&head, body).await;
            error.into_response()
        }
    }
}

async fn accept(ingest: &Ingest, head: &Parts, body: &ClientBody) -> Result<Accepted, UploadError> {
    let access = ingest.authenticate(head).await?;
    let turn = ingest.turns.admit(body, ingest.settings.idle_timeout).await?;
    let query = Parameters::of_query(head.uri.query().unwrap_or_default().as_bytes())?;
    let form = Form::read(head, body, &ingest.settings, Expected::Artifact);
    let form = ingest.turns.unless_slow(body, form).await?;
    let (parameters, file) = form.into_file()?;
    let params: ManifestParams = parameters.or(query).read()?;
    let slug = params.environment_slug.as_deref();
    let entry = ingest.find_environment(&access, slug).await?.ok_or_else(|| {
        let message = format!(
            "`{}` is not an active environment of this account",
            slug.unwrap_or_default()
        );
        UploadError::unprocessable("environment_slug", message)
    })?;
    let ingest = ingest.clone();
    to_the_end(async move {
        let _turn = turn;
        store(&ingest, &access, entry, params, file.spooled).await
    })
    .await
}

async fn store(
    ingest: &Ingest,
    access: &Access,
    entry: EnvironmentEntry,
    params: ManifestParams,
    file: Spooled,
) -> Result<Accepted, UploadError> {
    let kind = file.scanned.kind;
    let file = NamedFile::new(kind.file_name().unwrap_or("file").to_owned(), file);
    let uploaded = file.uploaded.clone();
    let ManifestParams {
        environment_slug,
        dag_id,
        run_id,
        tag,
    } = params;
    let (files, contents) = NamedFile::split(vec![file]);
    let data = ArtifactsUploaded {
        account_id: entry.account_id,
        project_id: entry.project_id,
        environment_id: entry.environment_id,
        dag_id: dag_id.clone(),
        run_id: run_id.clone(),
        tag: tag.clone(),
        route: Some(UploadRoute::Manifests),
        uploader: access.token_id,
        files,
    };
    let upload = Upload {
        event_id: None,
        after: None,
        data: data.into(),
        contents,
    };
    Ok(Accepted {
        event_id: ingest.store(upload).await?.id.0,
        kind: kind.as_str(),
        name: uploaded.name,
        sha256: uploaded.sha256.to_string(),
        size: uploaded.size,
        environment_id: entry.environment_id.0,
        environment_slug,
        dag_id,
        run_id,
        tag,
    })
}
