//! Files that clients stored, for clients that upload: by slug, tag or name.

use axum::Json;
use axum::extract::{self, Path};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use edge::{FileFacts, FileMetadata, FileOwner, Given, UploadError, UploadQuery};
use read_model::queries;
use read_model::queries::artifacts::RunFile;
use read_model::queries::files::{File, FileKey, FileScope};
use read_model::queries::page::Paging;
use schemas::{EnvironmentId, ProjectId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::contents::{self, Content};
use crate::download::{Download, Extent, content_type};
use crate::error::Error;
use crate::listing::{PageOnly, Pagination};
use crate::resources::file::Files;
use crate::state::State;
use crate::view::{UploaderView, View};

/// The JSON before and after the file in an answer with its contents.
const AROUND: (&str, &str) = ("{\"data\":", "}");

/// What an answer says about a file.
pub(super) fn facts(file: File, scope: FileScope) -> FileFacts {
    let owner = match file.environment_slug {
        Some(slug) => FileOwner::Environment(slug),
        None => FileOwner::Project(scope.account, scope.project),
    };
    let metadata = FileMetadata {
        kind: file.kind,
        size: u64::try_from(file.size).unwrap_or_default(),
        sha256: file.sha256.to_string(),
    };
    FileFacts::new(file.slug, file.filename, file.tag, owner, file.inserted_at, metadata)
}

/// Which file: by the first of these that is given.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileParams {
    /// The file's own slug.
    #[param(value_type = Option<String>)]
    #[serde(default)]
    slug: Given,
    /// The file's tag.
    #[param(value_type = Option<String>)]
    #[serde(default)]
    tag: Given,
    /// The file's name.
    #[param(value_type = Option<String>)]
    #[serde(default)]
    filename: Given,
}

/// Show a file with its contents, or list the files
///
/// If several files have the tag or name, the newest is shown. `contents` is the value of a JSON file, the text of a text file, and null for
/// anything else, whose bytes are at `path`. Without slug, tag and filename it lists the environment's files, the newest first.
#[utoipa::path(
    get, path = "/environments/{slug}/files", tag = "Files", operation_id = "show_file",
    params(("slug" = String, Path, description = "The environment's slug"), FileParams, PageOnly),
    responses(
        (status = 200, description = "The file, or a page of files", body = Object),
        (status = 404, description = "There is no such file or environment"),
        (status = 422, description = "The parameter that names the file is blank"),
    )
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    UploaderView(mut view): UploaderView,
    Path(environment): Path<String>,
    UploadQuery(params): UploadQuery<FileParams>,
    page_only: Result<PageOnly, edge::InvalidParam>,
) -> Result<Response, UploadError> {
    let scope = scope_of(&mut view, &environment)
        .await?
        .ok_or_else(UploadError::no_environment)?;
    let Some(key) = key_in(&params)? else {
        return list(view, scope, page_only?).await.map_err(UploadError::from);
    };
    let mut file = find(&mut view, scope, key).await?;
    if let (None, FileKey::Filename(name)) = (&file, key) {
        // Some clients do not encode the name.
        file = find(&mut view, scope, FileKey::Filename(&name.replace(' ', "+"))).await?;
    }
    let file = file.ok_or_else(UploadError::no_file)?;
    // A connection of the database is not held while the file is read.
    let account = view.account();
    drop(view);
    Ok(contents::answer(&state, content_of(account, &file), &facts(file, scope), AROUND).await?)
}

/// The file that the parameters name; none if they name none.
fn key_in(params: &FileParams) -> Result<Option<FileKey<'_>>, UploadError> {
    if let Given::Text(slug) = &params.slug {
        let slug = slug.parse().map_err(|_| UploadError::no_file())?;
        return Ok(Some(FileKey::Slug(slug)));
    }
    if let Given::Text(tag) = &params.tag {
        return Ok(Some(FileKey::Tag(tag)));
    }
    if let Given::Text(name) = &params.filename {
        return Ok(Some(FileKey::Filename(name)));
    }
    // A script whose variable is not set does not ask for a list.
    let given = [
        ("slug", &params.slug),
        ("tag", &params.tag),
        ("filename", &params.filename),
    ];
    match given.into_iter().find(|(_, given)| **given == Given::Blank) {
        Some((name, _)) => Err(UploadError::unprocessable(name, "can't be blank")),
        None => Ok(None),
    }
}

/// Download a file
#[utoipa::path(
    get, path = "/environments/{slug}/files/{file}/download", tag = "Files", operation_id = "download_file",
    params(
        ("slug" = String, Path, description = "The environment's slug"),
        ("file" = String, Path, description = "The file's own slug"),
    ),
    responses(
        (status = 200, description = "The bytes as they were uploaded", body = Vec<u8>, content_type = "application/octet-stream"),
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
    let scope = scope_of(&mut view, &environment)
        .await?
        .ok_or_else(UploadError::no_environment)?;
    let slug = slug.parse().map_err(|_| UploadError::no_file())?;
    let file = find(&mut view, scope, FileKey::Slug(slug)).await?;
    let file = file.ok_or_else(UploadError::no_file)?;
    let account = view.account();
    drop(view);
    Ok(bytes_of(account, &file).send(&state, &headers).await?)
}

async fn list(mut view: View, scope: FileScope, PageOnly(paging): PageOnly) -> Result<Response, Error> {
    let (data, pagination) = page(&mut view, scope, paging).await?;
    Ok(Json(Files { data, pagination }).into_response())
}

/// A page of the files of a scope.
pub(super) async fn page(
    view: &mut View,
    scope: FileScope,
    paging: Paging,
) -> Result<(Vec<FileFacts>, Pagination), Error> {
    let (files, total_count) = queries::files::files(view.connection(), scope, paging).await?;
    let data: Vec<_> = files.into_iter().map(|file| facts(file, scope)).collect();
    let count = data.len();
    Ok((data, Pagination { count, total_count }))
}

/// Returns the scope of the files of an environment, by its slug or number. Returns `None` if it does not exist or the token does not see it.
async fn scope_of(view: &mut View, environment: &str) -> Result<Option<FileScope>, Error> {
    let account = view.account();
    let found = directory::queries::environment_named(view.connection(), account, environment).await?;
    Ok(found.map(|found| FileScope {
        account,
        project: ProjectId(found.project_id),
        environment: Some(EnvironmentId(found.id)),
    }))
}

pub(super) async fn find(view: &mut View, scope: FileScope, key: FileKey<'_>) -> Result<Option<File>, Error> {
    Ok(queries::files::file(view.connection(), scope, key).await?)
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
