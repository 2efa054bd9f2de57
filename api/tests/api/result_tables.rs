//! The results of nodes over many runs, as tables.

use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION, IF_NONE_MATCH};
use axum::http::{Method, Request, StatusCode};
use read_model::doc::DocEncoder;
use serde_json::{Value, json};

use crate::support::{ALL_OF_ACCOUNT_1, ALL_OF_ACCOUNT_2, Answer, Api, DEV_OF_ACCOUNT_1};

const TABLE: &str = "/api/v2/accounts/1/environments/100/results/";

/// Runs 1, 2 and 3 of job 5 with a file each, which have the results of a model, a test and a source; the file of run 3 was uploaded to run 2
/// of the same job before. Run 21 of job 8 has a file of its own. A file that only lists nodes is not shown.
const ROWS: &str = "
INSERT INTO jobs (id, account_id, project_id, environment_id, dag_id, created_at, updated_at) VALUES
    (8, 1, 10, 100, 'hourly', '2026-11-09T09:00:00Z', '2026-11-09T09:00:00Z');
INSERT INTO runs (id, account_id, project_id, environment_id, job_id, dag_id, airflow_run_id, status, created_at, updated_at) VALUES
    (21, 1, 10, 100, 8, 'hourly', 'h', 10, '2026-11-12T12:00:00Z', '2026-11-12T12:00:00Z');
INSERT INTO artifacts (event_id, place, account_id, project_id, environment_id, event_time, kind, name, sha256, size, run_id, step_id)
SELECT gen_random_uuid(), 0, 1, 10, 100, time, 'run_results', 'run_results.json', decode(repeat(file, 32), 'hex'), 1, run, run * 1000
FROM (VALUES
    ('01', 1, '2026-11-09T12:00:00Z'::timestamptz), ('02', 2, '2026-11-10T12:00:00Z'), ('03', 3, '2026-11-12T12:00:00Z'),
    ('03', 2, '2026-11-11T12:00:00Z'), ('04', 21, '2026-11-12T12:00:00Z'), ('05', 1, '2026-11-09T12:00:00Z')
) AS f (file, run, time);
INSERT INTO result_files (account_id, environment_id, sha256, which, elapsed_time, failed)
SELECT 1, 100, decode(repeat(file, 32), 'hex'), which, 1, false
FROM (VALUES ('01', 'build'), ('02', 'build'), ('03', 'freshness'), ('04', 'run'), ('05', 'generate')) AS f (file, which);
INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, is_attempt, has_passed, is_success, is_freshness,
    at, execution_time, failures, rows_affected, doc)
SELECT 1, 100, decode(repeat(file, 32), 'hex'), place, unique_id, status, attempt, true, true, fresh, at, 0.5, failures, rows, '\\x00'
FROM (VALUES
    ('01', 0, 'model.shop.a', 'success', true, false, '2026-11-09T10:00:00Z'::timestamptz, NULL::bigint, -1::bigint),
    ('01', 1, 'test.shop.t', 'fail', true, false, '2026-11-09T10:00:00Z', 3, NULL),
    ('02', 0, 'model.shop.a', 'error', true, false, '2026-11-10T10:00:00Z', NULL, NULL),
    ('02', 1, 'test.shop.t', 'skipped', true, false, '2026-11-10T10:01:00Z', NULL, NULL),
    ('03', 0, 'source.shop.raw.s', 'warn', false, true, '2026-11-11T10:00:00Z', NULL, NULL),
    ('04', 0, 'model.shop.a', 'success', true, false, '2026-11-12T10:00:00Z', NULL, 7),
    ('05', 0, 'model.shop.a', 'success', false, false, '2026-11-13T10:00:00Z', NULL, NULL)
) AS r (file, place, unique_id, status, attempt, fresh, at, failures, rows);
";

async fn start() -> Api {
    let api = Api::start().await;
    let pool = api.database.pool("postgres");
    sqlx::raw_sql(ROWS).execute(&pool).await.unwrap();
    let doc = json!({"unique_id": "model.shop.a", "status": "error", "message": format!("=cmd|' /C calc'!A0, {}", "é".repeat(2_000))}).to_string();
    sqlx::query("UPDATE node_results SET doc = $1 WHERE status = 'error'")
        .bind(DocEncoder::new().unwrap().encode(doc.as_bytes()).unwrap())
        .execute(&pool)
        .await
        .unwrap();
    api
}

