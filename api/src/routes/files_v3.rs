//! Files and manifests in the newer form, under dbt Cloud's v3: by name, in an environment or in a project. Slugs are accepted in scope of
//! v3's ids.

use axum::extract;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use edge::{CloudError, FileFacts, One, Query, one};
use read_model::queries::artifacts::RunFile;
use read_model::queries::files::{FileKey, FileScope};
use read_model::queries::page::Order;
use schemas::{AccountId, EnvironmentId, ProjectId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::deferral::{newest_of, newest_of_project};
use super::files::{bytes_of, facts, find, page};
use super::manifests::extent;
use crate::contents::{self, Content};
use crate::download::Extent;
use crate::error::Error;
use crate::listing::{Choice, Listing, Many, PageOnly, applied, many};
use crate::resources::manifest::AboutManifest;
use crate::state::State;
use crate::view::{FilesView, Ids, View};

/// dbt Cloud's envelope: the JSON before and after the thing.
const AROUND: (&str, &str) = (
    r#"{"status":{"code":200,"is_success":true,"user_message":"Success!","developer_message":""},"data":"#,
    r#","extra":{}}"#,
);

/// How much of which manifest.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ManifestParams {
    /// Only manifests of this dbt project, as `metadata.project_name` names it.
    dbt_project: Option<String>,
    /// `false`: the whole manifest; otherwise `metadata` and `nodes`.
    trim: Option<bool>,
}

/// The field that files are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileOrder {
    InsertedAt,
}

impl Choice for FileOrder {
    const ALL: &'static [(&'static str, Self)] = &[("inserted_at", Self::InsertedAt)];
}

/// List the files of a project
///
/// With those of its environments, the newest first.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/files", tag = "Files", operation_id = "list_files_of_project",
    params(
        ("account_id" = i64, Path), ("project_id" = String, Path, description = "The project's number or slug"),
        PageOnly,
    ),
    responses((status = 200, description = "A page of files", body = Many<FileFacts>))
)]
pub(crate) async fn list_of_project(
    FilesView(mut view): FilesView,
    Ids((account, project)): Ids<(AccountId, String)>,
    page_only: PageOnly,
) -> Result<Many<FileFacts>, Error> {
    let scope = project_scope(&mut view, account, &project).await?;
    listed(view, scope, page_only).await
}

/// List the files of an environment
///
/// The newest first.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files", tag = "Files",
    operation_id = "list_files_of_environment",
    params(
        ("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path, description = "Number or slug"),
        PageOnly,
    ),
    responses((status = 200, description = "A page of files", body = Many<FileFacts>))
)]
pub(crate) async fn list_of_environment(
    FilesView(mut view): FilesView,
    Ids((account, project, environment)): Ids<(AccountId, String, String)>,
    page_only: PageOnly,
) -> Result<Many<FileFacts>, Error> {
    let scope = environment_scope(&mut view, account, &project, &environment).await?;
    listed(view, scope, page_only).await
}

/// Retrieve a file of an environment
///
/// What is known about it, without its contents.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files/{name}", tag = "Files",
    operation_id = "retrieve_file_of_environment",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path), ("name" = String, Path)),
    responses((status = 200, description = "The file", body = One<FileFacts>))
)]
pub(crate) async fn show_of_environment(
    FilesView(mut view): FilesView,
    Ids((account, project, environment, name)): Ids<(AccountId, String, String, String)>,
) -> Result<One<FileFacts>, Error> {
    let scope = environment_scope(&mut view, account, &project, &environment).await?;
    let file = find(&mut view, scope, FileKey::Filename(&name)).await?;
    Ok(one(facts(file.ok_or_else(CloudError::not_found)?, scope)))
}

