//! Removes old runs from the read model.

use std::collections::{BTreeSet, HashSet};

use read_model::airflow::prune_observations;
use read_model::aspects::{FileAspects, aspects_of_files, environments_of_files};
use read_model::journal::{add_to_ledger, begin_removal, lock_account_alone, remove_from_ledger};
use read_model::placement::{InEnvironments, places_of_invocations};
use read_model::projects::refresh_run_nodes;
use read_model::prune::{
    Candidate, FileOfUpload, Prunable, artifacts_of, forget_contents, note_pruned, prunable_runs, remove_upload,
    uploads_of_runs,
};
use read_model::runs::shrink_run;
use read_model::steps::refresh_steps;
use schemas::{AccountId, EnvironmentId, Event, EventId, RetentionPruned, RunId, Sha256, StepId};
use sqlx::PgConnection;

use crate::change::Change;
use crate::{ApplyError, Outcome, Projector, state};

/// The number of runs that one event removes. It limits the duration of a transaction for which others wait.
const RUNS_AT_ONCE: usize = 500;

/// What a removal would do.
#[derive(Clone, Debug)]
pub struct PrunePlan {
    /// The events that remove the runs.
    pub events: Vec<RetentionPruned>,
    /// The runs that are removed, in the order of their numbers.
    pub runs: Vec<Candidate>,
    /// How many more meet the criteria, but the current state comes from them.
    pub in_use: usize,
    /// How many more meet the criteria, but share an upload with a run that is kept.
    pub shared: usize,
}

impl Projector {
    /// Plans the events that would remove the selected runs of an account, without changing anything. A run that shares an upload with a
    /// run that is kept is kept too.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable.
    pub async fn plan_prune(&self, which: &Prunable) -> Result<PrunePlan, ApplyError> {
        let mut connection = self.pool.acquire().await?;
        let (in_use, mut candidates): (Vec<Candidate>, Vec<Candidate>) = prunable_runs(&mut connection, which)
            .await?
            .into_iter()
            .partition(|candidate| candidate.is_in_use);
        let mut runs: BTreeSet<RunId> = candidates.iter().map(|candidate| candidate.run).collect();
        let ids: Vec<RunId> = runs.iter().copied().collect();
        let uploads = uploads_of_runs(&mut connection, which.account, &ids).await?;
        drop(connection);
        let mut kept: HashSet<EventId> = HashSet::new();
        loop {
            let before = runs.len();
            for (event, run) in &uploads {
                let is_kept = run.is_none_or(|run| !runs.contains(&run));
                if is_kept {
                    kept.insert(*event);
                }
            }
            for (event, run) in &uploads {
                if kept.contains(event)
                    && let Some(run) = run
                {
                    runs.remove(run);
                }
            }
            if runs.len() == before {
                break;
            }
        }
        let matched = candidates.len();
        candidates.retain(|candidate| runs.contains(&candidate.run));
        let runs: Vec<RunId> = runs.into_iter().collect();
        let events = runs.chunks(RUNS_AT_ONCE).map(|runs| {
            let of_runs: BTreeSet<EventId> = uploads
                .iter()
                .filter(|(_, run)| run.is_some_and(|run| runs.binary_search(&run).is_ok()))
                .map(|(event, _)| *event)
                .collect();
            RetentionPruned {
                account_id: which.account,
                run_ids: runs.to_vec(),
                uploads: of_runs.into_iter().collect(),
            }
        });
        Ok(PrunePlan {
            events: events.collect(),
            in_use: in_use.len(),
            shared: matched - candidates.len(),
            runs: candidates,
        })
    }

