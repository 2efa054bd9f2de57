//! What PostgreSQL expects of accounts.

use read_model::statistics::{Table, analyze_current, expected_rows};
use schemas::AccountId;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use testkit::Database;

/// Adds this many nodes to each account from `first` to `last`.
async fn add(connection: &mut PgConnection, first: i64, last: i64, rows: i64) {
    let insert = format!(
        "INSERT INTO nodes (account_id, hash, unique_id, resource_type, doc, format)
         SELECT account, sha256((account || '.' || n)::bytea), 'model.p.m_' || n, 'model', '', 0
         FROM generate_series({first}, {last}) AS account, generate_series(1, {rows}) AS n"
    );
    connection.execute(AssertSqlSafe(insert)).await.unwrap();
}

/// What the planner says.
async fn planned(connection: &mut PgConnection, account: i64) -> f64 {
    let explain = format!("EXPLAIN (FORMAT JSON) SELECT FROM nodes WHERE account_id = {account}");
    let row = connection.fetch_one(AssertSqlSafe(explain)).await.unwrap();
    let plan: serde_json::Value = row.get(0);
    plan[0]["Plan"]["Plan Rows"].as_f64().unwrap()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
async fn the_rows_of_an_account_are_expected_as_postgresql_plans() {
    if testkit::has_partitions() {
        eprintln!("Skipped: PostgreSQL plans for one partition, whose statistics are its own.");
        return;
    }
    let database = Database::create().await;
    let mut connection =
        PgConnection::connect_with(&database.options().options([("search_path", read_model::SEARCH_PATH)]))
            .await
            .unwrap();
    connection
        .execute("ALTER TABLE nodes SET (autovacuum_enabled = false)")
        .await
        .unwrap();
    assert!(
        expected_rows(&mut connection, Table::Nodes, AccountId(1))
            .await
            .unwrap()
            < 1.0
    );
    add(&mut connection, 1, 2, 500).await;
    analyze_current(&mut connection).await.unwrap();
    // Listed, and not listed where all others are.
    for account in [1, 3] {
        let expected = expected_rows(&mut connection, Table::Nodes, AccountId(account))
            .await
            .unwrap();
        assert!(
            (expected - planned(&mut connection, account).await).abs() <= 1.0,
            "{account}: {expected}"
        );
    }
    // So many accounts that their number is a share of the rows, and most are not listed.
    add(&mut connection, 10, 3_009, 2).await;
    analyze_current(&mut connection).await.unwrap();
    for account in [1, 2_000_000] {
        let (expected, planned) = (
            expected_rows(&mut connection, Table::Nodes, AccountId(account))
                .await
                .unwrap(),
            planned(&mut connection, account).await,
        );
        assert!((expected - planned).abs() <= 1.0, "{account}: {expected}, {planned}");
    }
}
