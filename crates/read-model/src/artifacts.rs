//! The files of uploads, as their events describe them.

use chrono::{DateTime, Utc};
use schemas::{ArtifactKind, ArtifactsUploaded, EventId, FilesStored, UploadedFile};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::in_microseconds;
use crate::text::without_nul;

/// The maximum length of an invocation id, in bytes. dbt's ids are UUIDs, and a longer text could not be indexed. Longer ids are ignored.
const MAX_INVOCATION_ID: usize = 100;

/// The data of one file of an event.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The id of the upload's event.
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

/// An upload with the data of its files.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// The data of the event, with all files.
    pub upload: ArtifactsUploaded,
    /// The data of each file, in the same order.
    pub artifacts: Vec<Artifact>,
}

/// Inserts the files of uploads without placing them in runs. The content read from them must be stored already.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_artifacts(transaction: &mut PgConnection, uploads: &[Uploaded]) -> sqlx::Result<()> {
    let mut rows = ArtifactRows::default();
    for uploaded in uploads {
        for (artifact, file) in uploaded.artifacts.iter().zip(&uploaded.upload.files) {
            rows.push(&uploaded.upload, artifact, file);
        }
    }
    sqlx::query!(
        "INSERT INTO artifacts (event_id, place, account_id, project_id, environment_id, event_time, dag_id,
            airflow_run_id, tag, invocation_id, kind, name, sha256, size, dbt_schema_version, dbt_version, generated_at, pruned,
            makes_run, dbt_project)
         SELECT u.event_id, u.place, u.account_id, u.project_id, u.environment_id, u.event_time, u.dag_id,
            u.run_id, u.tag, u.invocation_id, u.kind, u.name, u.sha256, u.size, u.dbt_schema_version, u.dbt_version, u.generated_at, u.pruned,
            u.makes_run, CASE WHEN u.kind = 'manifest' AND NOT u.pruned THEN coalesce(
                (SELECT m.project_name FROM manifests m WHERE m.account_id = u.account_id AND m.sha256 = u.sha256), '') END
         FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::text[], $8::text[],
                $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[], $14::bigint[], $15::text[], $16::text[],
                $17::timestamptz[], $18::boolean[], $19::boolean[])
            AS u (event_id, place, account_id, project_id, environment_id, event_time, dag_id, run_id, tag, invocation_id, kind, name,
                sha256, size, dbt_schema_version, dbt_version, generated_at, pruned, makes_run)",
        &rows.event_ids,
        &rows.places,
        &rows.account_ids,
        &rows.project_ids,
        &rows.environment_ids,
        &rows.event_times,
        &rows.dag_ids as &[Option<String>],
        &rows.run_ids as &[Option<String>],
        &rows.tags as &[Option<String>],
        &rows.invocation_ids as &[Option<String>],
        &rows.kinds as &[&str],
        &rows.names,
        &rows.hashes,
        &rows.sizes,
        &rows.dbt_schema_versions as &[Option<String>],
        &rows.dbt_versions as &[Option<String>],
        &rows.generated_at as &[Option<DateTime<Utc>>],
        &rows.pruned,
        &rows.make_runs
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// The columns of new rows of `artifacts`.
#[derive(Default)]
struct ArtifactRows {
    event_ids: Vec<Uuid>,
    places: Vec<i32>,
    account_ids: Vec<i64>,
    project_ids: Vec<i64>,
    environment_ids: Vec<i64>,
    event_times: Vec<DateTime<Utc>>,
    dag_ids: Vec<Option<String>>,
    run_ids: Vec<Option<String>>,
    tags: Vec<Option<String>>,
    invocation_ids: Vec<Option<String>>,
    kinds: Vec<&'static str>,
    names: Vec<String>,
    hashes: Vec<Vec<u8>>,
    sizes: Vec<i64>,
    dbt_schema_versions: Vec<Option<String>>,
    dbt_versions: Vec<Option<String>>,
    generated_at: Vec<Option<DateTime<Utc>>>,
    pruned: Vec<bool>,
    make_runs: Vec<bool>,
}

impl ArtifactRows {
    fn push(&mut self, upload: &ArtifactsUploaded, artifact: &Artifact, file: &UploadedFile) {
        self.event_ids.push(artifact.event_id.0);
        self.places.push(artifact.place);
        self.account_ids.push(upload.account_id.0);
        self.project_ids.push(upload.project_id.0);
        self.environment_ids.push(upload.environment_id.0);
        self.event_times.push(artifact.event_time);
        self.dag_ids.push(artifact.dag_id.clone());
        self.run_ids.push(artifact.run_id.clone());
        self.tags.push(artifact.tag.clone());
        self.invocation_ids.push(artifact.invocation_id.clone());
        self.kinds.push(file.kind.as_str());
        self.names.push(without_nul(&file.name));
        self.hashes.push(file.sha256.0.to_vec());
        self.sizes.push(i64::try_from(file.size).unwrap_or(i64::MAX));
        self.dbt_schema_versions
            .push(file.dbt_schema_version.as_deref().map(without_nul));
        self.dbt_versions.push(file.dbt_version.as_deref().map(without_nul));
        // A fast clock must not make a file newer than its upload.
        self.generated_at.push(
            file.generated_at
                .map(|time| in_microseconds(time).min(artifact.event_time)),
        );
        self.pruned.push(artifact.pruned);
        self.make_runs.push(artifact.makes_run);
    }
}
