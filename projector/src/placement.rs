//! Determines the run and the step of each file of uploads.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bucket::Bucket;
use read_model::airflow::Observed;
use read_model::artifacts::{Artifact, Uploaded};
use read_model::ids::{Numbers, RunKey, step_id};
use read_model::placement::{
    InEnvironments, Placed, ResultsId, StepOfRun, places_of_files, places_of_invocations, set_placements,
    unplaced_alike,
};
use read_model::results::limit_times;
use read_model::run_keys::keys_of_runs;
use read_model::runs::{RunParents, refresh_runs, shrink_run};
use read_model::steps::refresh_steps;
use schemas::{AccountId, ArtifactKind, EnvironmentId, EventId, JobId, ProjectId, RunId, StepId};
use sqlx::PgConnection;

use crate::content::Reading;
use crate::lock_waits::LockWaits;
use crate::numbers::{RunOfAccount, numbers_of_runs};
use crate::{ApplyError, state};

/// The environment in which something ran, and what it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parents {
    pub(crate) account: AccountId,
    pub(crate) project: ProjectId,
    pub(crate) environment: EnvironmentId,
}

/// Airflow's observation of a run.
pub(crate) struct ObservedRun {
    pub(crate) environment: EnvironmentId,
    pub(crate) key: RunKey,
    pub(crate) observed: Observed,
}

/// Uploads and observations to assign to runs.
pub(crate) struct Placing {
    reading: Reading,
    waits: LockWaits,
    pub(crate) environments: BTreeMap<EnvironmentId, Parents>,
    pub(crate) uploads: Vec<Uploaded>,
    pub(crate) observations: Vec<ObservedRun>,
}

impl Placing {
    pub(crate) fn new(reading: Reading, waits: LockWaits) -> Self {
        Self {
            reading,
            waits,
            environments: BTreeMap::new(),
            uploads: Vec::new(),
            observations: Vec::new(),
        }
    }

    fn account(&self, environment: EnvironmentId) -> Option<AccountId> {
        self.environments.get(&environment).map(|parents| parents.account)
    }

    fn run_of(&self, environment: EnvironmentId, key: &RunKey) -> Option<RunOfAccount> {
        Some(RunOfAccount {
            account: self.account(environment)?,
            environment,
            key: key.clone(),
        })
    }

    /// The uploads, each with whether it contains a manifest.
    fn has_manifest(&self) -> HashMap<EventId, bool> {
        let uploads = self.uploads.iter().filter_map(|uploaded| {
            let event = uploaded.artifacts.first()?.event_id;
            let files = &uploaded.upload.files;
            Some((event, files.iter().any(|file| file.kind == ArtifactKind::Manifest)))
        });
        uploads.collect()
    }

