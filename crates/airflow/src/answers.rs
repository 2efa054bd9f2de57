//! Reads Airflow's answers leniently: both versions, and fields that may be missing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The longest text that is accepted, in bytes. Airflow's own ids have at most 250 letters.
const MAX_TEXT_LEN: usize = 1000;

/// A DAG run, as both versions of Airflow's API describe it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DagRun {
    /// The `dag_id` of its DAG, unique within the Airflow.
    pub dag_id: String,
    /// The run's own id, unique within its DAG only.
    #[serde(rename = "dag_run_id")]
    pub run_id: String,
    /// The state: `queued`, `running`, `success` or `failed`.
    pub state: String,
    /// When the run was queued. Airflow 2 does not report this.
    #[serde(default, deserialize_with = "time")]
    pub queued_at: Option<DateTime<Utc>>,
    /// When the run began.
    #[serde(default, rename = "start_date", deserialize_with = "time")]
    pub started_at: Option<DateTime<Utc>>,
    /// When the run ended.
    #[serde(default, rename = "end_date", deserialize_with = "time")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// A DAG with its schedule, which no run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dag {
    /// Its `dag_id`, unique within the Airflow.
    pub dag_id: String,
    /// The schedule as Airflow writes it, such as `@daily` or `0 6 * * 1`. `None` if the DAG only runs when triggered.
    pub schedule: Option<String>,
}

/// A page of a listing.
#[derive(Deserialize)]
pub(crate) struct Page {
    #[serde(alias = "dag_runs", alias = "dags")]
    pub(crate) rows: Vec<Value>,
    pub(crate) total_entries: u64,
}

/// The answer to a login.
#[derive(Deserialize)]
pub(crate) struct Token {
    pub(crate) access_token: String,
}

impl DagRun {
    /// Reads a run, or returns `None` if a required field is missing or longer than Airflow allows.
    pub(crate) fn read(row: &Value) -> Option<Self> {
        let run = Self::deserialize(row).ok()?;
        let texts = [&run.dag_id, &run.run_id, &run.state];
        texts
            .iter()
            .all(|text| (1..=MAX_TEXT_LEN).contains(&text.len()))
            .then_some(run)
    }
}

impl Dag {
    pub(crate) fn read(row: &Value) -> Option<Self> {
        let schedule = match row.get("timetable_summary").and_then(Value::as_str) {
            Some(summary) => Some(summary.to_owned()),
            None => row.get("schedule_interval").and_then(interval),
        };
        Some(Self {
            dag_id: row.get("dag_id")?.as_str()?.to_owned(),
            schedule: schedule.filter(|text| (1..=MAX_TEXT_LEN).contains(&text.len())),
        })
    }
}

/// Converts a schedule of Airflow 2 to the format of Airflow 3.
fn interval(value: &Value) -> Option<String> {
    if let Some(text) = value.get("value").and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    let number = |name: &str| value.get(name).and_then(Value::as_i64).unwrap_or(0);
    let (days, seconds) = (number("days"), number("seconds"));
    if days == 0 && seconds == 0 {
        return None;
    }
    let clock = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    })
}

/// Deserializes a time. Anything else becomes `None`.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = value.as_str().unwrap_or_default();
    Ok(DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()))
}

/// Returns the message of an error of either version, short enough for a log line. Returns `None` if the body is not an error of Airflow's API.
pub(crate) fn said(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| match body.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Null) | None => None,
        Some(other) => Some(other.to_string()),
    };
    let text = text("detail").or_else(|| text("title")).or_else(|| text("error"))?;
    Some(text.chars().take(MAX_TEXT_LEN).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_of_both_versions_are_read() {
        let read = |dag: Value| Dag::read(&dag).unwrap().schedule;
        let v1 = |interval: Value| read(json!({ "dag_id": "d", "schedule_interval": interval }));
        assert_eq!(
            v1(json!({ "__type": "CronExpression", "value": "@daily" })).unwrap(),
            "@daily"
        );
        let delta = json!({ "__type": "TimeDelta", "days": 1, "seconds": 5400, "microseconds": 0 });
        assert_eq!(v1(delta).unwrap(), "1 day, 1:30:00");
        assert_eq!(v1(Value::Null), None);
        assert_eq!(
            read(json!({ "dag_id": "d", "timetable_summary": "0 0 * * *" })).unwrap(),
            "0 0 * * *"
        );
        assert_eq!(read(json!({ "dag_id": "d", "timetable_summary": null })), None);
        assert_eq!(Dag::read(&json!({ "dag_id": 1 })), None);
    }

    #[test]
    fn a_run_needs_only_its_ids_and_state() {
        let run = DagRun::read(&json!({ "dag_id": "d", "dag_run_id": "r", "state": "queued", "start_date": "soon" }))
            .unwrap();
        assert_eq!((run.queued_at, run.started_at, run.finished_at), (None, None, None));
        assert_eq!(
            DagRun::read(&json!({ "dag_id": "d", "dag_run_id": "r", "state": null })),
            None
        );
        assert_eq!(
            DagRun::read(&json!({ "dag_id": "d", "dag_run_id": "r".repeat(MAX_TEXT_LEN + 1), "state": "queued" })),
            None
        );
    }

    #[test]
    fn errors_contain_airflows_message() {
        assert_eq!(
            said(br#"{"detail": null, "status": 403, "title": "Forbidden"}"#).unwrap(),
            "Forbidden"
        );
        assert_eq!(said(br#"{"detail": [{"msg": "bad"}]}"#).unwrap(), r#"[{"msg":"bad"}]"#);
        assert_eq!(said(b"<html>404</html>"), None);
    }
}
