//! Determines the run and the step of each file of an upload, and the numbers of runs and jobs.

use std::collections::{BTreeMap, BTreeSet};

use bucket::{Bucket, Claim, ClaimKind};
use read_model::airflow::Observed;
use read_model::artifacts::Artifact;
use read_model::ids::{Numbers, RunKey, first_free_id, id_of_key, lock_ids, record_id, step_id};
use read_model::placement::{
    Placed, lock_placement, places_of_files, places_of_invocations, set_placement, unplaced_alike,
};
use read_model::projects::refresh_run_nodes;
use read_model::run_keys::key_of_run;
use read_model::runs::{RunParents, refresh_run, shrink_run};
use read_model::steps::refresh_steps;
use schemas::{
    AccountId, ArtifactKind, ArtifactsUploaded, EnvironmentId, EventId, JobId, ProjectId, RunId, Sha256, StepId,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::apply::Reading;
use crate::{ApplyError, content, state};

/// The environment in which something ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) account_id: AccountId,
    pub(crate) project_id: ProjectId,
    pub(crate) environment_id: EnvironmentId,
}

/// Places the files of an upload, and earlier files that it provides information about.
///
/// The run of a file depends on the set of events, never on their order. Therefore an upload that names the DAG of a run moves the earlier
/// uploads of that run that did not name it.
pub(crate) async fn place(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    upload: &ArtifactsUploaded,
    artifacts: Vec<Artifact>,
    reading: Reading,
) -> Result<(), ApplyError> {
    let place = Place {
        account_id: upload.account_id,
        project_id: upload.project_id,
        environment_id: upload.environment_id,
    };
    lock_placement(transaction, place.environment_id).await?;
    let changed = content::limit_times(transaction, upload, reading).await?;
    let mut files = earlier_files(transaction, place.environment_id, &RunFacts::of_files(&artifacts)).await?;
    let event = artifacts.first().map(|artifact| artifact.event_id);
    files.retain(|placed| Some(placed.artifact.event_id) != event);
    let related = Related {
        changed,
        invocations: invocations_of_manifests(upload, &artifacts),
    };
    files.extend(artifacts.into_iter().map(not_placed));
    let moved = move_files(transaction, bucket, place, files, None, &related).await?;
    let Some(event) = event else { return Ok(()) };
    let has_manifest = upload.files.iter().any(|file| file.kind == ArtifactKind::Manifest);
    let runs = moved
        .into_iter()
        .filter(|(_, moved)| has_manifest || *moved != event)
        .map(|(run, _)| run)
        .collect();
    refresh_nodes(transaction, place, &runs).await?;
    state::follow(transaction, upload, event, reading).await
}

/// What has to be recomputed besides the runs of files that are moved.
#[derive(Default)]
struct Related {
    /// The files whose results changed.
    changed: Vec<Sha256>,
    /// The invocations whose manifest arrived, since it may show that the command was interrupted.
    invocations: Vec<String>,
}

fn invocations_of_manifests(upload: &ArtifactsUploaded, artifacts: &[Artifact]) -> Vec<String> {
    let files = upload.files.iter().zip(artifacts);
    files
        .filter(|(file, _)| file.kind == ArtifactKind::Manifest)
        .filter_map(|(_, artifact)| artifact.invocation_id.clone())
        .collect()
}

/// Places Airflow's observation of a run, and the files that it provides information about, under [`lock_placement`].
pub(crate) async fn place_observed(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    place: Place,
    run: &RunKey,
    observed: Observed,
) -> Result<(), ApplyError> {
    let files = if observed.is_new {
        earlier_files(transaction, place.environment_id, &RunFacts::of_airflow(run)).await?
    } else {
        Vec::new()
    };
    if !observed.pruned {
        let moved = move_files(transaction, bucket, place, files, Some(run), &Related::default()).await?;
        return refresh_nodes(transaction, place, &runs_of(&moved)).await;
    }
    let moved = move_files(transaction, bucket, place, files, None, &Related::default()).await?;
    refresh_nodes(transaction, place, &runs_of(&moved)).await?;
    // An earlier observation of the run was shown.
    let text = serde_json::to_string(run).map_err(|error| ApplyError::Rejected(error.to_string()))?;
    if let Some(id) = id_of_key(transaction, Numbers::Runs, place.environment_id, &text).await? {
        shrink_run(transaction, place.account_id, RunId(id)).await?;
    }
    Ok(())
}

