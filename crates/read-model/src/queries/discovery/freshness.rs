//! The freshness checks of sources and models.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;

/// The newest freshness check of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Freshness {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status in lower case.
    pub status: String,
    /// When dbt wrote the file.
    pub generated_at: Option<DateTime<Utc>>,
    /// The duration of the command, in seconds.
    pub elapsed_time: f64,
    /// The first run that reported the check.
    pub run_id: Option<i64>,
    /// The job of this run.
    pub job_id: Option<i64>,
    /// Whether the same job checked freshness again later and could not report on this node.
    pub is_outdated: bool,
    /// The check, to be read with [`crate::doc::decode_doc`].
    pub doc: Vec<u8>,
}

/// Returns the newest freshness checks of these nodes in an environment or in one of its runs. [`crate::queries::results::last_freshness`] says when
/// one is outdated.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn freshness(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    unique_ids: &[String],
) -> sqlx::Result<Vec<Freshness>> {
    sqlx::query_as!(
        Freshness,
        r#"SELECT n.unique_id AS "unique_id!", n.status AS "status!", n.doc AS "doc!", f.elapsed_time, a.done_at AS "generated_at?",
            a.run_id AS "run_id?", r.job_id AS "job_id?",
            ($3::bigint IS NULL AND EXISTS (
                SELECT FROM artifacts o JOIN runs later ON later.id = o.run_id
                WHERE o.account_id = $1 AND o.environment_id = $2 AND o.done_at > n.at AND o.sha256 <> n.sha256
                    AND later.account_id = $1 AND later.job_id = r.job_id
                    AND o.kind IN ('sources', 'freshness', 'run_results')
                    AND (EXISTS (
                        SELECT FROM result_files f WHERE f.account_id = $1 AND f.environment_id = $2 AND f.sha256 = o.sha256
                            AND f.which = 'freshness' AND f.is_empty AND (f.elapsed_time > 0 OR f.kind = 'run_results'))
                    OR o.kind <> 'run_results' AND EXISTS (
                        SELECT FROM node_results one JOIN node_results other
                            ON other.account_id = $1 AND other.environment_id = $2 AND other.sha256 = n.sha256
                                AND other.unique_id = one.unique_id
                        WHERE one.account_id = $1 AND one.environment_id = $2 AND one.sha256 = o.sha256 AND one.is_freshness))
            )) AS "is_outdated!"
         FROM unnest($4::text[]) AS u (unique_id)
         CROSS JOIN LATERAL (
            SELECT r.unique_id, r.status, r.at, r.sha256, r.doc FROM node_results r
            WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_freshness
                AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
                AND ($3::bigint IS NULL OR EXISTS (
                    SELECT FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $3 AND a.sha256 = r.sha256))
            ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT 1
         ) n
         JOIN result_files f ON f.account_id = $1 AND f.environment_id = $2 AND f.sha256 = n.sha256
         LEFT JOIN LATERAL (
            SELECT a.run_id, a.done_at FROM artifacts a
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = n.sha256 AND a.run_id IS NOT NULL
                AND ($3::bigint IS NULL OR a.run_id = $3)
            ORDER BY a.event_time, a.event_id LIMIT 1
         ) a ON true
         LEFT JOIN runs r ON r.account_id = $1 AND r.id = a.run_id"#,
        account.0,
        environment.0,
        run.map(|run| run.0),
        unique_ids
    )
    .fetch_all(connection)
    .await
}
