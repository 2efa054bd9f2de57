//! The data of each event type.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    AccountId, ArtifactKind, ConnectionDetails, EnvironmentId, EventId, ProjectId, RunId, Sha256, Slug, TokenId,
};

/// The route of an upload. It matters because some clients upload only after dbt succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadRoute {
    /// `POST /manifests`, used by dbt-coves and by operators after commands that succeeded.
    Manifests,
    /// dbt's own upload, which happens after every command, even one that failed.
    Ingests,
    /// An import from the bucket of the earlier dbt-api.
    Import,
}

/// The data of `dbt.artifacts.uploaded.v1`. One event describes one upload, no matter how many files it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactsUploaded {
    /// The account that the upload belongs to.
    pub account_id: AccountId,
    /// The project of the environment.
    pub project_id: ProjectId,
    /// The environment in which dbt ran.
    pub environment_id: EnvironmentId,
    /// The id of the Airflow DAG, if the client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dag_id: Option<String>,
    /// Airflow's id of the DAG run, if the client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// A name that the client gave to the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The route of the upload. Events of earlier versions do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<UploadRoute>,
    /// The token that was used, or the nil UUID for an import.
    pub uploader: TokenId,
    /// The files, in the order of the upload.
    pub files: Vec<UploadedFile>,
}

impl ArtifactsUploaded {
    /// Whether dbt itself uploaded the files, which it does after failed commands too. Events without a route count as such if they have
    /// several files, since `POST /manifests` takes only one.
    #[must_use]
    pub fn is_of_dbt_itself(&self) -> bool {
        match self.route {
            Some(route) => route == UploadRoute::Ingests,
            None => self.files.len() > 1,
        }
    }
}

/// One file of an upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UploadedFile {
    /// The name under which clients request the file, such as `manifest.json`.
    pub name: String,
    /// The kind of the file, detected from its content.
    pub kind: ArtifactKind,
    /// The hash of the bytes as uploaded.
    pub sha256: Sha256,
    /// The size as uploaded, in bytes.
    pub size: u64,
    /// The size as stored, in bytes.
    pub stored_size: u64,
    /// The value of `metadata.dbt_schema_version`. It is only a hint and is wrong in some files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_schema_version: Option<String>,
    /// The value of `metadata.dbt_version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_version: Option<String>,
    /// The value of `metadata.invocation_id`, which all files of one dbt command share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// The value of `metadata.generated_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<DateTime<Utc>>,
}

impl UploadedFile {
    /// Corrects the kind and the name with the help of the schema version. Earlier versions of dbt-api took some freshness results for run
    /// results and named the file accordingly.
    #[must_use]
    pub fn with_kind_of_schema(mut self) -> Self {
        let named = self.dbt_schema_version.as_deref().and_then(ArtifactKind::of_schema);
        if let Some(kind) = named.filter(|kind| kind.is_results() && self.kind.is_results() && *kind != self.kind) {
            if Some(self.name.as_str()) == self.kind.file_name()
                && let Some(name) = kind.file_name()
            {
                name.clone_into(&mut self.name);
            }
            self.kind = kind;
        }
        self
    }
}

/// The data of `dbt.files.stored.v1`. One event describes one upload, no matter how many files it has. Artifacts of dbt among them are
/// projected as artifacts too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilesStored {
    /// The account that the files belong to.
    pub account_id: AccountId,
    /// The project that the files belong to.
    pub project_id: ProjectId,
    /// The environment that the files belong to. It is absent if they belong to the project itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// The token that was used.
    pub uploader: TokenId,
    /// The files, in the order of the upload.
    pub files: Vec<StoredFile>,
}

/// A file with the keys by which clients find it. The client chooses its `name`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredFile {
    /// The identifier of the file. Later versions of the file keep it.
    pub slug: Uuid,
    /// The tag that the client gave to the file. It is absent if the file is found by its name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The file itself.
    #[serde(flatten)]
    pub file: UploadedFile,
}

/// The files that were deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeletedFiles {
    /// The file with this slug.
    Slug(Uuid),
    /// All files with this tag.
    Tag(String),
    /// All files with this name.
    Filename(String),
}

/// The data of `dbt.file.deleted.v1`. The deleted files cannot be restored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileDeleted {
    /// The account that the files belonged to.
    pub account_id: AccountId,
    /// The project that the files belonged to.
    pub project_id: ProjectId,
    /// The environment that the files belonged to. It is absent if they belonged to the project itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// The files that were deleted. A tag or a name also covers files that were not projected yet at the time of the deletion.
    pub files: DeletedFiles,
    /// The token that was used.
    pub deleted_by: TokenId,
}

/// Whether a record of the directory is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// The record is in use.
    #[default]
    Active,
    /// The record is no longer in use. It is kept because of its uploads.
    Inactive,
}

impl RecordState {
    /// The word in events and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }

    /// Returns the state with this word. A record with a word from another version is not in use.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        if name == Self::Active.as_str() {
            Self::Active
        } else {
            Self::Inactive
        }
    }

    /// dbt Cloud's number for the state.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::Active => 1,
            Self::Inactive => 2,
        }
    }
}

