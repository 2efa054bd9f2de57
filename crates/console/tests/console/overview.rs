//! The pages of an account and of an environment.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{ALL, Console, DEV_ONLY, OTHER, node, text_of};

const PROD: &str = "/console/1/environments/100";
const TEST: &str = "test.shop.not_null_orders_id.0123456789";

/// Three runs: orders failed in the second and was skipped in the third, in which a test failed that passed before.
async fn shop() -> Console {
    let console = Console::start().await;
    fill(&console).await;
    console
}

async fn fill(console: &Console) {
    let nodes = [
        node("model.shop.orders", json!({})),
        node("model.shop.raw", json!({})),
        node(TEST, json!({})),
    ];
    for run in 1..=3 {
        console.run(100, run, &nodes).await;
    }
    let gone = "model.shop.gone";
    console
        .results(
            100,
            1,
            &[
                ("model.shop.orders", "success", ""),
                ("model.shop.raw", "error", "was broken"),
                (TEST, "pass", ""),
            ],
        )
        .await;
    console
        .results(
            100,
            2,
            &[
                ("model.shop.orders", "error", "no such column <b>"),
                (gone, "error", "is gone"),
            ],
        )
        .await;
    console
        .results(
            100,
            3,
            &[
                ("model.shop.orders", "skipped", ""),
                ("model.shop.raw", "success", ""),
                (TEST, "fail", "Got 3 results"),
            ],
        )
        .await;
    execute(console, "UPDATE runs SET status = 20 WHERE id IN (2, 3)").await;
}

