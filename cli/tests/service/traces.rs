//! Traces, as a collector receives them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use reqwest::multipart::{Form, Part};
use testkit::{Service, wait_until};
use tokio::net::TcpListener;

use crate::installation::{BINARY, Installation, SLUG, newest_manifest, prepared};

const CLIENT_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

/// What a collector received, in the order in which it arrived.
type Received = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// A collector that keeps what it receives.
struct Collector {
    url: String,
    received: Received,
}

impl Collector {
    async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Received::default();
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(received.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received }
    }

    fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().unwrap();
        let resources = received.iter().flat_map(|request| &request.resource_spans);
        resources
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| scope.spans.clone())
            .collect()
    }

    fn service_names(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        let resources = received.iter().flat_map(|request| &request.resource_spans);
        let attributes = resources.map(|resource| attributes(&resource.resource.as_ref().unwrap().attributes));
        attributes
            .map(|attributes| attributes["service.name"].clone())
            .collect()
    }

    async fn wait_for(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        wait_until(what, async || self.spans().into_iter().find(&is_it)).await
    }

    async fn span_named(&self, name: &str) -> Span {
        self.wait_for(name, |span| span.name == name).await
    }
}

async fn receive(State(received): State<Received>, body: Bytes) -> StatusCode {
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            received.lock().unwrap().push(request);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// The attributes with their values as text.
fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pairs = attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), text(&attribute.value)));
    let map: BTreeMap<_, _> = pairs.collect();
    assert_eq!(map.len(), attributes.len(), "{attributes:?}");
    map
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// An installation that sends its traces to this URL.
async fn traced(url: &str) -> Installation {
    let mut system = prepared().await;
    system.variables.push(variable("OTEL_EXPORTER_OTLP_ENDPOINT", url));
    system.variables.push(variable("OTEL_BSP_SCHEDULE_DELAY", "50"));
    Installation::of(system, "serve").await
}

fn logged(installation: &Installation, text: &str) -> usize {
    let log = installation.service.log();
    log.iter().filter(|line| line.contains(text)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_one_trace_from_the_client_to_the_commit() {
    let collector = Collector::start().await;
    let mut system = prepared().await;
    system
        .variables
        .push(variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url));
    system.variables.push(variable("OTEL_BSP_SCHEDULE_DELAY", "50"));
    let projector = Service::start(BINARY, "projector", &system).await;
    let installation = Installation::of(system, "ingest").await;
    let token = installation.token("1", "upload", &[]);
    wait_until("the stream exists", async || {
        (installation.readiness().await["status"] == "ready").then_some(())
    })
    .await;

    let form = Form::new()
        .text("environment_slug", SLUG)
        .part("file", Part::bytes(newest_manifest()).file_name("manifest.json"));
    let url = format!("{}/api/internal/manifests", installation.service.url);
    let request = installation.client.post(url).bearer_auth(&token.key).multipart(form);
    let answer = request
        .header("traceparent", format!("00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"))
        .header("x-request-id", "my-upload")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);

    let request = collector.span_named("POST /api/internal/manifests").await;
    assert_eq!(hex(&request.trace_id), CLIENT_TRACE);
    assert_eq!(hex(&request.parent_span_id), CLIENT_SPAN);
    assert_eq!(request.kind(), SpanKind::Server);
    let expected = [
        ("account_id", "1"),
        ("http.request.method", "POST"),
        ("http.response.status_code", "201"),
        ("http.route", "/api/internal/manifests"),
        ("request_id", "my-upload"),
    ];
    let expected = BTreeMap::from(expected.map(|(name, value)| variable(name, value)));
    assert_eq!(attributes(&request.attributes), expected);

    let event = collector.span_named("apply dbt.artifacts.uploaded.v1").await;
    assert_eq!(event.trace_id, request.trace_id);
    assert_eq!(event.parent_span_id, request.span_id);
    assert_eq!(event.kind(), SpanKind::Consumer);
    let event_attributes = attributes(&event.attributes);
    assert_eq!(event_attributes["account_id"], "1");
    assert_eq!(event_attributes["kind"], "dbt.artifacts.uploaded.v1");
    assert!(event_attributes.contains_key("event_id"));

    let commit = collector
        .wait_for("the commit", |span| {
            span.name == "COMMIT" && span.parent_span_id == event.span_id
        })
        .await;
    assert_eq!(commit.trace_id, request.trace_id);
    assert_eq!(commit.kind(), SpanKind::Client);
    assert!(event.start_time_unix_nano <= commit.start_time_unix_nano);
    assert!(commit.end_time_unix_nano <= event.end_time_unix_nano);

    assert!(collector.service_names().iter().all(|name| name == "dbt-api"));
    assert!(!format!("{:?}", collector.spans()).contains(&token.key));
    for line in installation.service.log().into_iter().chain(projector.log()) {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let fields = line["span"].as_object().into_iter().flat_map(|span| span.keys());
        for field in fields {
            assert!(
                ["method", "name", "path", "request_id"].contains(&field.as_str()),
                "{line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_a_trace_with_its_statements() {
    let collector = Collector::start().await;
    let installation = traced(&collector.url).await;
    let token = installation.token("1", "read", &[]);
    installation.run_with_total(&token, "1", 0).await;

    let request = collector.span_named("GET /api/v2/accounts/{account_id}/runs").await;
    assert!(request.parent_span_id.is_empty());
    let request_attributes = attributes(&request.attributes);
    assert_eq!(request_attributes["account_id"], "1");
    assert_eq!(request_attributes["http.response.status_code"], "200");
    let statement = collector
        .wait_for("a statement", |span| span.parent_span_id == request.span_id)
        .await;
    assert_eq!(statement.trace_id, request.trace_id);
    assert!(!attributes(&statement.attributes)["db.query.text"].is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_nothing_is_sent() {
    let collector = Collector::start().await;
    let mut system = prepared().await;
    let url = format!("{}/v1/traces", collector.url);
    system
        .variables
        .push(variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url));
    system.variables.push(variable("OTEL_BSP_SCHEDULE_DELAY", "50"));
    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    assert_eq!(installation.service.stop().await, Some(0));
    assert_eq!(collector.spans(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_is_logged_once_and_disturbs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let installation = traced(&format!("http://{address}")).await;
    let token = installation.token("1", "read,upload", &[]);
    for (runs, run) in (1..).zip(["first", "second"]) {
        installation.upload_manifest(&token, run, newest_manifest()).await;
        installation.run_with_total(&token, "1", runs).await;
        wait_until("the failure is logged", async || {
            (logged(&installation, "cannot send traces") == 1).then_some(())
        })
        .await;
    }
    let collector = Collector::start_at(address).await;
    wait_until("spans arrive", async || {
        installation.readiness().await;
        (!collector.spans().is_empty()).then_some(())
    })
    .await;
    wait_until("the success is logged", async || {
        (logged(&installation, "traces are sent again") == 1).then_some(())
    })
    .await;
    assert_eq!(logged(&installation, "cannot send traces"), 1);
    assert_eq!(installation.service.stop().await, Some(0));
}
