//! The routes `/environments/{slug}/files`, which find a file by its slug or tag.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use directory::{Access, EnvironmentEntry};
use edge::{UPLOAD_PREFIX, UploadError};
use read_model::queries::files::FileKey;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::naming::{FileNaming, NewFileParams, tag_of};
use super::{Answer, Described, NewFile, NewFiles, answer, named_file, of_environment, plain_name, read_form};
use crate::Ingest;
use crate::body::ClientBody;
use crate::form::{self, Form, FormFile};
use crate::parameters::Parameters;
use crate::spool::Expected;

/// The largest body of a request to delete files, in bytes.
const MAX_DELETE_BODY: usize = 64 << 10;

/// The form that stores files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the form is read as a stream")]
struct FilesForm {
    /// Any file. Several files are sent as `files[0][file]`, `files[0][tag]`, `files[1][file]`, … and are stored together or not at all.
    #[schema(value_type = String, format = Binary)]
    file: String,
    /// The tag to find the file by. If several files have the same tag, the newest one is found.
    tag: String,
}

/// The form that replaces a file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the form is read as a stream")]
struct NewVersionForm {
    /// Any file.
    #[schema(value_type = String, format = Binary)]
    file: String,
    /// The slug of the file to replace.
    #[schema(example = "")]
    slug: Option<String>,
    /// The tag of the file to replace, instead of its slug.
    #[schema(example = "")]
    tag: Option<String>,
}

/// Store files
///
/// The answer is sent once the files are stored durably. Artifacts of dbt are shown with the DAG run whose id and `-` their tag begins with.
#[utoipa::path(
    post, path = "/environments/{slug}/files", tag = "Files", operation_id = "store_files",
    params(("slug" = String, Path, description = "The environment's slug"), NewFileParams),
    request_body(content = FilesForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Stored durably", body = Answer<Described>),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads to this environment"),
        (status = 404, description = "The environment does not exist"),
        (status = 413, description = "A file is too large"),
        (status = 422, description = "A field is missing or wrong, or a file named `manifest.json` is not JSON"),
        (status = 503, description = "The storage is unavailable; nothing was stored"),
    ),
    security(("token" = []))
)]
pub(crate) async fn post(State(ingest): State<Ingest>, Path(slug): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = ClientBody::new(body, form::largest(&ingest.settings));
    answer(create(&ingest, &slug, &head, &body).await, &head, body).await
}

async fn create(ingest: &Ingest, slug: &str, head: &Parts, body: &ClientBody) -> Result<Response, UploadError> {
    let (access, entry) = enter(ingest, head, slug).await?;
    let received = read_form(ingest, head, body).await?;
    let is_batch = received.files.iter().any(|file| file.part != "file");
    let params: NewFileParams = received.parameters.read()?;
    let mut files = Vec::with_capacity(received.files.len());
    for file in received.files {
        let tag = tag_of(&file, &params, &received.parameters)?;
        files.push(new_file(ingest.new_slug(), Some(tag), file)?);
    }
    let new = NewFiles {
        files,
        after: None,
        turn: received.turn,
    };
    let mut stored = ingest.store_files(&access, of_environment(&entry), slug, new).await?;
    match stored.pop() {
        Some(data) if !is_batch => {
            let location = format!("{UPLOAD_PREFIX}/environments/{slug}/files?slug={}", data.facts.slug);
            Ok((StatusCode::CREATED, [(LOCATION, location)], Json(Answer { data })).into_response())
        }
        last => {
            stored.extend(last);
            Ok((StatusCode::CREATED, Json(Answer { data: stored })).into_response())
        }
    }
}

