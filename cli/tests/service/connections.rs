//! What an operator says about the warehouse of a project.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{run_command, try_command, wait_until};

use crate::installation::{BINARY, Installation, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_where_the_warehouse_of_a_project_is() {
    let installation = Installation::start().await;
    let (token, other) = (
        installation.token("1", "read,upload", &[]),
        installation.token("2", "read", &[]),
    );
    let set = |details: &[&str]| {
        let command = ["project", "set-connection", "--account", "1", "shop"];
        installation.command(&[&command, details].concat())
    };
    let get = async |path: &str| {
        let (status, answer) = installation.get(&token, &format!("/api/{path}")).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer["data"].clone()
    };
    assert_eq!(get("v3/accounts/1/connections/").await, json!([]));
    let recorded = set(&["account=xy12345.eu-west-1", "database=ANALYTICS"]);
    assert_eq!(
        recorded,
        json!({"account_id": 1, "project_id": 1, "details": {"account": "xy12345.eu-west-1", "database": "ANALYTICS"}})
    );
    // It is shown before a manifest names the adapter, and what is said later replaces all of it.
    assert_eq!(
        get("v3/accounts/1/connections/1/").await["details"],
        recorded["details"]
    );
    let details = json!({"host": "db.example.com", "port": 5432, "http_path": "/sql/1.0/warehouses/a"});
    set(&["host=db.example.com", "port=5432", "http_path=/sql/1.0/warehouses/a"]);
    // dbt Cloud's description does not allow DuckDB.
    let manifest = String::from_utf8(newest_manifest())
        .unwrap()
        .replace("\"duckdb\"", "\"postgres\"");
    installation.upload_manifest(&token, "run", manifest.into_bytes()).await;
    installation.run_with_total(&token, "1", 1).await;
    for path in ["v2/accounts/1/projects/1/", "v3/accounts/1/projects/1/"] {
        let project = get(path).await;
        assert_eq!(project["connection"]["details"], details, "{path}");
        assert_eq!(
            (&project["connection_id"], &project["connection"]["type"]),
            (&json!(1), &json!("postgres"))
        );
    }
    for path in [
        "v2/accounts/1/connections/1/",
        "v3/accounts/1/projects/1/connections/1/",
    ] {
        assert_eq!(get(path).await["details"], details, "{path}");
    }
    let (_, project) = installation.get(&other, "/api/v3/accounts/2/projects/2/").await;
    assert_eq!(project["data"]["connection"]["details"], json!({}));

    let fails = |arguments: &[&str]| {
        try_command(
            BINARY,
            &[&["project", "set-connection"], arguments].concat(),
            &installation.system,
        )
        .2
    };
    assert!(fails(&["--account", "1", "shop", "password=x"]).contains("got `password`"));
    assert!(fails(&["--account", "1", "shop", "port=x"]).contains("expected a number from 1 to 65535, got `x`"));
    assert!(fails(&["--account", "1", "2", "host=x"]).contains("unknown project `2`"));
    assert!(fails(&["--account", "9", "shop", "host=x"]).contains("unknown account `9`"));

    set(&[]);
    assert_eq!(
        get("v3/accounts/1/projects/1/").await["connection"]["details"],
        json!({})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_word_about_a_warehouse_counts_after_a_recovery() {
    let installation = Installation::start().await;
    for host in ["a.example.com", "b.example.com"] {
        let host = format!("host={host}");
        installation.command(&["project", "set-connection", "--account", "1", "shop", &host]);
    }
    let pool = installation.system.database.pool("dbt_api_projector");
    let details = async || {
        let details = sqlx::query_scalar("SELECT details FROM directory.connections WHERE project_id = 1");
        details.fetch_optional(&pool).await.unwrap().unwrap_or(Value::Null)
    };
    assert_eq!(details().await, json!({"host": "b.example.com"}));
    for statement in ["DELETE FROM directory.connections", "DELETE FROM directory.ledger"] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    run_command(BINARY, &["replay", "--type", "directory."], &installation.system);
    wait_until("the events are applied", async || {
        (details().await == json!({"host": "b.example.com"})).then_some(())
    })
    .await;
}
