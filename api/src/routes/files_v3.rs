//! Files and manifests under dbt Cloud's v3 API, found by name in an environment or a project. Where v3 has ids, slugs work too.

use axum::extract;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use edge::{CloudError, FileFacts, Many, One, OrderBy, Paging, Params, many, one};
use read_model::queries::{FileKey, FilePlace, RunFile};
use schemas::{AccountId, EnvironmentId, ProjectId};
use serde::Serialize;
use serde_json::Map;

use super::deferral::{newest_of, newest_of_project};
use super::files::{bytes_of, facts, find, page};
use super::manifests::extent;
use crate::State;
use crate::contents::{self, Content};
use crate::download::Extent;
use crate::error::Error;
use crate::view::{FilesView, Ids, View};

/// dbt Cloud's envelope, as the JSON before and after an object.
const AROUND: (&str, &str) = (
    r#"{"status":{"code":200,"is_success":true,"user_message":"Success!","developer_message":""},"data":"#,
    r#","extra":{}}"#,
);

/// The fields that describe a manifest beside its contents.
#[derive(Serialize)]
struct AboutManifest {
    filename: &'static str,
    environment_slug: Option<String>,
    inserted_at: String,
}

/// Lists the files of a project and of its environments, newest first.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/files", tag = "Files", operation_id = "List files of a project",
    params(
        ("account_id" = i64, Path), ("project_id" = String, Path, description = "The project's id or slug"),
        ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query),
    ),
    responses((status = 200, body = Many<FileFacts>))
)]
pub(crate) async fn list_of_project(
    FilesView(mut view): FilesView,
    Ids((account, project)): Ids<(AccountId, String)>,
    params: Params,
) -> Result<Many<FileFacts>, Error> {
    let place = project_place(&mut view, account, &project).await?;
    listed(view, place, &params).await
}

/// Lists the files of an environment, newest first.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files", tag = "Files",
    operation_id = "List files of an environment",
    params(
        ("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path, description = "The environment's id or slug"),
        ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query),
    ),
    responses((status = 200, body = Many<FileFacts>))
)]
pub(crate) async fn list_of_environment(
    FilesView(mut view): FilesView,
    Ids((account, project, environment)): Ids<(AccountId, String, String)>,
    params: Params,
) -> Result<Many<FileFacts>, Error> {
    let place = environment_place(&mut view, account, &project, &environment).await?;
    listed(view, place, &params).await
}

/// Shows a file without its contents.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files/{name}", tag = "Files",
    operation_id = "Retrieve a file of an environment",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = One<FileFacts>))
)]
pub(crate) async fn show_of_environment(
    FilesView(mut view): FilesView,
    Ids((account, project, environment, name)): Ids<(AccountId, String, String, String)>,
) -> Result<One<FileFacts>, Error> {
    let place = environment_place(&mut view, account, &project, &environment).await?;
    let file = find(&mut view, place, FileKey::Filename(&name)).await?;
    Ok(one(facts(file.ok_or_else(CloudError::not_found)?, place)))
}

