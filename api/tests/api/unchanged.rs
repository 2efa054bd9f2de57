//! Conditional reads with `If-None-Match`.

use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{Request, StatusCode};

use crate::support::{ALL_OF_ACCOUNT_1, ALL_OF_ACCOUNT_2, Answer, Api, DEV_OF_ACCOUNT_1};

const RUNS: &str = "/api/v2/accounts/1/runs/";

async fn ask(api: &Api, path: &str, key: &str, known: &str) -> Answer {
    let request = Request::get(path)
        .header(AUTHORIZATION, format!("Token {key}"))
        .header(IF_NONE_MATCH, known);
    api.send(request.body(Body::empty()).unwrap()).await
}

async fn tag_of(api: &Api, path: &str) -> String {
    let answer = api.get(path).await;
    assert_eq!(answer.headers[VARY], "authorization");
    answer.headers[ETAG].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_the_answer_gets_304() {
    let api = Api::start().await;
    let tag = tag_of(&api, RUNS).await;
    assert!(tag.starts_with("W/\""), "{tag}");
    for known in [
        tag.clone(),
        tag.trim_start_matches("W/").to_owned(),
        format!("\"x\", {tag}"),
    ] {
        let answer = ask(&api, RUNS, ALL_OF_ACCOUNT_1, &known).await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(answer.headers[ETAG], tag.as_str());
        assert!(answer.body.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_accepts_everything_need_not_say_so() {
    let api = Api::start().await;
    let tag = tag_of(&api, RUNS).await;
    let ask = |accepted: &'static str| {
        let request = Request::get(RUNS)
            .header(AUTHORIZATION, format!("Token {ALL_OF_ACCOUNT_1}"))
            .header(ACCEPT, accepted)
            .header(IF_NONE_MATCH, &tag);
        api.send(request.body(Body::empty()).unwrap())
    };
    assert_eq!(ask("*/*").await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(ask("text/csv").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_valid_only_for_its_path_and_token() {
    let api = Api::start().await;
    let tag = tag_of(&api, RUNS).await;
    for path in ["/api/v2/accounts/1/runs/?limit=1", "/api/v2/accounts/1/jobs/"] {
        assert_eq!(
            ask(&api, path, ALL_OF_ACCOUNT_1, &tag).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    assert_eq!(ask(&api, RUNS, DEV_OF_ACCOUNT_1, &tag).await.status, StatusCode::OK);
    assert_eq!(
        ask(&api, RUNS, ALL_OF_ACCOUNT_2, &tag).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(ask(&api, RUNS, "nobody", &tag).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_is_not_found_whatever_the_tag() {
    let api = Api::start().await;
    let missing = "/api/v2/accounts/1/runs/77/";
    assert_eq!(
        ask(&api, missing, ALL_OF_ACCOUNT_1, "*").await.status,
        StatusCode::NOT_FOUND
    );
    let answer = api.get(missing).await;
    assert!(answer.status == StatusCode::NOT_FOUND && !answer.headers.contains_key(ETAG));
}
