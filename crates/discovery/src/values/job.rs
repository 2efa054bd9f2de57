//! Fields that only nodes of a run have: their results.

use serde_json::{Value as Json, json};

use super::execution::{message, run_status};
use super::{Read, unknown};
use crate::facts::{Attempt, Facts, Value, time_json};
use crate::kind::Kind;
use crate::needs::Needs;

pub(super) fn field(type_name: &str, field: &str) -> Option<(Needs, Read)> {
    let is_of_job = ["ModelNode", "SeedNode", "SnapshotNode", "SourceNode", "TestNode"].contains(&type_name);
    match field {
        "childrenL1" => {
            return Some((Needs::NOTHING, |facts| {
                let children = facts.node.children.iter().map(|child| facts.scope.graph.id(*child));
                Value::Json(children.map(Json::from).collect())
            }));
        }
        "dependsOn" if ["TestNode", "MacroNode"].contains(&type_name) => {
            return Some((Needs::MACROS, |facts| {
                let mut ids = facts.macros();
                ids.extend(facts.scope.graph.depends_on(facts.node));
                Value::Json(json!(ids))
            }));
        }
        "dependsOn" => {
            return Some((Needs::NOTHING, |facts| {
                Value::Json(json!(facts.scope.graph.depends_on(facts.node)))
            }));
        }
        _ if !is_of_job => return None,
        _ => {}
    }
    let read: Read = match field {
        // dbt writes its arguments as an object, and in no fixed form.
        "args" => unknown,
        "compileCompletedAt" => |facts| of(facts, |it| Value::of_time(it.result().compile.completed_at)),
        "compileStartedAt" => |facts| of(facts, |it| Value::of_time(it.result().compile.started_at)),
        "error" => |facts| of(facts, |it| Value::of_str(message(it))),
        "executeCompletedAt" => |facts| of(facts, |it| Value::of_time(it.result().execute.completed_at)),
        "executeStartedAt" => |facts| of(facts, |it| Value::of_time(it.result().execute.started_at)),
        "executionTime" => |facts| of(facts, |it| Value::of_float(it.result().execution_time)),
        "fail" => |facts| of(facts, |it| Value::Bool(it.row.status == "fail")),
        "invocationId" => |facts| of(facts, |it| Value::of_str(it.row.invocation_id.as_deref())),
        "runElapsedTime" if type_name == "SourceNode" => {
            |facts| Value::of_float(facts.freshness.as_ref().map(|check| check.row.elapsed_time))
        }
        "runElapsedTime" => |facts| of(facts, |it| Value::of_float(Some(it.row.elapsed_time))),
        "runGeneratedAt" => |facts| {
            let of_result = attempt(facts).and_then(|it| it.row.generated_at);
            let of_check = facts.freshness.as_ref().and_then(|check| check.row.generated_at);
            let of_manifest = facts.scope.head.as_ref().map(|head| head.generated_at);
            Value::of_time(of_result.or(of_check).or(of_manifest))
        },
        "runResults" => |facts| Value::Json(attempt(facts).map(run_info).into_iter().collect()),
        // The run did not run a test without a result. DataHub reports one that is not skipped and has no status as failed.
        "skip" if type_name == "TestNode" => {
            |facts| Value::Bool(attempt(facts).is_none_or(|it| run_status(&it.row.status) == "skipped"))
        }
        "skip" => |facts| of(facts, |it| Value::Bool(run_status(&it.row.status) == "skipped")),
        "state" if type_name == "TestNode" => |facts| of(facts, |it| Value::of_str(Some(&it.row.status))),
        "status" => |facts| of(facts, |it| Value::of_str(Some(&it.row.status))),
        "threadId" | "thread_id" => |facts| of(facts, |it| Value::of_str(it.result().thread_id.as_deref())),
        "warn" => |facts| of(facts, |it| Value::Bool(it.row.status == "warn")),
        _ => return None,
    };
    let needs = if type_name == "SourceNode" {
        Needs::FRESHNESS
    } else {
        Needs::RESULTS
    };
    Some((needs, read))
}

/// The last attempt in the run.
fn attempt<'f>(facts: &'f Facts<'f>) -> Option<&'f Attempt<'f>> {
    facts
        .last
        .as_ref()
        .filter(|_| facts.node.kind.is_some_and(Kind::is_executable))
}

fn of<'f>(facts: &'f Facts<'f>, read: fn(&'f Attempt<'f>) -> Value<'f>) -> Value<'f> {
    attempt(facts).map_or(Value::Null, read)
}

fn run_info(attempt: &Attempt<'_>) -> Json {
    let (row, result) = (attempt.row, attempt.result());
    json!({
        "compileStartedAt": time_json(result.compile.started_at),
        "compileCompletedAt": time_json(result.compile.completed_at),
        "error": message(attempt),
        "executeStartedAt": time_json(result.execute.started_at),
        "executeCompletedAt": time_json(result.execute.completed_at),
        "executionTime": result.execution_time,
        "invocationId": row.invocation_id,
        "runElapsedTime": row.elapsed_time,
        "runGeneratedAt": time_json(row.generated_at),
        "skip": run_status(&row.status) == "skipped",
        "status": row.status,
        "threadId": result.thread_id,
    })
}
