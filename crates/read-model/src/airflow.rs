//! DAG runs as Airflow reports them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::{AirflowRunObserved, EnvironmentId, EventId, RunId, RunStatus, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::RunKey;
use crate::ids::in_microseconds;
use crate::text::without_nul;

/// How long PostgreSQL keeps the lock of an observer whose machine disappeared without closing the connection.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// An observation of a DAG run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The id of the DAG.
    pub dag_id: String,
    /// Airflow's id of the run.
    pub run_id: String,
    /// The state in Airflow's words, or `removed`.
    pub state: String,
    /// When the run was queued, if Airflow reports it.
    pub queued_at: Option<DateTime<Utc>>,
    /// When the run started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the run ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The schedule of the DAG.
    pub schedule: Option<String>,
    /// When the run was observed.
    pub event_time: DateTime<Utc>,
    /// The event that records the observation.
    pub event_id: EventId,
}

impl Observation {
    /// Converts an event to the form that PostgreSQL stores.
    #[must_use]
    pub fn of_event(event_id: EventId, event_time: DateTime<Utc>, observed: &AirflowRunObserved) -> Self {
        Self {
            dag_id: without_nul(&observed.dag_id),
            run_id: without_nul(&observed.run_id),
            state: without_nul(&observed.state),
            queued_at: observed.queued_at.map(in_microseconds),
            started_at: observed.started_at.map(in_microseconds),
            finished_at: observed.finished_at.map(in_microseconds),
            schedule: observed.schedule.as_deref().map(without_nul),
            event_time,
            event_id,
        }
    }

    /// The key that gives the run its number.
    #[must_use]
    pub fn key(&self) -> RunKey {
        RunKey {
            dag_id: Some(self.dag_id.clone()),
            run_id: Some(self.run_id.clone()),
            ..RunKey::default()
        }
    }

    /// dbt Cloud's number for the state. A run without a known final state counts as running.
    #[must_use]
    pub fn status(&self) -> i16 {
        let status = match self.state.as_str() {
            "queued" => RunStatus::Queued,
            "success" => RunStatus::Success,
            "failed" => RunStatus::Error,
            "removed" => RunStatus::Cancelled,
            _ => RunStatus::Running,
        };
        status.number()
    }

    /// Whether both observations report the same about the run. The time of the observation does not matter, nor does the schedule, which
    /// belongs to the DAG.
    #[must_use]
    pub fn tells_the_same(&self, other: &Self) -> bool {
        let times = |one: &Self| (one.queued_at, one.started_at, one.finished_at);
        self.state == other.state && times(self) == times(other)
    }

    /// Whether this observation takes precedence over the other.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.event_time, self.event_id) > (other.event_time, other.event_id)
    }
}

/// The effect of an observation on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Whether Airflow had not reported the run before.
    pub is_new: bool,
    /// Whether the newest observation of the run was pruned.
    pub pruned: bool,
}

/// The environment of a run, and the hash of its key there.
type RunHash = (i64, Vec<u8>);

/// An observation with what it is about.
pub type Reported<'a> = (&'a AirflowRunObserved, Observation);

