#![doc = include_str!("../README.md")]

mod collector;
mod context;
mod settings;
mod statements;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

pub use context::{continue_from, headers, in_current_trace, set_account};
pub use settings::Settings;

use crate::collector::Collector;
use crate::statements::Statements;

/// The target of the spans that belong to traces.
pub const TARGET: &str = "dbt_api::trace";

/// The name of the service in traces, unless the settings name another.
const SERVICE_NAME: &str = "dbt-api";

/// Sends spans to the collector in the background.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client cannot be created.
    #[error("cannot create the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// One of OpenTelemetry's environment variables is invalid.
    #[error("cannot create the exporter: {0}")]
    Exporter(#[from] ExporterBuildError),
}

impl Traces {
    /// Starts to send spans. Call it once, in the runtime that stays until [`Traces::stop`]. It does not wait for the collector.
    ///
    /// # Errors
    /// Fails if a setting, or another of OpenTelemetry's environment variables, cannot be used.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new()?)
            .with_endpoint(settings.url())
            .with_headers(settings.headers.clone())
            .build()?;
        // The last one that names the service counts.
        let mut resource = Resource::builder_empty()
            .with_service_name(SERVICE_NAME)
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_detector(Box::new(EnvResourceDetector::new()));
        if let Some(name) = settings.service_name.clone() {
            resource = resource.with_service_name(name);
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        Ok(Self {
            tracer: provider.tracer(SERVICE_NAME),
            provider,
        })
    }

    /// Returns what collects the spans. It sees only spans with the target [`TARGET`] and the events that sqlx emits for statements.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let only = |target: &str, level: LevelFilter| Targets::new().with_target(target, level);
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(only(TARGET, LevelFilter::INFO));
        let statements = Statements::new(self.tracer.clone()).with_filter(only(Statements::TARGET, LevelFilter::DEBUG));
        spans.and_then(statements)
    }

    /// Sends the remaining spans, which takes up to five seconds if the collector does not answer.
    pub async fn stop(self) {
        // It blocks its thread, and the runtime must continue to run the client.
        let stopping = tokio::task::spawn_blocking(move || self.provider.shutdown());
        if let Ok(Err(error)) = stopping.await {
            tracing::warn!(%error, "cannot send the last spans to the collector");
        }
    }
}
