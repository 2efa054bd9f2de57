//! Files that clients stored, for those who upload: by slug, tag or name.

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

/// What an answer with contents has around the file.
const AROUND: (&str, &str) = ("{\"data\":", "}");

/// What is answered of a file.
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
/// Of several files with one tag or name the newest is shown. `contents` of a JSON file is its value, of a text a string, and of anything
/// else null: `path` is where its bytes are. Without slug, tag and filename it lists the environment's files, the newest first.
#[utoipa::path(
    get, path = "/environments/{slug}/files", tag = "Files", operation_id = "Show a file",
    params(
        ("slug" = String, Path, description = "The environment's; the file's own slug is said in the query, before all others"),
        ("tag" = Option<String>, Query, description = "Of the file"),
        ("filename" = Option<String>, Query, description = "Of the file"),
        ("limit" = Option<i64>, Query, description = "Of a list: at most 100"),
        ("offset" = Option<i64>, Query, description = "Of a list: how many to pass over"),
    ),
    responses(
        (status = 200, description = "The file", body = Object),
        (status = 404, description = "There is no such file or environment"),
        (status = 422, description = "What names the file is blank"),
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
    // A connection of the database is not held while the file is read.
    let account = view.account();
    drop(view);
    Ok(contents::answer(&state, content_of(account, &file), &facts(file, place), AROUND).await?)
}

/// The file that is meant: by the first of slug, tag and filename that is said. None: none is said.
fn key_in(params: &Params) -> Result<Option<FileKey<'_>>, UploadError> {
    const NAMES: [&str; 3] = ["slug", "tag", "filename"];
    let said = NAMES.into_iter().find_map(|name| Some((name, params.text(name)?)));
    match said {
        Some(("slug", slug)) => {
            let slug = slug.parse().map_err(|_| UploadError::no_file())?;
            Ok(Some(FileKey::Slug(slug)))
        }
        Some(("tag", tag)) => Ok(Some(FileKey::Tag(tag))),
        Some((_, name)) => Ok(Some(FileKey::Filename(name))),
        // A variable of a script that is not set does not ask for a list.
        None => match NAMES
            .into_iter()
            .find(|name| params.pairs().any(|(said, _)| said == *name))
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
        ("slug" = String, Path, description = "The environment's"),
        ("file" = String, Path, description = "The file's own slug"),
    ),
    responses(
        (status = 200, description = "Its bytes as they were uploaded", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
        (status = 404, description = "There is no such file or environment"),
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

/// A page of the files of a place.
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

/// The files of an environment of this slug or number; none: there is no such environment that the token sees.
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

/// The file as it was uploaded.
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
