//! One state for each node, with each aspect from its own newest source, tested with generated uploads.

mod airflow;
mod clocks;
mod deferral;
mod nodes;
mod projects;
mod retention;
mod runs;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::artifacts_ingest::put_zip;
use crate::installation::{Installation, SLUG, Token};

/// Returns a time in minutes of one morning.
fn time(minute: u32) -> String {
    format!("2026-11-24T09:{minute:02}:00Z")
}

fn manifest(minute: u32, nodes: &[(&str, Value)]) -> Value {
    manifest_of("shop", minute, nodes)
}

fn manifest_of(project: &str, minute: u32, nodes: &[(&str, Value)]) -> Value {
    let nodes: serde_json::Map<String, Value> = nodes
        .iter()
        .map(|(id, fields)| {
            let mut node = json!({
                "unique_id": id, "resource_type": id.split('.').next(), "name": id.rsplit('.').next(), "package_name": id.split('.').nth(1),
                "depends_on": {"nodes": [], "macros": []},
            });
            node.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            ((*id).to_owned(), node)
        })
        .collect();
    json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "dbt_version": "1.12.6", "generated_at": time(minute),
            "invocation_id": format!("{project}-{minute}"), "project_name": project,
        },
        "nodes": nodes, "sources": {}, "macros": {},
    })
}

fn results(minute: u32, args: Value, results: &[(&str, &str)]) -> Value {
    let results: Vec<Value> = results
        .iter()
        .map(|(id, status)| {
            let failures = if id.starts_with("test.") { json!(0) } else { Value::Null };
            json!({
                "unique_id": id, "status": status, "message": null, "failures": failures, "execution_time": 0.1, "adapter_response": {},
                "timing": [{"name": "execute", "started_at": time(minute), "completed_at": time(minute)}],
            })
        })
        .collect();
    json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json", "dbt_version": "1.12.6",
            "generated_at": time(minute), "invocation_id": format!("shop-{minute}"),
        },
        "args": args, "results": results, "elapsed_time": 1.0,
    })
}

fn build(minute: u32, of_nodes: &[(&str, &str)]) -> Value {
    results(minute, json!({"which": "build"}), of_nodes)
}

struct Environment {
    installation: Installation,
    token: Token,
    sent: i64,
}

impl Environment {
    async fn start() -> Self {
        Self::of(Installation::start().await)
    }

    fn of(installation: Installation) -> Self {
        let token = installation.token("1", "read,upload", &[]);
        Self {
            installation,
            token,
            sent: 0,
        }
    }

    async fn send_with(&mut self, fields: &[(&'static str, &str)], file: &Value) {
        let mut form = Form::new().text("environment_slug", SLUG);
        for (name, value) in fields {
            form = form.text(*name, (*value).to_owned());
        }
        let form = form.part("file", Part::bytes(file.to_string().into_bytes()).file_name("file"));
        let (status, answer) = self.installation.upload(&self.token, form).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        self.sent += 1;
        self.is_applied().await;
    }

    async fn send(&mut self, run: &str, file: &Value) {
        self.send_with(&[("run_id", run), ("dag_id", "daily")], file).await;
    }

    async fn send_zip(&mut self, files: &[(&str, &Value)]) {
        let files: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(name, file)| ((*name).to_owned(), file.to_string().into_bytes()))
            .collect();
        put_zip(&self.installation, &self.token, 1, &files).await;
        self.sent += i64::try_from(files.len()).unwrap();
        self.is_applied().await;
    }

    async fn is_applied(&self) {
        wait_until("the upload is applied", async || {
            let applied = self.installation.count("SELECT count(*) FROM artifacts").await;
            (applied == self.sent).then_some(())
        })
        .await;
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self
            .installation
            .get(&self.token, &format!("/api/v2/accounts/1/{path}"))
            .await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer["data"].clone()
    }

    async fn node(&self, id: &str) -> Value {
        self.get(&format!("environments/1/nodes/{id}/")).await
    }

    /// Returns the statuses of all runs, ordered by id.
    async fn statuses(&self) -> Vec<i64> {
        let runs = self.get("runs/?order_by=id").await;
        runs.as_array()
            .unwrap()
            .iter()
            .map(|run| run["status"].as_i64().unwrap())
            .collect()
    }

    async fn run(&self, run: &str) -> Value {
        let runs = self.get("runs/?include_related=trigger").await;
        let cause = format!("Airflow: {run}");
        let found = runs
            .as_array()
            .unwrap()
            .iter()
            .find(|known| known["trigger"]["cause"] == cause.as_str());
        found.unwrap_or_else(|| panic!("no run {run} in {runs}")).clone()
    }

    /// Returns the ids of the nodes of the manifest to defer to.
    async fn deferral(&self, query: &str) -> Vec<String> {
        let path = format!("/api/internal/manifests?environment_slug={SLUG}{query}");
        let (status, body) = self.installation.send(Method::GET, &self.token, &path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let manifest: Value = serde_json::from_slice(&body).unwrap();
        manifest["nodes"].as_object().unwrap().keys().cloned().collect()
    }
}

const A: &str = "model.shop.a";
const B: &str = "model.shop.b";
