//! Finds what happened in a run, for the REST API and for the console. The number of statements does not depend on the number of nodes.

mod attempts;
mod comparison;
mod graph;
mod timeline;

use std::collections::{BTreeMap, HashMap, HashSet};

use artifacts::NodeResult;
use edge::CloudError;
use read_model::doc::decode_doc;
use read_model::queries;
use read_model::queries::run_overview as of_run;
use schemas::{EnvironmentId, RunId};

pub use attempts::Attempt;
pub use timeline::MAX_NODES as MAX_TIMELINE;

use crate::error::Error;
pub use crate::resources::run_overview::{
    PathNode, RunComparison, RunFailure, RunFileFacts, RunOverview, SkippedBecause, StatusChange, StatusCount,
    StepFacts, TimeChange, Timeline, TimelineNode,
};
use crate::view::View;

/// How many failures are shown at once.
pub const FAILURES: usize = 10;

/// The most results that are read, of a run and of the one before together.
const MAX_RESULTS: i64 = 100_000;

/// The resource types whose nodes others wait for.
const BUILT: [&str; 4] = ["model", "seed", "snapshot", "function"];

/// The most nodes of other types, such as tests, for which it is found out why they were skipped.
const MAX_EXPLAINED: usize = 2_000;

/// Returns what happened in a run, with failures from this position on, and the last attempt at each node in the order of time.
///
/// # Errors
/// If there is no such run, or a query fails.
pub async fn of(view: &mut View, run: RunId, first_failure: usize) -> Result<(RunOverview, Vec<Attempt>), Error> {
    let account = view.account();
    let connection = view.connection();
    let row = queries::runs::run(connection, account, run)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let (run, environment) = (RunId(row.id), EnvironmentId(row.environment_id));
    let job = queries::jobs::jobs_by_id(connection, account, &[row.job_id])
        .await?
        .pop();
    let steps = queries::steps::steps_of_runs(connection, account, &[row.id]).await?;
    let previous = of_run::run_before(connection, account, row.job_id, run).await?;
    let runs: Vec<i64> = [row.id].into_iter().chain(previous).collect();
    let files = of_run::result_files(connection, account, environment, &runs).await?;
    let (own, earlier): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.run_id == row.id);
    let (all, read) = attempts_in(view, environment, &own, MAX_RESULTS).await?;
    let is_whole = read < MAX_RESULTS;
    // Those of this run matter more. With a part of those of the other, nodes would seem to be new.
    let rest = MAX_RESULTS - read;
    let (of_previous, read) = attempts_in(view, environment, &earlier, rest).await?;
    let before = previous.filter(|_| read < rest && !of_previous.is_empty());
    let before = before.map(|id| (id, attempts::last_of_each(of_previous)));
    let results_total = all.len();
    let of_steps = facts_of_steps(steps, &all);
    let index_of: HashMap<i64, i64> = of_steps.iter().map(|step| (step.step_id, step.index)).collect();
    let now = attempts::last_of_each(all);

    let (children, parents) = dependencies(view, environment, run, &now).await?;
    let parents = graph::Parents::new(&children, &parents);
    let longest = of_steps
        .iter()
        .max_by(|one, other| length(one).total_cmp(&length(other)))
        .map(|step| step.step_id);
    let in_longest: Vec<&Attempt> = now.iter().filter(|attempt| Some(attempt.step_id) == longest).collect();
    let critical_path = graph::critical_path(&in_longest, &parents);
    let critical: HashSet<&str> = critical_path.iter().map(|node| node.unique_id.as_str()).collect();

    let failed: Vec<usize> = (0..now.len()).filter(|index| now[*index].has_failed).collect();
    let shown: Vec<usize> = failed.iter().copied().skip(first_failure).take(FAILURES).collect();
    let chosen = timeline::chosen(&now, &critical);
    let results = results(view, environment, &now, shown.iter().chain(&chosen)).await?;
    let failures = failures(view, (environment, run), &now, &shown, &results, &index_of).await?;
    let files = of_run::files_of_run(view.connection(), account, run).await?;
    let files = files.into_iter().map(|file| RunFileFacts {
        step: file.step_id.and_then(|step| index_of.get(&step).copied()),
        name: file.name,
        size: file.size,
    });
    let mut files: Vec<RunFileFacts> = files.collect();
    files.sort_by(|one, other| (one.step, &one.name).cmp(&(other.step, &other.name)));
    let overview = RunOverview {
        run_id: row.id,
        job_id: row.job_id,
        dag_id: job.and_then(|job| job.dag_id),
        airflow_run_id: row.airflow_run_id,
        environment_id: row.environment_id,
        status: row.status,
        dbt_version: row.dbt_version,
        started_at: row.started_at.unwrap_or(row.created_at),
        finished_at: row.finished_at,
        previous_run_id: previous,
        steps: of_steps,
        results_total,
        is_whole,
        counts: counts(&now),
        failures_total: failed.len(),
        failures,
        skipped: graph::skipped(&now, &parents),
        timeline: timeline::timeline(&now, &chosen, &results, &critical, &index_of),
        critical_path,
        comparison: before
            .filter(|_| !now.is_empty())
            .map(|(id, before)| comparison::compare(id, &before, &now)),
        files,
    };
    Ok((overview, now))
}

