//! What each type of event says.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{AccountId, ArtifactKind, EnvironmentId, EventId, ProjectId, RunId, Sha256, Slug, TokenId};

/// How an upload came: some clients send files only after dbt ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadRoute {
    /// `POST /manifests`: dbt-coves and operators, after commands that ended well.
    Manifests,
    /// dbt's own upload, after every command, failed ones too.
    Ingests,
    /// Out of the bucket of the earlier dbt-api.
    Import,
}

/// Data of `dbt.artifacts.uploaded.v1`: one upload, however many files it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactsUploaded {
    /// Whose.
    pub account_id: AccountId,
    /// The environment's project.
    pub project_id: ProjectId,
    /// Where dbt ran.
    pub environment_id: EnvironmentId,
    /// The Airflow DAG, when the client said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dag_id: Option<String>,
    /// Airflow's id of the DAG run, when the client said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// A name that the client gave to the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// How it came; none in events of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<UploadRoute>,
    /// The token that was used; the nil UUID for what was imported.
    pub uploader: TokenId,
    /// In the order of the upload.
    pub files: Vec<UploadedFile>,
}

impl ArtifactsUploaded {
    /// Whether dbt uploaded it by itself, which it does after failed commands too. Where the event does not say how it came, several files
    /// tell: `POST /manifests` takes one.
    #[must_use]
    pub fn is_of_dbt_itself(&self) -> bool {
        match self.route {
            Some(route) => route == UploadRoute::Ingests,
            None => self.files.len() > 1,
        }
    }
}

/// A file of an upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UploadedFile {
    /// As clients ask for it: `manifest.json`.
    pub name: String,
    /// What it is, told from its content.
    pub kind: ArtifactKind,
    /// Of the bytes as uploaded.
    pub sha256: Sha256,
    /// Bytes as uploaded.
    pub size: u64,
    /// Bytes as stored.
    pub stored_size: u64,
    /// What `metadata.dbt_schema_version` says; a hint, wrong in some files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_schema_version: Option<String>,
    /// What `metadata.dbt_version` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_version: Option<String>,
    /// What `metadata.invocation_id` says: files of one dbt command share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// What `metadata.generated_at` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<DateTime<Utc>>,
}

impl UploadedFile {
    /// The file as its schema version names it. Earlier versions of dbt-api took some checks of freshness for run results, and called the file
    /// so.
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

/// Data of `dbt.files.stored.v1`: one upload, however many files it holds. Those that are artifacts of dbt are projected as such too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilesStored {
    /// Whose.
    pub account_id: AccountId,
    /// The project that they belong to.
    pub project_id: ProjectId,
    /// The environment that they belong to; none: they are the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// The token that was used.
    pub uploader: TokenId,
    /// In the order of the upload.
    pub files: Vec<StoredFile>,
}

/// A file with what it is found by; `name` is the client's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredFile {
    /// The file's own, which its later versions keep.
    pub slug: Uuid,
    /// As the client named it; none when the file is found by its name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The file.
    #[serde(flatten)]
    pub file: UploadedFile,
}

/// Which files were deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeletedFiles {
    /// That of this slug.
    Slug(Uuid),
    /// All that have this tag.
    Tag(String),
    /// All that have this name.
    Filename(String),
}

/// Data of `dbt.file.deleted.v1`. What these files were before is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileDeleted {
    /// Whose.
    pub account_id: AccountId,
    /// The project that the files belonged to.
    pub project_id: ProjectId,
    /// The environment that they belonged to; none: they were the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// Which. By tag and name too, so that those are meant that were not projected yet when they were deleted.
    pub files: DeletedFiles,
    /// The token that was used.
    pub deleted_by: TokenId,
}

/// Whether a record of the directory is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// In use.
    #[default]
    Active,
    /// No longer: kept for what was uploaded.
    Inactive,
}

