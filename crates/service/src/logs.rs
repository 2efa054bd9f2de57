//! The log.

use tracing_subscriber::EnvFilter;

use crate::{LogFormat, ServiceSettings};

/// Begins to log, to the standard error output: a line an event, its time in UTC. For the whole process, once. `default_level` holds where
/// the settings name none.
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