async fn execute(console: &Console, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&console.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_says_what_fails_and_since_when() {
    let console = shop().await;
    let page = console.page(PROD).await;
    let text = text_of(&page);
    for part in [
        "1 of 1 job failing",
        "2 nodes fail now",
        "no such column <b>",
        "Got 3 results",
        "not_null_orders_id",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in ["was broken", "is gone", "<b>"] {
        let shown = if part == "<b>" { &page } else { &text };
        assert!(!shown.contains(part), "{part}");
    }
    let twin = console.twin(&page).await;
    let failing: Vec<(&str, &Value, &Value, bool)> = twin["failing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            (
                node["unique_id"].as_str().unwrap(),
                &node["run_id"],
                &node["since_run_id"],
                node["last_success_at"].is_string(),
            )
        })
        .collect();
    let (two, three) = (json!(2), json!(3));
    assert_eq!(
        failing,
        [(TEST, &three, &three, true), ("model.shop.orders", &two, &two, true)]
    );
    let runs: Vec<&Value> = twin["jobs"][0]["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| &run["run_id"])
        .collect();
    assert_eq!(runs, [&json!(1), &two, &three]);
    for run in 1..=3 {
        assert!(page.contains(&format!(r#"<a href="/console/1/runs/{run}">"#)), "{run}");
        console.page(&format!("/console/1/runs/{run}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_says_what_is_not_fresh_and_what_changed() {
    let console = shop().await;
    assert!(
        text_of(&console.page(PROD).await)
            .contains("The last checks of freshness found no old data, or there were none.")
    );
    let changed = [
        node("model.shop.orders", json!({"raw_code": "select 1"})),
        node("model.shop.new", json!({})),
        node("source.shop.pos.sales", json!({})),
        node(TEST, json!({})),
    ];
    console.run(100, 4, &changed).await;
    execute(
        &console,
        "UPDATE artifacts SET event_time = '2026-11-24T11:00:00Z' WHERE run_id = 4",
    )
    .await;
    console.results(100, 4, &[("source.shop.pos.sales", "error", "")]).await;
    execute(
        &console,
        "UPDATE node_results SET is_attempt = false, is_freshness = true WHERE unique_id LIKE 'source%'",
    )
    .await;
    let page = console.page(PROD).await;
    let text = text_of(&page);
    assert!(
        text.contains("1 source is too old") && text.contains("pos.sales"),
        "{text}"
    );
    assert!(text.contains("2 added, 1 removed, 1 changed"), "{text}");
    assert!(page.contains("/console/1/compare?run=3&amp;with=4"), "{page}");
    let twin = console.twin(&page).await;
    assert_eq!(
        (&twin["stale"][0]["unique_id"], &twin["stale_total"]),
        (&json!("source.shop.pos.sales"), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_stopped_uploading_is_named() {
    let console = shop().await;
    execute(
        &console,
        "INSERT INTO artifacts (event_id, place, account_id, project_id, environment_id, event_time, kind, name, sha256, size)
         SELECT gen_random_uuid(), 0, 1, 10, 100, t, 'other', 'x', decode(md5(t::text), 'hex'), 1
         FROM generate_series('2026-11-11T00:00:00Z'::timestamptz, '2026-11-22T00:00:00Z', '2 hours') t",
    )
    .await;
    for path in ["/console/1", PROD] {
        let page = console.page(path).await;
        assert!(
            text_of(&page).contains("No upload since 2 d ago, usually within 2 h"),
            "{path}: {page}"
        );
        let twin = console.twin(&page).await;
        let uploads = if path == PROD {
            &twin["uploads"]
        } else {
            &twin["environments"][0]["uploads"]
        };
        assert_eq!(
            (&uploads["is_silent"], &uploads["usual_hours"]),
            (&json!(true), &json!(2))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_lists_its_environments_with_what_is_wrong_in_them() {
    let console = shop().await;
    let page = console.page("/console/1").await;
    let text = text_of(&page);
    for part in [
        "Production",
        "1 of 1 job failing",
        "2 nodes fail",
        "Development",
        "1 job, none failing",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let twin = console.twin(&page).await;
    assert_eq!(twin["environments"][0]["failing_nodes"], json!(2));
    assert_eq!(twin["environments"][1]["failing_nodes"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_counts_all_that_its_environments_list() {
    let console = shop().await;
    execute(&console, VERY_MANY).await;
    let account = console.twin(&console.page("/console/1").await).await;
    for (place, environment) in [(0, 100), (1, 101)] {
        let page = console.page(&format!("/console/1/environments/{environment}")).await;
        let (counted, listed) = (&account["environments"][place], console.twin(&page).await);
        assert_eq!(
            (&counted["failing_nodes"], &counted["stale_nodes"]),
            (&listed["failing_total"], &listed["stale_total"]),
            "{environment}"
        );
    }
    let counted = &account["environments"][1];
    assert_eq!(
        (&counted["failing_nodes"], &counted["stale_nodes"]),
        (&json!(10_500), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_are_not_found() {
    let console = shop().await;
    for (path, key) in [
        (PROD, OTHER),
        (PROD, DEV_ONLY),
        ("/console/1", OTHER),
        ("/console/1/environments/200", ALL),
    ] {
        assert_eq!(
            console.get(path, key).await.status,
            StatusCode::NOT_FOUND,
            "{path} {key}"
        );
    }
    let seen = console.get("/console/1", DEV_ONLY).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert!(
        seen.body.contains("Development") && !seen.body.contains("Production"),
        "{}",
        seen.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_as_text() {
    let console = shop().await;
    execute(
        &console,
        "UPDATE jobs SET dag_id = '<script>x</script>\"&' WHERE id = 5",
    )
    .await;
    execute(
        &console,
        "UPDATE directory.environments SET name = '<i>prod</i>' WHERE id = 100",
    )
    .await;
    for path in [PROD, "/console/1", "/console/1/runs", "/console/1/runs/3"] {
        let page = console.page(path).await;
        assert!(!page.contains("<script>x") && !page.contains("<i>"), "{path}: {page}");
        assert!(page.contains("&lt;i&gt;prod"), "{path}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_statements_does_not_depend_on_the_number_of_jobs_and_nodes() {
    let (console, wire) = Console::start_behind_wire().await;
    fill(&console).await;
    let paths = [PROD, "/console/1", "/console/1/runs", "/console/1/runs/3"];
    let mut trips = Vec::new();
    for jobs in [1, 60] {
        if jobs > 1 {
            execute(&console, MANY).await;
        }
        for path in paths {
            // A connection prepares its statements the first time, and the same one may not be back yet the second time.
            let mut fewest = usize::MAX;
            for _ in 0..4 {
                let _ = wire.take();
                console.page(path).await;
                let mut asked = wire.take();
                asked.retain(|trip| !trip.contains("ROLLBACK") && !trip.contains("note_token_use"));
                fewest = fewest.min(asked.len());
            }
            trips.push((path, fewest));
        }
    }
    let (few, many) = trips.split_at(paths.len());
    assert_eq!(few, many);
    assert!(few.iter().all(|(_, trips)| *trips < 20), "{few:?}");
}

/// 60 jobs with 30 runs, and 2,000 failures in the last run.
const MANY: &str = "
INSERT INTO jobs (id, account_id, project_id, environment_id, dag_id, created_at, updated_at)
    SELECT 1000 + j, 1, 10, 100, 'job ' || j, '2026-11-09T09:00:00Z', '2026-11-09T09:00:00Z' FROM generate_series(1, 60) j;
INSERT INTO runs (id, account_id, project_id, environment_id, job_id, status, created_at, updated_at, started_at, finished_at)
    SELECT 10000 + n * 100 + j, 1, 10, 100, 1000 + j, 20, t, t, t, t
    FROM generate_series(1, 60) j, generate_series(1, 30) n, LATERAL (SELECT '2026-11-09T09:00:00Z'::timestamptz + interval '1 hour' * n AS t) t;
WITH node AS (
    INSERT INTO nodes (account_id, format, hash, unique_id, resource_type, name, doc, depends_on)
    SELECT 1, 2, decode(md5(n::text), 'hex'), 'model.shop.many_' || n, 'model', 'many_' || n, doc, ARRAY['model.shop.raw']
    FROM generate_series(1, 2000) n, (SELECT doc FROM nodes LIMIT 1) d RETURNING id
)
UPDATE node_sets SET node_ids = node_ids || (SELECT array_agg(id) FROM node) WHERE resource_type = 'model';
INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, is_attempt, at, execution_time, doc, has_passed,
        is_success, failure)
    SELECT account_id, environment_id, sha256, 1000 + n, 'model.shop.many_' || n, 'error', true, at, 1, doc, false, false, 1
    FROM node_results, generate_series(1, 2000) n WHERE unique_id LIKE 'test%' AND status = 'fail';
";

/// 10,500 failures in an environment without a manifest, and two checks of freshness, of which one did not pass.
const VERY_MANY: &str = "
INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, is_attempt, is_freshness, at, execution_time, doc,
        has_passed, is_success, failure)
    SELECT account_id, 101, sha256, n, 'model.shop.many_' || n, CASE n WHEN 10502 THEN 'pass' ELSE 'error' END, n <= 10500, n > 10500, at, 1,
        doc, false, false, 1
    FROM node_results, generate_series(1, 10502) n WHERE unique_id LIKE 'test%' AND status = 'fail';
ANALYZE node_results;
";
