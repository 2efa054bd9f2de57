//! The rows of Datacoves' database.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, PgPool, Postgres};

use super::Queries;

/// The longest that one of the queries may take.
const MAX_QUERY_TIME: Duration = Duration::from_secs(1);

/// Where Datacoves' rows are read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    pool: PgPool,
    queries: Queries,
}

/// All rows, of one moment. Anything may be null: the queries can be replaced.
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
    /// The pool is of Datacoves' database; nothing is written there.
    #[must_use]
    pub fn new(pool: PgPool, queries: Queries) -> Self {
        Self { pool, queries }
    }

    /// A connection that answers, to read through.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn connect(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.pool.acquire().await
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// Those of the database; also when a query is none, or lacks a column.
    pub async fn read(&self, connection: &mut PgConnection) -> sqlx::Result<Rows> {
        // One moment for the three queries, and no way to write, whatever they say.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}",
            MAX_QUERY_TIME.as_millis()
        );
        let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
        // Whatever types the columns have. The line ends first, or a comment at the end of a query would go on.
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
