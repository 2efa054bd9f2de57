//! What became of a node: in its last attempt, and in its last success.

use serde_json::{Value as Json, json};

use super::Read;
use crate::facts::{Attempt, Facts, Value, time_json};
use crate::needs::Needs;

pub(super) fn field(type_name: &str, field: &str) -> Option<(Needs, Read)> {
    match field {
        "executionInfo" if type_name.starts_with("Model") => Some((Needs::RESULTS, |facts| {
            let mut info = info(facts);
            info["lastRunStatus"] = facts
                .last
                .as_ref()
                .map_or(Json::Null, |last| run_status(&last.row.status).into());
            Value::Json(info)
        })),
        "executionInfo" => Some((Needs::RESULTS, |facts| Value::Json(info(facts)))),
        _ => None,
    }
}

/// The word of the schema's `RunStatus` for a status of dbt.
pub(crate) fn run_status(status: &str) -> &'static str {
    match status {
        "success" | "pass" | "warn" => "success",
        "skipped" | "no-op" | "reused" => "skipped",
        _ => "error",
    }
}

/// Whether an attempt went wrong.
pub(super) fn is_error(status: &str) -> bool {
    run_status(status) == "error"
}

/// `lastRun…` is the last attempt; the times and `lastSuccess…` are those of the last success.
fn info<'f>(facts: &'f Facts<'f>) -> Json {
    let (last, success) = (facts.last.as_ref(), facts.success.as_ref());
    let of_last = |read: fn(&Attempt<'_>) -> Json| last.map_or(Json::Null, read);
    let of_success = |read: fn(&Attempt<'_>) -> Json| success.map_or(Json::Null, read);
    json!({
        "compileStartedAt": of_success(|it| time_json(it.result.compile.started_at)),
        "compileCompletedAt": of_success(|it| time_json(it.result.compile.completed_at)),
        "executeStartedAt": of_success(|it| time_json(it.result.execute.started_at)),
        "executeCompletedAt": of_success(|it| time_json(it.result.execute.completed_at.or(Some(it.row.at)))),
        "executionTime": of_success(|it| it.result.execution_time.into()),
        "lastJobDefinitionId": of_last(|it| it.row.job_id.into()),
        "lastRunError": of_last(error),
        "lastRunFailures": of_last(|it| it.result.failures.into()),
        "lastRunGeneratedAt": of_last(|it| time_json(it.row.generated_at)),
        "lastRunId": of_last(|it| it.row.run_id.into()),
        "lastRunSkip": of_last(|it| (run_status(&it.row.status) == "skipped").into()),
        "lastRunStatus": of_last(|it| it.row.status.clone().into()),
        "lastSuccessJobDefinitionId": of_success(|it| it.row.job_id.into()),
        "lastSuccessRunId": of_success(|it| it.row.run_id.into()),
        "runElapsedTime": of_success(|it| it.row.elapsed_time.into()),
        "runGeneratedAt": of_success(|it| time_json(it.row.generated_at)),
    })
}

/// The message of an attempt that went wrong.
fn error(attempt: &Attempt<'_>) -> Json {
    if is_error(&attempt.row.status) {
        return attempt.result.message.clone().into();
    }
    Json::Null
}
