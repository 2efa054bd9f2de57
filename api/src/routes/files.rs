//! Stored files for uploaders, found by slug, tag or name.

use axum::Json;
use axum::extract::{self, Path};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use edge::{FileFacts, FileMetadata, FileOwner, Paging, Params, UploadError};
use read_model::queries::{self, File, FileKey, FilePlace, RunFile};
use schemas::{EnvironmentId, ProjectId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::State;
use crate::contents::{self, Content};
use crate::download::{Download, Extent, content_type};
use crate::error::Error;
use crate::view::{UploaderView, View};

/// A page of files, without their contents.
#[derive(Serialize, ToSchema)]
struct Files {
    data: Vec<FileFacts>,
    pagination: edge::Pagination,
}

/// The JSON before and after a file with its contents.
const AROUND: (&str, &str) = ("{\"data\":", "}");

/// Describes a file as answers do.
pub(super) fn facts(file: File, place: FilePlace) -> FileFacts {
    let owner = match file.environment_slug {
        Some(slug) => FileOwner::Environment(slug),
        None => FileOwner::Project(place.account, place.project),
    };
    let metadata = FileMetadata {
        kind: file.kind,
        size: u64::try_from(file.size).unwrap_or_default(),
        sha256: file.sha256.to_string(),
    };
    FileFacts::new(file.slug, file.filename, file.tag, owner, file.inserted_at, metadata)
}

/// Show a file with its contents, or list the files
///
/// If several files have the tag or name, the newest is shown. `contents` holds a JSON file as JSON and a text as a string; for any other
/// file it is null, and `path` is where to download it. Without `slug`, `tag` and `filename`, the environment's files are listed, newest
/// first.
#[utoipa::path(
    get, path = "/environments/{slug}/files", tag = "Files", operation_id = "Show a file",
    params(
        ("slug" = String, Path, description = "The environment's slug. A file's slug is given as a query parameter `slug`, which takes precedence over `tag` and `filename`"),
        ("tag" = Option<String>, Query, description = "The tag of the file"),
        ("filename" = Option<String>, Query, description = "The name of the file"),
        ("limit" = Option<i64>, Query, description = "For lists: the number of files to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "For lists: the number of files to skip"),
    ),
    responses(
        (status = 200, description = "The file", body = Object),
        (status = 404, description = "The file or environment does not exist"),
        (status = 422, description = "`slug`, `tag` or `filename` is given but empty"),
    )
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    UploaderView(mut view): UploaderView,
    Path(environment): Path<String>,
    params: Params,
) -> Result<Response, UploadError> {
    let place = place_of(&mut view, &environment)
        .await?
        .ok_or_else(UploadError::no_place)?;
    let Some(key) = key_in(&params)? else {
        return list(view, place, &params).await.map_err(UploadError::from);
    };
    let mut file = find(&mut view, place, key).await?;
    if let (None, FileKey::Filename(name)) = (&file, key) {
        // Some clients do not encode the name.
        file = find(&mut view, place, FileKey::Filename(&name.replace(' ', "+"))).await?;
    }
    let file = file.ok_or_else(UploadError::no_file)?;
    // The database connection is released before the file is read.
    let account = view.account();
    drop(view);
    Ok(contents::answer(&state, content_of(account, &file), &facts(file, place), AROUND).await?)
}

/// Reads which file the client asks for, by the first of `slug`, `tag` and `filename` that is given; none if it asks for a list.
fn key_in(params: &Params) -> Result<Option<FileKey<'_>>, UploadError> {
    const NAMES: [&str; 3] = ["slug", "tag", "filename"];
    let given = NAMES.into_iter().find_map(|name| Some((name, params.text(name)?)));
    match given {
        Some(("slug", slug)) => {
            let slug = slug.parse().map_err(|_| UploadError::no_file())?;
            Ok(Some(FileKey::Slug(slug)))
        }
        Some(("tag", tag)) => Ok(Some(FileKey::Tag(tag))),
        Some((_, name)) => Ok(Some(FileKey::Filename(name))),
        // An unset variable in a client's script must not turn the request into a list.
        None => match NAMES
            .into_iter()
            .find(|name| params.pairs().any(|(given, _)| given == *name))
        {
            Some(name) => Err(UploadError::unprocessable(name, "can't be blank")),
            None => Ok(None),
        },
    }
}

/// Download a file
#[utoipa::path(
    get, path = "/environments/{slug}/files/{file}/download", tag = "Files", operation_id = "Download a file",
    params(
        ("slug" = String, Path, description = "The environment's slug"),
        ("file" = String, Path, description = "The file's slug"),
    ),
    responses(
        (status = 200, description = "The bytes as they were uploaded", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "Not modified: `If-None-Match` lists the current `ETag`"),
        (status = 404, description = "The file or environment does not exist"),
    )
)]
pub(crate) async fn download(
    extract::State(state): extract::State<State>,
    UploaderView(mut view): UploaderView,
    Path((environment, slug)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, UploadError> {
    let place = place_of(&mut view, &environment)
        .await?
        .ok_or_else(UploadError::no_place)?;
    let slug = slug.parse().map_err(|_| UploadError::no_file())?;
    let file = find(&mut view, place, FileKey::Slug(slug)).await?;
    let file = file.ok_or_else(UploadError::no_file)?;
    let account = view.account();
    drop(view);
    Ok(bytes_of(account, &file).send(&state, &headers).await?)
}

async fn list(mut view: View, place: FilePlace, params: &Params) -> Result<Response, Error> {
    let (data, pagination) = page(&mut view, place, params).await?;
    Ok(Json(Files { data, pagination }).into_response())
}

/// Returns a page of the files of an environment or project.
pub(super) async fn page(
    view: &mut View,
    place: FilePlace,
    params: &Params,
) -> Result<(Vec<FileFacts>, edge::Pagination), Error> {
    let paging = Paging::read(params)?;
    let (files, total_count) = queries::files(view.connection(), place, paging.limit, paging.offset).await?;
    let data: Vec<_> = files.into_iter().map(|file| facts(file, place)).collect();
    let count = data.len();
    Ok((data, edge::Pagination { count, total_count }))
}

/// Returns the environment with this slug or id, as the place of its files; none if the token sees no such environment.
async fn place_of(view: &mut View, environment: &str) -> Result<Option<FilePlace>, Error> {
    let account = view.account();
    let found = directory::queries::environment_named(view.connection(), account, environment).await?;
    Ok(found.map(|found| FilePlace {
        account,
        project: ProjectId(found.project_id),
        environment: Some(EnvironmentId(found.id)),
    }))
}

pub(super) async fn find(view: &mut View, place: FilePlace, key: FileKey<'_>) -> Result<Option<File>, Error> {
    Ok(queries::file(view.connection(), place, key).await?)
}

fn content_of(account: schemas::AccountId, file: &File) -> Content {
    Content {
        account,
        file: RunFile {
            sha256: file.sha256,
            size: file.size,
        },
        filename: file.filename.clone(),
        extent: Extent::Whole,
    }
}

/// Prepares the download of a file as it was uploaded.
pub(super) fn bytes_of(account: schemas::AccountId, file: &File) -> Download {
    Download {
        account,
        file: RunFile {
            sha256: file.sha256,
            size: file.size,
        },
        extent: Extent::Whole,
        content_type: content_type(&file.filename),
    }
}
