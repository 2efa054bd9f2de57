//! Tries every method of every route with every kind of token that must not have access.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::installation::{Installation, newest_manifest};
use crate::paths::{PathValues, filled};

/// A text that only data of account 1 contains.
const SECRET: &str = "secret-of-account-1";

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A request to try.
struct Walk<'a> {
    installation: &'a Installation,
    /// The path, with ids of account 1.
    path: &'a str,
    /// The operation in the OpenAPI document; null if the route does not support the method.
    operation: &'a Value,
    method: Method,
}

/// A way to name the environment of account 1 in a body.
type Naming = fn(RequestBuilder) -> RequestBuilder;

const BODIES: [Naming; 4] = [
    |request| request,
    |request| {
        request.json(
            &json!({ "environment_slug": SECRET, "environment_id": 1, "account_id": 1, "slug": SECRET, "tag": SECRET }),
        )
    },
    |request| {
        request
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!(
                "environment_slug={SECRET}&environment_id=1&account_id=1&slug={SECRET}&tag={SECRET}"
            ))
    },
    |request| {
        // Small, so that it is sent before the answer arrives.
        let file = || Part::text(r#"{"metadata": {}, "nodes": {}, "macros": {}}"#).file_name("manifest.json");
        let form = Form::new().text("environment_slug", SECRET).text("environment_id", "1");
        let form = form.text("account_id", "1").part("file", file());
        request.multipart(form.text("files[0][tag]", SECRET).part("files[0][file]", file()))
    },
];

impl Walk<'_> {
    /// Sends the request. The answer must not contain secrets and, if it is an error, not the key.
    async fn ask(&self, key: &str, naming: Naming) -> StatusCode {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let query = format!("{separator}environment_slug={SECRET}&environment_id=1&account_id=1");
        let url = format!("{}{}{query}", self.installation.service.url, self.path);
        let request = self.installation.client.request(self.method.clone(), url);
        let request = request
            .header("Authorization", format!("Token {key}"))
            .header("X-Account-Id", "1");
        let answer = naming(request).send().await.unwrap();
        let status = answer.status();
        let body = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
        let request = format!("{} {}: {status} {body:.300}", self.method, self.path);
        assert!(status.is_success() || status.is_client_error(), "{request}");
        // An error may repeat the slug of the request.
        assert!(!status.is_success() || !body.contains(SECRET), "{request}");
        assert!(!body.contains("secret_run"), "{request}");
        assert!(
            key.len() < 20 || !body.contains(key),
            "the answer contains the key: {request}"
        );
        status
    }

    fn bodies(&self) -> &'static [Naming] {
        if self.operation.is_null() || self.method == Method::GET {
            &BODIES[..1]
        } else {
            &BODIES
        }
    }

    fn needs_a_token(&self) -> bool {
        self.operation["security"].as_array().is_none_or(|ways| {
            ways.iter()
                .all(|way| way.as_object().is_some_and(|way| !way.is_empty()))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_accepts_a_token_that_is_not_valid_for_it() {
    let installation = Installation::start().await;
    for (id, slug) in [("3", SECRET), ("4", "elsewhere")] {
        let added = installation.command(&[
            "environment",
            "add",
            "--account",
            "1",
            "--project",
            "1",
            "--name",
            slug,
            "--slug",
            slug,
        ]);
        assert_eq!(added["id"].to_string(), id);
    }
    let scopes = "read,upload";
    let own = installation.token("1", scopes, &[]);
    let elsewhere = installation.token("1", scopes, &["--environment", "elsewhere"]);
    let other = installation.token("2", scopes, &[]);
    let deleted = installation.token("1", scopes, &[]);
    let ended = installation.token("1", scopes, &["--expires-in", "0s"]);
    installation.command(&["token", "delete", &deleted.id]);
    let for_operators = ["token", "create", "--scope", "operate", "--expires-in", "1d"];
    let for_operators = installation.command(&for_operators)["key"].as_str().unwrap().to_owned();
    let manifest = String::from_utf8(newest_manifest()).unwrap();
    let manifest = manifest.replace("weekly_report", SECRET).into_bytes();
    installation.upload_manifest(&own, "secret_run", manifest).await;
    installation.run_with_total(&own, "1", 1).await;
    let (_, run) = installation
        .get(&own, "/api/v2/accounts/1/runs/1/?include_related=run_steps")
        .await;
    let values = PathValues {
        account: "1",
        slug: SECRET,
        step: &run["data"]["run_steps"][0]["id"],
    };
    let uploads = || files(&installation.system.storage().join("events/uploads"));
    assert_eq!(uploads(), 1);

    let malformed = format!("{}x", own.key);
    let shortened = &own.key[..own.key.len() - 1];
    let enormous = "dbtapi_".to_owned() + &"a".repeat(20_000);
    let invalid = ["", &malformed, shortened, &enormous, &deleted.key, &ended.key];
    let (_, document) = installation.get(&own, "/api/v2/openapi").await;
    let (mut operations, mut writes) = (0, 0);
    for (template, operations_of_path) in document["paths"].as_object().unwrap() {
        let path = filled(template, &values);
        for method in METHODS {
            let operation = &operations_of_path[method.as_str().to_lowercase()];
            let walk = Walk {
                installation: &installation,
                path: &path,
                operation,
                method: method.clone(),
            };
            let request = format!("{method} {template}");
            for naming in walk.bodies() {
                for key in invalid {
                    let status = walk.ask(key, *naming).await;
                    if !operation.is_null() && walk.needs_a_token() {
                        assert_eq!(status, StatusCode::UNAUTHORIZED, "{request} with `{key:.20}`");
                    }
                }
                let status = walk.ask(&for_operators, *naming).await;
                if !operation.is_null() && walk.needs_a_token() {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{request} with a token for operators");
                }
                for key in [&other.key, &elsewhere.key] {
                    let status = walk.ask(key, *naming).await;
                    let may_be_read = method == Method::GET || !walk.needs_a_token();
                    assert!(may_be_read || status.is_client_error(), "{request}: {status}");
                    let of_another = key == &other.key && template.contains("{account_id}");
                    if of_another && !operation.is_null() {
                        assert_eq!(status, StatusCode::NOT_FOUND, "{request}");
                    }
                }
            }
            operations += usize::from(!operation.is_null());
            writes += usize::from(!operation.is_null() && method != Method::GET);
        }
    }
    assert!(
        operations > 45 && writes >= 5,
        "{operations} operations, {writes} of them write"
    );
    assert_eq!(uploads(), 1, "something was stored");

    let metrics = installation.client.get(format!("{}/metrics", installation.service.url));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("dbt_api_uploads_total"), "{metrics}");
    let log = installation.service.log().join("\n");
    for key in [
        &own.key,
        &other.key,
        &elsewhere.key,
        &deleted.key,
        &ended.key,
        &enormous,
    ] {
        assert!(
            !metrics.contains(key.as_str()) && !log.contains(key.as_str()),
            "an answer contains a key"
        );
    }
    assert!(
        !metrics.contains(SECRET) && !metrics.contains("secret_run"),
        "{metrics}"
    );
}

/// Counts the files in a folder.
fn files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}