/// The rows as `node status run`.
fn rows(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let rows = json["data"].as_array().unwrap().iter();
    let text = |row: &Value| {
        let node = row["unique_id"]
            .as_str()
            .unwrap()
            .rsplit('.')
            .next()
            .unwrap()
            .to_owned();
        format!("{node} {} {}", row["status"].as_str().unwrap(), row["run_id"])
    };
    rows.map(text).collect()
}

async fn send(api: &Api, path: &str, accept: &str, tag: &str) -> Answer {
    let request = Request::get(path)
        .header(AUTHORIZATION, format!("Token {ALL_OF_ACCOUNT_1}"))
        .header(ACCEPT, accept)
        .header(IF_NONE_MATCH, tag);
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_many_runs_are_filtered() {
    let api = start().await;
    let all = [
        "a success 1",
        "t fail 1",
        "a error 2",
        "t skipped 2",
        "s warn 2",
        "a success 21",
    ];
    for (query, expected) in [
        ("", &all[..]),
        ("?unique_id=model.shop.a", &["a success 1", "a error 2", "a success 21"]),
        ("?unique_id=source.shop.raw.s", &["s warn 2"]),
        ("?unique_id=model.shop", &[]),
        ("?status=SUCCESS", &["a success 1", "a success 21"]),
        (
            "?status__in=[\"error\",\"fail\",\"skipped\"]",
            &["t fail 1", "a error 2", "t skipped 2"],
        ),
        ("?status__in=fail&status=error", &[]),
        ("?resource_type=test", &["t fail 1", "t skipped 2"]),
        ("?resource_type=model&status=error", &["a error 2"]),
        (
            "?completed_at__range=['2026-11-10','2026-11-11T10:00:00Z']",
            &["a error 2", "t skipped 2", "s warn 2"],
        ),
        (
            "?completed_at__range=['2026-11-10','9999-12-31']&order_by=-completed_at&limit=2",
            &["a success 21", "s warn 2"],
        ),
    ] {
        let answer = api.get(&format!("{TABLE}{}", query.replace('"', "%22"))).await;
        assert_eq!(rows(&answer), expected, "{query}");
    }
    let first = api.get(&format!("{TABLE}?limit=1&status=fail")).await.json();
    let expected = json!({
        "completed_at": "2026-11-09T10:00:00.000000+00:00", "unique_id": "test.shop.t", "resource_type": "test", "status": "fail",
        "command": "build", "execution_time": 0.5, "failures": 3, "rows_affected": null, "message": null, "environment_id": 100,
        "job_id": 5, "run_id": 1, "step_id": 1000,
    });
    assert_eq!(first["data"][0], expected);
    let extra = json!({
        "filters": {"account_id": 1, "limit": 1, "status": "fail"}, "order_by": "completed_at",
        "pagination": {"count": 1, "next_cursor": null},
    });
    assert_eq!(first["extra"], extra);
    for (query, words) in [
        ("limit=0", "invalid `limit`: expected a number from 1 to 5000, got `0`"),
        (
            "cursor=x",
            "invalid `cursor`: expected the `next_cursor` of an answer, got `x`",
        ),
        ("order_by=id", "invalid `order_by`"),
    ] {
        let answer = api.get(&format!("{TABLE}?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            answer.json()["status"]["user_message"]
                .as_str()
                .unwrap()
                .contains(words),
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_the_results_of_its_runs() {
    let api = start().await;
    let of = async |job: i64| {
        rows(
            &api.get(&format!(
                "/api/v2/accounts/1/jobs/{job}/results/?order_by=-completed_at"
            ))
            .await,
        )
    };
    assert_eq!(
        of(5).await,
        ["s warn 2", "t skipped 2", "a error 2", "t fail 1", "a success 1"]
    );
    assert_eq!(of(8).await, ["a success 21"]);
    assert_eq!(of(6).await, [] as [&str; 0]);
    for (path, key) in [
        ("/api/v2/accounts/1/jobs/7/results", ALL_OF_ACCOUNT_1),
        ("/api/v2/accounts/1/environments/200/results", ALL_OF_ACCOUNT_1),
        ("/api/v2/accounts/1/environments/100/results", ALL_OF_ACCOUNT_2),
        ("/api/v2/accounts/1/environments/100/results", DEV_OF_ACCOUNT_1),
        ("/api/v2/accounts/1/jobs/5/results", DEV_OF_ACCOUNT_1),
    ] {
        assert_eq!(
            api.request(Method::GET, path, key).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

/// Follows the cursors, and returns the rows of each page. After the first page, `between` is executed.
async fn pages(api: &Api, path: &str, between: &'static str) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = api.get(&format!("{path}{cursor}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        pages.push(rows(&answer));
        let next = answer.json()["extra"]["pagination"]["next_cursor"].clone();
        let link = answer.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        let Some(next) = next.as_str() else {
            assert_eq!(link, None);
            return pages;
        };
        assert!(link.unwrap().ends_with(&format!("cursor={next}>; rel=\"next\"")));
        cursor = format!("&cursor={next}");
        if pages.len() == 1 {
            sqlx::raw_sql(between)
                .execute(&api.database.pool("postgres"))
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_overlap_nor_miss_rows_while_rows_are_added() {
    // One row before, and one after the first page.
    const MORE: &str = "INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, is_attempt, has_passed,
            is_success, at, doc)
        SELECT 1, 100, decode(repeat('01', 32), 'hex'), place, 'model.shop.new', 'success', true, true, true, at, '\\x00'
        FROM (VALUES (5, '2026-11-09T09:00:00Z'::timestamptz), (6, '2026-11-12T11:00:00Z')) AS r (place, at)";
    let api = start().await;
    assert_eq!(
        pages(&api, &format!("{TABLE}?limit=2"), "SELECT").await,
        [
            vec!["a success 1", "t fail 1"],
            vec!["a error 2", "t skipped 2"],
            vec!["s warn 2", "a success 21"]
        ]
    );
    assert_eq!(
        pages(&api, &format!("{TABLE}?limit=2&order_by=-completed_at"), MORE).await,
        [
            vec!["a success 21", "s warn 2"],
            vec!["t skipped 2", "a error 2"],
            vec!["t fail 1", "a success 1"],
            vec!["new success 1"]
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_for_what_is_rare_ends_early_with_a_cursor() {
    const MANY: &str = "INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, is_attempt, has_passed,
            is_success, at, doc)
        SELECT 1, 100, decode(repeat('04', 32), 'hex'), 10 + n, 'model.shop.m' || n, 'success', true, true, true,
            '2026-11-12T12:00:00Z'::timestamptz + n * interval '1 second', '\\x00'
        FROM generate_series(1, 150000) AS n; ANALYZE node_results";
    let api = start().await;
    sqlx::raw_sql(MANY)
        .execute(&api.database.pool("postgres"))
        .await
        .unwrap();
    let path = "/api/v2/accounts/1/jobs/5/results/?order_by=-completed_at";
    let pages = pages(&api, path, "SELECT").await;
    assert_eq!(
        pages,
        [
            vec![],
            vec!["s warn 2", "t skipped 2", "a error 2", "t fail 1", "a success 1"]
        ]
    );
    let failed = api
        .get(&format!("{TABLE}?status__in=fail,error&order_by=-completed_at"))
        .await;
    assert_eq!(rows(&failed), ["a error 2", "t fail 1"], "without a look at successes");
    let largest = api.get(&format!("{TABLE}?limit=9999")).await.json();
    assert_eq!(largest["data"].as_array().unwrap().len(), 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_chooses_the_format() {
    let api = start().await;
    let json = send(&api, TABLE, "*/*", "").await;
    assert_eq!(json.headers["content-type"], "application/json");
    let csv = send(&api, &format!("{TABLE}?limit=2"), "text/csv", "").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let text = String::from_utf8(csv.body).unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("completed_at,unique_id,resource_type,status,command,execution_time"));
    assert_eq!(
        lines[1],
        "2026-11-09T10:00:00.000000+00:00,model.shop.a,model,success,build,0.5,,-1,,100,5,1,1000"
    );
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        csv.headers["link"]
            .to_str()
            .unwrap()
            .starts_with("</api/v2/accounts/1/environments/100/results?limit=2&cursor=")
    );
    let error = send(&api, &format!("{TABLE}?status=error"), "text/csv", "").await;
    let text = String::from_utf8(error.body).unwrap();
    assert!(
        text.contains(",\"'=cmd|' /C calc'!A0, é") && text.len() < 2_500,
        "{text}"
    );
    let parquet = send(&api, TABLE, "application/vnd.apache.parquet", "").await;
    assert_eq!(parquet.headers["content-type"], "application/vnd.apache.parquet");
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));

    // The tag of one format does not mean another one.
    let tag = csv.headers["etag"].to_str().unwrap();
    let path = format!("{TABLE}?limit=2");
    assert_eq!(
        send(&api, &path, "text/csv", tag).await.status,
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(send(&api, &path, "application/json", tag).await.status, StatusCode::OK);
    let varies: Vec<_> = csv
        .headers
        .get_all("vary")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert!(varies.contains(&"accept"), "{varies:?}");
}