/// Data of `directory.account.recorded.v1`: the whole record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountRecorded {
    /// Its number.
    pub account_id: AccountId,
    /// For people.
    pub name: String,
    /// For URLs, where the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<Slug>,
    /// In use or not.
    #[serde(default)]
    pub state: RecordState,
}

/// Data of `directory.project.recorded.v1`: the whole record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectRecorded {
    /// Whose.
    pub account_id: AccountId,
    /// Its number, unique over all accounts.
    pub project_id: ProjectId,
    /// For people.
    pub name: String,
    /// For URLs; unique in the account.
    pub slug: Slug,
    /// In use or not.
    #[serde(default)]
    pub state: RecordState,
}

/// What an environment is for; dbt Cloud's `deployment_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentType {
    /// Where the data is made that people rely on.
    Production,
    /// Where it is tried out.
    Staging,
    /// Where people write their models.
    #[default]
    Development,
}

impl EnvironmentType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Production, Self::Staging, Self::Development];

    /// As it is written in events and answers.
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
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not one of production, staging, development"))
    }
}

/// Data of `directory.environment.recorded.v1`: the whole record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentRecorded {
    /// Whose.
    pub account_id: AccountId,
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// Its number, unique over all accounts.
    pub environment_id: EnvironmentId,
    /// For people.
    pub name: String,
    /// For uploads and URLs; unique in the account.
    pub slug: Slug,
    /// What it is for.
    #[serde(rename = "type", default)]
    pub environment_type: EnvironmentType,
    /// In use or not.
    #[serde(default)]
    pub state: RecordState,
}

/// What a token allows; scopes combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read what the API shows.
    Read,
    /// Upload, and read the files and manifests of the environments that the token may upload to.
    Upload,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Read, Self::Upload];

    /// As it is written in events and on the command line.
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
            .ok_or_else(|| format!("`{text}` is not a scope: read and upload are"))
    }
}

/// Data of `token.issued.v1`. The key itself is nowhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenIssued {
    /// Whose.
    pub account_id: AccountId,
    /// Its id.
    pub token_id: TokenId,
    /// For people.
    pub name: String,
    /// Of the key, 256 random bits behind a prefix.
    pub key_sha256: Sha256,
    /// At least one.
    pub scopes: Vec<Scope>,
    /// The only environment that the token sees, when it is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// From when on it is refused, where it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Data of `token.revoked.v1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRevoked {
    /// Whose.
    pub account_id: AccountId,
    /// Its id.
    pub token_id: TokenId,
}

/// Data of `airflow.run.observed.v1`: a DAG run as Airflow had it at the event's `time`. Of several the newest counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AirflowRunObserved {
    /// Whose.
    pub account_id: AccountId,
    /// The environment's project.
    pub project_id: ProjectId,
    /// The environment whose Airflow was asked.
    pub environment_id: EnvironmentId,
    /// The DAG.
    pub dag_id: String,
    /// Airflow's id of the run.
    pub run_id: String,
    /// As Airflow names it: `queued`, `running`, `success`, `failed`. Or `removed`: it had not ended, and Airflow knows it no more.
    pub state: String,
    /// When it was queued, where Airflow tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<DateTime<Utc>>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// The DAG's schedule, as Airflow writes it: `@daily`, `0 6 * * 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// Data of `retention.pruned.v1`. What it names stays out for ever, also where it is applied before the uploads are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RetentionPruned {
    /// Whose.
    pub account_id: AccountId,
    /// The runs that were removed.
    pub run_ids: Vec<RunId>,
    /// The uploads that these runs consisted of, and the newest observation of each. They, not the numbers, decide what is left out.
    pub uploads: Vec<EventId>,
}

/// Data of `dbt.project.retired.v1`: an operator took a dbt project out of an environment. What it generated until then is not shown there any
/// more; what it generates later counts again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DbtProjectRetired {
    /// Whose.
    pub account_id: AccountId,
    /// The environment's project.
    pub project_id: ProjectId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// dbt's name of the project, as `metadata.project_name` of its manifests says it.
    pub dbt_project: String,
}