fn runs_of(moved: &BTreeSet<(RunId, EventId)>) -> BTreeSet<RunId> {
    moved.iter().map(|(run, _)| *run).collect()
}

async fn refresh_nodes(transaction: &mut PgConnection, place: Place, runs: &BTreeSet<RunId>) -> Result<(), ApplyError> {
    for run in runs {
        refresh_run_nodes(transaction, place.account_id, place.environment_id, *run).await?;
    }
    Ok(())
}

/// Moves files to their current places. Recomputes their runs, the related ones, and the observed one. Returns the runs whose files
/// changed, with the upload of each file.
async fn move_files(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    place: Place,
    files: Vec<Placed>,
    observed: Option<&RunKey>,
    related: &Related,
) -> Result<BTreeSet<(RunId, EventId)>, ApplyError> {
    let environment = place.environment_id;
    let mut target: Vec<(Placed, Option<RunKey>)> = Vec::new();
    for placed in files {
        let key = key_of_run(transaction, environment, &placed.artifact).await?;
        target.push((placed, key));
    }
    // Numbers are assigned last, so that their lock, which all accounts share, is held only briefly.
    let keys: BTreeSet<&RunKey> = target
        .iter()
        .filter(|(placed, _)| !placed.artifact.pruned)
        .filter_map(|(_, key)| key.as_ref())
        .chain(observed)
        .collect();
    let runs = numbers_of(transaction, bucket, place, &keys).await?;

    let (mut steps, mut left, mut moved) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (placed, key) in &target {
        let artifact = &placed.artifact;
        let key = key.as_ref().filter(|_| !artifact.pruned);
        let run = key.and_then(|key| runs.get(key)).map(|(run, _)| *run);
        let step = run.map(|run| (run, step_id(run, artifact.invocation_id.as_deref(), artifact.event_id)));
        if step == placed.run_id.zip(placed.step_id) {
            continue;
        }
        set_placement(transaction, artifact, step).await?;
        steps.extend(step.map(|(_, step)| step));
        steps.extend(placed.step_id);
        let runs = run.into_iter().chain(placed.run_id);
        moved.extend(runs.map(|run| (run, artifact.event_id)));
        left.extend(placed.run_id.filter(|old| Some(*old) != run));
    }
    let mut others = Vec::new();
    if !related.changed.is_empty() {
        others = places_of_files(transaction, place.account_id, environment, &related.changed).await?;
    }
    if !related.invocations.is_empty() {
        others.extend(places_of_invocations(transaction, environment, &related.invocations).await?);
    }
    for (run, step) in others {
        steps.insert(step);
        if runs.values().all(|(placed, _)| *placed != run) {
            left.insert(run);
        }
    }
    let steps: Vec<StepId> = steps.into_iter().collect();
    refresh_steps(transaction, place.account_id, &steps).await?;
    for (key, (run_id, job_id)) in &runs {
        let run = RunParents {
            run_id: *run_id,
            job_id: *job_id,
            account_id: place.account_id,
            project_id: place.project_id,
            environment_id: environment,
            key,
        };
        refresh_run(transaction, &run).await?;
    }
    for run in left {
        shrink_run(transaction, place.account_id, run).await?;
    }
    Ok(moved)
}

fn not_placed(artifact: Artifact) -> Placed {
    Placed {
        artifact,
        run_id: None,
        step_id: None,
    }
}

/// What new data shows about runs.
struct RunFacts {
    runs: Vec<String>,
    runs_with_dag: Vec<String>,
    /// The invocations whose run is named, or that have a file that is evidence of a run.
    invocations: Vec<String>,
}

impl RunFacts {
    fn of_files(artifacts: &[Artifact]) -> Self {
        let with_run = || artifacts.iter().filter(|artifact| artifact.run_id.is_some());
        let with_dag = with_run().filter(|artifact| artifact.dag_id.is_some());
        Self {
            runs: with_run().filter_map(|artifact| artifact.run_id.clone()).collect(),
            runs_with_dag: with_dag.filter_map(|artifact| artifact.run_id.clone()).collect(),
            invocations: artifacts
                .iter()
                .filter(|artifact| artifact.run_id.is_some() || artifact.makes_run)
                .filter_map(|artifact| artifact.invocation_id.clone())
                .collect(),
        }
    }

