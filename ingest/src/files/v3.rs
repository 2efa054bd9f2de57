//! The newer file routes, under dbt Cloud's v3, which find a file by its name in an environment or a project.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use directory::{Access, EnvironmentEntry, Environments, IdOrSlug};
use edge::{CloudError, One, one};
use read_model::outage::explained;
use read_model::queries::files::{FileKey, FileScope};
use schemas::{AccountId, ArtifactKind, ProjectId, RecordState, StoredFile, UploadedFile};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Described, NewFile, NewFiles, answer, named_file, of_environment, plain_name, read_form};
use crate::Ingest;
use crate::body::{ClientBody, head_of};
use crate::form;

/// The form that stores a file under its name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the form is read as a stream")]
struct NamedFileForm {
    /// Any file.
    #[schema(value_type = String, format = Binary)]
    file: String,
    /// The name to store the file under, if it differs from the file's own name.
    #[schema(example = "")]
    filename: Option<String>,
    /// If `true`, the file must be a manifest.
    is_manifest: Option<bool>,
}

/// The parameters of a file to store, from the form or else from the query.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct NamedFileParams {
    /// The same as in the form, which takes precedence.
    filename: Option<String>,
    /// The same as in the form, which takes precedence.
    #[param(value_type = Option<bool>)]
    is_manifest: Option<String>,
}

/// Store a file in an environment, under its name
#[utoipa::path(
    post, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files", tag = "Files",
    operation_id = "store_file_of_environment",
    params(
        ("account_id" = i64, Path),
        ("project_id" = String, Path, description = "The project's number or slug"),
        ("environment_id" = String, Path, description = "The environment's number or slug"),
        NamedFileParams,
    ),
    request_body(content = NamedFileForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Stored durably", body = One<Described>),
        (status = 403, description = "The token does not allow uploads"),
        (status = 404, description = "The account, project or environment does not exist, or the token does not see it"),
        (status = 413, description = "The file is too large"),
        (status = 422, description = "A field is missing or wrong, or the file is named `manifest.json` and is not JSON"),
        (status = 503, description = "The storage is unavailable; nothing was stored"),
    ),
    security(("token" = []))
)]
pub(crate) async fn post_v3(
    State(ingest): State<Ingest>,
    Path((account, project, environment)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let body = ClientBody::new(body, form::largest(&ingest.settings));
    let storing = async {
        let (access, entry) = enter(&ingest, &head, &account, &project, &environment).await?;
        let mut received = read_form(&ingest, &head, &body).await?;
        let count = received.files.len();
        let file = received.files.pop().filter(|_| count == 1);
        let file = file.ok_or_else(|| form::not_one_file(count))?;
        let params: NamedFileParams = received.parameters.read()?;
        if is_manifest(&params)? && file.spooled.scanned.kind != ArtifactKind::Manifest {
            return Err(CloudError::unprocessable(
                "invalid `file`: expected a manifest because `is_manifest` is set, got another file",
            ));
        }
        let filename = params.filename.as_deref().or(file.filename.as_deref());
        let filename = plain_name(filename, "filename")?;
        let new = NewFile {
            slug: ingest.new_slug(),
            tag: None,
            file: named_file(filename, file)?,
        };
        let new = NewFiles {
            files: vec![new],
            after: None,
            turn: received.turn,
        };
        let mut stored = ingest
            .store_files(&access, of_environment(&entry), entry.slug.as_str(), new)
            .await?;
        let stored = stored.pop();
        Ok((StatusCode::CREATED, one(stored)).into_response())
    };
    let result: Result<Response, CloudError> = storing.await;
    answer(result, &head, body).await
}

/// Reads `is_manifest`; the default is false.
fn is_manifest(params: &NamedFileParams) -> Result<bool, CloudError> {
    match params.is_manifest.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("true" | "1") => Ok(true),
        Some("false" | "0") | None => Ok(false),
        Some(other) => {
            let message = format!("invalid `is_manifest`: expected true or false, got `{other}`");
            Err(CloudError::unprocessable(message))
        }
    }
}

/// Delete a file of an environment
#[utoipa::path(
    delete, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files/{name}", tag = "Files",
    operation_id = "delete_file_of_environment",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, description = "The file is deleted"),
        (status = 403, description = "The token does not allow it"),
        (status = 404, description = "The file does not exist"),
        (status = 503, description = "The database or the storage is unavailable"),
    ),
    security(("token" = []))
)]
pub(crate) async fn delete_of_environment(
    State(ingest): State<Ingest>,
    Path((account, project, environment, name)): Path<(String, String, String, String)>,
    request: Request,
) -> Result<One<Option<()>>, CloudError> {
    let head = head_of(request).await;
    let (access, entry) = enter(&ingest, &head, &account, &project, &environment).await?;
    let deleted = ingest
        .delete_files(&access, of_environment(&entry), FileKey::Filename(&name))
        .await?;
    deleted.ok_or_else(CloudError::not_found)?;
    Ok(one(None))
}

