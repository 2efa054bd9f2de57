//! The results of nodes over many runs, as a table.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use schemas::{AccountId, EnvironmentId, JobId, Sha256};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::artifacts::sha256_of_column;

/// How many results one query looks at. A filter that few results pass would otherwise keep its connection for minutes.
const SCANNED: i64 = 100_000;

/// The largest stored result that is read, in bytes. Larger ones have an enormous message.
const MAX_DOC: i32 = 16 << 10;

/// The statuses of results that went well, as the index of all others names them.
const WELL: [&str; 2] = ["success", "pass"];

/// A row of the table: what one dbt command did to one node. A content that was uploaded to several runs counts for the first of them.
#[derive(Clone, Debug, FromRow)]
pub struct TableRow {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status in lower case.
    pub status: String,
    /// When the node was completed.
    pub at: DateTime<Utc>,
    /// The execution time, in seconds.
    pub execution_time: Option<f64>,
    /// The number of rows that failed, for tests.
    pub failures: Option<i64>,
    /// The number of affected rows, as the adapter reports it.
    pub rows_affected: Option<i64>,
    /// dbt's name of the command, such as `build`.
    pub command: Option<String>,
    /// The job of the run.
    pub job_id: i64,
    /// The run that uploaded the result.
    pub run_id: i64,
    /// The step of the run.
    pub step_id: Option<i64>,
    /// The result, to be read with [`crate::doc::decode_doc`], or `None` if it is too large.
    pub doc: Option<Vec<u8>>,
    sha256: Vec<u8>,
    place: i32,
}

/// A position between two rows. It stays the same when rows are added, and after a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePosition {
    /// When the node of the row before it was completed.
    pub at: DateTime<Utc>,
    /// The file that has this result.
    pub sha256: Sha256,
    /// The index of the result in the file, from 0.
    pub index: i32,
}

impl TablePosition {
    fn of_columns(at: DateTime<Utc>, sha256: Vec<u8>, index: i32) -> sqlx::Result<Self> {
        let sha256 = sha256_of_column(sha256)?;
        Ok(Self { at, sha256, index })
    }
}

