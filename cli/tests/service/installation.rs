//! An installation with two accounts, and an HTTP client for it.

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use testkit::conformance::check_answer;
use testkit::{Service, System, run_command, wait_until};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_dbt-api");

/// A slug that an environment of each account has.
pub(crate) const SLUG: &str = "dev123";

pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) key: String,
}

pub(crate) struct Installation {
    pub(crate) service: Service,
    pub(crate) system: System,
    pub(crate) client: Client,
}

impl Installation {
    /// Starts an installation with two accounts, each with a project and an environment.
    pub(crate) async fn start() -> Self {
        Self::of(prepared().await, "serve").await
    }

    /// Starts this role of a system.
    pub(crate) async fn of(system: System, role: &str) -> Self {
        Self {
            service: Service::start(BINARY, role, &system).await,
            system,
            client: Client::new(),
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Value {
        run_command(BINARY, arguments, &self.system)
    }

    /// Adds an environment to the first project of account 1, and returns its number.
    pub(crate) fn add_environment(&self, slug: &str) -> i64 {
        let to = ["environment", "add", "--account", "1", "--project", "1"];
        let added = self.command(&[&to[..], &["--name", slug, "--slug", slug]].concat());
        added["id"].as_i64().unwrap()
    }

    pub(crate) fn token(&self, account: &str, scope: &str, more: &[&str]) -> Token {
        let mut arguments = vec![
            "token",
            "create",
            "--account",
            account,
            "--name",
            "test",
            "--scope",
            scope,
        ];
        arguments.extend(more);
        let created = self.command(&arguments);
        let text = |field: &str| created[field].as_str().unwrap().to_owned();
        Token {
            id: text("id"),
            key: text("key"),
        }
    }

    pub(crate) async fn upload(&self, token: &Token, form: Form) -> (StatusCode, Value) {
        let url = format!("{}/api/internal/manifests", self.service.url);
        let request = self.client.post(url).bearer_auth(&token.key).multipart(form);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Sends a request like dbt-coves does, and expects success.
    pub(crate) async fn upload_manifest(&self, token: &Token, run_id: &str, manifest: Vec<u8>) -> Value {
        let form = Form::new()
            .text("environment_slug", SLUG)
            .text("run_id", run_id.to_owned())
            .part("file", Part::bytes(manifest).file_name("file"));
        let (status, answer) = self.upload(token, form).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer["data"].clone()
    }

    /// Stores a file in the environment, and expects success.
    pub(crate) async fn store_file(&self, token: &Token, tag: &str, name: &'static str) {
        let url = format!("{}/api/internal/environments/{SLUG}/files", self.service.url);
        let form = Form::new()
            .text("tag", tag.to_owned())
            .part("file", Part::bytes(b"a file".to_vec()).file_name(name));
        let request = self.client.post(url).bearer_auth(&token.key).multipart(form);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::CREATED);
    }

    pub(crate) async fn send(&self, method: Method, token: &Token, path: &str) -> (StatusCode, Vec<u8>) {
        let request = self.client.request(method, format!("{}{path}", self.service.url));
        let answer = request
            .header("Authorization", format!("Token {}", token.key))
            .send()
            .await
            .unwrap();
        (answer.status(), answer.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn get(&self, token: &Token, path: &str) -> (StatusCode, Value) {
        let (status, body) = self.send(Method::GET, token, path).await;
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body:?}"));
        if status == StatusCode::OK {
            check_answer(path, &body);
        }
        (status, body)
    }

    /// Waits until the account has this many runs, and returns the newest.
    pub(crate) async fn run_with_total(&self, token: &Token, account: &str, total: i64) -> Value {
        let path = format!("/api/v2/accounts/{account}/runs/?order_by=-id");
        wait_until("the runs can be read", async || {
            let (_, runs) = self.get(token, &path).await;
            (runs["extra"]["pagination"]["total_count"] == total).then(|| runs["data"][0].clone())
        })
        .await
    }

    pub(crate) async fn readiness(&self) -> Value {
        let request = self.client.get(format!("{}/healthz/ready", self.service.url));
        request.send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        let pool = self.system.database.pool("dbt_api_projector");
        sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap()
    }
}

/// Prepares a system with tables and two accounts, without a running service.
pub(crate) async fn prepared() -> System {
    prepare(System::start().await)
}

/// Adds the two accounts.
pub(crate) fn prepare(system: System) -> System {
    for account in ["1", "2"] {
        let add = |arguments: &[&str]| assert_eq!(run_command(BINARY, arguments, &system)["id"].to_string(), account);
        add(&["account", "add", "Account", "--allow-same-name"]);
        add(&[
            "project",
            "add",
            "--account",
            account,
            "--name",
            "Shop",
            "--slug",
            "shop",
        ]);
        let environment = [
            "environment",
            "add",
            "--account",
            account,
            "--project",
            account,
            "--name",
            "Dev",
            "--slug",
            SLUG,
        ];
        add(&environment);
    }
    system
}

/// The project's own manifests, as file names and contents.
pub(crate) fn manifests() -> Vec<(String, Vec<u8>)> {
    let folder = testkit::repository_file("fixtures/manifests");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

pub(crate) fn newest_manifest() -> Vec<u8> {
    std::fs::read(testkit::repository_file("fixtures/manifests/v12-1.12.0.json")).unwrap()
}
