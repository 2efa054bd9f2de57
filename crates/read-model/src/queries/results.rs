//! Queries for the results and the freshness of nodes.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::page::{Page, Paging};

/// What dbt last did to a node, or tried to do.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeResult {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status in lower case.
    pub status: String,
    /// When the node was completed.
    pub at: DateTime<Utc>,
    /// The first run that reported the result.
    pub run_id: Option<i64>,
    /// The step of this run.
    pub step_id: Option<i64>,
    /// The event that reported it first.
    pub event_id: Option<Uuid>,
    /// The kind of this event's file, such as `run_results`.
    pub kind: Option<String>,
    /// The name of the file, such as `run_results.json`.
    pub name: Option<String>,
    /// When dbt wrote the file.
    pub written_at: Option<DateTime<Utc>>,
    /// When the upload was accepted.
    pub uploaded_at: Option<DateTime<Utc>>,
    /// Whether the command built with `--empty` or `--sample`.
    pub is_limited: bool,
    /// The result, to be read with [`crate::doc::decode_doc`].
    pub doc: Vec<u8>,
}

/// Returns the last attempt of each of these nodes in an environment or in one of its runs. With `succeeded`, returns the last success
/// instead.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_attempts(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    unique_ids: &[String],
    succeeded: bool,
) -> sqlx::Result<Vec<NodeResult>> {
    // The index groups results by success, so the last attempt is the later one of two.
    sqlx::query_as!(
        NodeResult,
        r#"SELECT n.unique_id AS "unique_id!", n.status AS "status!", n.at AS "at!", n.doc AS "doc!", f.is_limited, a.run_id AS "run_id?", a.step_id AS "step_id?",
            a.event_id AS "event_id?", a.kind AS "kind?", a.name AS "name?", a.done_at AS "written_at?", a.event_time AS "uploaded_at?"
         FROM unnest($4::text[]) AS u (unique_id)
         CROSS JOIN LATERAL (
            SELECT * FROM (
                (SELECT * FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND r.is_success
                    AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
                    AND ($3::bigint IS NULL OR EXISTS (
                        SELECT FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $3 AND a.sha256 = r.sha256))
                 ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT 1)
                UNION ALL
                (SELECT * FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND NOT r.is_success AND NOT $5
                    AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
                    AND ($3::bigint IS NULL OR EXISTS (
                        SELECT FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $3 AND a.sha256 = r.sha256))
                 ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT 1)
            ) last ORDER BY at DESC, sha256 DESC, place DESC LIMIT 1
         ) n
         JOIN result_files f ON f.account_id = $1 AND f.environment_id = $2 AND f.sha256 = n.sha256
         LEFT JOIN LATERAL (
            SELECT a.run_id, a.step_id, a.event_id, a.kind, a.name, a.done_at, a.event_time FROM artifacts a
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = n.sha256 AND a.run_id IS NOT NULL
                AND ($3::bigint IS NULL OR a.run_id = $3)
            ORDER BY a.event_time, a.event_id LIMIT 1
         ) a ON true"#,
        account.0,
        environment.0,
        run.map(|run| run.0),
        unique_ids,
        succeeded
    )
    .fetch_all(connection)
    .await
}

/// A freshness check of a source or a model.
#[derive(Clone, Debug, PartialEq)]
pub struct FreshnessCheck {
    /// The status in lower case.
    pub status: String,
    /// When the check was completed.
    pub at: DateTime<Utc>,
    /// The first run that reported the check.
    pub run_id: Option<i64>,
    /// The step of this run.
    pub step_id: Option<i64>,
    /// The event that reported it first.
    pub event_id: Option<Uuid>,
    /// The kind of this event's file: `sources`, `freshness` or `run_results`.
    pub kind: Option<String>,
    /// The name of the file, such as `run_results.json`.
    pub name: Option<String>,
    /// When dbt wrote the file.
    pub written_at: Option<DateTime<Utc>>,
    /// When the upload was accepted.
    pub uploaded_at: Option<DateTime<Utc>>,
    /// Whether the same job checked freshness again later and could not report on this node.
    pub is_outdated: bool,
    /// The check, to be read with [`crate::doc::decode_doc`].
    pub doc: Vec<u8>,
}

