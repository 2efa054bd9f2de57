//! Tests the client with recorded answers of real Airflows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

use airflow::{Airflow, Error, Login, Which};
use chrono::{DateTime, Utc};
use testkit::airflow::{PASSWORD, RecordedAirflow, USER};

fn password(text: &str) -> Login {
    Login::Password {
        username: USER.to_owned(),
        password: text.into(),
    }
}

fn client(server: &RecordedAirflow, login: Login) -> Airflow {
    service::install_tls();
    Airflow::new(&server.url.parse().unwrap(), login).unwrap()
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test]
async fn runs_of_airflow_2_are_listed_with_exact_requests() {
    let server = RecordedAirflow::start("v1").await;
    let mut airflow = client(&server, password(PASSWORD));
    let listing = airflow
        .runs(Which::ChangedSince(time("2026-11-24T21:00:00.5Z")))
        .await
        .unwrap();
    assert_eq!(
        server.new_requests(),
        [
            "GET /api/v2/version",
            "GET /api/v1/version",
            "GET /api/v1/dags/~/dagRuns?order_by=id&updated_at_gte=2026-11-24T21%3A00%3A00.500000Z&limit=100&offset=0",
        ]
    );
    assert_eq!(listing.date, Some(time("2026-11-24T21:40:00Z")));
    let states: Vec<_> = listing
        .runs
        .iter()
        .map(|run| (run.dag_id.as_str(), run.state.as_str()))
        .collect();
    assert_eq!(
        states,
        [
            ("shop", "success"),
            ("broken", "failed"),
            ("waiting", "running"),
            ("waiting", "queued")
        ]
    );
    let shop = &listing.runs[0];
    assert_eq!(shop.run_id, "scheduled__2026-11-23T00:00:00+00:00");
    assert_eq!(
        (shop.queued_at, shop.started_at, shop.finished_at),
        (
            None,
            Some(time("2026-11-24T21:34:13.234614Z")),
            Some(time("2026-11-24T21:34:18.077086Z"))
        )
    );

    let active = airflow.runs(Which::Active).await.unwrap();
    assert_eq!(active.runs.len(), 2);
    airflow
        .runs(Which::StartedSince(time("2026-11-17T00:00:00Z")))
        .await
        .unwrap();
    let one = airflow
        .run("shop", "scheduled__2026-11-23T00:00:00+00:00")
        .await
        .unwrap();
    assert_eq!(one.as_ref(), Some(shop));
    assert_eq!(airflow.run("shop", "none").await.unwrap(), None);
    let schedules: Vec<_> = airflow
        .dags()
        .await
        .unwrap()
        .into_iter()
        .map(|dag| (dag.dag_id, dag.schedule))
        .collect();
    let expected = [("broken", None), ("shop", Some("@daily")), ("waiting", None)];
    assert_eq!(
        schedules,
        expected.map(|(dag, schedule)| (dag.to_owned(), schedule.map(str::to_owned)))
    );
    assert_eq!(
        server.new_requests(),
        [
            "GET /api/v1/dags/~/dagRuns?order_by=id&state=queued&state=running&limit=100&offset=0",
            "GET /api/v1/dags/~/dagRuns?order_by=id&start_date_gte=2026-11-17T00%3A00%3A00.000000Z&limit=100&offset=0",
            "GET /api/v1/dags/shop/dagRuns/scheduled__2026-11-23T00%3A00%3A00%2B00%3A00",
            "GET /api/v1/dags/shop/dagRuns/none",
            "GET /api/v1/dags?order_by=dag_id&limit=100&offset=0",
        ]
    );
}

#[tokio::test]
async fn runs_of_airflow_3_are_listed_with_a_token_that_is_renewed() {
    let server = RecordedAirflow::start("v2").await;
    let mut airflow = client(&server, password(PASSWORD));
    let listing = airflow.runs(Which::Active).await.unwrap();
    assert_eq!(
        server.new_requests(),
        [
            "GET /api/v2/version",
            "POST /auth/token",
            "GET /api/v2/dags/~/dagRuns?order_by=id&state=queued&state=running&limit=100&offset=0",
        ]
    );
    let running = &listing.runs[0];
    assert_eq!(
        (running.dag_id.as_str(), running.state.as_str()),
        ("waiting", "running")
    );
    assert_eq!(running.queued_at, Some(time("2026-11-24T21:36:30.987472Z")));
    let schedules: Vec<_> = airflow
        .dags()
        .await
        .unwrap()
        .into_iter()
        .map(|dag| dag.schedule)
        .collect();
    assert_eq!(schedules, [None, Some("0 0 * * *".to_owned()), None]);
    assert_eq!(airflow.run("shop", "none").await.unwrap(), None);
    assert!(!server.new_requests().iter().any(|request| request.contains("token")));

    server.forget_tokens();
    airflow.runs(Which::Active).await.unwrap();
    let again = server.new_requests();
    assert_eq!(
        again.iter().filter(|request| *request == "POST /auth/token").count(),
        1,
        "{again:?}"
    );
}

#[tokio::test]
async fn all_pages_are_read_even_if_they_are_short() {
    for version in ["v1", "v2"] {
        let server = RecordedAirflow::start(version).await;
        server.cut_pages(3);
        let listing = client(&server, Login::Token("from-outside".into()))
            .runs(Which::StartedSince(time("2026-11-17T00:00:00Z")))
            .await
            .unwrap();
        assert_eq!(listing.runs.len(), 4, "{version}");
        let pages = server
            .requests()
            .iter()
            .filter(|request| request.contains("dagRuns"))
            .count();
        assert_eq!(pages, 2, "{version}");
    }
}

#[tokio::test]
async fn refusals_contain_airflows_message_and_not_the_password() {
    let server = RecordedAirflow::start("v1").await;
    let mut airflow = client(&server, password("wr0ng"));
    let error = airflow.runs(Which::Active).await.unwrap_err();
    assert!(matches!(error, Error::Login { status: 401, .. }), "{error}");
    assert!(
        error.to_string().contains("Unauthorized") && !error.to_string().contains("wr0ng"),
        "{error}"
    );

    let server = RecordedAirflow::start("v2").await;
    let error = client(&server, Login::Token("none".into()))
        .runs(Which::Active)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Login { status: 403, .. }), "{error}");
    server.break_with(Some(axum::http::StatusCode::BAD_GATEWAY));
    let error = client(&server, password(PASSWORD))
        .runs(Which::Active)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Refused { status: 502, .. }), "{error}");
    server.break_with(Some(axum::http::StatusCode::FOUND));
    let error = client(&server, password(PASSWORD))
        .runs(Which::Active)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoAirflow), "{error}");
}

#[tokio::test]
async fn an_upgrade_of_airflow_is_noticed() {
    let server = RecordedAirflow::start("v1").await;
    let mut airflow = client(&server, password(PASSWORD));
    airflow.runs(Which::Active).await.unwrap();
    server.upgrade("v2");
    // The missing v1 API must not be mistaken for a removed run.
    let error = airflow.run("shop", "nope").await.unwrap_err();
    assert!(matches!(error, Error::Refused { status: 404, .. }), "{error}");
    assert!(airflow.runs(Which::Active).await.is_err());
    assert_eq!(airflow.runs(Which::Active).await.unwrap().runs.len(), 2);
}