/// Compares the results of two runs, whichever environments they are of. Nothing if one of them has no results, or more than are read: what was
/// not read would seem to be missing.
pub(crate) async fn compared(
    view: &mut View,
    before: (EnvironmentId, RunId),
    now: (EnvironmentId, RunId),
) -> Result<Option<RunComparison>, Error> {
    let mut last = Vec::new();
    for (environment, RunId(run)) in [before, now] {
        let account = view.account();
        let files = of_run::result_files(view.connection(), account, environment, &[run]).await?;
        let (all, read) = attempts_in(view, environment, &files, MAX_RESULTS).await?;
        if read >= MAX_RESULTS {
            return Ok(None);
        }
        last.push(attempts::last_of_each(all));
    }
    let [old, new] = &last[..] else { return Ok(None) };
    let RunId(run) = before.1;
    Ok((!old.is_empty() && !new.is_empty()).then(|| comparison::compare(run, old, new)))
}

/// The attempts in these files of a run, and how many results were read: if it is `limit`, there may be more.
async fn attempts_in(
    view: &mut View,
    environment: EnvironmentId,
    files: &[of_run::ResultFile],
    limit: i64,
) -> Result<(Vec<Attempt>, i64), Error> {
    if files.is_empty() || limit == 0 {
        return Ok((Vec::new(), 0));
    }
    let account = view.account();
    let columns = of_run::result_columns(view.connection(), account, environment, files, limit).await?;
    let read = i64::try_from(columns.places.len()).unwrap_or(i64::MAX);
    Ok((attempts::of_files(files, columns), read))
}

fn facts_of_steps(steps: Vec<queries::steps::Step>, attempts: &[Attempt]) -> Vec<StepFacts> {
    let mut counts: HashMap<i64, (usize, usize)> = HashMap::new();
    for attempt in attempts {
        let (nodes, failed) = counts.entry(attempt.step_id).or_default();
        *nodes += 1;
        *failed += usize::from(attempt.has_failed);
    }
    let facts = |step: queries::steps::Step| {
        let (nodes, failed) = counts.get(&step.id).copied().unwrap_or_default();
        StepFacts {
            step_id: step.id,
            index: step.index,
            command: step.command,
            invocation_id: step.invocation_id,
            status: step.status,
            started_at: step.started_at,
            finished_at: step.finished_at,
            nodes,
            failed,
        }
    };
    steps.into_iter().map(facts).collect()
}

fn length(step: &StepFacts) -> f64 {
    let times = step.started_at.zip(step.finished_at);
    times.map_or(0.0, |(start, end)| (end - start).as_seconds_f64())
}

fn counts(attempts: &[Attempt]) -> Vec<StatusCount> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for attempt in attempts {
        *counts.entry((attempt.resource_type(), &attempt.status)).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((resource_type, status), nodes)| StatusCount {
            resource_type: resource_type.to_owned(),
            status: status.to_owned(),
            nodes,
        })
        .collect()
}

