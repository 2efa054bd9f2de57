//! Prepares a new connection, so that the first requests on it are as fast as later ones.

use directory::Environments;
use directory::queries::{begin_by_key, begin_in_account};
use futures_util::future::BoxFuture;
use read_model::queries;
use read_model::queries::page::{Order, Paging};
use read_model::queries::runs::{RunFilter, RunOrder};
use schemas::{AccountId, JobId, RunId, Sha256};
use sqlx::{AssertSqlSafe, PgConnection};

/// No account has this number.
const NOBODY: AccountId = AccountId(0);

/// Prepares the most frequent statements on a connection, whose transactions begin with this text, and fills the caches of its process. The
/// transaction that it begins stays open.
pub fn warm_up(connection: &mut PgConnection, beginning: String) -> BoxFuture<'_, sqlx::Result<()>> {
    Box::pin(execute(connection, beginning))
}

async fn execute(connection: &mut PgConnection, beginning: String) -> sqlx::Result<()> {
    let unknown = format!("{beginning}{}; ROLLBACK", begin_by_key(Sha256::of(b"")));
    sqlx::raw_sql(AssertSqlSafe(unknown)).execute(&mut *connection).await?;
    let begin = format!("{beginning}{}", begin_in_account(NOBODY, &Environments::All));
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await?;
    let page = Paging { limit: 100, offset: 0 };
    // Once only: PostgreSQL decides by the first five executions whether it plans a statement again each time, and these find no rows.
    for descending in [false, true] {
        let order = Order {
            field: RunOrder::Id,
            descending,
        };
        queries::runs::runs(connection, NOBODY, &RunFilter::default(), order, page).await?;
    }
    queries::runs::run(connection, NOBODY, RunId(0)).await?;
    queries::jobs::job_with_facts(connection, NOBODY, JobId(0)).await?;
    Ok(())
}
