//! The rows that the tests read.

use directory::hash_of_key;
use read_model::doc::DocEncoder;
use schemas::Sha256;
use sqlx::PgPool;
use testkit::Database;

use super::{
    ALL_OF_ACCOUNT_1, ALL_OF_ACCOUNT_2, DEV_OF_ACCOUNT_1, MANIFEST, OLDER_RUN_RESULTS, RUN_RESULTS,
    UPLOADER_OF_ACCOUNT_1,
};

const DIRECTORY: &str = "
INSERT INTO directory.accounts VALUES
    (1, 'One', NULL, 'active', '2026-11-01T00:00:00Z', '2026-11-01T00:00:00Z', gen_random_uuid()),
    (2, 'Two', NULL, 'active', '2026-11-01T00:00:00Z', '2026-11-01T00:00:00Z', gen_random_uuid());
INSERT INTO directory.projects VALUES
    (10, 1, 'Balboa', 'balboa', 'active', '2026-11-02T00:00:00Z', '2026-11-02T00:00:00.5Z', gen_random_uuid()),
    (20, 2, 'Other', 'other', 'active', '2026-11-02T00:00:00Z', '2026-11-02T00:00:00Z', gen_random_uuid());
INSERT INTO directory.environments VALUES
    (100, 1, 10, 'Production', 'prod', 'production', 'active', '2026-11-03T00:00:00Z', '2026-11-03T00:00:00Z', gen_random_uuid()),
    (101, 1, 10, 'Development', 'dev', 'development', 'inactive', '2026-11-03T00:00:00Z', '2026-11-03T00:00:00Z', gen_random_uuid()),
    (200, 2, 20, 'Production', 'prod', 'production', 'active', '2026-11-03T00:00:00Z', '2026-11-03T00:00:00Z', gen_random_uuid());
";

/// Run 1 has two steps, run 3 has not finished, and runs 2 and 4 finished at the same time.
const RUNS: &str = "
INSERT INTO jobs (id, account_id, project_id, environment_id, dag_id, created_at, updated_at) VALUES
    (5, 1, 10, 100, 'daily', '2026-11-09T09:00:00Z', '2026-11-09T09:00:00Z'),
    (6, 1, 10, 101, NULL, '2026-11-09T09:00:00Z', '2026-11-09T09:00:00Z'),
    (7, 2, 20, 200, 'daily', '2026-11-09T09:00:00Z', '2026-11-09T09:00:00Z');
INSERT INTO runs (id, account_id, project_id, environment_id, job_id, dag_id, airflow_run_id, status, dbt_version, created_at,
    updated_at, started_at, finished_at) VALUES
    (1, 1, 10, 100, 5, 'daily', 'a', 10, '1.9.1', '2026-11-09T12:02:00Z', '2026-11-09T12:03:00Z', '2026-11-09T12:00:00Z', '2026-11-09T12:01:50Z'),
    (2, 1, 10, 100, 5, 'daily', 'b', 20, '1.9.1', '2026-11-10T12:00:00Z', '2026-11-10T12:00:00Z', '2026-11-10T12:00:00Z', '2026-11-10T12:01:00Z'),
    (3, 1, 10, 100, 5, 'daily', 'c', 3, NULL, '2026-11-11T12:00:00Z', '2026-11-11T12:00:00Z', NULL, NULL),
    (4, 1, 10, 101, 6, NULL, 'd', 10, NULL, '2026-11-08T12:00:00Z', '2026-11-08T12:00:00Z', '2026-11-10T12:00:00Z', '2026-11-10T12:01:00Z'),
    (9, 2, 20, 200, 7, 'daily', 'a', 10, NULL, '2026-11-08T12:00:00Z', '2026-11-08T12:00:00Z', NULL, NULL);
UPDATE runs SET kinds = '{manifest,run_results}' WHERE id = 1;
INSERT INTO run_steps (account_id, id, environment_id, run_id, invocation_id, status, created_at, updated_at, started_at,
    finished_at) VALUES
    (1, 9001, 100, 1, 'build', 10, '2026-11-09T12:02:00Z', '2026-11-09T12:02:00Z', '2026-11-09T12:00:00Z', '2026-11-09T12:00:50Z'),
    (1, 8001, 100, 1, 'docs', 10, '2026-11-09T12:03:00Z', '2026-11-09T12:03:00Z', '2026-11-09T12:01:00Z', '2026-11-09T12:01:50Z');
