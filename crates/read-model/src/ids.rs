//! The numbers that clients see.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, EventId, RunId, Sha256, StepId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// Identifies a job within its environment, by its DAG or by the lack of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobKey {
    /// The DAG, or `None` for the job of all uploads whose DAG is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dag_id: Option<String>,
}

/// Identifies a run within its environment. One of the last three fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunKey {
    /// The DAG, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dag_id: Option<String>,
    /// Airflow's id of the DAG run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// dbt's id of the invocation, for uploads without a run id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// The upload's event, if nothing else is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
}

impl RunKey {
    /// The key of the run's job.
    #[must_use]
    pub fn job(&self) -> JobKey {
        JobKey {
            dag_id: self.dag_id.clone(),
        }
    }
}

/// A table of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// `ids.jobs`
    Jobs,
    /// `ids.runs`
    Runs,
}

/// Prevents others from assigning numbers until the transaction ends.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_ids(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('dbt-api ids'))")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Returns the number of the job or run with this key, if it has one.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn id_of_key(
    connection: &mut PgConnection,
    numbers: Numbers,
    environment: EnvironmentId,
    key: &str,
) -> sqlx::Result<Option<i64>> {
    let hash = Sha256::of(key.as_bytes());
    let hash = hash.0.as_slice();
    match numbers {
        Numbers::Jobs => {
            sqlx::query_scalar!(
                "SELECT id FROM ids.jobs WHERE environment_id = $1 AND key_sha256 = $2",
                environment.0,
                hash
            )
            .fetch_optional(connection)
            .await
        }
        Numbers::Runs => {
            sqlx::query_scalar!(
                "SELECT id FROM ids.runs WHERE environment_id = $1 AND key_sha256 = $2",
                environment.0,
                hash
            )
            .fetch_optional(connection)
            .await
        }
    }
}

/// Returns the highest number plus one.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn first_free_id(connection: &mut PgConnection, numbers: Numbers) -> sqlx::Result<i64> {
    match numbers {
        Numbers::Jobs => {
            sqlx::query_scalar!(r#"SELECT coalesce(max(id), 0) + 1 AS "id!" FROM ids.jobs"#)
                .fetch_one(connection)
                .await
        }
        Numbers::Runs => {
            sqlx::query_scalar!(r#"SELECT coalesce(max(id), 0) + 1 AS "id!" FROM ids.runs"#)
                .fetch_one(connection)
                .await
        }
    }
}

/// Records the owner of a number.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn record_id(
    transaction: &mut PgConnection,
    numbers: Numbers,
    id: i64,
    account: AccountId,
    environment: EnvironmentId,
    key: &str,
) -> sqlx::Result<()> {
    let hash = Sha256::of(key.as_bytes());
    let hash = hash.0.as_slice();
    match numbers {
        Numbers::Jobs => {
            sqlx::query!(
                "INSERT INTO ids.jobs (id, account_id, environment_id, key, key_sha256) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
                id,
                account.0,
                environment.0,
                key,
                hash
            )
            .execute(transaction)
            .await?;
        }
        Numbers::Runs => {
            sqlx::query!(
                "INSERT INTO ids.runs (id, account_id, environment_id, key, key_sha256) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
                id,
                account.0,
                environment.0,
                key,
                hash
            )
            .execute(transaction)
            .await?;
        }
    }
    Ok(())
}

/// Returns the numbers that are not in the table, in ascending order.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn unrecorded_ids(connection: &mut PgConnection, numbers: Numbers, ids: &[i64]) -> sqlx::Result<Vec<i64>> {
    match numbers {
        Numbers::Jobs => {
            sqlx::query_scalar!(
                r#"SELECT c.id AS "id!" FROM unnest($1::bigint[]) AS c (id)
                 WHERE NOT EXISTS (SELECT FROM ids.jobs j WHERE j.id = c.id) ORDER BY c.id"#,
                ids
            )
            .fetch_all(connection)
            .await
        }
        Numbers::Runs => {
            sqlx::query_scalar!(
                r#"SELECT c.id AS "id!" FROM unnest($1::bigint[]) AS c (id)
                 WHERE NOT EXISTS (SELECT FROM ids.runs r WHERE r.id = c.id) ORDER BY c.id"#,
                ids
            )
            .fetch_all(connection)
            .await
        }
    }
}

/// Computes the number of a run's step: 53 bits of a hash, which do not depend on the order of the step's uploads.
#[must_use]
pub fn step_id(run: RunId, invocation_id: Option<&str>, event: EventId) -> StepId {
    let text = match invocation_id {
        Some(invocation) => format!("{run} invocation {invocation}"),
        None => format!("{run} event {event}"),
    };
    let hash = Sha256::of(text.as_bytes()).0;
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    StepId((u64::from_be_bytes(first) >> 11).cast_signed())
}

/// Truncates a time to microseconds, as PostgreSQL stores it.
pub(crate) fn in_microseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_serialized_in_one_way() {
        let key = RunKey {
            dag_id: Some("daily".to_owned()),
            run_id: Some("manual__1".to_owned()),
            ..RunKey::default()
        };
        assert_eq!(
            serde_json::to_string(&key).unwrap(),
            r#"{"dag_id":"daily","run_id":"manual__1"}"#
        );
        assert_eq!(serde_json::to_string(&JobKey::default()).unwrap(), "{}");
    }

    #[test]
    fn step_ids_fit_javascript() {
        let id = step_id(RunId(1), Some("a"), EventId(uuid::Uuid::nil())).0;
        assert!((0..1 << 53).contains(&id));
        assert_eq!(id, step_id(RunId(1), Some("a"), EventId(uuid::Uuid::max())).0);
        assert_ne!(id, step_id(RunId(2), Some("a"), EventId(uuid::Uuid::nil())).0);
    }
}