/// Delete a file of a project
#[utoipa::path(
    delete, path = "/api/v3/accounts/{account_id}/projects/{project_id}/files/{name}", tag = "Files",
    operation_id = "delete_file_of_project",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, description = "The file is deleted"),
        (status = 403, description = "The token does not allow it"),
        (status = 404, description = "The file does not exist"),
        (status = 503, description = "The database or the storage is unavailable"),
    ),
    security(("token" = []))
)]
pub(crate) async fn delete_of_project(
    State(ingest): State<Ingest>,
    Path((account, project, name)): Path<(String, String, String)>,
    request: Request,
) -> Result<One<Option<()>>, CloudError> {
    let head = head_of(request).await;
    let (access, account) = authenticate(&ingest, &head, &account).await?;
    whole_account(&access)?;
    let project = ingest.project(account, &project).await?;
    let at = FileScope {
        account,
        project: project.ok_or_else(CloudError::not_found)?,
        environment: None,
    };
    let deleted = ingest.delete_files(&access, at, FileKey::Filename(&name)).await?;
    deleted.ok_or_else(CloudError::not_found)?;
    Ok(one(None))
}

/// Copy a file of an environment to its project
#[utoipa::path(
    post, path = "/api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files/{name}/promote", tag = "Files",
    operation_id = "promote_file",
    params(("account_id" = i64, Path), ("project_id" = String, Path), ("environment_id" = String, Path), ("name" = String, Path)),
    responses(
        (status = 201, description = "The project has a copy; the environment keeps the file", body = One<Described>),
        (status = 403, description = "The token is not for the whole account"),
        (status = 404, description = "The file does not exist"),
        (status = 503, description = "The database or the storage is unavailable"),
    ),
    security(("token" = []))
)]
pub(crate) async fn promote(
    State(ingest): State<Ingest>,
    Path((account, project, environment, name)): Path<(String, String, String, String)>,
    request: Request,
) -> Result<(StatusCode, One<Described>), CloudError> {
    let head = head_of(request).await;
    let (access, entry) = enter(&ingest, &head, &account, &project, &environment).await?;
    whole_account(&access)?;
    let found = match ingest.file(of_environment(&entry), FileKey::Filename(&name)).await {
        Ok(found) => found.ok_or_else(CloudError::not_found)?,
        Err(error) => return Err(CloudError::unavailable(&explained(&ingest.pool, error).await)),
    };
    let file = StoredFile {
        slug: ingest.new_slug(),
        tag: found.tag,
        file: UploadedFile {
            name: found.filename,
            kind: ArtifactKind::of_name(&found.kind),
            sha256: found.sha256,
            size: u64::try_from(found.size).unwrap_or_default(),
            stored_size: u64::try_from(found.stored_size).unwrap_or_default(),
            dbt_schema_version: None,
            dbt_version: None,
            invocation_id: None,
            generated_at: None,
        },
    };
    let at = FileScope {
        environment: None,
        ..of_environment(&entry)
    };
    let promoted = ingest.store_again(&access, at, file).await?;
    Ok((StatusCode::CREATED, one(promoted)))
}

/// Checks that the token is for the whole account: a project's files belong to all of its environments.
fn whole_account(access: &Access) -> Result<(), CloudError> {
    match access.environments {
        Environments::All => Ok(()),
        Environments::Only(_) | Environments::OfProjects(_) => Err(CloudError::forbidden()),
    }
}

async fn authenticate(ingest: &Ingest, head: &Parts, account: &str) -> Result<(Access, AccountId), CloudError> {
    let access = ingest.authenticate(head).await?;
    let account = account.parse().ok().filter(|account| access.accounts.contains(account));
    Ok((access, account.ok_or_else(CloudError::not_found)?))
}

/// Authenticates a request and finds the environment of its path. The error is the same for an environment that the token does not see and
/// for one that does not exist.
async fn enter(
    ingest: &Ingest,
    head: &Parts,
    account: &str,
    project: &str,
    environment: &str,
) -> Result<(Access, EnvironmentEntry), CloudError> {
    let (access, account) = authenticate(ingest, head, account).await?;
    let name: IdOrSlug = environment.parse().map_err(|_| CloudError::not_found())?;
    let entry = ingest
        .seen_environment(&access, account, &name)
        .await
        .map_err(|error| CloudError::unavailable(&error))?;
    let entry = entry.ok_or_else(CloudError::not_found)?;
    match ingest.project(account, project).await {
        Ok(Some(project)) if project == entry.project_id => Ok((access, entry)),
        Ok(_) => Err(CloudError::not_found()),
        // While PostgreSQL is down, the project cannot be checked. An environment's slug is unique in its account, so the upload is accepted.
        Err(_) => Ok((access, entry)),
    }
}

impl Ingest {
    /// Finds a project that is in use by its number or slug.
    async fn project(&self, account: AccountId, named: &str) -> Result<Option<ProjectId>, CloudError> {
        let asking = async {
            let mut connection = self.pool.acquire().await?;
            directory::queries::project_named(&mut connection, account, named).await
        };
        match asking.await {
            Ok(project) => {
                let in_use = project.filter(|project| RecordState::of_name(&project.state) == RecordState::Active);
                Ok(in_use.map(|project| ProjectId(project.id)))
            }
            Err(error) => Err(CloudError::unavailable(&explained(&self.pool, error).await)),
        }
    }
}
