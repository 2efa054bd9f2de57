//! Starts logging.

use tracing_subscriber::EnvFilter;

use crate::{LogFormat, ServiceSettings};

/// Starts logging for the whole process to standard error: a line per event, with its time in UTC. Call it once. `default_level` applies if
/// the settings have no level.
pub fn start_logs(settings: &ServiceSettings, default_level: &str) {
    let level = settings.log_level.as_deref().unwrap_or(default_level);
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(default_level));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => {
            use std::io::IsTerminal;
            logs.with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => logs
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .init(),
    }
}