    fn of_airflow(run: &RunKey) -> Self {
        let runs: Vec<String> = run.run_id.iter().cloned().collect();
        Self {
            runs: runs.clone(),
            runs_with_dag: runs,
            invocations: Vec::new(),
        }
    }
}

/// Returns the earlier files whose place may depend on these facts, and files of the same invocations as those.
async fn earlier_files(
    transaction: &mut PgConnection,
    environment: EnvironmentId,
    facts: &RunFacts,
) -> Result<Vec<Placed>, ApplyError> {
    let mut invocations: BTreeSet<String> = facts.invocations.iter().cloned().collect();
    loop {
        if facts.runs.is_empty() && invocations.is_empty() {
            return Ok(Vec::new());
        }
        let known: Vec<String> = invocations.iter().cloned().collect();
        let found = unplaced_alike(transaction, environment, &facts.runs_with_dag, &known, &facts.runs).await?;
        invocations.extend(found.iter().filter_map(|placed| placed.artifact.invocation_id.clone()));
        if invocations.len() == known.len() {
            return Ok(found);
        }
    }
}

/// Returns the numbers of runs and of their jobs.
async fn numbers_of<'k>(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    place: Place,
    keys: &BTreeSet<&'k RunKey>,
) -> Result<BTreeMap<&'k RunKey, (RunId, JobId)>, ApplyError> {
    let mut runs = BTreeMap::new();
    for key in keys {
        let job = number(transaction, bucket, Numbers::Jobs, place, &key.job()).await?;
        let run = number(transaction, bucket, Numbers::Runs, place, key).await?;
        runs.insert(*key, (RunId(run), JobId(job)));
    }
    Ok(runs)
}

/// The owner of a number, as recorded by the claim in the bucket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) account_id: AccountId,
    pub(crate) environment_id: EnvironmentId,
    pub(crate) key: serde_json::Value,
}

impl Owner {
    /// Parses a claim, if there is one.
    pub(crate) fn read(claim: Option<serde_json::Value>, id: i64) -> Result<Option<Self>, ApplyError> {
        claim.map(serde_json::from_value).transpose().map_err(|error| {
            ApplyError::Rejected(format!(
                "invalid claim of number {id}: {error}; repair it in the bucket"
            ))
        })
    }
}

/// Returns the number of a job or a run, or else assigns the first number that is not claimed. The claim in the bucket decides, so that a
/// database that was lost, or restored from an old backup, never assigns a number twice.
async fn number<K: Serialize + Sync>(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    numbers: Numbers,
    place: Place,
    key: &K,
) -> Result<i64, ApplyError> {
    let (account, environment) = (place.account_id, place.environment_id);
    let key = serde_json::to_value(key).map_err(|error| ApplyError::Rejected(error.to_string()))?;
    let text = key.to_string();
    if let Some(id) = id_of_key(transaction, numbers, environment, &text).await? {
        return Ok(id);
    }
    lock_ids(transaction).await?;
    if let Some(id) = id_of_key(transaction, numbers, environment, &text).await? {
        return Ok(id);
    }
    let kind = match numbers {
        Numbers::Jobs => ClaimKind::Job,
        Numbers::Runs => ClaimKind::Run,
    };
    let owner = serde_json::to_value(Owner {
        account_id: account,
        environment_id: environment,
        key,
    })
    .map_err(|error| ApplyError::Rejected(error.to_string()))?;
    let mut id = first_free_id(transaction, numbers).await?;
    loop {
        match bucket.claim(kind, id, &owner).await? {
            Claim::Mine => {
                record_id(transaction, numbers, id, account, environment, &text).await?;
                return Ok(id);
            }
            Claim::Taken(other) => {
                let Some(other) = Owner::read(Some(other), id)? else {
                    continue;
                };
                let other_text = other.key.to_string();
                record_id(
                    transaction,
                    numbers,
                    id,
                    other.account_id,
                    other.environment_id,
                    &other_text,
                )
                .await?;
                if other.environment_id == environment && other_text == text {
                    return Ok(id);
                }
                id += 1;
            }
        }
    }
}
