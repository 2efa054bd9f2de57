//! Which run and step each file of an upload belongs to, and the numbers of runs and jobs.

use std::collections::{BTreeMap, BTreeSet};

use bucket::{Bucket, Claim, ClaimKind};
use read_model::{
    Artifact, Numbers, Observed, Placed, RunKey, RunPlace, first_free_id, id_of_key, key_of_run, lock_ids,
    lock_placement, places_of_files, record_id, refresh_run, refresh_steps, set_placement, shrink_run, step_id,
    unplaced_alike,
};
use schemas::{AccountId, ArtifactsUploaded, EnvironmentId, JobId, ProjectId, RunId, Sha256, StepId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::apply::Reading;
use crate::{ApplyError, content};

/// Where something ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) account_id: AccountId,
    pub(crate) project_id: ProjectId,
    pub(crate) environment_id: EnvironmentId,
}

/// Places the files of an upload, and earlier files of which it tells more.
///
/// Which run a file belongs to follows from the set of events, never from their order: so an upload that names the DAG of a run moves
/// the earlier uploads of that run that did not.
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
    let mut files = earlier_files(transaction, place.environment_id, &Told::by_files(&artifacts)).await?;
    let event = artifacts.first().map(|artifact| artifact.event_id);
    files.retain(|placed| Some(placed.artifact.event_id) != event);
    files.extend(artifacts.into_iter().map(not_placed));
    move_files(transaction, bucket, place, files, None, &changed).await
}

/// Places what Airflow told of a run, and the files of which that tells more. Under [`lock_placement`].
pub(crate) async fn place_observed(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    place: Place,
    run: &RunKey,
    observed: Observed,
) -> Result<(), ApplyError> {
    let files = if observed.is_new {
        earlier_files(transaction, place.environment_id, &Told::by_airflow(run)).await?
    } else {
        Vec::new()
    };
    if !observed.pruned {
        return move_files(transaction, bucket, place, files, Some(run), &[]).await;
    }
    move_files(transaction, bucket, place, files, None, &[]).await?;
    // What was told before of the run was shown.
    let text = serde_json::to_string(run).map_err(|error| ApplyError::Rejected(error.to_string()))?;
    if let Some(id) = id_of_key(transaction, Numbers::Runs, place.environment_id, &text).await? {
        shrink_run(transaction, place.account_id, RunId(id)).await?;
    }
    Ok(())
}

/// Puts files where they belong by now, and computes anew what follows for their runs, for those of files whose results changed, and for
/// the one that was observed.
async fn move_files(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    place: Place,
    files: Vec<Placed>,
    observed: Option<&RunKey>,
    changed: &[Sha256],
) -> Result<(), ApplyError> {
    let environment = place.environment_id;
    let mut target: Vec<(Placed, Option<RunKey>)> = Vec::new();
    for placed in files {
        let key = key_of_run(transaction, environment, &placed.artifact).await?;
        target.push((placed, key));
    }
    // Numbers are given last, so that the lock upon them, which is one for all accounts, is held shortly.
    let keys: BTreeSet<&RunKey> = target
        .iter()
        .filter(|(placed, _)| !placed.artifact.pruned)
        .filter_map(|(_, key)| key.as_ref())
        .chain(observed)
        .collect();
    let runs = numbers_of(transaction, bucket, place, &keys).await?;

    let (mut steps, mut left) = (BTreeSet::new(), BTreeSet::new());
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
        left.extend(placed.run_id.filter(|old| Some(*old) != run));
    }
    for (run, step) in places_of_files(transaction, place.account_id, environment, changed).await? {
        steps.insert(step);
        if runs.values().all(|(placed, _)| *placed != run) {
            left.insert(run);
        }
    }
    let steps: Vec<StepId> = steps.into_iter().collect();
    refresh_steps(transaction, place.account_id, &steps).await?;
    for (key, (run_id, job_id)) in &runs {
        let run = RunPlace {
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
    Ok(())
}

fn not_placed(artifact: Artifact) -> Placed {
    Placed {
        artifact,
        run_id: None,
        step_id: None,
    }
}

/// What is told of runs.
struct Told {
    runs: Vec<String>,
    runs_with_dag: Vec<String>,
    /// Those whose run is told.
    invocations: Vec<String>,
}

impl Told {
    fn by_files(artifacts: &[Artifact]) -> Self {
        let told = || artifacts.iter().filter(|artifact| artifact.run_id.is_some());
        let with_dag = told().filter(|artifact| artifact.dag_id.is_some());
        Self {
            runs: told().filter_map(|artifact| artifact.run_id.clone()).collect(),
            runs_with_dag: with_dag.filter_map(|artifact| artifact.run_id.clone()).collect(),
            invocations: told().filter_map(|artifact| artifact.invocation_id.clone()).collect(),
        }
    }

    fn by_airflow(run: &RunKey) -> Self {
        let runs: Vec<String> = run.run_id.iter().cloned().collect();
        Self {
            runs: runs.clone(),
            runs_with_dag: runs,
            invocations: Vec::new(),
        }
    }
}

/// The earlier files whose place may follow from what is told: at first those that it tells of, then those that the first tell of.
async fn earlier_files(
    transaction: &mut PgConnection,
    environment: EnvironmentId,
    told: &Told,
) -> Result<Vec<Placed>, ApplyError> {
    let mut invocations = told.invocations.clone();
    if !told.runs_with_dag.is_empty() {
        let first = unplaced_alike(transaction, environment, &told.runs_with_dag, &[], &[]).await?;
        invocations.extend(first.into_iter().filter_map(|placed| placed.artifact.invocation_id));
    }
    if told.runs.is_empty() && invocations.is_empty() {
        return Ok(Vec::new());
    }
    let (runs, with_dag) = (&told.runs, &told.runs_with_dag);
    Ok(unplaced_alike(transaction, environment, with_dag, &invocations, runs).await?)
}

/// The numbers of runs, and of their jobs.
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

/// Whose a number is, as the claim in the bucket says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) account_id: AccountId,
    pub(crate) environment_id: EnvironmentId,
    pub(crate) key: serde_json::Value,
}

impl Owner {
    /// Reads a claim, if there is one.
    pub(crate) fn read(claim: Option<serde_json::Value>, id: i64) -> Result<Option<Self>, ApplyError> {
        claim.map(serde_json::from_value).transpose().map_err(|error| {
            ApplyError::Rejected(format!(
                "the claim of number {id} cannot be read ({error}); mend it in the bucket"
            ))
        })
    }
}

/// The number of a job or a run: the one that it has, else the first that nobody claimed. The claim in the bucket decides, so that
/// a database that was lost, or restored from an old backup, never gives a number a second meaning.
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
