//! Observes the Airflow of one environment.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use airflow::{Airflow, DagRun, Environment, Which};
use chrono::{DateTime, TimeDelta, Utc};
use directory::queries::note_observed;
use directory::{EnvironmentEntry, IdOrSlug};
use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::airflow::{Observation, active_observations, newest_observations, observations};
use schemas::{AccountId, AirflowRunObserved, Event, EventId, RunStatus, Slug};

use super::Parts;
use crate::directory::Unavailable;

/// How far a pass reaches back before the last one. Airflow's parts have separate clocks, and others see their writes only after a while.
const OVERLAP: TimeDelta = TimeDelta::minutes(5);

/// How often all runs within the look-back are compared, even if Airflow does not list them as changed.
const COMPARE_EVERY: TimeDelta = TimeDelta::days(1);

/// How often the schedules of the DAGs are requested.
const SCHEDULES_EVERY: TimeDelta = TimeDelta::minutes(5);

/// How many runs that are missing from all lists are requested by id in one pass.
const MAX_ASKED: usize = 50;

/// How many events are written concurrently.
const WRITE_AT_ONCE: usize = 8;

/// The state of a run that Airflow removed before it ended.
const REMOVED: &str = "removed";

/// The DAG id and the run id of a run.
type Key = (String, String);

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Airflow(#[from] airflow::Error),
    #[error(transparent)]
    Directory(#[from] Unavailable),
    #[error("the account has no active environment with this slug; check AIRFLOW_CONFIG, or add the environment")]
    NoEnvironment,
    #[error("cannot read the known runs from PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    #[error("cannot write events to the bucket: {0}")]
    Bucket(#[from] bucket::Error),
    #[error("cannot write the event as JSON: {0}")]
    Event(#[from] serde_json::Error),
}

/// The error that currently prevents observing an Airflow, if there is one. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub(super) fn message(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Clears the error.
    pub(super) fn end(&self) {
        self.set(None);
    }

    /// Sets the error, and returns whether it changed.
    fn set(&self, message: Option<String>) -> bool {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *present != message;
        *present = message;
        is_new
    }
}

/// The state of observing one environment's Airflow.
pub(super) struct Watch {
    account: AccountId,
    slug: Slug,
    airflow: Airflow,
    look_back: TimeDelta,
    trouble: Trouble,
    /// The next pass asks for changes since this time, by Airflow's clock. `None` until a pass has succeeded.
    changed_since: Option<DateTime<Utc>>,
    next_compare: Option<DateTime<Utc>>,
    schedules: HashMap<String, Option<String>>,
    next_schedules: Option<DateTime<Utc>>,
    /// Observations that were written, but may not be in the read model yet.
    written: HashMap<Key, Observation>,
}

impl Watch {
    pub(super) fn new(environment: &Environment, look_back: TimeDelta) -> Result<Self, airflow::Error> {
        Ok(Self {
            account: environment.account,
            slug: environment.slug.clone(),
            airflow: Airflow::new(&environment.url, environment.login.clone())?,
            look_back,
            trouble: Trouble::default(),
            changed_since: None,
            next_compare: None,
            schedules: HashMap::new(),
            next_schedules: None,
            written: HashMap::new(),
        })
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// Runs passes forever, with pauses of `interval`.
    pub(super) async fn run(&mut self, parts: &Parts, interval: Duration) {
        loop {
            let result = self.pass(parts).await;
            self.report(parts, result);
            tokio::time::sleep(interval).await;
        }
    }

    fn report(&self, parts: &Parts, result: Result<(), PassError>) {
        let (account, environment) = (self.account, self.slug.as_str());
        let labels = [
            ("account", account.to_string()),
            ("environment", environment.to_owned()),
        ];
        metrics::gauge!("dbt_api_airflow_up", &labels).set(if result.is_ok() { 1.0 } else { 0.0 });
        match result {
            Ok(()) => {
                let now = parts.clock.now().timestamp() as f64;
                metrics::gauge!("dbt_api_airflow_last_pass_timestamp_seconds", &labels).set(now);
                if self.trouble.set(None) {
                    tracing::info!(account_id = %account, environment, "observing Airflow's runs again");
                }
            }
            Err(error) => {
                let message = format!("account {account}, environment `{environment}`: {error}");
                if self.trouble.set(Some(message)) {
                    tracing::warn!(account_id = %account, environment, %error, "cannot observe Airflow's runs; retrying");
                }
            }
        }
    }

    async fn pass(&mut self, parts: &Parts) -> Result<(), PassError> {
        let name = IdOrSlug::Slug(self.slug.clone());
        let mut entries = parts.directory.environments(&[self.account], &name).await?;
        let entry = entries.pop().ok_or(PassError::NoEnvironment)?;
        let now = parts.clock.now();
        let since = self.changed_since.unwrap_or(now - self.look_back);
        let changed = self.airflow.runs(Which::ChangedSince(since)).await?;
        let is_compared = self.next_compare.is_none_or(|next| next <= now);
        let mut listed = Listed::default();
        listed.add(changed.runs);
        if is_compared {
            let which = Which::StartedSince(now - self.look_back);
            listed.add(self.airflow.runs(which).await?.runs);
        }
        listed.add(self.airflow.runs(Which::Active).await?.runs);
        let gone = self.ask_for_missing(parts, &entry, &mut listed).await?;
        let mut news = self.compare(parts, &entry, listed.runs).await?;
        news.extend(gone);
        self.add_schedules(parts, &entry, now, &mut news).await?;
        self.write(parts, &entry, news).await?;
        // Only now, because the next pass must list whatever was not written.
        self.changed_since = changed.date.map(|date| date - OVERLAP).or(self.changed_since);
        if is_compared {
            self.next_compare = Some(now + COMPARE_EVERY);
        }
        // It is only information for operators, and the database may be read-only.
        let source = format!("airflow of {}/{}", self.account, self.slug.as_str());
        if let Err(error) = note_observed(&parts.pool, &source).await {
            tracing::debug!(%error, source, "cannot record that Airflow was observed");
        }
        Ok(())
    }

    /// Requests the runs that were active when last observed, but are missing from all lists. Those that Airflow no longer has are recorded
    /// as removed. Runs that had ended keep their last state.
    async fn ask_for_missing(
        &mut self,
        parts: &Parts,
        entry: &EnvironmentEntry,
        listed: &mut Listed,
    ) -> Result<Vec<Observation>, PassError> {
        let mut connection = parts.pool.acquire().await?;
        let active = active_observations(&mut connection, entry.environment_id).await?;
        drop(connection);
        let (mut gone, mut asked) = (Vec::new(), 0);
        for known in active {
            let known = self.newest(known);
            // Its end may have been written, but not projected yet.
            let has_ended = known.status() >= RunStatus::ENDED;
            if listed.keys.contains(&key_of(&known)) || has_ended || asked == MAX_ASKED {
                continue;
            }
            asked += 1;
            match self.airflow.run(&known.dag_id, &known.run_id).await {
                Ok(Some(run)) => listed.add(vec![run]),
                // This affects a single run: the user may have lost the right to read its DAG.
                Err(error) if error.is_refusal() => {
                    tracing::warn!(dag_id = known.dag_id, run_id = known.run_id, %error, "Airflow refused to return a run; it stays as it was");
                }
                Err(error) => return Err(error.into()),
                Ok(None) => gone.push(Observation {
                    state: REMOVED.to_owned(),
                    finished_at: None,
                    ..known
                }),
            }
        }
        Ok(gone)
    }

    /// Returns observations of the runs that are new or have changed.
    async fn compare(
        &mut self,
        parts: &Parts,
        entry: &EnvironmentEntry,
        runs: Vec<DagRun>,
    ) -> Result<Vec<Observation>, PassError> {
        let ids: Vec<String> = runs.iter().map(|run| run.run_id.clone()).collect();
        let mut connection = parts.pool.acquire().await?;
        let rows = observations(&mut connection, entry.environment_id, &ids).await?;
        drop(connection);
        let mut known: HashMap<Key, Observation> = HashMap::new();
        for row in rows {
            known.insert(key_of(&row), self.newest(row));
        }
        let news = runs.into_iter().filter_map(|run| {
            let key = (run.dag_id.clone(), run.run_id.clone());
            let before = known.get(&key).or_else(|| self.written.get(&key));
            let new = Observation {
                dag_id: run.dag_id,
                run_id: run.run_id,
                state: run.state,
                queued_at: run.queued_at,
                started_at: run.started_at,
                finished_at: run.finished_at,
                schedule: None,
                event_time: before.map_or(DateTime::UNIX_EPOCH, |before| before.event_time),
                event_id: EventId(uuid::Uuid::nil()),
            };
            let is_known = before.is_some_and(|before| before.tells_the_same(&new));
            (!is_known).then_some(new)
        });
        Ok(news.collect())
    }

    /// Returns the newest observation of a run: the read model may be behind what was written.
    fn newest(&mut self, row: Observation) -> Observation {
        let key = key_of(&row);
        match self.written.get(&key) {
            Some(written) if written.is_newer_than(&row) => written.clone(),
            Some(_) => {
                self.written.remove(&key);
                row
            }
            None => row,
        }
    }

    /// Adds the current schedules of the DAGs to the new observations. If only the schedule of a DAG changed, the DAG's last observed run is
    /// recorded again with it.
    async fn add_schedules(
        &mut self,
        parts: &Parts,
        entry: &EnvironmentEntry,
        now: DateTime<Utc>,
        news: &mut Vec<Observation>,
    ) -> Result<(), PassError> {
        let is_unknown = |new: &Observation| !self.schedules.contains_key(&new.dag_id);
        let is_time = self.next_schedules.is_none_or(|next| next <= now);
        if is_time || news.iter().any(is_unknown) {
            let dags = self.airflow.dags().await?;
            self.schedules = dags.into_iter().map(|dag| (dag.dag_id, dag.schedule)).collect();
            let mut connection = parts.pool.acquire().await?;
            let last = newest_observations(&mut connection, entry.environment_id).await?;
            drop(connection);
            let observed: HashSet<String> = news.iter().map(|new| new.dag_id.clone()).collect();
            for row in last {
                let known = self.newest(row);
                if !observed.contains(&known.dag_id) && known.schedule != self.schedule_of(&known.dag_id) {
                    news.push(known);
                }
            }
            self.next_schedules = Some(now + SCHEDULES_EVERY);
        }
        for new in news {
            new.schedule = self.schedule_of(&new.dag_id);
        }
        Ok(())
    }

    fn schedule_of(&self, dag_id: &str) -> Option<String> {
        self.schedules.get(dag_id).cloned().flatten()
    }

    async fn write(
        &mut self,
        parts: &Parts,
        entry: &EnvironmentEntry,
        news: Vec<Observation>,
    ) -> Result<(), PassError> {
        let written = &mut self.written;
        let mut writing = stream::iter(news)
            .map(|new| write(parts, entry, new))
            .buffered(WRITE_AT_ONCE);
        while let Some(new) = writing.try_next().await? {
            written.insert(key_of(&new), new);
        }
        Ok(())
    }
}

/// The runs of several lists, without duplicates. Later lists win.
#[derive(Default)]
struct Listed {
    runs: Vec<DagRun>,
    keys: HashSet<Key>,
}

impl Listed {
    fn add(&mut self, runs: Vec<DagRun>) {
        let key_of = |run: &DagRun| (run.dag_id.clone(), run.run_id.clone());
        let newer: HashMap<Key, DagRun> = runs.iter().map(|run| (key_of(run), run.clone())).collect();
        for present in &mut self.runs {
            if let Some(run) = newer.get(&key_of(present)) {
                present.clone_from(run);
            }
        }
        self.runs
            .extend(runs.into_iter().filter(|run| self.keys.insert(key_of(run))));
    }
}

fn key_of(observation: &Observation) -> Key {
    (observation.dag_id.clone(), observation.run_id.clone())
}

/// Stores an observation as an event in the bucket, and then announces it.
async fn write(parts: &Parts, entry: &EnvironmentEntry, mut new: Observation) -> Result<Observation, PassError> {
    // Later than the event it replaces, even if that was written by a process whose clock is ahead.
    new.event_time = parts.clock.now().max(new.event_time + TimeDelta::microseconds(1));
    new.event_id = EventId(parts.clock.new_id(new.event_time));
    let data = AirflowRunObserved {
        account_id: entry.account_id,
        project_id: entry.project_id,
        environment_id: entry.environment_id,
        dag_id: new.dag_id.clone(),
        run_id: new.run_id.clone(),
        state: new.state.clone(),
        queued_at: new.queued_at,
        started_at: new.started_at,
        finished_at: new.finished_at,
        schedule: new.schedule.clone(),
    };
    let event = Event::new(new.event_id, new.event_time, &data.into())?;
    parts.bucket.put_event(&event).await?;
    parts.announcer.announce(&event).await;
    metrics::counter!("dbt_api_airflow_observations_total").increment(1);
    tracing::info!(event_id = %event.id, account_id = %entry.account_id, dag_id = new.dag_id, run_id = new.run_id, state = new.state, "observed");
    Ok(new)
}