    fn results(&self) -> Vec<ResultsId> {
        let files = self.uploads.iter().flat_map(|Uploaded { upload, .. }| {
            let results = upload.files.iter().filter(|file| file.kind.is_results());
            results.map(|file| ResultsId {
                account: upload.account_id,
                environment: upload.environment_id,
                sha256: file.sha256,
            })
        });
        files.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The invocations whose manifest arrived, since it may show that the command was interrupted.
    fn invocations_of_manifests(&self) -> InEnvironments {
        let manifests = self.uploads.iter().flat_map(|Uploaded { upload, artifacts }| {
            let files = upload.files.iter().zip(artifacts);
            files
                .filter(|(file, _)| file.kind == ArtifactKind::Manifest)
                .filter_map(|(_, artifact)| Some((upload.environment_id, artifact.invocation_id.clone()?)))
        });
        manifests.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Assigns the files of uploads to runs, and earlier files that they or Airflow's observations provide information about. The files must be
/// stored, and their environments locked by [`read_model::placement::lock_placement`].
///
/// The run of a file depends on the set of events, never on their order. Therefore an upload that names the DAG of a run moves the earlier
/// uploads of that run that did not name it.
pub(crate) async fn assign(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    placing: Placing,
) -> Result<(), ApplyError> {
    if placing.environments.is_empty() {
        return Ok(());
    }
    let results = placing.results();
    let mut changed = limit_times(transaction, &results).await?;
    if placing.reading == Reading::Everything {
        changed.extend(results);
    }
    let files = files_to_assign(transaction, &placing).await?;
    let followed = state::follow(transaction, &placing.uploads, placing.reading).await?;
    let moved = move_files(transaction, bucket, &placing, files, &changed).await?;
    for ObservedRun {
        environment,
        key,
        observed,
    } in &placing.observations
    {
        if observed.pruned {
            // An earlier observation of the run was shown.
            shrink_observed(transaction, &placing, *environment, key).await?;
        }
    }
    let has_manifest = placing.has_manifest();
    let runs: BTreeSet<(AccountId, EnvironmentId, RunId)> = moved
        .into_iter()
        .filter(|moved| has_manifest.get(&moved.event).copied().unwrap_or(true))
        .filter_map(|moved| Some((placing.account(moved.environment)?, moved.environment, moved.run)))
        .collect();
    state::refresh_nodes(transaction, followed, runs).await
}

async fn shrink_observed(
    transaction: &mut PgConnection,
    placing: &Placing,
    environment: EnvironmentId,
    key: &RunKey,
) -> Result<(), ApplyError> {
    let Some(run) = placing.run_of(environment, key) else {
        return Ok(());
    };
    let owner = run.number_owner()?;
    let known = read_model::ids::numbers_of(transaction, Numbers::Runs, std::slice::from_ref(&owner)).await?;
    if let Some(id) = known.get(&owner) {
        shrink_run(transaction, run.account, RunId(*id)).await?;
    }
    Ok(())
}

/// Returns the files of the uploads and the earlier files whose run may depend on them or on the observations, in the order in which they
/// were accepted.
async fn files_to_assign(transaction: &mut PgConnection, placing: &Placing) -> Result<Vec<Placed>, ApplyError> {
    let own: HashSet<EventId> = placing.has_manifest().into_keys().collect();
    let mut files = earlier_files(transaction, &RunFacts::of(placing)).await?;
    files.retain(|placed| !own.contains(&placed.artifact.event_id));
    for Uploaded { upload, artifacts } in &placing.uploads {
        files.extend(artifacts.iter().map(|artifact| Placed {
            environment: upload.environment_id,
            artifact: artifact.clone(),
            run_id: None,
            step_id: None,
        }));
    }
    let order = |placed: &Placed| {
        let artifact = &placed.artifact;
        (artifact.event_time, artifact.event_id, artifact.place)
    };
    files.sort_by_key(order);
    Ok(files)
}

/// A file that was moved into a run or out of it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Moved {
    environment: EnvironmentId,
    run: RunId,
    event: EventId,
}

/// Moves files to their current runs and steps. Recomputes their runs, those of files whose results changed, and the observed ones. Returns the
/// files that were moved.
async fn move_files(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    placing: &Placing,
    files: Vec<Placed>,
    changed: &HashSet<ResultsId>,
) -> Result<BTreeSet<Moved>, ApplyError> {
    let artifacts: Vec<(EnvironmentId, &Artifact)> = files
        .iter()
        .map(|placed| (placed.environment, &placed.artifact))
        .collect();
    let keys = keys_of_runs(transaction, &artifacts).await?;
    let targets: Vec<Option<RunOfAccount>> = files
        .iter()
        .zip(&keys)
        .map(|(placed, key)| placing.run_of(placed.environment, key.as_ref().filter(|_| !placed.artifact.pruned)?))
        .collect();
    let observed = placing.observations.iter().filter(|run| !run.observed.pruned);
    let observed = observed.filter_map(|run| placing.run_of(run.environment, &run.key));
    let mut seen = HashSet::new();
    let wanted: Vec<RunOfAccount> = targets.iter().flatten().cloned().chain(observed).collect();
    let wanted: Vec<RunOfAccount> = wanted.into_iter().filter(|run| seen.insert(run.clone())).collect();
    let mut others = places_of_files(transaction, &changed.iter().copied().collect::<Vec<_>>()).await?;
    // As late as possible, because all accounts share the lock on numbers, which is held until the commit.
    let numbers = numbers_of_runs(transaction, bucket, &wanted, placing.waits).await?;

    let mut to_recompute = ToRecompute::default();
    let mut placements: Vec<(&Artifact, Option<(RunId, StepId)>)> = Vec::new();
    for (placed, target) in files.iter().zip(&targets) {
        let run = target
            .as_ref()
            .and_then(|target| numbers.get(target))
            .map(|(run, _)| *run);
        if let Some(step) = to_recompute.move_file(placed, run) {
            placements.push((&placed.artifact, step));
        }
    }
    set_placements(transaction, &placements).await?;
    others.extend(places_of_invocations(transaction, &placing.invocations_of_manifests()).await?);
    let current: HashSet<RunId> = numbers.values().map(|(run, _)| *run).collect();
    to_recompute.add_others(others, &current);
    refresh(transaction, placing, &to_recompute, &wanted, &numbers).await?;
    Ok(to_recompute.moved)
}

/// The steps and runs that must be recomputed, and the files that were moved.
#[derive(Default)]
struct ToRecompute {
    steps: BTreeSet<(EnvironmentId, StepId)>,
    /// The runs that lost files, or whose files changed.
    left: BTreeSet<(EnvironmentId, RunId)>,
    moved: BTreeSet<Moved>,
}

impl ToRecompute {
    /// Returns the new run and step of a file, or `None` if it stays where it is.
    #[expect(
        clippy::option_option,
        reason = "a file may stay where it is, or move out of all runs"
    )]
    fn move_file(&mut self, placed: &Placed, run: Option<RunId>) -> Option<Option<(RunId, StepId)>> {
        let (environment, artifact) = (placed.environment, &placed.artifact);
        let step = run.map(|run| (run, step_id(run, artifact.invocation_id.as_deref(), artifact.event_id)));
        if step == placed.run_id.zip(placed.step_id) {
            return None;
        }
        let steps = step.map(|(_, step)| step).into_iter().chain(placed.step_id);
        self.steps.extend(steps.map(|step| (environment, step)));
        let runs = run.into_iter().chain(placed.run_id);
        self.moved.extend(runs.map(|run| Moved {
            environment,
            run,
            event: artifact.event_id,
        }));
        let left = placed.run_id.filter(|old| Some(*old) != run);
        self.left.extend(left.map(|run| (environment, run)));
        Some(step)
    }

