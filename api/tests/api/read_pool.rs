//! The connections for reads.

use sqlx::PgPool;
use testkit::{Database, wait_until};

/// As many as [`Database::read_pool`] has.
const CONNECTIONS: i64 = 4;

#[tokio::test]
async fn statements_that_clients_leave_are_cancelled() {
    let database = Database::create().await;
    let pool = database.read_pool(api::warm_up);
    let own = database.pool("postgres");
    let mut left = Vec::new();
    for number in 1..=CONNECTIONS {
        let (mut lent, _) = pool.begin("").await.unwrap();
        tokio::select! {
            ended = sqlx::query("SELECT pg_sleep(86400)").execute(&mut *lent) => panic!("{ended:?}"),
            () = wait_for_statements(&own, number) => {}
        }
        left.push(lent);
    }
    drop(left);
    wait_for_statements(&own, 0).await;
    let mut again = Vec::new();
    for _ in 0..CONNECTIONS {
        again.push(pool.begin("").await.unwrap());
    }
}

/// Waits until so many connections run a statement that does not end by itself.
async fn wait_for_statements(own: &PgPool, expected: i64) {
    // While PostgreSQL only parses the statement, it is active too.
    let running = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'active' AND wait_event = 'PgSleep'";
    wait_until("the statements run, or ended", async || {
        let running: i64 = sqlx::query_scalar(running).fetch_one(own).await.unwrap();
        (running == expected).then_some(())
    })
    .await;
}