/// Downloads a file of an environment.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files/{name}/download", tag = "Files",
    operation_id = "Download a file of an environment",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path), ("name" = String, Path)),
    responses((status = 200, description = "The bytes as they were uploaded", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn download_of_environment(
    extract::State(state): extract::State<State>,
    FilesView(mut view): FilesView,
    Ids((account, project, environment, name)): Ids<(AccountId, String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let place = environment_place(&mut view, account, &project, &environment).await?;
    download(state, view, place, &name, &headers).await
}

/// Downloads a file of a project.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/files/{name}/download", tag = "Files",
    operation_id = "Download a file of a project",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("name" = String, Path)),
    responses((status = 200, description = "The bytes as they were uploaded", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn download_of_project(
    extract::State(state): extract::State<State>,
    FilesView(mut view): FilesView,
    Ids((account, project, name)): Ids<(AccountId, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let place = project_place(&mut view, account, &project).await?;
    download(state, view, place, &name, &headers).await
}

/// Shows an environment's manifest to defer to, with its contents: the newest of a successful run, or else the newest.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/manifest", tag = "Manifests",
    operation_id = "Retrieve the manifest of an environment",
    params(
        ("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path),
        ("dbt_project" = Option<String>, Query, description = "Only manifests of this dbt project, as in `metadata.project_name`"),
        ("trim" = Option<bool>, Query, description = "`false` returns the whole manifest. By default, only `metadata` and `nodes` are returned"),
    ),
    responses((status = 200, description = "The manifest is in `data.contents`", body = Object))
)]
pub(crate) async fn manifest_of_environment(
    extract::State(state): extract::State<State>,
    FilesView(mut view): FilesView,
    Ids((account, project, environment)): Ids<(AccountId, String, String)>,
    params: Params,
) -> Result<Response, Error> {
    let extent = extent(&params, "trim")?;
    let place = environment_place(&mut view, account, &project, &environment).await?;
    let ids: Vec<i64> = place.environment.iter().map(|id| id.0).collect();
    let found = newest_of(&mut view, account, &ids, params.text("dbt_project")).await?;
    manifest(&state, view, found, extent, Some(environment)).await
}

/// Shows a project's manifest to defer to, with its contents: from its production environments or, if they have none, from any other.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/projects/{project_id}/manifest", tag = "Manifests",
    operation_id = "Retrieve the manifest of a project",
    params(
        ("account_id" = i64, Path), ("project_id" = String, Path),
        ("dbt_project" = Option<String>, Query, description = "Only manifests of this dbt project, as in `metadata.project_name`"),
        ("trim" = Option<bool>, Query, description = "`false` returns the whole manifest. By default, only `metadata` and `nodes` are returned"),
    ),
    responses((status = 200, description = "The manifest is in `data.contents`", body = Object))
)]
pub(crate) async fn manifest_of_project(
    extract::State(state): extract::State<State>,
    FilesView(mut view): FilesView,
    Ids((account, project)): Ids<(AccountId, String)>,
    params: Params,
) -> Result<Response, Error> {
    let extent = extent(&params, "trim")?;
    let place = project_place(&mut view, account, &project).await?;
    let found = newest_of_project(&mut view, account, place.project, params.text("dbt_project")).await?;
    manifest(&state, view, found, extent, None).await
}

async fn listed(mut view: View, place: FilePlace, params: &Params) -> Result<Many<FileFacts>, Error> {
    let (files, pagination) = page(&mut view, place, params).await?;
    let order = OrderBy {
        field: "inserted_at",
        descending: true,
    };
    let filters = Map::from_iter([("account_id".to_owned(), place.account.0.into())]);
    Ok(many(
        files,
        pagination.total_count,
        Paging::read(params)?,
        &order,
        filters,
    ))
}

async fn download(
    state: State,
    mut view: View,
    place: FilePlace,
    name: &str,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let file = find(&mut view, place, FileKey::Filename(name)).await?;
    let file = file.ok_or_else(CloudError::not_found)?;
    drop(view);
    bytes_of(place.account, &file).send(&state, headers).await
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

/// Finds a project by id or slug.
async fn project_place(view: &mut View, account: AccountId, project: &str) -> Result<FilePlace, Error> {
    let found = directory::queries::project_named(view.connection(), account, project).await?;
    let found = found.ok_or_else(CloudError::not_found)?;
    Ok(FilePlace {
        account,
        project: ProjectId(found.id),
        environment: None,
    })
}

/// Finds an environment of a project, each by id or slug.
async fn environment_place(
    view: &mut View,
    account: AccountId,
    project: &str,
    environment: &str,
) -> Result<FilePlace, Error> {
    let of_project = project_place(view, account, project).await?;
    let found = directory::queries::environment_named(view.connection(), account, environment).await?;
    let found = found.filter(|found| found.project_id == of_project.project.0);
    let found = found.ok_or_else(CloudError::not_found)?;
    Ok(FilePlace {
        environment: Some(EnvironmentId(found.id)),
        ..of_project
    })
}
