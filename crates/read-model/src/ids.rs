//! The numbers that clients see.

use std::collections::HashMap;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// The owner of a number: a job or a run of an environment, with its key as JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumberOwner {
    /// The account of the environment.
    pub account: AccountId,
    /// The environment that the job or the run is in.
    pub environment: EnvironmentId,
    /// The key of the job or the run.
    pub key: String,
}

/// The numbers that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The highest number.
    pub last: i64,
    /// The highest number according to the recorded segments. It differs from the other if rows were lost.
    pub last_of_segments: i64,
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

impl Numbers {
    /// The name under which segments are recorded.
    fn name(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Runs => "runs",
        }
    }
}

/// Whether the tables are those of an earlier version, which claims numbers one by one.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn are_claimed_one_by_one(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT to_regclass('ids.runs') IS NOT NULL AND to_regclass('ids.segments') IS NULL AS "is_so!""#
    )
    .fetch_one(connection)
    .await
}

/// Returns the numbers of those of these owners that have one.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn numbers_of(
    connection: &mut PgConnection,
    numbers: Numbers,
    owners: &[NumberOwner],
) -> sqlx::Result<HashMap<NumberOwner, i64>> {
    if owners.is_empty() {
        return Ok(HashMap::new());
    }
    let environments: Vec<i64> = owners.iter().map(|owner| owner.environment.0).collect();
    let hashes: Vec<Vec<u8>> = owners.iter().map(NumberOwner::hash).collect();
    let found = match numbers {
        Numbers::Jobs => sqlx::query!(
            r#"SELECT o.place AS "place!", j.id FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS o (environment_id, hash, place)
             JOIN ids.jobs j ON j.environment_id = o.environment_id AND j.key_sha256 = o.hash"#,
            &environments,
            &hashes
        )
        .fetch_all(connection)
        .await?
        .into_iter()
        .map(|row| (row.place, row.id))
        .collect::<Vec<_>>(),
        Numbers::Runs => sqlx::query!(
            r#"SELECT o.place AS "place!", r.id FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS o (environment_id, hash, place)
             JOIN ids.runs r ON r.environment_id = o.environment_id AND r.key_sha256 = o.hash"#,
            &environments,
            &hashes
        )
        .fetch_all(connection)
        .await?
        .into_iter()
        .map(|row| (row.place, row.id))
        .collect(),
    };
    let found = found.into_iter().filter_map(|(position, id)| {
        let owner = owners.get(usize::try_from(position - 1).ok()?)?;
        Some((owner.clone(), id))
    });
    Ok(found.collect())
}

impl NumberOwner {
    fn hash(&self) -> Vec<u8> {
        Sha256::of(self.key.as_bytes()).0.to_vec()
    }
}

/// Returns the highest numbers that are recorded.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_number(connection: &mut PgConnection, numbers: Numbers) -> sqlx::Result<Recorded> {
    match numbers {
        Numbers::Jobs => {
            sqlx::query_as!(
                Recorded,
                r#"SELECT coalesce((SELECT max(id) FROM ids.jobs), 0) AS "last!",
                    coalesce((SELECT last FROM ids.segments WHERE kind = 'jobs' ORDER BY last DESC LIMIT 1), 0) AS "last_of_segments!""#
            )
            .fetch_one(connection)
            .await
        }
        Numbers::Runs => {
            sqlx::query_as!(
                Recorded,
                r#"SELECT coalesce((SELECT max(id) FROM ids.runs), 0) AS "last!",
                    coalesce((SELECT last FROM ids.segments WHERE kind = 'runs' ORDER BY last DESC LIMIT 1), 0) AS "last_of_segments!""#
            )
            .fetch_one(connection)
            .await
        }
    }
}

/// Returns the first number of the recorded segment that contains this number.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn first_of_segment(
    connection: &mut PgConnection,
    numbers: Numbers,
    number: i64,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "SELECT first FROM ids.segments WHERE kind = $1 AND first <= $2 AND last >= $2 ORDER BY first DESC LIMIT 1",
        numbers.name(),
        number
    )
    .fetch_optional(connection)
    .await
}