    pub(super) async fn project_prune(
        &self,
        connection: &mut PgConnection,
        event: &Event,
        pruned: &RetentionPruned,
    ) -> Result<Outcome, ApplyError> {
        let account = pruned.account_id;
        let mut change = Change::begin(connection).await?;
        lock_account_alone(&mut change, account).await?;
        if add_to_ledger(&mut change, &[(account, event.id)]).await?.is_empty() {
            change.revert().await;
            return Ok(Outcome::Known);
        }
        begin_removal(&mut change, account).await?;
        let files = artifacts_of(&mut change, account, &pruned.uploads).await?;
        let states = states_of(&mut change, account, &files).await?;
        note_pruned(&mut change, account, &pruned.uploads).await?;
        shrink(&mut change, account, &files).await?;
        for run in prune_observations(&mut change, &pruned.uploads).await? {
            shrink_run(&mut change, account, run).await?;
        }
        shrink_states(&mut change, account, &states).await?;
        forget_contents(&mut change, account, &hashes_of(&files), None).await?;
        change.commit(&[event.id], &[account]).await?;
        tracing::info!(event_id = %event.id, account_id = %account, runs = pruned.run_ids.len(), uploads = pruned.uploads.len(), "pruned");
        Ok(Outcome::Applied)
    }
}

/// Removes an upload and the content of its files from the read model, so that it can be applied again in the same transaction. The content
/// of a pruned upload is not read again, so content that it shares with others is kept.
pub(super) async fn forget_upload(
    transaction: &mut PgConnection,
    account: AccountId,
    event: EventId,
    pruned: bool,
) -> Result<(), ApplyError> {
    begin_removal(transaction, account).await?;
    let files = artifacts_of(transaction, account, &[event]).await?;
    let states = states_of(transaction, account, &files).await?;
    remove_upload(transaction, event).await?;
    remove_from_ledger(transaction, event).await?;
    shrink(transaction, account, &files).await?;
    let rewrite_in = files.first().filter(|_| !pruned).map(|file| file.environment);
    forget_contents(transaction, account, &hashes_of(&files), rewrite_in).await?;
    shrink_states(transaction, account, &states).await
}

/// Returns what files with these contents contributed to the state of each environment.
async fn states_of(
    connection: &mut PgConnection,
    account: AccountId,
    files: &[FileOfUpload],
) -> Result<Vec<(EnvironmentId, FileAspects)>, ApplyError> {
    // Other environments with the same contents may lose them too.
    let hashes = hashes_of(files);
    let mut states = Vec::new();
    for environment in environments_of_files(connection, account, &hashes).await? {
        let aspects = aspects_of_files(connection, account, environment, &hashes).await?;
        states.push((environment, aspects));
    }
    Ok(states)
}

async fn shrink_states(
    transaction: &mut PgConnection,
    account: AccountId,
    states: &[(EnvironmentId, FileAspects)],
) -> Result<(), ApplyError> {
    for (environment, before) in states {
        state::shrink(transaction, account, *environment, before).await?;
    }
    Ok(())
}

/// Recomputes the runs and steps that contained these files.
async fn shrink(transaction: &mut PgConnection, account: AccountId, files: &[FileOfUpload]) -> Result<(), ApplyError> {
    let mut steps: BTreeSet<StepId> = files.iter().filter_map(|file| file.step).map(StepId).collect();
    let mut runs: BTreeSet<RunId> = files.iter().filter_map(|file| file.run).collect();
    let environments: BTreeSet<EnvironmentId> = files.iter().map(|file| file.environment).collect();
    for environment in environments {
        // A manifest also affects steps in other runs, if its invocation has steps there.
        let of_it = files.iter().filter(|file| file.environment == environment);
        let invocations: InEnvironments = of_it
            .filter_map(|file| Some((environment, file.invocation.clone()?)))
            .collect();
        for step in places_of_invocations(transaction, &invocations).await? {
            runs.insert(step.run);
            steps.insert(step.step);
        }
    }
    refresh_steps(transaction, steps.into_iter().map(|step| (account, step))).await?;
    for run in runs {
        shrink_run(transaction, account, run).await?;
    }
    let runs_of_files: BTreeSet<(EnvironmentId, RunId)> = files
        .iter()
        .filter_map(|file| Some((file.environment, file.run?)))
        .collect();
    for (environment, run) in runs_of_files {
        refresh_run_nodes(transaction, account, environment, run).await?;
    }
    Ok(())
}

fn hashes_of(files: &[FileOfUpload]) -> Vec<Sha256> {
    let hashes: BTreeSet<Sha256> = files.iter().map(|file| file.sha256).collect();
    hashes.into_iter().collect()
}
