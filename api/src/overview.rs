//! Finds what an account and its environments look like now, for the REST API and for the console.

use std::collections::HashMap;

use artifacts::NodeResult;
use chrono::{DateTime, TimeDelta, Utc};
use directory::queries as records;
use edge::CloudError;
use read_model::doc::decode_doc;
use read_model::queries::{attention, attention_counts, overview as queries};
use read_model::silence::{last_uploads, rounded_hours, usual_gaps};
use schemas::{AccountId, EnvironmentId, RecordState, RunId, RunStatus};

use crate::error::Error;
use crate::resources::outcome::raw;
pub use crate::resources::overview::{
    AccountOverview, Changes, EnvironmentFacts, EnvironmentOverview, Failing, JobStrip, Stale, StripRun, Uploads,
};
use crate::routes::changes;
use crate::view::View;

/// The most jobs that the overview of an environment has.
pub const MAX_JOBS: i64 = 200;

/// The most runs of each job.
pub const MAX_RUNS: i64 = 30;

/// The most nodes of each kind that the overview of an environment lists.
pub const MAX_NODES: i64 = 100;

/// How old the manifest is with which the newest one is compared, at least.
const DAY: TimeDelta = TimeDelta::hours(24);

/// Returns the environments of the view's account, in short.
///
/// # Errors
/// If a query fails.
pub async fn of_account(view: &mut View, now: DateTime<Utc>) -> Result<AccountOverview, Error> {
    let account = view.account();
    let connection = view.connection();
    let record = records::account(connection, account)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let projects: HashMap<i64, String> = records::projects(connection, account)
        .await?
        .into_iter()
        .map(|project| (project.id, project.name))
        .collect();
    let mut environments = records::environments(connection, account).await?;
    environments.retain(|environment| environment.state == RecordState::Active.as_str());
    let ids: Vec<i64> = environments.iter().map(|environment| environment.id).collect();
    let mut jobs: HashMap<i64, queries::JobCounts> = queries::job_counts(connection, account)
        .await?
        .into_iter()
        .map(|counts| (counts.environment_id, counts))
        .collect();
    let failing = by_environment(attention_counts::failing(connection, account, &ids).await?);
    let stale = by_environment(attention_counts::stale(connection, account, &ids).await?);
    let mut uploads = uploads(view, now).await?;
    let facts = |environment: records::Environment| {
        let counts = jobs.remove(&environment.id);
        EnvironmentFacts {
            project_name: projects.get(&environment.project_id).cloned(),
            jobs: counts.as_ref().map_or(0, |counts| counts.jobs),
            failed_jobs: counts.as_ref().map_or(0, |counts| counts.failed),
            last_finished_at: counts.and_then(|counts| counts.last_finished_at),
            failing_nodes: failing.get(&environment.id).copied().unwrap_or_default(),
            stale_nodes: stale.get(&environment.id).copied().unwrap_or_default(),
            uploads: uploads.remove(&environment.id),
            environment_id: environment.id,
            name: environment.name,
            environment_type: environment.environment_type,
        }
    };
    Ok(AccountOverview {
        account_id: account.0,
        name: record.name,
        environments: environments.into_iter().map(facts).collect(),
    })
}

fn by_environment(counts: Vec<attention_counts::NodesOfEnvironment>) -> HashMap<i64, usize> {
    let counts = counts.into_iter();
    counts
        .map(|row| (row.environment_id, usize::try_from(row.count).unwrap_or_default()))
        .collect()
}

/// Returns how an environment of the view's account does.
///
/// # Errors
/// If there is no such environment, or a query fails.
pub async fn of_environment(
    view: &mut View,
    environment: EnvironmentId,
    now: DateTime<Utc>,
) -> Result<EnvironmentOverview, Error> {
    let account = view.account();
    let connection = view.connection();
    let record = records::environment(connection, account, environment)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let strips = queries::strips(connection, account, environment, MAX_JOBS, MAX_RUNS).await?;
    let failing = attention::failing_nodes(connection, account, &[environment.0], MAX_NODES).await?;
    let stale = attention::stale_nodes(connection, account, &[environment.0], MAX_NODES).await?;
    let changes = changes(view, account, environment, now).await?;
    let uploads = uploads(view, now).await?.remove(&environment.0);
    Ok(EnvironmentOverview {
        environment_id: record.id,
        name: record.name,
        environment_type: record.environment_type,
        uploads,
        jobs_total: strips.first().map_or(0, |row| row.jobs),
        jobs: jobs(strips, now),
        failing_total: failing.first().map_or(0, |node| node.total),
        failing: failing.into_iter().map(failing_node).collect::<Result<_, _>>()?,
        stale_total: stale.first().map_or(0, |node| node.total),
        stale: stale.into_iter().map(stale_node).collect::<Result<_, _>>()?,
        changes,
    })
}