/// Records observations, and returns the effect of each on its run. The newest observation of a run wins, regardless of the order in which
/// they are recorded.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_observations(
    transaction: &mut PgConnection,
    reported: &[Reported<'_>],
) -> sqlx::Result<Vec<Observed>> {
    if reported.is_empty() {
        return Ok(Vec::new());
    }
    let mut keys: Vec<RunHash> = Vec::with_capacity(reported.len());
    for (data, observation) in reported {
        let key = Sha256::of(key_text(observation)?.as_bytes());
        keys.push((data.environment_id.0, key.0.to_vec()));
    }
    // PostgreSQL does not change a row twice in a statement. Sorted, so that two transactions never wait for each other.
    let mut newest: BTreeMap<&RunHash, (&Reported<'_>, DateTime<Utc>)> = BTreeMap::new();
    for (key, one) in keys.iter().zip(reported) {
        let created_at = created_at(&one.1);
        let (newest, first) = newest.entry(key).or_insert((one, created_at));
        if one.1.is_newer_than(&newest.1) {
            *newest = one;
        }
        *first = created_at.min(*first);
    }
    let (environments, hashes): (Vec<i64>, Vec<Vec<u8>>) = newest.keys().map(|key| (*key).clone()).unzip();
    let created: Vec<DateTime<Utc>> = newest.values().map(|(_, created_at)| *created_at).collect();
    let accounts: Vec<i64> = newest.values().map(|((data, _), _)| data.account_id.0).collect();
    let one = || newest.values().map(|((_, one), _)| one);
    let dags: Vec<&str> = one().map(|one| one.dag_id.as_str()).collect();
    let runs: Vec<&str> = one().map(|one| one.run_id.as_str()).collect();
    let states: Vec<&str> = one().map(|one| one.state.as_str()).collect();
    let statuses: Vec<i16> = one().map(Observation::status).collect();
    let queued: Vec<Option<DateTime<Utc>>> = one().map(|one| one.queued_at).collect();
    let started: Vec<Option<DateTime<Utc>>> = one().map(|one| one.started_at).collect();
    let finished: Vec<Option<DateTime<Utc>>> = one().map(|one| one.finished_at).collect();
    let schedules: Vec<Option<&str>> = one().map(|one| one.schedule.as_deref()).collect();
    let crons: Vec<Option<String>> = one().map(|one| cron_of(one.schedule.as_deref()?)).collect();
    let times: Vec<DateTime<Utc>> = one().map(|one| one.event_time).collect();
    let events: Vec<Uuid> = one().map(|one| one.event_id.0).collect();
    let rows = sqlx::query!(
        r#"INSERT INTO airflow_runs AS r (account_id, environment_id, key_sha256, dag_id, run_id, state, status, queued_at, started_at,
            finished_at, schedule, cron, created_at, event_time, event_id, pruned)
         SELECT n.*, EXISTS (SELECT FROM pruned_uploads p WHERE p.event_id = n.event_id)
         FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::timestamptz[],
                $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[], $15::uuid[])
            AS n (account_id, environment_id, key_sha256, dag_id, run_id, state, status, queued_at, started_at, finished_at, schedule, cron,
                created_at, event_time, event_id)
         ON CONFLICT (environment_id, key_sha256, account_id) DO UPDATE SET
            (state, status, queued_at, started_at, finished_at, schedule, cron, event_time, event_id, pruned) = (
                SELECT n.state, n.status, n.queued_at, n.started_at, n.finished_at, n.schedule, n.cron, n.event_time, n.event_id, n.pruned
                FROM (SELECT r.* UNION ALL SELECT excluded.*) n ORDER BY n.event_time DESC, n.event_id DESC LIMIT 1),
            created_at = least(r.created_at, excluded.created_at)
         RETURNING environment_id, key_sha256, pruned AS "pruned!",
            NOT EXISTS (SELECT FROM airflow_runs b WHERE b.environment_id = r.environment_id AND b.key_sha256 = r.key_sha256) AS "is_new!""#,
        &accounts,
        &environments,
        &hashes,
        &dags as &[&str],
        &runs as &[&str],
        &states as &[&str],
        &statuses,
        &queued as &[Option<DateTime<Utc>>],
        &started as &[Option<DateTime<Utc>>],
        &finished as &[Option<DateTime<Utc>>],
        &schedules as &[Option<&str>],
        &crons as &[Option<String>],
        &created,
        &times,
        &events
    )
    .fetch_all(transaction)
    .await?;
    let observed: HashMap<RunHash, Observed> = rows
        .into_iter()
        .map(|row| {
            let (is_new, pruned) = (row.is_new, row.pruned);
            ((row.environment_id, row.key_sha256), Observed { is_new, pruned })
        })
        .collect();
    keys.iter()
        .map(|key| observed.get(key).copied().ok_or(sqlx::Error::RowNotFound))
        .collect()
}

/// The first time that Airflow reports.
fn created_at(observation: &Observation) -> DateTime<Utc> {
    let reported = [observation.queued_at, observation.started_at];
    reported
        .into_iter()
        .flatten()
        .fold(observation.event_time, DateTime::min)
}

/// Converts an Airflow schedule to cron syntax. Returns `None` for schedules that cron cannot express, such as `1 day, 0:30:00` or waiting
/// for data.
fn cron_of(schedule: &str) -> Option<String> {
    let cron = match schedule {
        "@hourly" => "0 * * * *",
        "@daily" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@quarterly" => "0 0 1 */3 *",
        "@yearly" => "0 0 1 1 *",
        other => other,
    };
    let in_cron = |letter: char| letter.is_ascii_alphanumeric() || "*/,-#?".contains(letter);
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let is_cron = fields.len() == 5 && fields.iter().all(|field| field.chars().all(in_cron));
    is_cron.then(|| fields.join(" "))
}