/// Selects results of an environment. A result must meet all criteria that are given. Results of commands that only list a node, such as
/// `docs generate`, are never selected.
#[derive(Clone, Debug)]
pub struct TableFilter {
    /// The environment whose results are selected. There is no filter for several.
    pub environment: EnvironmentId,
    /// Only results in runs of this job, which must be one of the environment.
    pub job: Option<JobId>,
    /// Only results of the node with this id.
    pub unique_id: Option<String>,
    /// Only results of nodes of this type, such as `model`.
    pub resource_type: Option<String>,
    /// Only these statuses, in lower case.
    pub statuses: Option<Vec<String>>,
    /// Only results that were completed in this period.
    pub completed: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// Which rows of the table to fetch.
#[derive(Clone, Copy, Debug)]
pub struct TableRange {
    /// Whether the newest results come first.
    pub descending: bool,
    /// The position from which on rows are wanted, or `None` for the beginning.
    pub after: Option<TablePosition>,
    /// The maximum number of rows.
    pub limit: usize,
}

/// Passes rows of the table to `take`, ordered by the time of completion, until it returns false. Returns the position at which the rest begins,
/// or `None` if there is no rest. There may be fewer rows than wanted, even none, although there is a rest.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn result_table(
    connection: &mut PgConnection,
    account: AccountId,
    filter: &TableFilter,
    range: TableRange,
    mut take: impl FnMut(TableRow) -> bool + Send,
) -> sqlx::Result<Option<TablePosition>> {
    let mut query = QueryBuilder::new(
        "SELECT n.*, u.job_id, u.run_id, u.step_id,
            (SELECT f.which FROM result_files f
             WHERE f.account_id = n.account_id AND f.environment_id = n.environment_id AND f.sha256 = n.sha256) AS command
         FROM (",
    );
    filter.push_scan(&mut query, account, &range);
    query.push(
        ") n CROSS JOIN LATERAL (
            SELECT a.run_id, a.step_id, r.job_id FROM artifacts a JOIN runs r ON r.account_id = a.account_id AND r.id = a.run_id
            WHERE a.account_id = n.account_id AND a.environment_id = n.environment_id AND a.sha256 = n.sha256",
    );
    if let Some(JobId(job)) = filter.job {
        query.push(" AND r.job_id = ").push_bind(job);
    }
    query.push(" ORDER BY a.event_time, a.event_id, a.place LIMIT 1) u WHERE true");
    if let Some(statuses) = &filter.statuses {
        query.push(" AND n.status = ANY(").push_bind(statuses.clone()).push(")");
    }
    if let Some(resource_type) = &filter.resource_type {
        query
            .push(" AND split_part(n.unique_id, '.', 1) = ")
            .push_bind(resource_type.clone());
    }
    push_order(&mut query, range.descending);
    // One more, to see whether there is a rest.
    query.push(format_args!(" LIMIT {}", range.limit.saturating_add(1)));

    let (mut last, mut taken) = (range.after, 0);
    let mut rows = query.build_query_as::<TableRow>().fetch(&mut *connection);
    while let Some(mut row) = rows.try_next().await? {
        if taken == range.limit {
            return Ok(last);
        }
        last = Some(TablePosition::of_columns(
            row.at,
            std::mem::take(&mut row.sha256),
            row.place,
        )?);
        taken += 1;
        if !take(row) {
            return Ok(last);
        }
    }
    drop(rows);
    filter.end_of_scan(connection, account, &range).await
}

impl TableFilter {
    /// Adds the query for the results that are looked at, in their order.
    fn push_scan(&self, query: &mut QueryBuilder<Postgres>, account: AccountId, range: &TableRange) {
        query.push(format_args!(
            "SELECT account_id, environment_id, sha256, place, unique_id, status, at, execution_time, failures, rows_affected,
                CASE WHEN octet_length(doc) <= {MAX_DOC} THEN doc END AS doc
             FROM node_results WHERE account_id = "
        ));
        query.push_bind(account.0);
        query.push(" AND environment_id = ").push_bind(self.environment.0);
        match &self.unique_id {
            None => {
                query.push(" AND (is_attempt OR is_freshness)");
            }
            // Each of the two has an index by node.
            Some(id) => {
                query
                    .push(" AND ((is_attempt AND md5(unique_id) = md5(")
                    .push_bind(id.clone());
                query
                    .push(")) OR (is_freshness AND md5(unique_id) = md5(")
                    .push_bind(id.clone());
                query.push("))) AND unique_id = ").push_bind(id.clone());
            }
        }
        let statuses = self.statuses.as_deref();
        if statuses.is_some_and(|statuses| !statuses.iter().any(|status| WELL.contains(&status.as_str()))) {
            query.push(" AND status NOT IN ('success', 'pass')");
        }
        if let Some((from, to)) = self.completed {
            query.push(" AND at BETWEEN ").push_bind(from);
            query.push(" AND ").push_bind(to);
        }
        if let Some(TablePosition { at, sha256, index }) = range.after {
            let sign = if range.descending { "<" } else { ">" };
            // The first condition can use the index.
            query.push(format_args!(" AND at {sign}= ")).push_bind(at);
            query
                .push(format_args!(" AND (at, sha256, place) {sign} ("))
                .push_bind(at);
            query.push(", ").push_bind(sha256.0.to_vec());
            query.push(", ").push_bind(index).push(")");
        }
        push_order(query, range.descending);
        query.push(format_args!(" LIMIT {SCANNED}"));
    }

    /// Returns the last of the results that are looked at, if there may be others behind it.
    async fn end_of_scan(
        &self,
        connection: &mut PgConnection,
        account: AccountId,
        range: &TableRange,
    ) -> sqlx::Result<Option<TablePosition>> {
        let mut query = QueryBuilder::new("SELECT at, sha256, place FROM (");
        self.push_scan(&mut query, account, range);
        query.push(format_args!(") n OFFSET {}", SCANNED - 1));
        let last: Option<(DateTime<Utc>, Vec<u8>, i32)> = query.build_query_as().fetch_optional(connection).await?;
        last.map(|(at, sha256, index)| TablePosition::of_columns(at, sha256, index))
            .transpose()
    }
}

fn push_order(query: &mut QueryBuilder<Postgres>, descending: bool) {
    query.push(if descending {
        " ORDER BY at DESC, sha256 DESC, place DESC"
    } else {
        " ORDER BY at, sha256, place"
    });
}
