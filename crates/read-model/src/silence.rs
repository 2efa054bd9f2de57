//! When environments received uploads, to notice those that do not receive any more.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemas::{AccountId, ArtifactKind, EnvironmentId};
use sqlx::PgConnection;

/// The shortest usual gap between two uploads.
const SHORTEST: TimeDelta = TimeDelta::hours(1);

/// An environment is silent if its last upload is further back than its usual gap, this many times.
const FACTOR: i32 = 2;

/// After this time an environment is not missed any more.
const FORGOTTEN: TimeDelta = TimeDelta::days(30);

/// The last upload to an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUpload {
    /// The account of the environment.
    pub account: AccountId,
    /// The environment's number.
    pub environment: EnvironmentId,
    /// The environment's slug.
    pub slug: String,
    /// When the upload was accepted.
    pub at: DateTime<Utc>,
}

impl LastUpload {
    /// Whether the environment may be silent, whatever its usual gap is.
    #[must_use]
    pub fn may_be_silent(&self, now: DateTime<Utc>) -> bool {
        let silence = now - self.at;
        silence > SHORTEST * FACTOR && silence < FORGOTTEN
    }

    /// Returns the usual gap if the environment is silent, as [`usual_gaps`] learned it.
    #[must_use]
    pub fn missed_after(&self, usual: Option<Duration>, now: DateTime<Utc>) -> Option<TimeDelta> {
        let usual = TimeDelta::from_std(usual?).ok()?.max(SHORTEST);
        (self.may_be_silent(now) && now - self.at > usual * FACTOR).then_some(usual)
    }
}

/// A length of time to the nearest hour.
#[must_use]
pub fn rounded_hours(length: TimeDelta) -> i64 {
    (length + TimeDelta::minutes(30)).num_hours()
}

/// Returns the last upload of artifacts to each active environment that ever received one, of all accounts or of one. Artifacts are looked at by the
/// time at which dbt wrote them, for which there is an index: uploads of old artifacts may be missed.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_uploads(connection: &mut PgConnection, account: Option<AccountId>) -> sqlx::Result<Vec<LastUpload>> {
    let rows = sqlx::query!(
        r#"SELECT e.id, e.account_id, e.slug, u.last AS "last!"
         FROM environments e
         CROSS JOIN LATERAL (
             SELECT max(n.event_time) AS last FROM unnest($1::text[]) AS k (kind)
             CROSS JOIN LATERAL (
                 SELECT a.event_time FROM artifacts a
                 WHERE a.account_id = e.account_id AND a.environment_id = e.id AND a.kind = k.kind
                 ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 20
             ) n
         ) u
         WHERE ($2::bigint IS NULL OR e.account_id = $2) AND e.state = 'active' AND u.last IS NOT NULL
             AND NOT EXISTS (SELECT FROM projects p WHERE p.id = e.project_id AND p.state <> 'active')
             AND NOT EXISTS (SELECT FROM accounts c WHERE c.id = e.account_id AND c.state <> 'active')
         ORDER BY e.account_id, e.id"#,
        &kinds(),
        account.map(|account| account.0)
    )
    .fetch_all(connection)
    .await?;
    let last = rows.into_iter().map(|row| LastUpload {
        account: AccountId(row.account_id),
        environment: EnvironmentId(row.id),
        slug: row.slug,
        at: row.last,
    });
    Ok(last.collect())
}

/// Returns how long each of these environments usually was without an upload in the 30 days before its last one, in the same order: of each day
/// with uploads the longest gap that ended on it, and of nine in ten of these days no more than that. So nights and weekends are usual, and a
/// single outage is not. `None` if there were fewer than five uploads, or on one day only.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn usual_gaps(connection: &mut PgConnection, last: &[LastUpload]) -> sqlx::Result<Vec<Option<Duration>>> {
    let accounts: Vec<i64> = last.iter().map(|last| last.account.0).collect();
    let environments: Vec<i64> = last.iter().map(|last| last.environment.0).collect();
    let times: Vec<DateTime<Utc>> = last.iter().map(|last| last.at).collect();
    let gaps = sqlx::query_scalar!(
        r#"SELECT g.seconds AS "seconds?"
         FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) WITH ORDINALITY AS e (account_id, id, last, place)
         LEFT JOIN LATERAL (
             SELECT extract(epoch FROM percentile_disc(0.9) WITHIN GROUP (ORDER BY d.longest))::float8 AS seconds
             FROM (
                 SELECT count(*) AS uploads, max(u.gap) AS longest
                 FROM (
                     SELECT t.event_time, t.event_time - lag(t.event_time) OVER (ORDER BY t.event_time) AS gap
                     FROM (
                         SELECT DISTINCT a.event_time FROM artifacts a
                         WHERE a.account_id = e.account_id AND a.environment_id = e.id AND a.kind = ANY($4)
                             AND a.done_at > e.last - interval '30 days' AND a.event_time > e.last - interval '30 days'
                             AND a.event_time <= e.last
                     ) t
                 ) u
                 GROUP BY (u.event_time AT TIME ZONE 'UTC')::date
             ) d
             HAVING sum(d.uploads) >= 5 AND count(*) >= 2
         ) g ON true
         ORDER BY e.place"#,
        &accounts,
        &environments,
        &times,
        &kinds()
    )
    .fetch_all(connection)
    .await?;
    let gap = |seconds: Option<f64>| seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(gaps.into_iter().map(gap).collect())
}

fn kinds() -> Vec<String> {
    let kinds = ArtifactKind::NAMED.into_iter().chain([ArtifactKind::Other]);
    kinds.map(|kind| kind.as_str().to_owned()).collect()
}
