//! What each token may read, and the answers for paths that do not exist.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::support::{ALL_OF_ACCOUNT_2, Api, DEV_OF_ACCOUNT_1, UPLOADER_OF_ACCOUNT_1};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

#[tokio::test(flavor = "multi_thread")]
async fn invalid_keys_are_refused() {
    let api = Api::start().await;
    let status = async |path: &str, key: &str| api.request(Method::GET, path, key).await.status;
    assert_eq!(
        status("/api/v2/accounts/1/runs/", "wrong").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        status("/api/v2/accounts/1/runs/", UPLOADER_OF_ACCOUNT_1).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        status("/api/v2/accounts/1/runs/", ALL_OF_ACCOUNT_2).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        status("/api/v2/accounts/one/runs/", ALL_OF_ACCOUNT_2).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        status("/api/v2/accounts/2/runs/1/", ALL_OF_ACCOUNT_2).await,
        StatusCode::NOT_FOUND
    );
    let request = Request::get("/api/v2/accounts/1/runs").body(Body::empty()).unwrap();
    let answer = api.send(request).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let body = answer.json();
    assert_eq!(
        body["status"]["user_message"],
        "Unauthorized: Invalid or expired token."
    );
    assert_eq!(body["status"]["code"], 401);
    assert!(body["data"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_environment_sees_only_that_environment() {
    let api = Api::start().await;
    let get = async |path: &str| api.request(Method::GET, path, DEV_OF_ACCOUNT_1).await;
    assert_eq!(get("/api/v2/accounts/1/environments/").await.ids(), [101]);
    assert_eq!(get("/api/v2/accounts/1/jobs/").await.ids(), [6]);
    let runs = get("/api/v2/accounts/1/runs/").await;
    assert_eq!((runs.ids(), runs.total()), (vec![4], 1));
    for path in [
        "runs/1/",
        "runs/1/artifacts/",
        "runs/1/artifacts/manifest.json",
        "jobs/5/",
        "environments/100/nodes/",
    ] {
        let answer = get(&format!("/api/v2/accounts/1/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sees_only_its_own_account() {
    let api = Api::start().await;
    let answer = api.request(Method::GET, "/api/v2/accounts/", ALL_OF_ACCOUNT_2).await;
    assert_eq!((answer.ids(), answer.total()), (vec![2], 1));
    let answer = api
        .request(Method::GET, "/api/v2/accounts/2/runs/", ALL_OF_ACCOUNT_2)
        .await;
    assert_eq!((answer.ids(), answer.total()), (vec![9], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_refused_and_unknown_paths_are_not_found() {
    let api = Api::start().await;
    for (method, path, status) in [
        (Method::POST, "/api/v2/accounts/1/runs/", 405),
        (Method::DELETE, "/api/v2/accounts/1/jobs/5/", 405),
        (Method::POST, "/api/v2/accounts/1/jobs/5/run/", 405),
        (Method::POST, "/api/v2/accounts/1/runs/1/cancel/", 405),
        (Method::DELETE, "/api/v2/accounts/1/users/", 405),
        (Method::GET, "/api/v2/accounts/1/nothing/", 404),
        (Method::POST, "/api/v2/accounts/1/nothing/", 404),
        (Method::PATCH, "/api/v3/accounts/1/projects/10/nothing/", 404),
        (Method::POST, "/api/v2/accounts/1/jobs/5/nothing/", 404),
        (Method::POST, "/api/ai/v1/mcp/", 404),
        (Method::PUT, "/nothing/", 404),
        (Method::GET, "/nothing", 404),
        (Method::GET, "/api/v2/accounts/1/jobs/5/run/", 404),
        (Method::GET, "/api/v9", 404),
        (Method::GET, "/api/v2/accounts/1/runs/abc/", 404),
        (Method::GET, "/api/v2/accounts/1/runs/77/", 404),
        (Method::GET, "/api/v2/accounts/1/environments/100x/nodes", 404),
    ] {
        let answer = api.request(method, path, crate::support::ALL_OF_ACCOUNT_1).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.json()["status"]["code"], status, "{path}");
        assert_eq!(answer.json()["status"]["is_success"], false, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn public_routes_need_no_token() {
    let api = Api::start().await;
    let get = async |path: &str| api.send(Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(get("/").await.json()["name"], "dbt-api");
    assert_eq!(get("/api/v2/healthcheck/").await.body, b"ok");
    let document = get("/api/v2/openapi").await.json();
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let download = &document["paths"]["/api/v2/accounts/{account_id}/runs/{run_id}/artifacts/{path}"]["get"];
    assert_eq!(download["operationId"], "retrieve_run_artifact");
    for path in ["/api/v2/swaggerui", "/api/v2/swaggerui/"] {
        assert_eq!(get(path).await.headers["location"], "/api/v2/swaggerui/index.html");
    }
    let page = String::from_utf8(get("/api/v2/swaggerui/index.html").await.body).unwrap();
    assert!(page.contains("swagger-ui-bundle.js") && !page.contains("//"), "{page}");
    let setup = String::from_utf8(get("/api/v2/swaggerui/swagger-initializer.js").await.body).unwrap();
    assert!(
        setup.contains("../openapi") && setup.contains(r#""validatorUrl": "none""#),
        "{setup}"
    );
}

/// Polls the future this many times and then drops it, as the server does when its client disconnects. Returns whether it completed.
async fn polled(times: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polls == times => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_disconnects_leaves_no_transaction_open() {
    let api = Api::start().await;
    let path = "/api/v2/accounts/1/runs/";
    // On a busy machine, a request often finds all that it waits for when it is polled for the second time. Then it is cancelled only before
    // anything was answered.
    let (mut requests, mut cancelled) = (0, 0);
    while requests < 10 || cancelled == requests {
        let mut times = 1;
        while !polled(times, api.get(path)).await {
            times += 1;
        }
        requests += 1;
        cancelled += times - 1;
        assert!(
            requests < 1_000,
            "the requests were never cancelled half-way: {cancelled}"
        );
    }
    let pool = api.database.pool("postgres");
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    testkit::wait_until("every transaction has ended", async || {
        let open: i64 = sqlx::query_scalar(open).fetch_one(&pool).await.unwrap();
        (open == 0).then_some(())
    })
    .await;
    assert_eq!(api.get(path).await.status, StatusCode::OK);
}
