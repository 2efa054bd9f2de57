//! A fake Airflow that gives the answers of real ones, recorded in `fixtures/airflow`.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::repository_file;

/// The user that may make requests.
pub const USER: &str = "viewer";

/// The user's password.
pub const PASSWORD: &str = "pa55-of-airflow";

/// The time that the server reports.
pub const SERVER_DATE: &str = "Tue, 24 Nov 2026 21:40:00 GMT";

/// The `Basic` header with the user's login.
const BASIC: &str = "Basic dmlld2VyOnBhNTUtb2YtYWlyZmxvdw==";

struct Script {
    version: &'static str,
    runs: Vec<Value>,
    dags: Vec<Value>,
    /// A DAG whose runs are hidden.
    withheld: Option<String>,
    /// The maximum number of rows in a page.
    max_rows: usize,
    /// If set, the status of every answer.
    broken: Option<StatusCode>,
    tokens: usize,
    requests: Vec<String>,
}

/// A running server.
pub struct RecordedAirflow {
    /// The base URL, such as `http://127.0.0.1:40123`.
    pub url: String,
    script: Arc<Mutex<Script>>,
}

impl RecordedAirflow {
    /// Starts a server with the answers of `v1` (Airflow 2) or `v2` (Airflow 3).
    pub async fn start(version: &'static str) -> Self {
        let rows = |file: &str, name: &str| {
            let mut answer: Value = serde_json::from_slice(&fixture(version, file)).expect("JSON");
            serde_json::from_value(answer[name].take()).expect("rows")
        };
        let script = Arc::new(Mutex::new(Script {
            version,
            runs: rows("dag_runs", "dag_runs"),
            dags: rows("dags", "dags"),
            withheld: None,
            max_rows: 100,
            broken: None,
            tokens: 0,
            requests: Vec::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    /// Returns the requests so far, with method, path and query.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.script().requests.clone()
    }

    /// Returns the requests since the last call of this method.
    #[must_use]
    pub fn new_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.script().requests)
    }

    /// Changes the runs. Initially they are those of the fixtures.
    pub fn change_runs(&self, change: impl FnOnce(&mut Vec<Value>)) {
        change(&mut self.script().runs);
    }

    /// Changes the DAGs. Initially they are those of the fixtures.
    pub fn change_dags(&self, change: impl FnOnce(&mut Vec<Value>)) {
        change(&mut self.script().dags);
    }

    /// Hides the runs of this DAG, as for a user who may not read it.
    pub fn withhold(&self, dag: &str) {
        self.script().withheld = Some(dag.to_owned());
    }

    /// Limits pages to this many rows, regardless of the requested limit.
    pub fn cut_pages(&self, max_rows: usize) {
        self.script().max_rows = max_rows;
    }

    /// Answers every request with this status. `None` restores the normal answers.
    pub fn break_with(&self, status: Option<StatusCode>) {
        self.script().broken = status;
    }

    /// Rejects the tokens that were issued so far.
    pub fn forget_tokens(&self) {
        self.script().tokens += 1;
    }

    /// Switches to the other version.
    pub fn upgrade(&self, version: &'static str) {
        self.script().version = version;
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().expect("no panic")
    }
}

fn fixture(version: &str, file: &str) -> Vec<u8> {
    std::fs::read(repository_file(&format!("fixtures/airflow/{version}/{file}.json"))).expect("a fixture")
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let mut script = script.lock().expect("no panic");
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    script.requests.push(format!("{} {uri}", request.method()));
    if let Some(status) = script.broken {
        return (status, "<html>broken</html>").into_response();
    }
    let version = script.version;
    let recorded = |status: u16, file: &str| {
        let status = StatusCode::from_u16(status).expect("a status");
        (
            status,
            [(CONTENT_TYPE, "application/json")],
            Bytes::from(fixture(version, file)),
        )
            .into_response()
    };
    let path = uri.path();
    if path == "/auth/token" && version == "v2" {
        script.tokens += 1;
        let token = json!({ "access_token": format!("token-{}", script.tokens) });
        return (StatusCode::CREATED, axum::Json(token)).into_response();
    }
    let Some(path) = path.strip_prefix(&format!("/api/{version}/")) else {
        return match version {
            "v2" => recorded(404, "error-404-v1"),
            _ => (StatusCode::NOT_FOUND, "<html>Airflow 404</html>").into_response(),
        };
    };
    if path == "version" {
        return recorded(200, "version");
    }
    if let Err(file) = authorize(&script, &headers) {
        return recorded(file[6..9].parse().expect("a status"), file);
    }
    let query: Vec<(String, String)> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let parts: Vec<String> = path.split('/').map(decoded).collect();
    match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["dags"] => page("dags", &script.dags, &query, script.max_rows),
        ["dags", "~", "dagRuns"] => {
            let states: Vec<&str> = query
                .iter()
                .filter(|(name, _)| name == "state")
                .map(|(_, value)| value.as_str())
                .collect();
            let has_state =
                |run: &&Value| states.is_empty() || run["state"].as_str().is_some_and(|state| states.contains(&state));
            let is_visible = |run: &&Value| script.withheld.as_deref() != run["dag_id"].as_str();
            let rows: Vec<Value> = script
                .runs
                .iter()
                .filter(has_state)
                .filter(is_visible)
                .cloned()
                .collect();
            page("dag_runs", &rows, &query, script.max_rows)
        }
        ["dags", dag, "dagRuns", _] if script.withheld.as_deref() == Some(dag) => recorded(403, "error-403"),
        ["dags", dag, "dagRuns", run] => {
            let found = script
                .runs
                .iter()
                .find(|row| row["dag_id"] == *dag && row["dag_run_id"] == *run);
            match found {
                Some(row) => axum::Json(row.clone()).into_response(),
                None => {
                    let text = String::from_utf8(fixture(version, "error-404")).expect("text");
                    (StatusCode::NOT_FOUND, text.replace("nope", run)).into_response()
                }
            }
        }
        _ => recorded(404, "error-404"),
    }
}

/// Returns the error for clients that may not make requests.
fn authorize(script: &Script, headers: &HeaderMap) -> Result<(), &'static str> {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match script.version {
        "v1" if given == BASIC || given == "Bearer from-outside" => Ok(()),
        "v1" => Err("error-401"),
        _ if given == format!("Bearer token-{}", script.tokens) || given == "Bearer from-outside" => Ok(()),
        _ if given.starts_with("Bearer ") => Err("error-403-token"),
        _ => Err("error-401"),
    }
}

fn page(name: &str, rows: &[Value], query: &[(String, String)], max_rows: usize) -> Response {
    let number = |wanted: &str| {
        let found = query.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let limit = number("limit").unwrap_or(50).min(max_rows);
    let rows_of_page: Vec<&Value> = rows.iter().skip(number("offset").unwrap_or(0)).take(limit).collect();
    let body = json!({ name: rows_of_page, "total_entries": rows.len() });
    ([(DATE, SERVER_DATE)], axum::Json(body)).into_response()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned()
}
