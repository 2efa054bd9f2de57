//! `/environments/{slug}/files`: a file by its slug or tag.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use directory::{Access, Place};
use edge::{Params, UploadError};
use read_model::queries::FileKey;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, Described, NewFile, NewFiles, answer, named_file, of_environment, plain_name, read_form, tag_of};
use crate::Ingest;
use crate::body::ClientBody;
use crate::form::{self, Form, FormFile};
use crate::manifests::find_place;
use crate::parameters::Parameters;
use crate::spool::Due;

/// The most bytes of a body that names a file to be deleted.
const MAX_DELETE_BODY: usize = 64 << 10;

/// The form that stores files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the form is read as a stream")]
struct FilesForm {
    /// Any file. Several are sent as `files[0][file]`, `files[0][tag]`, `files[1][file]`, … and are stored all or not at all.
    #[schema(value_type = String, format = Binary)]
    file: String,
    /// What it is found by. The same may be used again: the newest file is found.
    tag: String,
}

/// What names the files to be deleted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: JSON and forms are read alike")]
struct FileNaming {
    /// Of one file.
    slug: Option<Uuid>,
    /// Of all files that have it.
    tag: Option<String>,
}

/// The form that puts a file in the place of another.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the form is read as a stream")]
struct NewVersionForm {
    /// Any file.
    #[schema(value_type = String, format = Binary)]
    file: String,
    /// Of the file to be replaced.
    #[schema(example = "")]
    slug: Option<String>,
    /// Of the file to be replaced, in place of its slug.
    #[schema(example = "")]
    tag: Option<String>,
}

/// Store files
///
/// Answered when they are stored durably. Artifacts of dbt among them are shown with their runs: a tag that begins with the id of a DAG run
/// and `-` says which.
#[utoipa::path(
    post, path = "/environments/{slug}/files", tag = "Files",
    params(("slug" = String, Path, description = "The environment's")),
    request_body(content = FilesForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Stored durably", body = Answer<Described>),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads, or not to this environment"),
        (status = 404, description = "There is no such environment"),
        (status = 413, description = "A file is too large"),
        (status = 422, description = "A field is missing or wrong, or a file is called `manifest.json` and is not JSON"),
        (status = 503, description = "The storage is away; nothing was kept"),
    ),
    security(("token" = []))
)]
pub(crate) async fn post(State(ingest): State<Ingest>, Path(slug): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = ClientBody::new(body, form::largest(&ingest.settings));
    answer(create(&ingest, &slug, &head, &body).await, body).await
}

async fn create(ingest: &Ingest, slug: &str, head: &Parts, body: &ClientBody) -> Result<Response, UploadError> {
    let (access, place) = enter(ingest, head, slug).await?;
    let brought = read_form(ingest, head, body).await?;
    let is_batch = brought.files.iter().any(|file| file.part != "file");
    let mut files = Vec::with_capacity(brought.files.len());
    for file in brought.files {
        let tag = tag_of(&file, &brought.parameters)?;
        files.push(new_file(ingest.new_slug(), Some(tag), file)?);
    }
    let new = NewFiles {
        files,
        after: None,
        turn: brought.turn,
    };
    let mut stored = ingest.store_files(&access, of_environment(&place), slug, new).await?;
    match stored.pop() {
        Some(data) if !is_batch => {
            let location = format!("/api/v2/datacoves/environments/{slug}/files?slug={}", data.facts.slug);
            Ok((StatusCode::CREATED, [(LOCATION, location)], Json(Answer { data })).into_response())
        }
        last => {
            stored.extend(last);
            Ok((StatusCode::CREATED, Json(Answer { data: stored })).into_response())
        }
    }
}

