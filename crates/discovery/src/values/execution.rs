//! The results of a node: of its last attempt, and of its last success.

use super::Read;
use crate::facts::{Attempt, Facts, Object, Value};
use crate::needs::Needs;

pub(super) fn field(type_name: &str, field: &str) -> Option<(Needs, Read)> {
    match field {
        "executionInfo" if type_name.starts_with("Model") => Some((Needs::RESULTS, |facts| {
            Value::Object(Object::new(move |field| match (field, &facts.last) {
                ("lastRunStatus", Some(last)) => Value::of_str(Some(run_status(&last.row.status))),
                _ => info(facts, field),
            }))
        })),
        "executionInfo" => Some((Needs::RESULTS, |facts| {
            Value::Object(Object::new(move |field| info(facts, field)))
        })),
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

/// Whether an attempt was skipped, so that it says nothing about the data.
pub(crate) fn is_skip(status: &str) -> bool {
    run_status(status) == "skipped"
}

/// Whether an attempt went wrong.
fn is_error(status: &str) -> bool {
    run_status(status) == "error"
}

/// `lastRun…` is the last attempt; the times and `lastSuccess…` are those of the last success.
fn info<'f>(facts: &'f Facts<'f>, field: &str) -> Value<'f> {
    let of_last = |read: fn(&'f Attempt<'f>) -> Value<'f>| facts.last.as_ref().map_or(Value::Null, read);
    let of_success = |read: fn(&'f Attempt<'f>) -> Value<'f>| facts.success().map_or(Value::Null, read);
    match field {
        "compileStartedAt" => of_success(|it| Value::of_time(it.result().compile.started_at)),
        "compileCompletedAt" => of_success(|it| Value::of_time(it.result().compile.completed_at)),
        "executeStartedAt" => of_success(|it| Value::of_time(it.result().execute.started_at)),
        "executeCompletedAt" => of_success(|it| Value::Time(it.result().execute.completed_at.unwrap_or(it.row.at))),
        "executionTime" => of_success(|it| Value::of_float(it.result().execution_time)),
        "lastJobDefinitionId" => of_last(|it| Value::of_int(it.row.job_id)),
        "lastRunError" => of_last(|it| Value::of_str(message(it))),
        "lastRunFailures" => of_last(|it| Value::of_int(it.result().failures)),
        "lastRunGeneratedAt" => of_last(|it| Value::of_time(it.row.generated_at)),
        "lastRunId" => of_last(|it| Value::of_int(it.row.run_id)),
        "lastRunSkip" => of_last(|it| Value::Bool(run_status(&it.row.status) == "skipped")),
        "lastRunStatus" => of_last(|it| Value::of_str(Some(&it.row.status))),
        "lastSuccessJobDefinitionId" => of_success(|it| Value::of_int(it.row.job_id)),
        "lastSuccessRunId" => of_success(|it| Value::of_int(it.row.run_id)),
        "runElapsedTime" => of_success(|it| Value::of_float(Some(it.row.elapsed_time))),
        "runGeneratedAt" => of_success(|it| Value::of_time(it.row.generated_at)),
        _ => Value::Null,
    }
}

/// The message of an attempt that went wrong.
pub(super) fn message<'f>(attempt: &'f Attempt<'f>) -> Option<&'f str> {
    let message = || attempt.result().message.as_deref();
    is_error(&attempt.row.status).then(message).flatten()
}