fn key_text(observation: &Observation) -> sqlx::Result<String> {
    serde_json::to_string(&observation.key()).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Marks the observations of these events as pruned. Returns the runs whose newest observation was one of them.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn prune_observations(transaction: &mut PgConnection, events: &[EventId]) -> sqlx::Result<Vec<RunId>> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.0).collect();
    let runs = sqlx::query_scalar!(
        r#"WITH pruned AS (
            UPDATE airflow_runs SET pruned = true WHERE event_id = ANY($1) RETURNING environment_id, key_sha256
        )
        SELECT i.id AS "id!" FROM pruned p JOIN ids.runs i ON i.environment_id = p.environment_id AND i.key_sha256 = p.key_sha256"#,
        &ids
    )
    .fetch_all(transaction)
    .await?;
    Ok(runs.into_iter().map(RunId).collect())
}

/// Makes this connection the observer of Airflow, unless there is another one. The lock ends with the connection.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn try_lock_observing(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let seconds = (LOCK_TIMEOUT.as_secs() / 4).to_string();
    sqlx::query!(
        "SELECT set_config('tcp_keepalives_idle', $1, false) AS idle, set_config('tcp_keepalives_interval', $1, false) AS interval,
            set_config('tcp_keepalives_count', '3', false) AS count",
        seconds
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock(hashtextextended('dbt-api airflow', 0)) AS "locked!""#)
        .fetch_one(connection)
        .await
}

/// A row of `airflow_runs`.
struct Row {
    dag_id: String,
    run_id: String,
    state: String,
    queued_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    schedule: Option<String>,
    event_time: DateTime<Utc>,
    event_id: Uuid,
}

impl From<Row> for Observation {
    fn from(row: Row) -> Self {
        Self {
            dag_id: row.dag_id,
            run_id: row.run_id,
            state: row.state,
            queued_at: row.queued_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            schedule: row.schedule,
            event_time: row.event_time,
            event_id: EventId(row.event_id),
        }
    }
}

/// Returns the known observations of these runs, pruned or not.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn observations(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    run_ids: &[String],
) -> sqlx::Result<Vec<Observation>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT dag_id, run_id, state, queued_at, started_at, finished_at, schedule, event_time, event_id
         FROM airflow_runs
         WHERE environment_id = $1 AND run_id = ANY($2)
            AND hashtextextended(run_id, 0) = ANY(ARRAY(SELECT hashtextextended(r.id, 0) FROM unnest($2::text[]) AS r (id)))",
        environment.0,
        run_ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Observation::from).collect())
}

/// Returns the runs that had not ended when they were last observed.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn active_observations(
    connection: &mut PgConnection,
    environment: EnvironmentId,
) -> sqlx::Result<Vec<Observation>> {
    // `RunStatus::ENDED` is written out: PostgreSQL uses the partial index of these rows only if it knows the number when it plans.
    let rows = sqlx::query_as!(
        Row,
        "SELECT dag_id, run_id, state, queued_at, started_at, finished_at, schedule, event_time, event_id
         FROM airflow_runs WHERE environment_id = $1 AND status < 10 AND NOT pruned ORDER BY event_time, event_id",
        environment.0
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Observation::from).collect())
}

/// Returns the newest observation of each DAG, which has the DAG's schedule.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn newest_observations(
    connection: &mut PgConnection,
    environment: EnvironmentId,
) -> sqlx::Result<Vec<Observation>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT DISTINCT ON (dag_id) dag_id, run_id, state, queued_at, started_at, finished_at, schedule, event_time,
            event_id
         FROM airflow_runs WHERE environment_id = $1 AND NOT pruned ORDER BY dag_id, event_time DESC, event_id DESC",
        environment.0
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Observation::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn airflow_schedules_are_converted_to_cron_if_possible() {
        assert_eq!(cron_of("@daily").as_deref(), Some("0 0 * * *"));
        assert_eq!(cron_of("*/5  6-9 * * MON#1").as_deref(), Some("*/5 6-9 * * MON#1"));
        for other in [
            "1 day, 0:30:00",
            "1:00:00",
            "@once",
            "@continuous",
            "Dataset",
            "",
            "a b c d e;",
        ] {
            assert_eq!(cron_of(other), None, "{other}");
        }
    }
}