/// What the nodes of the run's manifest depend on, of the types that matter for this run.
async fn dependencies(
    view: &mut View,
    environment: EnvironmentId,
    run: RunId,
    attempts: &[Attempt],
) -> Result<(Vec<String>, Vec<String>), Error> {
    let account = view.account();
    if attempts.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let node_set = queries::aspects::node_set_of_run(view.connection(), account, environment, run).await?;
    let Some(node_set) = node_set else {
        return Ok((Vec::new(), Vec::new()));
    };
    // Nothing waits for the other types, so what they depend on matters only if they were skipped, or if others were skipped because of them.
    let others = || {
        attempts
            .iter()
            .filter(|attempt| !BUILT.contains(&attempt.resource_type()))
    };
    let skipped = others().filter(|attempt| attempt.is_skipped());
    let others: Vec<&str> = if attempts.iter().any(Attempt::is_skipped) {
        let asked = others().filter(|attempt| attempt.has_failed).chain(skipped);
        asked
            .map(|attempt| attempt.unique_id.as_str())
            .take(MAX_EXPLAINED)
            .collect()
    } else {
        Vec::new()
    };
    Ok(of_run::dependencies(view.connection(), account, node_set, &BUILT, &others).await?)
}

/// What dbt wrote about these attempts, by position.
async fn results<'i>(
    view: &mut View,
    environment: EnvironmentId,
    attempts: &[Attempt],
    wanted: impl Iterator<Item = &'i usize>,
) -> Result<HashMap<usize, NodeResult>, Error> {
    let account = view.account();
    let wanted: Vec<usize> = wanted.copied().collect();
    let places: Vec<_> = wanted.iter().map(|index| attempts[*index].stored).collect();
    let docs = of_run::result_docs(view.connection(), account, environment, &places).await?;
    let mut results = HashMap::new();
    for (rank, doc) in docs {
        let result = NodeResult::from_json(&decode_doc(&doc)?);
        if let Some((index, result)) = wanted.get(rank).copied().zip(result) {
            results.insert(index, result);
        }
    }
    Ok(results)
}

async fn failures(
    view: &mut View,
    (environment, run): (EnvironmentId, RunId),
    attempts: &[Attempt],
    shown: &[usize],
    results: &HashMap<usize, NodeResult>,
    index_of: &HashMap<i64, i64>,
) -> Result<Vec<RunFailure>, Error> {
    let account = view.account();
    let ids: Vec<String> = shown.iter().map(|index| attempts[*index].unique_id.clone()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ends: Vec<_> = shown.iter().map(|index| attempts[*index].at).collect();
    let codes = of_run::compiled_codes(view.connection(), account, run, &ids).await?;
    let mut codes: HashMap<String, Vec<u8>> = codes.into_iter().collect();
    let successes = of_run::last_successes(view.connection(), account, environment, &ids, &ends).await?;
    let mut successes: HashMap<String, of_run::LastSuccess> = successes
        .into_iter()
        .map(|success| (success.unique_id.clone(), success))
        .collect();
    let mut failures = Vec::with_capacity(shown.len());
    for index in shown {
        let attempt = &attempts[*index];
        let code = codes
            .remove(&attempt.unique_id)
            .map(|code| decode_doc(&code))
            .transpose()?;
        let result = results.get(index);
        let success = successes.remove(&attempt.unique_id);
        failures.push(RunFailure {
            unique_id: attempt.unique_id.clone(),
            status: attempt.status.clone(),
            step: index_of.get(&attempt.step_id).copied().unwrap_or_default(),
            failed_at: attempt.at,
            execution_time: attempt.seconds,
            message: result.and_then(|result| result.message.clone()),
            failures: result.and_then(|result| result.failures),
            last_success_at: success.as_ref().map(|success| success.at),
            last_success_run_id: success.and_then(|success| success.run_id),
            compiled_code: code.map(|code| String::from_utf8_lossy(&code).into_owned()),
        });
    }
    Ok(failures)
}