";

pub(super) async fn insert(database: &Database) {
    let pool = database.pool("postgres");
    sqlx::raw_sql(DIRECTORY).execute(&pool).await.unwrap();
    sqlx::raw_sql(RUNS).execute(&pool).await.unwrap();
    for account in [1_i64, 2] {
        sqlx::query("INSERT INTO directory.account_versions VALUES ($1, gen_random_uuid())")
            .bind(account)
            .execute(&pool)
            .await
            .unwrap();
    }
    token(&pool, ALL_OF_ACCOUNT_1, 1, "read", None).await;
    token(&pool, DEV_OF_ACCOUNT_1, 1, "read", Some(101)).await;
    token(&pool, UPLOADER_OF_ACCOUNT_1, 1, "upload", None).await;
    token(&pool, ALL_OF_ACCOUNT_2, 2, "read", None).await;
    artifact(&pool, "manifest", MANIFEST, 9001, "2026-11-09T12:02:00Z").await;
    artifact(&pool, "run_results", OLDER_RUN_RESULTS, 9001, "2026-11-09T12:02:00Z").await;
    artifact(&pool, "run_results", RUN_RESULTS, 8001, "2026-11-09T12:03:00Z").await;
    nodes(&pool).await;
}

async fn token(pool: &PgPool, key: &str, account: i64, scope: &str, environment: Option<i64>) {
    sqlx::query("INSERT INTO directory.tokens VALUES (gen_random_uuid(), $1, 'token', $2, ARRAY[$3], $4, now())")
        .bind(account)
        .bind(hash_of_key(key).0)
        .bind(scope)
        .bind(environment)
        .execute(pool)
        .await
        .unwrap();
}

/// Stores an artifact of run 1.
async fn artifact(pool: &PgPool, kind: &str, content: &[u8], step: i64, time: &str) {
    sqlx::query(
        "INSERT INTO artifacts (event_id, place, account_id, project_id, environment_id, event_time, kind, name, sha256, size,
            run_id, step_id)
         VALUES (gen_random_uuid(), 0, 1, 10, 100, $1::timestamptz, $2, $2 || '.json', $3, $4, 1, $5)",
    )
    .bind(time)
    .bind(kind)
    .bind(Sha256::of(content).0)
    .bind(content.len() as i64)
    .bind(step)
    .execute(pool)
    .await
    .unwrap();
}

/// Stores the manifest's models a, b and c, source d and test e. The definition of c has no type.
async fn nodes(pool: &PgPool) {
    let node_set = Sha256::of(b"nodes").0;
    sqlx::query("INSERT INTO manifests VALUES (1, $1, $2, NULL, '1.9.1', 'balboa', 'snowflake', NULL)")
        .bind(Sha256::of(MANIFEST).0)
        .bind(node_set)
        .execute(pool)
        .await
        .unwrap();
    let mut encoder = DocEncoder::new().unwrap();
    for (resource_type, names) in [("model", &["a", "b", "c"][..]), ("source", &["d"]), ("test", &["e"])] {
        let mut ids: Vec<i64> = Vec::new();
        for name in names {
            let unique_id = format!("{resource_type}.balboa.{name}");
            let type_field = if *name == "c" {
                String::new()
            } else {
                format!(r#","resource_type":"{resource_type}""#)
            };
            let doc = format!(
                r#"{{"name":"Node_{name}","unique_id":"{unique_id}"{type_field},"size":18446744073709551615}}"#
            );
            let id = sqlx::query_scalar(
                "INSERT INTO nodes (account_id, format, hash, unique_id, resource_type, name, folded_name, doc)
                 VALUES (1, 2, $1, $2, $3, $4, lower($4), $5)
                 RETURNING id",
            )
            .bind(Sha256::of(doc.as_bytes()).0)
            .bind(&unique_id)
            .bind(resource_type)
            .bind(format!("Node_{name}"))
            .bind(encoder.encode(doc.as_bytes()).unwrap())
            .fetch_one(pool)
            .await
            .unwrap();
            ids.push(id);
        }
        sqlx::query("INSERT INTO node_sets VALUES (1, $1, $2, $3)")
            .bind(node_set)
            .bind(resource_type)
            .bind(ids)
            .execute(pool)
            .await
            .unwrap();
    }
}