/// Put a file in the place of another
///
/// The file keeps its slug.
#[utoipa::path(
    put, path = "/environments/{slug}/files", tag = "Files",
    params(("slug" = String, Path, description = "The environment's")),
    request_body(content = NewVersionForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Stored durably", body = Answer<Described>),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads, or not to this environment"),
        (status = 404, description = "There is no such file or environment"),
        (status = 413, description = "The file is too large"),
        (status = 422, description = "A field is missing or wrong, or a file is called `manifest.json` and is not JSON"),
        (status = 503, description = "The storage is away; nothing was kept"),
    ),
    security(("token" = []))
)]
pub(crate) async fn put(State(ingest): State<Ingest>, Path(slug): Path<String>, request: Request) -> Response {
    replace(&ingest, slug, request).await
}

/// Put a file in the place of another
///
/// As `PUT`.
#[utoipa::path(
    patch, path = "/environments/{slug}/files", tag = "Files",
    params(("slug" = String, Path, description = "The environment's")),
    request_body(content = NewVersionForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Stored durably", body = Answer<Described>),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads, or not to this environment"),
        (status = 404, description = "There is no such file or environment"),
        (status = 413, description = "The file is too large"),
        (status = 422, description = "A field is missing or wrong, or a file is called `manifest.json` and is not JSON"),
        (status = 503, description = "The storage is away; nothing was kept"),
    ),
    security(("token" = []))
)]
pub(crate) async fn patch(State(ingest): State<Ingest>, Path(slug): Path<String>, request: Request) -> Response {
    replace(&ingest, slug, request).await
}

async fn replace(ingest: &Ingest, environment: String, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = ClientBody::new(body, form::largest(&ingest.settings));
    answer(put_version(ingest, &environment, &head, &body).await, body).await
}

async fn put_version(
    ingest: &Ingest,
    environment: &str,
    head: &Parts,
    body: &ClientBody,
) -> Result<Response, UploadError> {
    let (access, place) = enter(ingest, head, environment).await?;
    let mut brought = read_form(ingest, head, body).await?;
    let file = brought.files.pop().filter(|_| brought.files.is_empty());
    let file = file.ok_or_else(|| UploadError::unprocessable("file", "one file is due"))?;
    let key = key_in(&brought.parameters)?;
    let (new, after) = match ingest.file(of_environment(&place), key).await {
        Ok(Some(found)) => (new_file(found.slug, found.tag, file)?, Some(found.inserted_at)),
        Ok(None) => return Err(UploadError::no_file()),
        // What comes while PostgreSQL is away is kept: under the slug that was said, or as the newest of its tag.
        Err(error) => {
            tracing::warn!(%error, "whether there is a file to be replaced is not known; it is stored");
            let slug = match key {
                FileKey::Slug(slug) => slug,
                FileKey::Tag(_) | FileKey::Filename(_) => ingest.new_slug(),
            };
            (new_file(slug, brought.parameters.text("tag"), file)?, None)
        }
    };
    let new = NewFiles {
        files: vec![new],
        after,
        turn: brought.turn,
    };
    let mut stored = ingest
        .store_files(&access, of_environment(&place), environment, new)
        .await?;
    let data = stored.pop();
    Ok(Json(Answer { data }).into_response())
}

/// Delete a file
///
/// All files of that tag, or the one of that slug; said in the query, as a form, or as JSON.
#[utoipa::path(
    delete, path = "/environments/{slug}/files", tag = "Files",
    params(
        ("slug" = String, Path, description = "The environment's; the file's own is said in the query or the body, before the tag"),
        ("tag" = Option<String>, Query, description = "Of the files"),
    ),
    request_body(
        content((FileNaming = "application/json"), (FileNaming = "application/x-www-form-urlencoded")),
        description = "In place of the query",
    ),
    responses(
        (status = 200, description = "It is gone"),
        (status = 400, description = "The body is no JSON"),
        (status = 401, description = "The token is missing, unknown or deleted"),
        (status = 403, description = "The token does not allow uploads, or not to this environment"),
        (status = 404, description = "There is no such file"),
        (status = 422, description = "Neither slug nor tag is said"),
        (status = 503, description = "The database or the storage is away"),
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
    let deleted = delete_said(&ingest, &environment, &head, &body).await;
    if deleted.is_err() {
        body.drain().await;
    }
    deleted
}

