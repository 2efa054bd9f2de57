//! A token sees its account and nothing else.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::wait_until;

use crate::installation::{Installation, newest_manifest};

/// Fills the parameters of a path: the account, and what exists of each in account 1.
fn filled(path: &str, account: &str, step: &Value) -> String {
    let collection = if path.contains("project_id") {
        "repositories"
    } else {
        "users"
    };
    let query = match path.rsplit('/').next() {
        Some("lineage") => "?unique_id=model.shop.orders",
        Some("changes") => "?from=1",
        _ => "",
    };
    let filled = path
        .replace("{account_id}", account)
        .replace("{unique_id}", "model.shop.orders")
        .replace("{collection}", collection)
        .replace("steps/{id}", &format!("steps/{step}"))
        .replace("{path}", "manifest.json")
        .split('/')
        .map(|part| if part.starts_with('{') { "1" } else { part })
        .collect::<Vec<_>>()
        .join("/");
    filled + query
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_shows_another_account() {
    let installation = Installation::start().await;
    let (own, other) = (
        installation.token("1", "read,upload", &[]),
        installation.token("2", "read,upload", &[]),
    );
    let unique = String::from_utf8(newest_manifest())
        .unwrap()
        .replace("weekly_report", "secret_of_account_1");
    installation
        .upload_manifest(&own, "secret_run_of_1", unique.into_bytes())
        .await;
    installation.run_with_total(&own, "1", 1).await;
    let (_, run) = installation
        .get(&own, "/api/v2/accounts/1/runs/1/?include_related=run_steps")
        .await;
    let step = &run["data"]["run_steps"][0]["id"];

    let (status, document) = installation.get(&own, "/api/v2/openapi").await;
    assert_eq!(status, StatusCode::OK);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 40, "{paths:?}");
    let mut walked = 0;
    let is_read = |path: &&String| path.contains("{account_id}") && paths[*path]["get"].is_object();
    for path in paths.keys().filter(is_read) {
        // What the owner sees, so that a 404 below means something.
        let (status, _) = installation.send(Method::GET, &own, &filled(path, "1", step)).await;
        assert_eq!(status, StatusCode::OK, "{path} as the owner");
        let (status, body) = installation.get(&other, &filled(path, "1", step)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path} of another account");
        assert_eq!(body["data"], Value::Null);
        // The other's own account, with the ids of the first.
        let (status, body) = installation.send(Method::GET, &other, &filled(path, "2", step)).await;
        let body = String::from_utf8(body).unwrap();
        assert!(
            !body.contains("of_1") && !body.contains("of_account_1"),
            "{path}: {status} {body}"
        );
        let anonymous = installation
            .client
            .get(format!("{}{}", installation.service.url, filled(path, "1", step)));
        assert_eq!(
            anonymous.send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED,
            "{path} without a token"
        );
        walked += 1;
    }
    assert!(walked >= 38, "only {walked} routes were walked");
    let (_, accounts) = installation.get(&other, "/api/v2/accounts/").await;
    assert_eq!(accounts["data"].as_array().unwrap().len(), 1);
    assert_eq!(accounts["data"][0]["id"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reader_sees_nothing_without_an_account_and_writes_nothing() {
    let installation = Installation::start().await;
    let own = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&own, "run", newest_manifest()).await;
    for file in ["run_results/v6-1.12.0-build.json", "catalog/v1-1.12.0.json"] {
        let file = std::fs::read(testkit::repository_file("fixtures").join(file)).unwrap();
        installation.upload_manifest(&own, "run", file).await;
    }
    wait_until("all is projected", async || {
        (installation.count("SELECT count(*) FROM catalogs").await == 1
            && installation.count("SELECT count(*) FROM result_files").await == 1)
            .then_some(())
    })
    .await;
    let pool = installation.system.database.pool("dbt_api_reader");
    let tables = [
        "accounts",
        "projects",
        "environments",
        "jobs",
        "runs",
        "run_steps",
        "artifacts",
        "manifests",
        "node_sets",
        "nodes",
        "result_files",
        "node_results",
        "catalogs",
        "catalog_nodes",
        "run_counts",
        "compiled_codes",
        "compiled_sets",
    ];
    for table in tables {
        let count = || sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let mut connection = pool.acquire().await.unwrap();
        let seen: i64 = sqlx::query_scalar(count()).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(seen, 0, "{table} without a setting");
        for (account, visible) in [
            ("1", true),
            ("2", matches!(table, "accounts" | "projects" | "environments")),
        ] {
            sqlx::query("SELECT set_config('app.account_id', $1, false)")
                .bind(account)
                .execute(&mut *connection)
                .await
                .unwrap();
            let seen: i64 = sqlx::query_scalar(count()).fetch_one(&mut *connection).await.unwrap();
            assert_eq!(seen > 0, visible, "{table} of account {account}");
        }
        sqlx::query("SELECT set_config('app.account_id', '', false)")
            .execute(&mut *connection)
            .await
            .unwrap();
        let delete = sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table}")))
            .execute(&mut *connection)
            .await;
        assert!(delete.unwrap_err().to_string().contains("permission denied"), "{table}");
    }
    for table in ["tokens", "revocations", "token_use"] {
        let read = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT * FROM directory.{table}")))
            .fetch_all(&pool)
            .await;
        assert!(read.unwrap_err().to_string().contains("permission denied"), "{table}");
    }
}
