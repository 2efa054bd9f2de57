//! Reads the rows of Datacoves' database.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
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

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database is unavailable.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The result of a query lacks a column, or a column has another type.
    #[error("{setting}: {said}: expected a query with the columns {columns}, got `{query}`")]
    Query {
        /// The setting that replaces the query.
        setting: &'static str,
        /// The query.
        query: String,
        /// The columns that it must select.
        columns: &'static str,
        /// What PostgreSQL says, or why a value cannot be read.
        said: String,
    },
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
    pub async fn read(&self, connection: &mut PgConnection) -> Result<Rows, ReadError> {
        // All three queries see the same moment, and none of them can write.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}",
            MAX_QUERY_TIME.as_millis()
        );
        let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
        let rows = Rows {
            accounts: rows_of(
                &mut transaction,
                ("DATACOVES_ACCOUNTS_QUERY", &self.queries.accounts),
                "id, name, slug, deactivated_at",
                "q.deactivated_at IS NOT NULL AS is_deactivated",
            )
            .await?,
            projects: rows_of(
                &mut transaction,
                ("DATACOVES_PROJECTS_QUERY", &self.queries.projects),
                "id, account_id, name, slug",
                "q.account_id::bigint AS account_id",
            )
            .await?,
            environments: rows_of(
                &mut transaction,
                ("DATACOVES_ENVIRONMENTS_QUERY", &self.queries.environments),
                "id, project_id, name, slug, type",
                "q.project_id::bigint AS project_id, q.type::text AS kind",
            )
            .await?,
        };
        transaction.rollback().await?;
        Ok(rows)
    }
}

/// Runs a query. `columns` are those that it must select, and `more` is what is read of them besides `id`, `name` and `slug`.
async fn rows_of<T>(
    connection: &mut PgConnection,
    (setting, query): (&'static str, &str),
    columns: &'static str,
    more: &str,
) -> Result<Vec<T>, ReadError>
where
    T: for<'row> FromRow<'row, PgRow> + Send + Unpin,
{
    // The casts accept columns of any type. The newline ends a comment at the end of a query.
    let common = "q.id::bigint AS id, q.name::text AS name, q.slug::text AS slug";
    let statement = AssertSqlSafe(format!("SELECT {common}, {more} FROM (\n{query}\n) AS q"));
    let rows = sqlx::query_as(statement).persistent(false).fetch_all(connection).await;
    rows.map_err(|error| {
        let said = match &error {
            // Without the line of PostgreSQL's own source.
            sqlx::Error::Database(said) => said.message().to_owned(),
            sqlx::Error::ColumnDecode { .. } => error.to_string(),
            _ => return error.into(),
        };
        ReadError::Query {
            setting,
            query: query.to_owned(),
            columns,
            said,
        }
    })
}