/// The last uploads, by environment.
async fn uploads(view: &mut View, now: DateTime<Utc>) -> Result<HashMap<i64, Uploads>, Error> {
    let account = view.account();
    let last = last_uploads(view.connection(), Some(account)).await?;
    let (quiet, other): (Vec<_>, Vec<_>) = last.into_iter().partition(|last| last.may_be_silent(now));
    let gaps = if quiet.is_empty() {
        Vec::new()
    } else {
        usual_gaps(view.connection(), &quiet).await?
    };
    let quiet = quiet.into_iter().zip(gaps);
    let all = quiet.chain(other.into_iter().map(|last| (last, None)));
    Ok(all
        .map(|(last, gap)| {
            let usual = last.missed_after(gap, now);
            let uploads = Uploads {
                last_upload_at: last.at,
                is_silent: usual.is_some(),
                usual_hours: usual.map(rounded_hours),
            };
            (last.environment.0, uploads)
        })
        .collect())
}

async fn changes(
    view: &mut View,
    account: AccountId,
    environment: EnvironmentId,
    now: DateTime<Utc>,
) -> Result<Option<Changes>, Error> {
    let found = queries::manifests_around(view.connection(), account, environment, now - DAY).await?;
    let Some((new, old)) = found else { return Ok(None) };
    let counts = if new.run_id == old.run_id {
        Some(changes::Counts::default())
    } else {
        changes::counts(view, environment, RunId(old.run_id), RunId(new.run_id)).await?
    };
    Ok(counts.map(|counts| Changes {
        from_run_id: old.run_id,
        from_generated_at: old.done_at,
        to_run_id: new.run_id,
        to_generated_at: new.done_at,
        added: counts.added,
        removed: counts.removed,
        changed: counts.changed,
    }))
}

/// Groups the runs by job. Jobs whose last run failed come first, then those that ran last.
fn jobs(rows: Vec<queries::StripRun>, now: DateTime<Utc>) -> Vec<JobStrip> {
    let mut jobs: Vec<JobStrip> = Vec::new();
    for row in rows {
        if jobs.last().is_none_or(|job| job.job_id != row.job_id) {
            jobs.push(JobStrip {
                job_id: row.job_id,
                dag_id: row.dag_id,
                cron: row.cron,
                runs: Vec::new(),
            });
        }
        let run = row.run_id.zip(row.status).zip(row.created_at);
        if let (Some(((run_id, status), created_at)), Some(job)) = (run, jobs.last_mut()) {
            let started_at = row.started_at.unwrap_or(created_at);
            let end = row.finished_at.unwrap_or(now);
            job.runs.push(StripRun {
                run_id,
                status,
                started_at,
                duration: (end - started_at).as_seconds_f64().max(0.0),
            });
        }
    }
    for job in &mut jobs {
        job.runs.sort_by_key(|run| (run.started_at, run.run_id));
    }
    jobs.sort_by_key(|job| {
        let newest = job.runs.last().map(|run| run.started_at);
        (!job.has_failed(), std::cmp::Reverse(newest), job.job_id)
    });
    jobs
}

impl JobStrip {
    /// Whether the last run failed, of those that ended.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let ended = |run: &&StripRun| RunStatus::from_number(run.status).is_some_and(RunStatus::is_complete);
        let last = self.runs.iter().rev().find(ended);
        last.is_some_and(|run| run.status == RunStatus::Error.number())
    }
}

fn result_of(doc: Option<&[u8]>) -> Result<NodeResult, Error> {
    let json = doc.map(decode_doc).transpose()?;
    Ok(json.and_then(|json| NodeResult::from_json(&json)).unwrap_or_default())
}

fn failing_node(row: attention::FailingNode) -> Result<Failing, Error> {
    let result = result_of(row.doc.as_deref())?;
    Ok(Failing {
        unique_id: row.unique_id,
        status: row.status,
        failed_at: row.at,
        run_id: row.run_id,
        failing_since_at: row.since,
        since_run_id: row.since_run_id,
        last_success_at: row.last_success_at,
        message: result.message,
        failures: result.failures,
    })
}

fn stale_node(row: attention::StaleNode) -> Result<Stale, Error> {
    let result = result_of(row.doc.as_deref())?;
    Ok(Stale {
        unique_id: row.unique_id,
        status: row.status,
        checked_at: row.at,
        run_id: row.run_id,
        max_loaded_at: result.max_loaded_at,
        criteria: result.criteria.and_then(raw),
        message: result.message,
    })
}
