//! How fresh sources are.

use serde_json::{Value as Json, json};

use super::{Read, unknown};
use crate::doc::Doc;
use crate::facts::{Check, Facts, Value, time_json};
use crate::needs::Needs;

pub(super) fn field(field: &str) -> Option<(Needs, Read)> {
    let needs = Needs::FRESHNESS;
    Some(match field {
        "criteria" => (needs.and(Needs::DEFINITION), |facts| Value::Json(criteria(facts))),
        "freshness" => (needs.and(Needs::DEFINITION), |facts| Value::Json(info(facts))),
        "freshnessChecked" => (needs, |facts| Value::Bool(facts.freshness.is_some())),
        // An exposure has no freshness of its own.
        "freshnessStatus" => (Needs::NOTHING, unknown),
        "maxLoadedAt" => (needs, |facts| {
            of(facts, |check| Value::of_time(check.result.max_loaded_at))
        }),
        "maxLoadedAtTimeAgoInS" => (needs, |facts| of(facts, |check| Value::of_float(check.result.age))),
        "snapshottedAt" => (needs, |facts| {
            of(facts, |check| Value::of_time(check.result.snapshotted_at))
        }),
        "state" => (needs, |facts| {
            of(facts, |check| {
                Value::of_str(Some(status(check.row.is_outdated, &check.row.status)))
            })
        }),
        _ => return None,
    })
}

fn of<'f>(facts: &'f Facts<'f>, read: fn(&'f Check<'f>) -> Value<'f>) -> Value<'f> {
    facts.freshness.as_ref().map_or(Value::Null, read)
}

/// The word of the schema's `FreshnessStatus`. A check is outdated if a later one could not report on the same node.
pub(crate) fn status(is_outdated: bool, status: &str) -> &'static str {
    match status {
        _ if is_outdated => "Unknown",
        "pass" => "Pass",
        "warn" => "Warn",
        _ => "Error",
    }
}

fn info(facts: &Facts<'_>) -> Json {
    let criteria = criteria(facts);
    let Some(check) = &facts.freshness else {
        // Nothing is known of a source that defines no limits: dbt does not check it.
        let is_defined = criteria["warnAfter"].is_object() || criteria["errorAfter"].is_object();
        return json!({ "criteria": criteria, "freshnessChecked": is_defined.then_some(false) });
    };
    json!({
        "criteria": criteria,
        "freshnessChecked": true,
        "freshnessJobDefinitionId": check.row.job_id,
        "freshnessRunGeneratedAt": time_json(check.row.generated_at),
        "freshnessRunId": check.row.run_id,
        "freshnessStatus": status(check.row.is_outdated, &check.row.status),
        "maxLoadedAt": time_json(check.result.max_loaded_at),
        "maxLoadedAtTimeAgoInS": check.result.age,
        "snapshottedAt": time_json(check.result.snapshotted_at),
    })
}

/// The limits of the check, or else those that the source defines.
fn criteria(facts: &Facts<'_>) -> Json {
    let of_check = facts
        .freshness
        .as_ref()
        .and_then(|check| check.result.criteria.as_deref());
    let of_check = of_check.map(Doc::of);
    let defined = facts
        .doc
        .object("freshness")
        .or_else(|| facts.config().object("freshness"));
    let limits = of_check.or(defined).unwrap_or_default();
    json!({
        "warnAfter": limit(&limits, "warn_after"),
        "errorAfter": limit(&limits, "error_after"),
    })
}

fn limit(limits: &Doc<'_>, key: &str) -> Json {
    let Some(limit) = limits.object(key) else {
        return Json::Null;
    };
    match (limit.integer("count"), limit.text("period")) {
        (Some(count), Some(period)) if ["minute", "hour", "day"].contains(&&*period) => {
            json!({ "count": count, "period": period })
        }
        _ => Json::Null,
    }
}
