//! Collects metrics for Prometheus.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// The upper bounds of the histograms in seconds, for anything from a small read to an upload of a gigabyte.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Starts collecting metrics for the whole process. Call it once. The metrics are read through the handle.
///
/// # Errors
/// Fails if another recorder is already installed.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().set_buckets(SECONDS)?.install_recorder()?;
    // The value means nothing: the label is for joins with other metrics.
    metrics::gauge!("dbt_api_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    Ok(handle)
}
