//! A token sees only its account.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::wait_until;

use crate::installation::{Installation, SLUG, Token, newest_manifest};
use crate::paths::{PathValues, filled};

#[tokio::test(flavor = "multi_thread")]
async fn no_route_shows_data_of_another_account() {
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
    // The names match those that the walk fills in.
    installation.store_file(&own, "secret_of_1", "1").await;
    let refused = Form::new()
        .text("environment_slug", SLUG)
        .part("file", Part::bytes(b"text".to_vec()).file_name("refused_of_1"));
    let (status, _) = installation.upload(&own, refused).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    wait_until("the refused upload is kept", async || {
        let refused = "/api/v3/accounts/1/refused-uploads";
        let (_, refused) = installation.get(&own, refused).await;
        (refused["data"][0]["file"] == "refused_of_1").then_some(())
    })
    .await;
    let promote = "/api/v3/accounts/1/projects/1/environments/1/files/1/promote";
    let (status, _) = installation.send(Method::POST, &own, promote).await;
    assert_eq!(status, StatusCode::CREATED);
    let (_, run) = installation
        .get(&own, "/api/v2/accounts/1/runs/1/?include_related=run_steps")
        .await;
    let step = &run["data"]["run_steps"][0]["id"];
    let own_values = PathValues {
        account: "1",
        slug: SLUG,
        step,
    };
    let other_values = PathValues {
        account: "2",
        ..own_values
    };

    let (status, document) = installation.get(&own, "/api/v2/openapi").await;
    assert_eq!(status, StatusCode::OK);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 40, "{paths:?}");
    let mut walked = 0;
    let is_read = |path: &&String| path.contains("{account_id}") && paths[*path]["get"].is_object();
    for path in paths.keys().filter(is_read) {
        // The owner must see the object, so that a 404 below means something.
        let (status, _) = installation.send(Method::GET, &own, &filled(path, &own_values)).await;
        assert_eq!(status, StatusCode::OK, "{path} as the owner");
        let (status, body) = installation.get(&other, &filled(path, &own_values)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path} of another account");
        assert_eq!(body["data"], Value::Null);
        // The other token's own account, with the ids of account 1.
        let (status, body) = installation
            .send(Method::GET, &other, &filled(path, &other_values))
            .await;
        let body = String::from_utf8(body).unwrap();
        assert!(
            !body.contains("of_1") && !body.contains("of_account_1"),
            "{path}: {status} {body}"
        );
        let anonymous = installation
            .client
            .get(format!("{}{}", installation.service.url, filled(path, &own_values)));
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
    wait_until("all uploads are projected", async || {
        (installation
            .count("SELECT count(*) FROM artifacts WHERE run_id IS NOT NULL")
            .await
            == 3)
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
        "texts",
        "text_sets",
        "catalog_sets",
        "aspect_heads",
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

/// Has a row written to each table that readers see.
pub(crate) async fn fill_tables(installation: &Installation, own: &Token) {
    for (name, file) in [
        ("manifest", newest_manifest()),
        ("results", fixture("run_results/v6-1.12.0-build.json")),
        ("catalog", fixture("catalog/v1-1.12.0.json")),
        ("another project", fixture("situations/two-projects/1.manifest.json")),
    ] {
        installation.upload_manifest(own, name, file).await;
    }
    wait_until("all uploads are projected", async || {
        (installation.count("SELECT count(*) FROM catalogs").await == 1
            && installation.count("SELECT count(*) FROM result_files").await == 1
            && installation.count("SELECT count(*) FROM nodes").await > 0
            && installation.count("SELECT count(*) FROM current_node_sets").await > 0)
            .then_some(())
    })
    .await;
    installation.command(&[
        "project",
        "set-connection",
        "--account",
        "1",
        "shop",
        "host=db.example.com",
    ]);
    installation.store_file(own, "kept", "kept.txt").await;
    installation.store_file(own, "deleted", "deleted.txt").await;
    let deleted = format!("/api/internal/environments/{}/files?tag=deleted", SLUG);
    let (status, _) = installation.send(Method::DELETE, own, &deleted).await;
    assert_eq!(status, StatusCode::OK);
}

/// Checks all forms of queries that the reader might send.
#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_holds_in_every_form_of_query() {
    let installation = Installation::start().await;
    let own = installation.token("1", "read,upload", &[]);
    fill_tables(&installation, &own).await;
    // Read from the catalog, so that a new table with an account cannot be forgotten.
    let owner = installation.system.database.pool("dbt_api_projector");
    let tables: Vec<(String, bool, bool)> = sqlx::query_as(
        "SELECT format('%I.%I', n.nspname, c.relname), c.relrowsecurity,
            has_table_privilege('dbt_api_reader', c.oid, 'SELECT')
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id' AND NOT a.attisdropped
         WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('read_model', 'directory', 'ids') ORDER BY 1",
    )
    .fetch_all(&owner)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    let may_write: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('read_model', 'directory', 'ids') AND c.relkind IN ('r', 'p', 'S')
            AND (CASE c.relkind WHEN 'S' THEN has_sequence_privilege('dbt_api_reader', c.oid, 'USAGE, UPDATE')
                ELSE has_table_privilege('dbt_api_reader', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') END)",
    )
    .fetch_one(&owner)
    .await
    .unwrap();
    assert_eq!(may_write, 0);

    let pool = installation.system.database.pool("dbt_api_reader");
    let mut connection = pool.acquire().await.unwrap();
    let mut readable = 0;
    for (table, has_row_security, is_readable) in &tables {
        if !is_readable {
            continue;
        }
        assert!(has_row_security, "{table} has no row-level security");
        readable += 1;
        let forms = [
            format!("SELECT count(*) FROM {table}"),
            format!("SELECT count(*) FROM {table} WHERE account_id = 1"),
            format!(
                "SELECT count(*) FROM {table} a JOIN {table} b ON a.account_id = b.account_id WHERE a.account_id = 1"
            ),
            format!("SELECT count(*) FROM (VALUES (1)) v LEFT JOIN {table} t ON true WHERE t.account_id = 1"),
            format!(
                "SELECT count(*) FROM (VALUES (1)) v, LATERAL (SELECT * FROM {table} WHERE account_id = v.column1) t"
            ),
            format!(
                "SELECT count(*) FROM generate_series(1, 3) WHERE EXISTS (SELECT FROM {table} WHERE account_id = 1)"
            ),
            format!(
                "WITH all_rows AS MATERIALIZED (SELECT * FROM {table}) SELECT count(*) FROM all_rows WHERE account_id = 1"
            ),
            format!("SELECT coalesce(sum(account_id), 0)::bigint FROM {table} WHERE account_id <> 2"),
            format!(
                "SELECT count(*) FROM (SELECT account_id, rank() OVER (ORDER BY account_id) FROM {table}) t WHERE account_id = 1"
            ),
            format!("SELECT count(*) FROM {table} TABLESAMPLE SYSTEM (100) WHERE account_id = 1"),
        ];
        for form in forms {
            // One prepared statement serves all accounts: a plan made for one account must not leak rows to another.
            for (account, sees) in [("1", true), ("2", false), ("", false), ("1", true)] {
                sqlx::query("SELECT set_config('app.account_id', $1, false)")
                    .bind(account)
                    .execute(&mut *connection)
                    .await
                    .unwrap();
                let seen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(form.clone()))
                    .fetch_one(&mut *connection)
                    .await
                    .unwrap_or_else(|error| panic!("{form}: {error}"));
                let is_own = account == "2" && (table == "directory.projects" || table == "directory.environments");
                if account != "1" && !(is_own && form.ends_with(table)) {
                    assert_eq!(seen, 0, "account `{account}`: {form}");
                } else if sees && form.ends_with(table) && !is_empty(table) {
                    assert!(
                        seen > 0,
                        "`{table}` has no rows for account `{account}`: add one, or name it in `is_empty`"
                    );
                }
            }
        }
    }
    assert!(readable > 15, "{readable} tables were looked at");
}

/// Returns whether the table is empty in this test.
pub(crate) fn is_empty(table: &str) -> bool {
    ["read_model.quarantined_nodes", "read_model.retired_projects"].contains(&table)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(testkit::repository_file("fixtures").join(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_a_key_or_parameter_opens_another_account() {
    let installation = Installation::start().await;
    let (own, other) = (
        installation.token("1", "read,upload", &[]),
        installation.token("2", "read,upload", &[]),
    );
    installation
        .upload_manifest(&own, "secret_run_of_1", newest_manifest())
        .await;
    installation.run_with_total(&own, "1", 1).await;
    let url = |path: &str| format!("{}{path}", installation.service.url);

    // Queries and headers cannot select another account.
    for path in [
        "/api/v2/accounts/2/runs/?account_id=1",
        "/api/v2/accounts/2/runs/?account_id=1&project_id=1&environment_id=1&job_definition_id=1",
        "/api/v2/accounts/2/jobs/?project_id=1",
        "/api/v2/accounts/2/environments/?project_id=1",
        "/api/v3/accounts/2/projects/?pk=1",
        "/api/v2/accounts/2/runs/?pk=1&id=1&id__in=[1]",
    ] {
        let request = installation.client.get(url(path)).bearer_auth(&other.key);
        let request = request
            .header("X-Account-Id", "1")
            .header("X-Forwarded-For", "127.0.0.1");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let text = answer.text().await.unwrap();
        assert!(
            !text.contains("secret_run_of_1") && !text.contains("\"account_id\":1,"),
            "{path}: {text}"
        );
    }
    // A missing object and another account's object get the same answer.
    for path in [
        "/api/v2/accounts/{}/runs/1/",
        "/api/v2/accounts/{}/jobs/1/",
        "/api/v3/accounts/{}/projects/1/",
    ] {
        let (foreign, missing) = (
            installation.get(&other, &path.replace("{}", "1")).await,
            installation.get(&other, &path.replace("{}", "999999")).await,
        );
        assert_eq!(foreign.0, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(foreign, missing, "{path}");
    }
    // An upload goes to the token's account, whatever else the request says.
    let form = reqwest::multipart::Form::new()
        .text("environment_slug", SLUG)
        .text("account_id", "1")
        .text("environment_id", "1")
        .part(
            "file",
            reqwest::multipart::Part::bytes(newest_manifest()).file_name("file"),
        );
    let (status, answer) = installation.upload(&other, form).await;
    assert_eq!(
        (status, &answer["data"]["environment_id"]),
        (StatusCode::CREATED, &2.into()),
        "{answer}"
    );

    let enormous = "dbtapi_".to_owned() + &"a".repeat(20_000);
    let almost = own.key[..own.key.len() - 1].to_owned();
    let keys = [
        "",
        " ",
        "null",
        "dbtapi_",
        "' OR 1=1 --",
        "\u{1}",
        "é",
        &almost,
        &enormous,
    ];
    for key in keys {
        for scheme in ["Token", "Bearer", "Basic", ""] {
            let header = reqwest::header::HeaderValue::from_bytes(format!("{scheme} {key}").as_bytes());
            // A value that cannot be sent cannot be tried.
            let Ok(header) = header else { continue };
            let read = installation
                .client
                .get(url("/api/v2/accounts/1/runs/"))
                .header("Authorization", header.clone());
            assert_eq!(
                read.send().await.unwrap().status(),
                StatusCode::UNAUTHORIZED,
                "{scheme} {key:.20}"
            );
            let upload = installation
                .client
                .post(url("/api/internal/manifests"))
                .header("Authorization", header);
            assert_eq!(
                upload.send().await.unwrap().status(),
                StatusCode::UNAUTHORIZED,
                "{scheme} {key:.20}"
            );
        }
    }
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let path = "/api/v2/accounts/1/runs/1/";
        assert_eq!(
            installation.send(method.clone(), &other, path).await.0,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method}"
        );
    }
}

/// Row-level security keeps functions that are not leakproof out of index conditions, so that node pages could end up scanning whole
/// tables.
#[tokio::test(flavor = "multi_thread")]
async fn readers_find_nodes_by_id_through_indexes() {
    let system = crate::installation::prepared().await;
    // On empty tables all indexes cost the same, so those that are not about nodes must not be there.
    sqlx::raw_sql("DROP INDEX read_model.node_results_at, read_model.node_results_problems")
        .execute(&system.database.pool("dbt_api_projector"))
        .await
        .unwrap();
    let mut connection = system.database.pool("dbt_api_reader").acquire().await.unwrap();
    sqlx::raw_sql("SET app.account_id = '1'; SET enable_seqscan = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    for (table, more) in [
        ("nodes", ""),
        ("catalog_nodes", ""),
        ("node_results", "AND environment_id = 1 AND is_attempt AND is_success"),
        ("node_results", "AND environment_id = 1 AND is_freshness"),
    ] {
        let query = format!(
            "EXPLAIN SELECT * FROM {table} WHERE account_id = 1 AND md5(unique_id) = md5('model.p.a') AND unique_id = 'model.p.a' {more}"
        );
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        let is_looked_up = |line: &String| line.contains("Index Cond") && line.contains("md5(");
        assert!(plan.iter().any(is_looked_up), "{table}: {plan:#?}");
    }
}
