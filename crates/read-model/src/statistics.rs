//! PostgreSQL's statistics of the read model's tables.

use schemas::AccountId;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::rebuild::tables_of;

/// A table that becomes as large as the projects of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `nodes`, which manifests fill.
    Nodes,
    /// `node_results`, which run results and freshness results fill.
    NodeResults,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::NodeResults => "node_results",
        }
    }
}

/// Returns how many rows of an account PostgreSQL expects in a table. It knows the share of the accounts that had the most rows when it last counted,
/// and takes the others to be equal.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn expected_rows(connection: &mut PgConnection, table: Table, account: AccountId) -> sqlx::Result<f64> {
    sqlx::query_scalar!(
        r#"SELECT greatest(c.reltuples, 0)::float8 * coalesce(
            (SELECT f.frequency FROM unnest(s.most_common_vals::text::bigint[], s.most_common_freqs) AS f (account, frequency)
             WHERE f.account = $2),
            greatest(1 - coalesce((SELECT sum(f.frequency) FROM unnest(s.most_common_freqs) AS f (frequency)), 0), 0)
                / greatest(CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * c.reltuples ELSE s.n_distinct END
                    - coalesce(cardinality(s.most_common_freqs), 0), 1),
            0) AS "rows!"
         FROM pg_class c LEFT JOIN pg_stats s ON s.schemaname = current_schema() AND s.tablename = c.relname AND s.attname = 'account_id'
         WHERE c.oid = to_regclass($1)"#,
        table.name(),
        account.0
    )
    .fetch_one(connection)
    .await
}

/// Has PostgreSQL count the tables of a schema again.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn analyze(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let analyze = format!("ANALYZE {}", tables_of(connection, schema).await?.join(", "));
    connection.execute(AssertSqlSafe(analyze)).await?;
    Ok(())
}

/// Does the same with the tables of this connection's read model.
///
/// # Errors
/// Returns an error if a query fails.
pub async fn analyze_current(connection: &mut PgConnection) -> sqlx::Result<()> {
    let schema = crate::rebuild::current_schema(connection).await?;
    analyze(connection, &schema).await
}