    fn add_others(&mut self, others: Vec<StepOfRun>, current: &HashSet<RunId>) {
        for StepOfRun { environment, run, step } in others {
            self.steps.insert((environment, step));
            if !current.contains(&run) {
                self.left.insert((environment, run));
            }
        }
    }
}

async fn refresh(
    transaction: &mut PgConnection,
    placing: &Placing,
    to_recompute: &ToRecompute,
    runs: &[RunOfAccount],
    numbers: &HashMap<RunOfAccount, (RunId, JobId)>,
) -> Result<(), ApplyError> {
    let steps = to_recompute.steps.iter();
    let steps = steps.filter_map(|(environment, step)| Some((placing.account(*environment)?, *step)));
    refresh_steps(transaction, steps).await?;
    let parents_of = |run: &RunOfAccount| {
        let (run_id, job_id) = *numbers.get(run)?;
        Some(RunParents {
            run_id,
            job_id,
            account_id: run.account,
            project_id: placing.environments.get(&run.environment)?.project,
            environment_id: run.environment,
            key: run.key.clone(),
        })
    };
    let runs: Vec<RunParents> = runs.iter().filter_map(parents_of).collect();
    refresh_runs(transaction, &runs).await?;
    for (environment, run) in &to_recompute.left {
        if let Some(account) = placing.account(*environment) {
            shrink_run(transaction, account, *run).await?;
        }
    }
    Ok(())
}

/// What new data shows about runs.
#[derive(Default)]
struct RunFacts {
    runs: BTreeSet<(EnvironmentId, String)>,
    runs_with_dag: BTreeSet<(EnvironmentId, String)>,
    /// The invocations whose run is named, or that have a file that is evidence of a run.
    invocations: BTreeSet<(EnvironmentId, String)>,
}

impl RunFacts {
    fn of(placing: &Placing) -> Self {
        let mut facts = Self::default();
        for Uploaded { upload, artifacts } in &placing.uploads {
            for artifact in artifacts {
                facts.add(upload.environment_id, artifact);
            }
        }
        for run in placing.observations.iter().filter(|run| run.observed.is_new) {
            let run = run.key.run_id.iter().map(|id| (run.environment, id.clone()));
            facts.runs.extend(run.clone());
            facts.runs_with_dag.extend(run);
        }
        facts
    }

    fn add(&mut self, environment: EnvironmentId, artifact: &Artifact) {
        if let Some(run) = &artifact.run_id {
            self.runs.insert((environment, run.clone()));
            if artifact.dag_id.is_some() {
                self.runs_with_dag.insert((environment, run.clone()));
            }
        }
        if (artifact.run_id.is_some() || artifact.makes_run)
            && let Some(invocation) = &artifact.invocation_id
        {
            self.invocations.insert((environment, invocation.clone()));
        }
    }
}

/// Returns the earlier files whose run may depend on these facts, and files of the same invocations as those.
async fn earlier_files(transaction: &mut PgConnection, facts: &RunFacts) -> Result<Vec<Placed>, ApplyError> {
    let (runs_with_dag, runs): (InEnvironments, InEnvironments) = (
        facts.runs_with_dag.iter().cloned().collect(),
        facts.runs.iter().cloned().collect(),
    );
    let mut invocations = facts.invocations.clone();
    loop {
        if runs.is_empty() && invocations.is_empty() {
            return Ok(Vec::new());
        }
        let known = invocations.len();
        let of_invocations: InEnvironments = invocations.iter().cloned().collect();
        let found = unplaced_alike(transaction, &runs_with_dag, &of_invocations, &runs).await?;
        for placed in &found {
            if let Some(invocation) = &placed.artifact.invocation_id {
                invocations.insert((placed.environment, invocation.clone()));
            }
        }
        if invocations.len() == known {
            return Ok(found);
        }
    }
}