async fn delete_said(
    ingest: &Ingest,
    environment: &str,
    head: &Parts,
    body: &ClientBody,
) -> Result<StatusCode, UploadError> {
    let (access, place) = enter(ingest, head, environment).await?;
    let query = Parameters::of_query(&Params::read(head.uri.query().unwrap_or_default()))?;
    let said = if is_multipart(&head.headers) {
        Form::read(head, body, &ingest.settings, Due::AnyFile).await?.parameters
    } else {
        let body = to_bytes(body.chunks(), MAX_DELETE_BODY);
        let body = tokio::time::timeout(ingest.settings.idle_timeout, body).await;
        let body = body.map_err(|_| UploadError::timeout())?;
        parameters_in(&body.map_err(|error| UploadError::bad_request(format!("the body cannot be read: {error}")))?)?
    };
    let parameters = said.or(query);
    let deleted = ingest
        .delete_files(&access, of_environment(&place), key_in(&parameters)?)
        .await?;
    deleted.ok_or_else(UploadError::no_file)?;
    Ok(StatusCode::OK)
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.starts_with("multipart/"))
}

/// What a body that is JSON, or a form as browsers encode it, says. Clients do not always name the right type.
fn parameters_in(body: &[u8]) -> Result<Parameters, UploadError> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Ok(Parameters::of_query(&Params::read(&String::from_utf8_lossy(body)))?);
    }
    let object: serde_json::Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| UploadError::bad_request(format!("the body is no JSON object: {error}")))?;
    let mut parameters = Parameters::default();
    for (name, value) in object {
        match value {
            Value::String(text) => parameters.set(&name, text.as_bytes())?,
            Value::Null => {}
            _ if name == "tag" || name == "slug" => return Err(UploadError::unprocessable(name, "is not a text")),
            _ => {}
        }
    }
    Ok(parameters)
}

/// The file that is meant.
fn key_in(parameters: &Parameters) -> Result<FileKey<'_>, UploadError> {
    match (parameters.get("slug"), parameters.get("tag")) {
        (Some(slug), _) => {
            let slug: Uuid = slug.parse().map_err(|_| UploadError::no_file())?;
            Ok(FileKey::Slug(slug))
        }
        (None, Some(tag)) => Ok(FileKey::Tag(tag)),
        (None, None) => Err(UploadError::unprocessable(
            "slug",
            "can't be blank: say `slug` or `tag`",
        )),
    }
}

fn new_file(slug: Uuid, tag: Option<String>, file: FormFile) -> Result<NewFile, UploadError> {
    let filename = plain_name(file.filename.as_deref(), "file")?;
    Ok(NewFile {
        slug,
        tag,
        file: named_file(filename, file)?,
    })
}

/// The bearer of the request's key, and the environment of the path.
async fn enter(ingest: &Ingest, head: &Parts, slug: &str) -> Result<(Access, Place), UploadError> {
    let access = ingest.authenticate(head).await?;
    let place = find_place(ingest, &access, Some(slug)).await?;
    Ok((access, place.ok_or_else(UploadError::no_place)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_in_json_and_in_forms() {
        for body in [r#"{"tag": "a b", "n": 1}"#, "tag=a+b", "n=1&tag=a%20b"] {
            let parameters = parameters_in(body.as_bytes()).unwrap();
            assert_eq!(key_in(&parameters).unwrap(), FileKey::Tag("a b"), "{body}");
        }
        for body in [r#"{"tag": 1}"#, r#"{"tag": ["x"]}"#, r#"{"tag": "x""#] {
            assert!(parameters_in(body.as_bytes()).is_err(), "{body}");
        }
        assert!(key_in(&parameters_in(b"").unwrap()).is_err());
        assert!(key_in(&parameters_in(br#"{"tag": null}"#).unwrap()).is_err());
        assert!(key_in(&parameters_in(b"slug=nowhere&tag=x").unwrap()).is_err());
    }
}