/// A segment: consecutive numbers that were claimed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first number.
    pub first: i64,
    /// The owners of the numbers from the first one on.
    pub owners: Vec<NumberOwner>,
}

/// Records whole segments. Numbers that are recorded already are not changed.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn record_segments(
    transaction: &mut PgConnection,
    numbers: Numbers,
    segments: &[Segment],
) -> sqlx::Result<()> {
    let (mut firsts, mut lasts, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for segment in segments {
        ids.extend((segment.first..).take(segment.owners.len()));
        if let (Some(last), false) = (ids.last(), segment.owners.is_empty()) {
            firsts.push(segment.first);
            lasts.push(*last);
        }
    }
    let owners = || segments.iter().flat_map(|segment| &segment.owners);
    let accounts: Vec<i64> = owners().map(|owner| owner.account.0).collect();
    let environments: Vec<i64> = owners().map(|owner| owner.environment.0).collect();
    let keys: Vec<&str> = owners().map(|owner| owner.key.as_str()).collect();
    let hashes: Vec<Vec<u8>> = owners().map(NumberOwner::hash).collect();
    match numbers {
        Numbers::Jobs => {
            sqlx::query!(
                "WITH numbers AS (
                    INSERT INTO ids.jobs (id, account_id, environment_id, key, key_sha256)
                    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[]) ON CONFLICT DO NOTHING
                 )
                 INSERT INTO ids.segments AS s (kind, first, last) SELECT $6, * FROM unnest($7::bigint[], $8::bigint[])
                 ON CONFLICT (kind, first) DO UPDATE SET last = greatest(s.last, excluded.last)",
                &ids,
                &accounts,
                &environments,
                &keys as &[&str],
                &hashes,
                numbers.name(),
                &firsts,
                &lasts
            )
            .execute(transaction)
            .await?;
        }
        Numbers::Runs => {
            sqlx::query!(
                "WITH numbers AS (
                    INSERT INTO ids.runs (id, account_id, environment_id, key, key_sha256)
                    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[]) ON CONFLICT DO NOTHING
                 )
                 INSERT INTO ids.segments AS s (kind, first, last) SELECT $6, * FROM unnest($7::bigint[], $8::bigint[])
                 ON CONFLICT (kind, first) DO UPDATE SET last = greatest(s.last, excluded.last)",
                &ids,
                &accounts,
                &environments,
                &keys as &[&str],
                &hashes,
                numbers.name(),
                &firsts,
                &lasts
            )
            .execute(transaction)
            .await?;
        }
    }
    Ok(())
}

/// Returns those of these segments of which a number is not recorded, by their first numbers. The numbers of a segment end before the next
/// segment; the last one is always returned, since its end is not known.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn unrecorded_segments(
    connection: &mut PgConnection,
    numbers: Numbers,
    firsts: &[i64],
) -> sqlx::Result<Vec<i64>> {
    if firsts.is_empty() {
        return Ok(Vec::new());
    }
    let ends: Vec<Option<i64>> = firsts.iter().skip(1).map(|next| Some(*next)).chain([None]).collect();
    match numbers {
        Numbers::Jobs => {
            sqlx::query_scalar!(
                r#"SELECT s.first AS "first!" FROM unnest($1::bigint[], $2::bigint[]) AS s (first, next)
                 WHERE s.next IS NULL
                    OR (SELECT count(*) FROM ids.jobs j WHERE j.id >= s.first AND j.id < s.next) < s.next - s.first
                 ORDER BY s.first"#,
                firsts,
                &ends as &[Option<i64>]
            )
            .fetch_all(connection)
            .await
        }
        Numbers::Runs => {
            sqlx::query_scalar!(
                r#"SELECT s.first AS "first!" FROM unnest($1::bigint[], $2::bigint[]) AS s (first, next)
                 WHERE s.next IS NULL
                    OR (SELECT count(*) FROM ids.runs r WHERE r.id >= s.first AND r.id < s.next) < s.next - s.first
                 ORDER BY s.first"#,
                firsts,
                &ends as &[Option<i64>]
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