/// Download a file of an environment
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files/{name}/download", tag = "Files",
    operation_id = "download_file_of_environment",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, description = "The bytes as they were uploaded", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
    )
)]
pub(crate) async fn download_of_environment(
    extract::State(state): extract::State<State>,
    FilesView(mut view): FilesView,
    Ids((account, project, environment, name)): Ids<(AccountId, String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let scope = environment_scope(&mut view, account, &project, &environment).await?;
    download(state, view, scope, &name, &headers).await
}

/// Download a file of a project
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/files/{name}/download", tag = "Files",
    operation_id = "download_file_of_project",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, description = "The bytes as they were uploaded", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client has it: `If-None-Match` names the content"),
    )
)]
pub(crate) async fn download_of_project(
    extract::State(state): extract::State<State>,
    FilesView(mut view): FilesView,
    Ids((account, project, name)): Ids<(AccountId, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let scope = project_scope(&mut view, account, &project).await?;
    download(state, view, scope, &name, &headers).await
}

/// Retrieve an environment's manifest to defer to
///
/// The newest manifest of a successful run, with its contents; if there is none, the newest.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/manifest", tag = "Manifests",
    operation_id = "retrieve_manifest_of_environment",
    params(
        ("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path),
        ManifestParams,
    ),
    responses((status = 200, description = "The manifest is in `data.contents`", body = Object))
)]
pub(crate) async fn manifest_of_environment(
    extract::State(state): extract::State<State>,
    FilesView(mut view): FilesView,
    Ids((account, project, environment)): Ids<(AccountId, String, String)>,
    Query(params): Query<ManifestParams>,
) -> Result<Response, Error> {
    let scope = environment_scope(&mut view, account, &project, &environment).await?;
    let ids: Vec<i64> = scope.environment.iter().map(|id| id.0).collect();
    let found = newest_of(&mut view, account, &ids, params.dbt_project.as_deref()).await?;
    manifest(&state, view, found, extent(params.trim), Some(environment)).await
}

/// Retrieve a project's manifest to defer to
///
/// With its contents: from its production environments; if they have none, from any environment.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/manifest", tag = "Manifests",
    operation_id = "retrieve_manifest_of_project",
    params(
        ("account_id" = i64, Path), ("project_id" = String, Path),
        ManifestParams,
    ),
    responses((status = 200, description = "The manifest is in `data.contents`", body = Object))
)]
pub(crate) async fn manifest_of_project(
    extract::State(state): extract::State<State>,
    FilesView(mut view): FilesView,
    Ids((account, project)): Ids<(AccountId, String)>,
    Query(params): Query<ManifestParams>,
) -> Result<Response, Error> {
    let scope = project_scope(&mut view, account, &project).await?;
    let found = newest_of_project(&mut view, account, scope.project, params.dbt_project.as_deref()).await?;
    manifest(&state, view, found, extent(params.trim), None).await
}

async fn listed(mut view: View, scope: FileScope, PageOnly(paging): PageOnly) -> Result<Many<FileFacts>, Error> {
    let (files, pagination) = page(&mut view, scope, paging).await?;
    let listing = Listing {
        order: Order {
            field: FileOrder::InsertedAt,
            descending: true,
        },
        paging,
    };
    Ok(many(
        files,
        pagination.total_count,
        listing,
        applied(scope.account, &()),
    ))
}

async fn download(
    state: State,
    mut view: View,
    scope: FileScope,
    name: &str,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let file = find(&mut view, scope, FileKey::Filename(name)).await?;
    let file = file.ok_or_else(CloudError::not_found)?;
    drop(view);
    bytes_of(scope.account, &file).send(&state, headers).await
}

async fn manifest(
    state: &State,
    view: View,
    found: Option<(RunFile, DateTime<Utc>)>,
    extent: Extent,
    environment_slug: Option<String>,
) -> Result<Response, Error> {
    let (file, time) = found.ok_or_else(CloudError::not_found)?;
    let content = Content {
        account: view.account(),
        file,
        filename: "manifest.json".to_owned(),
        extent,
    };
    drop(view);
    let about = AboutManifest {
        filename: "manifest.json",
        environment_slug,
        inserted_at: time.to_rfc3339_opts(SecondsFormat::Micros, true),
    };
    contents::answer(state, content, &about, AROUND).await
}

/// A project by its number or slug.
async fn project_scope(view: &mut View, account: AccountId, project: &str) -> Result<FileScope, Error> {
    let found = directory::queries::project_named(view.connection(), account, project).await?;
    let found = found.ok_or_else(CloudError::not_found)?;
    Ok(FileScope {
        account,
        project: ProjectId(found.id),
        environment: None,
    })
}

/// An environment of a project, each by its number or slug.
async fn environment_scope(
    view: &mut View,
    account: AccountId,
    project: &str,
    environment: &str,
) -> Result<FileScope, Error> {
    let of_project = project_scope(view, account, project).await?;
    let found = directory::queries::environment_named(view.connection(), account, environment).await?;
    let found = found.filter(|found| found.project_id == of_project.project.0);
    let found = found.ok_or_else(CloudError::not_found)?;
    Ok(FileScope {
        environment: Some(EnvironmentId(found.id)),
        ..of_project
    })
}
