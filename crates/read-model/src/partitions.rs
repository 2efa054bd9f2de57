//! Tables that are partitioned by account.

use sqlx::{AssertSqlSafe, Executor, PgConnection};

/// What operators run to partition the tables. Its main part does it for the first schema of the search path.
const SCRIPT: &str = include_str!("../../../docs/partitions.sql");

/// Partitions the tables of a schema if those of the read model are partitioned, into as many partitions. Requires a transaction of the
/// database's owner, whose role and search path are others afterwards.
///
/// # Errors
/// Returns an error if a query fails.
pub(crate) async fn partition_like_read_model(transaction: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let partitions = sqlx::query_scalar!(
        r#"SELECT count(*) AS "partitions!" FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent
         WHERE c.relnamespace = to_regnamespace('read_model') AND c.relkind = 'p' GROUP BY c.oid ORDER BY 1 DESC LIMIT 1"#
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(partitions) = partitions else {
        return Ok(());
    };
    let settings = format!(
        "SET LOCAL ROLE dbt_api_projector; SET LOCAL search_path = {schema}; SET LOCAL dbt_api.partitions = {partitions}"
    );
    transaction.execute(AssertSqlSafe(settings)).await?;
    transaction.execute(main_part()).await?;
    Ok(())
}

/// Returns the script without what is for `psql`.
fn main_part() -> &'static str {
    let from_begin = SCRIPT.find("DO $$").map_or(SCRIPT, |begin| &SCRIPT[begin..]);
    from_begin.find("$$;").map_or(from_begin, |end| &from_begin[..end + 3])
}
