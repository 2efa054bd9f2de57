//! Reads the rows of Datacoves' database.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, PgPool, Postgres};

use super::Queries;

/// How long each query may take.
const MAX_QUERY_TIME: Duration = Duration::from_secs(1);

/// A connection pool to Datacoves' database, with its queries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    pool: PgPool,
    queries: Queries,
}

/// All rows at one moment. Any column may be null, because the queries can be replaced.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub(super) accounts: Vec<AccountRow>,
    pub(super) projects: Vec<ProjectRow>,
    pub(super) environments: Vec<EnvironmentRow>,
}

#[derive(Clone, Debug, FromRow)]
pub(super) struct AccountRow {
    pub(super) id: Option<i64>,
    pub(super) name: Option<String>,
    pub(super) slug: Option<String>,
    pub(super) is_deactivated: bool,
}

#[derive(Clone, Debug, FromRow)]
pub(super) struct ProjectRow {
    pub(super) id: Option<i64>,
    pub(super) account_id: Option<i64>,
    pub(super) name: Option<String>,
    pub(super) slug: Option<String>,
}

#[derive(Clone, Debug, FromRow)]
pub(super) struct EnvironmentRow {
    pub(super) id: Option<i64>,
    pub(super) project_id: Option<i64>,
    pub(super) name: Option<String>,
    pub(super) slug: Option<String>,
    pub(super) kind: Option<String>,
}

impl Source {
    /// Creates a source. The pool must connect to Datacoves' database, which is never written to.
    #[must_use]
    pub fn new(pool: PgPool, queries: Queries) -> Self {
        Self { pool, queries }
    }

    /// Returns a connection that answers, for [`Self::read`].
    ///
    /// # Errors
    /// Fails if the database is unavailable.
    pub async fn connect(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.pool.acquire().await
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// Returns an error if a query fails, is not valid SQL, or lacks a column.
    pub async fn read(&self, connection: &mut PgConnection) -> sqlx::Result<Rows> {
        // All three queries see the same moment, and none of them can write.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}",
            MAX_QUERY_TIME.as_millis()
        );
        let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
        // The casts accept columns of any type. The newline ends a comment at the end of a query.
        let columns = "q.id::bigint AS id, q.name::text AS name, q.slug::text AS slug";
        let read = |more: &str, query: &str| AssertSqlSafe(format!("SELECT {columns}, {more} FROM (\n{query}\n) AS q"));
        let accounts = read("q.deactivated_at IS NOT NULL AS is_deactivated", &self.queries.accounts);
        let projects = read("q.account_id::bigint AS account_id", &self.queries.projects);
        let environments = read(
            "q.project_id::bigint AS project_id, q.type::text AS kind",
            &self.queries.environments,
        );
        let rows = Rows {
            accounts: sqlx::query_as(accounts)
                .persistent(false)
                .fetch_all(&mut *transaction)
                .await?,
            projects: sqlx::query_as(projects)
                .persistent(false)
                .fetch_all(&mut *transaction)
                .await?,
            environments: sqlx::query_as(environments)
                .persistent(false)
                .fetch_all(&mut *transaction)
                .await?,
        };
        transaction.rollback().await?;
        Ok(rows)
    }
}