/// Returns the newest freshness check of a node in an environment or in one of its runs. With `passed`, returns the newest check that
/// passed, regardless of later checks.
///
/// dbt omits what it could not query from its files. But the node may not have been selected either, so a later file counts only if it
/// lists other nodes of the same earlier file, or nothing at all.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_freshness(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    unique_id: &str,
    passed: bool,
) -> sqlx::Result<Option<FreshnessCheck>> {
    sqlx::query_as!(
        FreshnessCheck,
        r#"SELECT n.status, n.at, n.doc, a.run_id AS "run_id?", a.step_id AS "step_id?",
            a.event_id AS "event_id?", a.kind AS "kind?", a.name AS "name?", a.done_at AS "written_at?", a.event_time AS "uploaded_at?",
            (NOT $5 AND EXISTS (
                SELECT FROM artifacts o JOIN runs later ON later.id = o.run_id JOIN runs r ON r.id = a.run_id
                WHERE o.account_id = $1 AND o.environment_id = $2 AND o.done_at > n.at AND o.sha256 <> n.sha256
                    AND later.job_id = r.job_id AND ($3::bigint IS NULL OR o.run_id = $3)
                    AND o.kind IN ('sources', 'freshness', 'run_results')
                    AND (EXISTS (
                        -- Nothing could be asked. (Where nothing was selected, dbt takes no time.)
                        SELECT FROM result_files f WHERE f.account_id = $1 AND f.environment_id = $2 AND f.sha256 = o.sha256
                            AND f.which = 'freshness' AND f.is_empty AND (f.elapsed_time > 0 OR f.kind = 'run_results'))
                    OR o.kind <> 'run_results' AND EXISTS (
                        -- Others of the same file were checked again.
                        SELECT FROM node_results one JOIN node_results other
                            ON other.account_id = $1 AND other.environment_id = $2 AND other.sha256 = n.sha256
                                AND other.unique_id = one.unique_id
                        WHERE one.account_id = $1 AND one.environment_id = $2 AND one.sha256 = o.sha256 AND one.is_freshness))
            )) AS "is_outdated!"
         FROM (
            SELECT * FROM node_results r
            WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_freshness
                AND md5(r.unique_id) = md5($4) AND r.unique_id = $4
                AND (NOT $5 OR r.has_passed)
                AND ($3::bigint IS NULL OR EXISTS (
                    SELECT FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $3 AND a.sha256 = r.sha256))
            ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT 1
         ) n
         LEFT JOIN LATERAL (
            SELECT a.run_id, a.step_id, a.event_id, a.kind, a.name, a.done_at, a.event_time FROM artifacts a
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = n.sha256 AND a.run_id IS NOT NULL
                AND ($3::bigint IS NULL OR a.run_id = $3)
            ORDER BY a.event_time, a.event_id LIMIT 1
         ) a ON true"#,
        account.0,
        environment.0,
        run.map(|run| run.0),
        unique_id,
        passed
    )
    .fetch_optional(connection)
    .await
}

/// What dbt did to a node in one run, which may have several results of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunResult {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status in lower case.
    pub status: String,
    /// Whether the command was supposed to do work on the node, and not only to compile it.
    pub is_attempt: bool,
    /// When the node was completed.
    pub at: DateTime<Utc>,
    /// The step's number.
    pub step_id: i64,
    /// The step's position in the run, counted from 1.
    pub step: i64,
    /// The result, to be read with [`crate::doc::decode_doc`].
    pub doc: Vec<u8>,
}

/// Selects results. A result must meet all criteria that are given.
#[derive(Clone, Debug, Default)]
pub struct ResultFilter {
    /// Only these statuses, in lower case.
    pub statuses: Option<Vec<String>>,
    /// The resource type, such as `model`.
    pub resource_type: Option<String>,
    /// dbt's id of the node.
    pub unique_id: Option<String>,
    /// The step's position in the run, counted from 1.
    pub step: Option<i64>,
}

/// Returns a page of a run's results, ordered by step and then by their order in the file.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn run_results(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
    filter: &ResultFilter,
    descending: bool,
    paging: Paging,
) -> sqlx::Result<Page<RunResult>> {
    let rows = sqlx::query!(
        r#"WITH steps AS (
            SELECT id, row_number() OVER (ORDER BY started_at, id) AS step FROM run_steps WHERE account_id = $1 AND run_id = $2
        ), found AS (
            SELECT n.unique_id, n.status, n.is_attempt, n.at, n.doc, n.place, n.sha256, s.id AS step_id, s.step
            FROM (SELECT DISTINCT environment_id, sha256, step_id FROM artifacts WHERE account_id = $1 AND run_id = $2) a
                JOIN steps s ON s.id = a.step_id
                JOIN node_results n ON n.account_id = $1 AND n.environment_id = a.environment_id AND n.sha256 = a.sha256
            WHERE ($3::text[] IS NULL OR n.status = ANY($3))
                AND ($4::text IS NULL OR split_part(n.unique_id, '.', 1) = $4)
                AND ($5::text IS NULL OR n.unique_id = $5)
                AND ($6::bigint IS NULL OR s.step = $6)
        )
        SELECT unique_id, status, is_attempt, at, doc, step_id, step AS "step!", count(*) OVER () AS "total!" FROM found
        ORDER BY CASE WHEN $7 THEN NULL ELSE step END, CASE WHEN $7 THEN NULL ELSE sha256 END,
            CASE WHEN $7 THEN NULL ELSE place END, step DESC, sha256 DESC, place DESC
        LIMIT $8 OFFSET $9"#,
        account.0,
        run.0,
        filter.statuses.as_deref() as Option<&[String]>,
        filter.resource_type,
        filter.unique_id,
        filter.step,
        descending,
        paging.limit,
        paging.offset
    )
    .fetch_all(&mut *connection)
    .await?;
    let total = match (rows.first(), paging.offset) {
        (Some(row), _) => row.total,
        (None, 0) => 0,
        (None, _) => {
            let first = Paging { limit: 1, offset: 0 };
            Box::pin(run_results(connection, account, run, filter, descending, first))
                .await?
                .total
        }
    };
    let rows = rows
        .into_iter()
        .map(|row| RunResult {
            unique_id: row.unique_id,
            status: row.status,
            is_attempt: row.is_attempt,
            at: row.at,
            step_id: row.step_id,
            step: row.step,
            doc: row.doc,
        })
        .collect();
    Ok(Page { rows, total })
}