/// Replace a file
///
/// The new version keeps the slug.
#[utoipa::path(
    put, path = "/environments/{slug}/files", tag = "Files", operation_id = "replace_file",
    params(("slug" = String, Path, description = "The environment's slug"), FileNaming),
    request_body(content = NewVersionForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Stored durably", body = Answer<Described>),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads to this environment"),
        (status = 404, description = "The file or the environment does not exist"),
        (status = 413, description = "The file is too large"),
        (status = 422, description = "A field is missing or wrong, or a file named `manifest.json` is not JSON"),
        (status = 503, description = "The storage is unavailable; nothing was stored"),
    ),
    security(("token" = []))
)]
pub(crate) async fn put(State(ingest): State<Ingest>, Path(slug): Path<String>, request: Request) -> Response {
    replace(&ingest, slug, request).await
}

/// Replace a file
///
/// The same as `PUT`.
#[utoipa::path(
    patch, path = "/environments/{slug}/files", tag = "Files", operation_id = "replace_file_by_patch",
    params(("slug" = String, Path, description = "The environment's slug"), FileNaming),
    request_body(content = NewVersionForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Stored durably", body = Answer<Described>),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads to this environment"),
        (status = 404, description = "The file or the environment does not exist"),
        (status = 413, description = "The file is too large"),
        (status = 422, description = "A field is missing or wrong, or a file named `manifest.json` is not JSON"),
        (status = 503, description = "The storage is unavailable; nothing was stored"),
    ),
    security(("token" = []))
)]
pub(crate) async fn patch(State(ingest): State<Ingest>, Path(slug): Path<String>, request: Request) -> Response {
    replace(&ingest, slug, request).await
}

async fn replace(ingest: &Ingest, environment: String, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = ClientBody::new(body, form::largest(&ingest.settings));
    answer(put_version(ingest, &environment, &head, &body).await, &head, body).await
}

async fn put_version(
    ingest: &Ingest,
    environment: &str,
    head: &Parts,
    body: &ClientBody,
) -> Result<Response, UploadError> {
    let (access, entry) = enter(ingest, head, environment).await?;
    let mut received = read_form(ingest, head, body).await?;
    let count = received.files.len();
    let file = received.files.pop().filter(|_| count == 1);
    let file = file.ok_or_else(|| form::not_one_file(count))?;
    let naming: FileNaming = received.parameters.read()?;
    let key = naming.key()?;
    let (new, after) = match ingest.file(of_environment(&entry), key).await {
        Ok(Some(found)) => (new_file(found.slug, found.tag, file)?, Some(found.inserted_at)),
        Ok(None) => return Err(UploadError::no_file()),
        // While PostgreSQL is down, the file is stored anyway: under the given slug, or as the newest file with its tag.
        Err(error) => {
            tracing::warn!(%error, "cannot look up the file to replace; storing the new one anyway");
            let slug = match key {
                FileKey::Slug(slug) => slug,
                FileKey::Tag(_) | FileKey::Filename(_) => ingest.new_slug(),
            };
            (new_file(slug, naming.tag.clone(), file)?, None)
        }
    };
    let new = NewFiles {
        files: vec![new],
        after,
        turn: received.turn,
    };
    let mut stored = ingest
        .store_files(&access, of_environment(&entry), environment, new)
        .await?;
    let data = stored.pop();
    Ok(Json(Answer { data }).into_response())
}

/// Delete files
///
/// Deletes the file with the given slug, or all files with the given tag. Either may be sent in the query, as a form, or as JSON.
#[utoipa::path(
    delete, path = "/environments/{slug}/files", tag = "Files", operation_id = "delete_files",
    params(("slug" = String, Path, description = "The environment's slug"), FileNaming),
    request_body(
        content((FileNaming = "application/json"), (FileNaming = "application/x-www-form-urlencoded")),
        description = "Instead of the query",
    ),
    responses(
        (status = 200, description = "The files are deleted"),
        (status = 400, description = "The body is not a JSON object"),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads to this environment"),
        (status = 404, description = "The file does not exist"),
        (status = 422, description = "Neither slug nor tag is given"),
        (status = 503, description = "The database or the storage is unavailable"),
    ),
    security(("token" = []))
)]
pub(crate) async fn delete(
    State(ingest): State<Ingest>,
    Path(environment): Path<String>,
    request: Request,
) -> Result<StatusCode, UploadError> {
    let (head, body) = request.into_parts();
    let body = ClientBody::new(body, MAX_DELETE_BODY as u64);
    let deleted = delete_named(&ingest, &environment, &head, &body).await;
    if deleted.is_err() {
        body.drain().await;
    }
    deleted
}

