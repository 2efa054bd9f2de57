//! The files of uploads, as their events describe them.

use chrono::{DateTime, Utc};
use schemas::{ArtifactKind, ArtifactsUploaded, EventId, FilesStored, Sha256, UploadedFile};
use sqlx::PgConnection;

use crate::ids::in_microseconds;
use crate::text::without_nul;

/// The maximum length of an invocation id, in bytes. dbt's ids are UUIDs, and a longer text could not be indexed. Longer ids are ignored.
const MAX_INVOCATION_ID: usize = 100;

/// The data of one file of an event.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The upload.
    pub event_id: EventId,
    /// The position of the file in the upload, from 0.
    pub place: i32,
    /// When the upload was accepted.
    pub event_time: DateTime<Utc>,
    /// The DAG, if the client sent it.
    pub dag_id: Option<String>,
    /// Airflow's id of the run, if the client sent it.
    pub run_id: Option<String>,
    /// The client's name for the upload.
    pub tag: Option<String>,
    /// dbt's id of the invocation that wrote the file.
    pub invocation_id: Option<String>,
    /// Whether the file is evidence of a run. A file tagged `latest-…` is not. Neither is a manifest that dbt uploads without other files,
    /// since dbt does so after commands that run nothing, too.
    pub makes_run: bool,
    /// Whether the file was pruned. It then belongs to no run and only helps to place other files.
    pub pruned: bool,
}

impl Artifact {
    /// Returns the files of an upload.
    #[must_use]
    pub fn of_upload(event_id: EventId, event_time: DateTime<Utc>, upload: &ArtifactsUploaded) -> Vec<Self> {
        let is_of_dbt = upload.is_of_dbt_itself();
        let has_sign = upload.files.iter().any(is_sign_of_run);
        let tags = std::iter::repeat(upload.tag.as_ref());
        let files = (0..).zip(tags).zip(&upload.files);
        files
            .map(|((place, tag), file)| {
                let mut artifact = Self::of_file(event_id, event_time, upload, place, tag, file);
                artifact.makes_run &= !is_of_dbt || has_sign;
                artifact
            })
            .collect()
    }

    /// Returns the artifacts of dbt among stored files as an upload and its files, each with its own tag. Returns `None` if there is no
    /// artifact, or if the files belong to the project itself, since those belonged to an environment before.
    #[must_use]
    pub fn of_stored(
        event_id: EventId,
        event_time: DateTime<Utc>,
        stored: &FilesStored,
    ) -> Option<(ArtifactsUploaded, Vec<Self>)> {
        let mut upload = ArtifactsUploaded {
            account_id: stored.account_id,
            project_id: stored.project_id,
            environment_id: stored.environment_id?,
            dag_id: None,
            run_id: None,
            tag: None,
            route: None,
            uploader: stored.uploader,
            files: Vec::new(),
        };
        let mut artifacts = Vec::new();
        for (place, stored_file) in (0..).zip(&stored.files) {
            let mut file = stored_file.file.clone().with_kind_of_schema();
            let Some(name) = file.kind.file_name() else {
                continue;
            };
            name.clone_into(&mut file.name);
            let tag = stored_file.tag.as_ref();
            artifacts.push(Self::of_file(event_id, event_time, &upload, place, tag, &file));
            upload.files.push(file);
        }
        (!artifacts.is_empty()).then_some((upload, artifacts))
    }

    fn of_file(
        event_id: EventId,
        event_time: DateTime<Utc>,
        upload: &ArtifactsUploaded,
        place: i32,
        tag: Option<&String>,
        file: &UploadedFile,
    ) -> Self {
        let clean = |text: Option<&String>| text.map(|text| without_nul(text));
        let is_valid = |id: &&String| id.len() <= MAX_INVOCATION_ID;
        let is_latest = tag.is_some_and(|tag| tag.starts_with(LATEST));
        Self {
            event_id,
            place,
            event_time,
            dag_id: clean(upload.dag_id.as_ref()),
            run_id: clean(upload.run_id.as_ref()),
            tag: clean(tag),
            invocation_id: clean(file.invocation_id.as_ref().filter(is_valid)),
            makes_run: !is_latest,
            pruned: false,
        }
    }
}

/// The tag prefix of files that belong to no run.
pub(crate) const LATEST: &str = "latest-";

/// Whether the file shows that a command did something, or was supposed to. dbt writes these kinds only then.
fn is_sign_of_run(file: &UploadedFile) -> bool {
    file.kind.is_results() || file.kind == ArtifactKind::Catalog
}

/// Inserts the files of an upload without placing them in runs. The content read from them must be stored already.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_artifacts(
    transaction: &mut PgConnection,
    upload: &ArtifactsUploaded,
    artifacts: &[Artifact],
) -> sqlx::Result<()> {
    for (artifact, file) in artifacts.iter().zip(&upload.files) {
        let Sha256(sha256) = file.sha256;
        // A fast clock must not make a file newer than its upload.
        let generated_at = file
            .generated_at
            .map(|time| in_microseconds(time).min(artifact.event_time));
        sqlx::query!(
            "INSERT INTO artifacts (event_id, place, account_id, project_id, environment_id, event_time, dag_id,
                airflow_run_id, tag, invocation_id, kind, name, sha256, size, dbt_schema_version, dbt_version, generated_at, pruned,
                makes_run, dbt_project)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                CASE WHEN $11 = 'manifest' AND NOT $18 THEN coalesce(
                    (SELECT project_name FROM manifests WHERE account_id = $3 AND sha256 = $13), '') END)",
            artifact.event_id.0,
            artifact.place,
            upload.account_id.0,
            upload.project_id.0,
            upload.environment_id.0,
            artifact.event_time,
            artifact.dag_id,
            artifact.run_id,
            artifact.tag,
            artifact.invocation_id,
            file.kind.as_str(),
            without_nul(&file.name),
            sha256.as_slice(),
            i64::try_from(file.size).unwrap_or(i64::MAX),
            file.dbt_schema_version.as_deref().map(without_nul),
            file.dbt_version.as_deref().map(without_nul),
            generated_at,
            artifact.pruned,
            artifact.makes_run
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}
