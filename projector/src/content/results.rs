//! Converts run results and freshness results to rows.

use artifacts::{ArtifactText, Failure, NodeResult, Results};
use chrono::{DateTime, Utc};
use read_model::doc::DocEncoder;
use read_model::placement::ResultsId;
use read_model::results::{ResultFile, ResultRow};
use read_model::text::without_nul;
use schemas::UploadedFile;

use super::reading::{off_the_runtime, rejected};
use crate::{ApplyError, Projector};

/// Reads results from the bucket.
pub(crate) async fn read(
    projector: &Projector,
    id: ResultsId,
    file: &UploadedFile,
    uploaded_at: DateTime<Utc>,
) -> Result<ResultFile, ApplyError> {
    let bytes = projector.bucket.read_artifact(id.account, id.sha256, file.size).await?;
    let latest = uploaded_at;
    let written_at = file.generated_at.unwrap_or(uploaded_at);
    off_the_runtime(move || {
        let results = ArtifactText::read(bytes)
            .and_then(|text| text.results())
            .map_err(rejected)?;
        let mut encoder = DocEncoder::new().map_err(rejected)?;
        let mut rows = Vec::with_capacity(results.results.len());
        for result in &results.results {
            rows.push(ResultRow {
                unique_id: without_nul(&result.unique_id),
                status: without_nul(&result.status),
                outcome: result.outcome,
                at: result.completed_at().unwrap_or(written_at).min(latest),
                execution_time: result.execution_time,
                failures: result.failures,
                rows_affected: result.rows_affected,
                doc: encoder.encode(&result.json).map_err(rejected)?,
            });
        }
        Ok(file_of(id, &results, rows))
    })
    .await
}

fn file_of(id: ResultsId, results: &Results, rows: Vec<ResultRow>) -> ResultFile {
    let failed = |what: fn(Failure) -> bool| {
        let mut failures = results.results.iter().filter_map(|result| result.outcome.failure);
        failures.any(what)
    };
    ResultFile {
        id,
        kind: results.kind,
        which: results.which.as_deref().map(without_nul),
        command: results.command.as_deref().map(without_nul),
        command_key: results.command_key,
        is_limited: results.is_limited,
        // A PostgreSQL interval cannot hold much more, and no command runs for a year.
        elapsed_time: results.elapsed_time.unwrap_or(0.0).clamp(0.0, 31_536_000.0),
        failed: failed(|_| true),
        failed_outside: failed(|failure| failure == Failure::Outside),
        failed_hook: results.has_failed_hook(),
        touches_nodes: results.touches_nodes(),
        leaves_traces: results.leaves_traces,
        hooks: results
            .results
            .iter()
            .filter(|result| result.is_hook())
            .map(|hook: &NodeResult| without_nul(&hook.unique_id))
            .collect(),
        rows,
    }
}