async fn delete_named(
    ingest: &Ingest,
    environment: &str,
    head: &Parts,
    body: &ClientBody,
) -> Result<StatusCode, UploadError> {
    let (access, entry) = enter(ingest, head, environment).await?;
    let query = Parameters::of_query(head.uri.query().unwrap_or_default().as_bytes())?;
    let in_body = if is_multipart(&head.headers) {
        Form::read(head, body, &ingest.settings, Expected::AnyFile)
            .await?
            .parameters
    } else {
        let body = to_bytes(body.chunks(), MAX_DELETE_BODY);
        let body = tokio::time::timeout(ingest.settings.idle_timeout, body).await;
        let body = body.map_err(|_| UploadError::timeout())?;
        parameters_in(&body.map_err(|error| UploadError::bad_request(format!("the body cannot be read: {error}")))?)?
    };
    let naming: FileNaming = in_body.or(query).read()?;
    let deleted = ingest
        .delete_files(&access, of_environment(&entry), naming.key()?)
        .await?;
    deleted.ok_or_else(UploadError::no_file)?;
    Ok(StatusCode::OK)
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.starts_with("multipart/"))
}

/// Reads the parameters in a body, either JSON or URL-encoded. The content type is ignored, because clients do not always send the right one.
fn parameters_in(body: &[u8]) -> Result<Parameters, UploadError> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Ok(Parameters::of_query(body)?);
    }
    let object: serde_json::Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| UploadError::bad_request(format!("invalid body: expected a JSON object: {error}")))?;
    let mut parameters = Parameters::default();
    for (name, value) in object {
        match value {
            Value::String(text) => parameters.set(&name, text.as_bytes())?,
            Value::Null => {}
            other if name == "tag" || name == "slug" => {
                let beginning: String = other.to_string().chars().take(100).collect();
                let rule = format!("expected a string, got `{beginning}`");
                return Err(UploadError::unprocessable(name, rule));
            }
            _ => {}
        }
    }
    Ok(parameters)
}

fn new_file(slug: Uuid, tag: Option<String>, file: FormFile) -> Result<NewFile, UploadError> {
    let filename = plain_name(file.filename.as_deref(), "file")?;
    Ok(NewFile {
        slug,
        tag,
        file: named_file(filename, file)?,
    })
}

/// Authenticates a request and finds the environment of its path.
async fn enter(ingest: &Ingest, head: &Parts, slug: &str) -> Result<(Access, EnvironmentEntry), UploadError> {
    let access = ingest.authenticate(head).await?;
    let entry = ingest.find_environment(&access, Some(slug)).await?;
    Ok((access, entry.ok_or_else(UploadError::no_environment)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming_in(body: &str) -> FileNaming {
        parameters_in(body.as_bytes()).unwrap().read().unwrap()
    }

    #[test]
    fn a_file_may_be_named_in_json_or_in_a_form() {
        for body in [r#"{"tag": "a b", "n": 1}"#, "tag=a+b", "n=1&tag=a%20b"] {
            let naming = naming_in(body);
            assert_eq!(naming.key().unwrap(), FileKey::Tag("a b"), "{body}");
        }
        for body in [r#"{"tag": 1}"#, r#"{"tag": ["x"]}"#, r#"{"tag": "x""#] {
            assert!(parameters_in(body.as_bytes()).is_err(), "{body}");
        }
        for body in ["", r#"{"tag": null}"#, "slug=nowhere&tag=x"] {
            assert!(naming_in(body).key().is_err(), "{body}");
        }
    }
}
