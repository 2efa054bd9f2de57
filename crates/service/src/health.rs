//! Reports whether the process is alive, and whether the parts that it needs are available.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};

/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The consequence if a part is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The process is not ready, so requests should go to another one.
    Required,
    /// The process is ready, but something is late or missing.
    Degrading,
}

type Checking = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

struct Part {
    name: &'static str,
    need: Need,
    check: Box<dyn Fn() -> Checking + Send + Sync>,
}

/// The parts that a process needs, each with its check.
#[derive(Default)]
pub struct Health {
    parts: Vec<Part>,
}

impl Health {
    /// Adds a part. If two parts have the same name, only the first counts: two roles of a process may need the same part.
    #[must_use]
    pub fn part<F, E>(mut self, name: &'static str, need: Need, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let check = Box::new(move || {
            let checking = check();
            Box::pin(async move { checking.await.map_err(|error| error.to_string()) }) as Checking
        });
        self.add(Part { name, need, check });
        self
    }

    /// Adds the parts of another. If both have a part with the same name, only the one of this counts.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        for part in other.parts {
            self.add(part);
        }
        self
    }

    fn add(&mut self, part: Part) {
        if !self.parts.iter().any(|known| known.name == part.name) {
            self.parts.push(part);
        }
    }

    /// Returns the routes `/healthz/live`, `/healthz/ready` and `/metrics`.
    pub fn routes(self: Arc<Self>, metrics: PrometheusHandle) -> Router {
        let render = move || std::future::ready(metrics.render());
        Router::new()
            .route("/healthz/ready", get(ready))
            .with_state(self)
            .route("/healthz/live", get(async || "ok"))
            .route("/metrics", get(render))
    }

    /// Checks all parts at the same time. Returns the name of each, and why it is not available if it is not.
    pub async fn look(&self) -> Vec<(&'static str, Result<(), String>)> {
        let checked = self.checked().await.into_iter();
        checked.map(|(part, result)| (part.name, result)).collect()
    }

    async fn checked(&self) -> Vec<(&Part, Result<(), String>)> {
        let checks = self.parts.iter().map(|part| async move {
            let late = |_| Err(format!("no answer within {} s", PATIENCE.as_secs()));
            (
                part,
                tokio::time::timeout(PATIENCE, (part.check)())
                    .await
                    .unwrap_or_else(late),
            )
        });
        join_all(checks).await
    }

    async fn check(&self) -> (StatusCode, Value) {
        let (mut unready, mut degraded) = (false, false);
        let mut parts = Map::new();
        for (part, result) in self.checked().await {
            let value = match result {
                Ok(()) => json!({ "status": "ok" }),
                Err(error) => {
                    unready |= part.need == Need::Required;
                    degraded = true;
                    json!({ "status": "down", "required": part.need == Need::Required, "error": error })
                }
            };
            parts.insert(part.name.to_owned(), value);
        }
        let (code, status) = match (unready, degraded) {
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
            (false, true) => (StatusCode::OK, "degraded"),
            (false, false) => (StatusCode::OK, "ready"),
        };
        (code, json!({ "status": status, "parts": parts }))
    }
}

async fn ready(State(health): State<Arc<Health>>) -> (StatusCode, Json<Value>) {
    let (code, body) = health.check().await;
    (code, Json(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(required: Result<(), &'static str>, degrading: Result<(), &'static str>) -> (u16, Value) {
        let health = Health::default()
            .part("bucket", Need::Required, move || std::future::ready(required))
            .part("stream", Need::Degrading, move || std::future::ready(degrading));
        let (code, body) = health.check().await;
        (code.as_u16(), body)
    }

    #[tokio::test]
    async fn only_required_parts_make_the_process_unready() {
        assert_eq!(check(Ok(()), Ok(())).await.1["status"], "ready");
        let (code, body) = check(Ok(()), Err("gone")).await;
        assert_eq!((code, &body["status"]), (200, &json!("degraded")));
        assert_eq!(body["parts"]["stream"]["error"], "gone");
        let (code, body) = check(Err("gone"), Ok(())).await;
        assert_eq!((code, &body["status"]), (503, &json!("unready")));
    }

    #[tokio::test]
    async fn the_first_part_with_a_name_counts() {
        let gone = |need| Health::default().part("database", need, || std::future::ready(Err("gone")));
        let (code, body) = gone(Need::Degrading).join(gone(Need::Required)).check().await;
        assert_eq!((code.as_u16(), &body["status"]), (200, &json!("degraded")));
        let (code, body) = gone(Need::Required).join(gone(Need::Degrading)).check().await;
        assert_eq!((code.as_u16(), &body["status"]), (503, &json!("unready")));
    }
}
