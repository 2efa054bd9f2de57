//! Starts logging.

use std::io::IsTerminal;

use traces::Traces;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::{LogFormat, ServiceSettings};

/// Starts logging for the whole process to standard error: a line per event, with its time in UTC. Call it once. `default_level` applies if
/// the settings have no level. `traces` also get their spans from then on.
pub fn start_logs(settings: &ServiceSettings, default_level: &str, traces: Option<&Traces>) {
    let level = settings.log_level.as_deref().unwrap_or(default_level);
    let filter =
        EnvFilter::try_new(without_traces(level)).unwrap_or_else(|_| EnvFilter::new(without_traces(default_level)));
    let logs = fmt::layer().with_writer(std::io::stderr);
    let logs = match settings.log_format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => logs
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(logs.with_filter(filter))
        .with(traces.map(|traces| traces.layer()))
        .init();
}

/// Adds to a level that the spans of traces are not logged.
fn without_traces(level: &str) -> String {
    format!("{level},{}=off", traces::TARGET)
}