/// The data of `directory.account.recorded.v1`, which is the whole record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountRecorded {
    /// The number of the account.
    pub account_id: AccountId,
    /// The display name.
    pub name: String,
    /// The name for URLs, if the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<Slug>,
    /// Whether the account is in use.
    #[serde(default)]
    pub state: RecordState,
}

/// The data of `directory.project.recorded.v1`, which is the whole record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectRecorded {
    /// The account that the project belongs to.
    pub account_id: AccountId,
    /// The number of the project, unique across all accounts.
    pub project_id: ProjectId,
    /// The display name.
    pub name: String,
    /// The name for URLs, unique within the account.
    pub slug: Slug,
    /// Whether the project is in use.
    #[serde(default)]
    pub state: RecordState,
}

/// The purpose of an environment, which is dbt Cloud's `deployment_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentType {
    /// Produces the data that people rely on.
    Production,
    /// Tries out changes before production.
    Staging,
    /// Serves people who write models.
    #[default]
    Development,
}

impl EnvironmentType {
    /// All environment types.
    pub const ALL: [Self; 3] = [Self::Production, Self::Staging, Self::Development];

    /// The name in events and API responses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Development => "development",
        }
    }
}

impl std::str::FromStr for EnvironmentType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            format!("invalid environment type: expected production, staging or development, got `{text}`")
        })
    }
}

/// The data of `directory.environment.recorded.v1`, which is the whole record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentRecorded {
    /// The account that the environment belongs to.
    pub account_id: AccountId,
    /// The project that the environment belongs to.
    pub project_id: ProjectId,
    /// The number of the environment, unique across all accounts.
    pub environment_id: EnvironmentId,
    /// The display name.
    pub name: String,
    /// The name for uploads and URLs, unique within the account.
    pub slug: Slug,
    /// The purpose of the environment.
    #[serde(rename = "type", default)]
    pub environment_type: EnvironmentType,
    /// Whether the environment is in use.
    #[serde(default)]
    pub state: RecordState,
}

/// A permission of a token. A token may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read everything that the API serves.
    Read,
    /// Upload, and read the files and manifests of the environments that the token may upload to.
    Upload,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 2] = [Self::Read, Self::Upload];

    /// The name in events and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Upload => "upload",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("invalid scope: expected read or upload, got `{text}`"))
    }
}

/// The data of `token.issued.v1`. The key itself is not stored anywhere. A later event about the same token lets it expire earlier: of all
/// `expires_at`, the earliest counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenIssued {
    /// The account that the token belongs to.
    pub account_id: AccountId,
    /// The id of the token.
    pub token_id: TokenId,
    /// The display name.
    pub name: String,
    /// The hash of the key, which is a prefix followed by 256 random bits.
    pub key_sha256: Sha256,
    /// The scopes of the token, at least one.
    pub scopes: Vec<Scope>,
    /// The only environment that the token can access, if it is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// When the token expires. It is absent if the token does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// The data of `directory.connection.recorded.v1`: where the warehouse of a project is. The newest event of a project replaces the earlier
/// ones as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionRecorded {
    /// The account that the project belongs to.
    pub account_id: AccountId,
    /// The project.
    pub project_id: ProjectId,
    /// What the operator said. Without any detail, nothing is known of the warehouse.
    pub details: ConnectionDetails,
}

/// The data of `token.revoked.v1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRevoked {
    /// The account that the token belonged to.
    pub account_id: AccountId,
    /// The id of the token.
    pub token_id: TokenId,
}

/// The data of `airflow.run.observed.v1`: the state of a DAG run in Airflow at the event's `time`. The newest observation of a run wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AirflowRunObserved {
    /// The account that the environment belongs to.
    pub account_id: AccountId,
    /// The project of the environment.
    pub project_id: ProjectId,
    /// The environment whose Airflow reported the run.
    pub environment_id: EnvironmentId,
    /// The id of the DAG.
    pub dag_id: String,
    /// Airflow's id of the run.
    pub run_id: String,
    /// The state as Airflow names it: `queued`, `running`, `success` or `failed`. `removed` means that Airflow no longer knows the run,
    /// which had not ended.
    pub state: String,
    /// When the run was queued, if Airflow reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<DateTime<Utc>>,
    /// When the run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// The schedule of the DAG as Airflow writes it, such as `@daily` or `0 6 * * 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// The data of `retention.pruned.v1`. The named runs are never projected again, even if this event is applied before their uploads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RetentionPruned {
    /// The account that the runs belonged to.
    pub account_id: AccountId,
    /// The runs that were removed.
    pub run_ids: Vec<RunId>,
    /// The uploads of these runs, and the newest observation of each run. These ids, not the run numbers, decide what is skipped.
    pub uploads: Vec<EventId>,
}

/// The data of `dbt.project.retired.v1`: an operator removed a dbt project from an environment. What the project generated before is no
/// longer shown there. What it generates later is shown again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DbtProjectRetired {
    /// The account that the environment belongs to.
    pub account_id: AccountId,
    /// The project of the environment.
    pub project_id: ProjectId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// dbt's name for the project, from `metadata.project_name` of its manifests.
    pub dbt_project: String,
}
