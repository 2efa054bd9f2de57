//! Finds everything that is known about one node, for the REST API and for the console.

use std::collections::HashMap;

use edge::CloudError;
use read_model::doc::decode_doc;
use read_model::queries;
use read_model::queries::aspects::Aspect;
use read_model::queries::graph::Neighbour;
use read_model::queries::results::{FreshnessCheck, NodeResult};
use schemas::EnvironmentId;
use serde_json::value::RawValue;

use crate::error::Error;
pub use crate::resources::column::Column;
use crate::resources::column::columns;
pub use crate::resources::node::Fields;
pub use crate::resources::node_details::{Attempt, CatalogTable, NodeDetails, Origin, RelativeResult, Test};
pub use crate::resources::outcome::{Freshness, LastResult};
use crate::routes::scope::Scope;
use crate::view::View;

/// The most attempts in a history.
const MAX_ATTEMPTS: i64 = 60;

/// The most parents, and the most children, whose last results are looked up; and the most tests whose definitions are.
const MAX_RELATIVES: usize = 200;

/// Returns a node as the newest manifests of an environment define it.
///
/// # Errors
/// If the environment or the node is not known there, or a query fails.
pub async fn of_environment(
    view: &mut View,
    environment: EnvironmentId,
    unique_id: String,
) -> Result<NodeDetails, Error> {
    let scope = Scope::of_environment(view, environment).await?;
    details(view, &scope, unique_id).await
}

pub(crate) async fn details(view: &mut View, scope: &Scope, unique_id: String) -> Result<NodeDetails, Error> {
    let (account, node_set) = (view.account(), scope.nodes()?);
    let found = queries::nodes::node(view.connection(), account, node_set, &unique_id).await?;
    let row = found.ok_or_else(CloudError::not_found)?;
    let node = Fields::new(&row)?;
    let neighbours = queries::graph::neighbours(view.connection(), account, node_set, &unique_id).await?;
    let is_test = |node: &Neighbour| node.resource_type == "test" || node.resource_type == "unit_test";
    let (tests, children): (Vec<&Neighbour>, Vec<&Neighbour>) = neighbours
        .iter()
        .filter(|other| other.unique_id != unique_id)
        .partition(|other| is_test(other));
    let (about, related): (Vec<&Neighbour>, Vec<&Neighbour>) =
        tests.iter().partition(|test| is_about(test, &unique_id));
    let itself = neighbours.iter().find(|other| other.unique_id == unique_id);
    let parents = itself.map(|node| node.depends_on.clone()).unwrap_or_default();
    let children: Vec<String> = children.iter().map(|child| child.unique_id.clone()).collect();
    let relatives: Vec<&String> = [&parents, &children]
        .into_iter()
        .flat_map(|some| some.iter().take(MAX_RELATIVES))
        .collect();

    let own = std::iter::once(&unique_id).chain(tests.iter().map(|test| &test.unique_id));
    let ids: Vec<String> = own.chain(relatives.iter().copied()).cloned().collect();
    let attempts = last_attempts(view, scope, &ids, false).await?;
    let success = last_attempts(view, scope, &ids[..1], true).await?;
    let is_source = row.resource_type == "source";
    let check = last_freshness(view, scope, &unique_id, false).await?;
    let passed = match check {
        Some(_) if is_source => last_freshness(view, scope, &unique_id, true).await?,
        _ => None,
    };
    let mut origins = vec![];
    let freshness = check.as_ref().map(Freshness::new).transpose()?;
    let (last_result, last_success) = if is_source {
        // dbt does nothing else to sources.
        let passed = passed.as_ref().map(Freshness::new).transpose()?;
        (
            freshness.as_ref().map(LastResult::of_source),
            passed.as_ref().map(LastResult::of_source),
        )
    } else {
        let (last, success) = (attempts.get(&unique_id), success.get(&unique_id));
        origins.extend(last.and_then(|row| of_result("last_result", row)));
        origins.extend(success.and_then(|row| of_result("last_success", row)));
        (
            last.map(LastResult::new).transpose()?,
            success.map(LastResult::new).transpose()?,
        )
    };
    origins.extend(check.as_ref().and_then(of_check));

    let key = (row.resource_type.as_str(), unique_id.as_str());
    let (environment, run) = (scope.environment, scope.run);
    let definition = queries::aspects::definition(view.connection(), account, environment, run, key).await?;
    let compiled = queries::aspects::compiled_code(view.connection(), account, environment, run, key).await?;
    let entry = queries::aspects::catalog_entry(view.connection(), account, environment, run, &unique_id).await?;
    let aspects = [
        ("definition", &definition),
        ("compiled_code", &compiled),
        ("catalog", &entry),
    ];
    let of_aspects = aspects
        .into_iter()
        .filter_map(|(name, row)| of_aspect(name, row.as_ref()?));
    origins.splice(0..0, of_aspects);
    let entry = content(entry)?;
    let macros = content(definition)?.and_then(|macros| serde_json::from_slice(&macros).ok());

    let which = (unique_id.as_str(), is_source);
    let history = queries::history::history(view.connection(), account, environment, run, which, MAX_ATTEMPTS).await?;
    let definitions = definitions(view, &[about.clone(), related.clone()].concat()).await?;
    let attempts_of_tests = tests
        .iter()
        .filter_map(|test| attempts.get(&test.unique_id))
        .map(|row| Ok((row.unique_id.clone(), LastResult::new(row)?)))
        .collect::<Result<HashMap<String, LastResult>, Error>>()?;
    let shown = |tests: &[&Neighbour]| {
        let one = |test: &&Neighbour| Test::new(test, definitions.get(&test.id).map(Vec::as_slice), &attempts_of_tests);
        tests.iter().map(one).collect()
    };
    Ok(NodeDetails {
        resource_type: row.resource_type.clone(),
        group: group(view, scope, &node).await?,
        raw_code: node.text("raw_code").or_else(|| node.text("raw_sql")),
        compiled_code: content(compiled)?.map(|code| String::from_utf8_lossy(&code).into_owned()),
        columns: columns(&node, entry.as_deref()),
        catalog: entry.as_deref().and_then(table),
        results_of_relatives: results_of(view, scope, &relatives, &attempts).await?,
        parents,
        children,
        macros: macros.unwrap_or_default(),
        tests: shown(&about),
        related_tests: shown(&related),
        last_result,
        last_success,
        freshness,
        history: history.into_iter().map(Into::into).collect(),
        origins,
        node,
        unique_id,
    })
}

/// A test belongs to the node that it is attached to; if that is not there, to the nodes that it depends on.
fn is_about(test: &Neighbour, unique_id: &str) -> bool {
    !test.has_attached_node || test.attached_node.as_deref() == Some(unique_id)
}

async fn last_attempts(
    view: &mut View,
    scope: &Scope,
    ids: &[String],
    succeeded: bool,
) -> Result<HashMap<String, NodeResult>, Error> {
    let (account, environment) = (view.account(), scope.environment);
    let rows =
        queries::results::last_attempts(view.connection(), account, environment, scope.run, ids, succeeded).await?;
    Ok(rows.into_iter().map(|row| (row.unique_id.clone(), row)).collect())
}

async fn last_freshness(
    view: &mut View,
    scope: &Scope,
    unique_id: &str,
    passed: bool,
) -> Result<Option<FreshnessCheck>, Error> {
    let (account, environment) = (view.account(), scope.environment);
    let found =
        queries::results::last_freshness(view.connection(), account, environment, scope.run, unique_id, passed).await?;
    Ok(found)
}

/// The last results of these nodes: of sources, their newest checks.
async fn results_of(
    view: &mut View,
    scope: &Scope,
    ids: &[&String],
    attempts: &HashMap<String, NodeResult>,
) -> Result<HashMap<String, RelativeResult>, Error> {
    let (sources, others): (Vec<&String>, Vec<&String>) = ids.iter().partition(|id| id.starts_with("source."));
    let mut results: HashMap<String, RelativeResult> = others
        .into_iter()
        .filter_map(|id| attempts.get(id))
        .map(|row| {
            let result = RelativeResult {
                status: row.status.clone(),
                run_id: row.run_id,
            };
            (row.unique_id.clone(), result)
        })
        .collect();
    if !sources.is_empty() {
        let sources: Vec<String> = sources.into_iter().cloned().collect();
        let (account, environment) = (view.account(), scope.environment);
        let checks =
            queries::discovery::freshness(view.connection(), account, environment, scope.run, &sources).await?;
        results.extend(checks.into_iter().map(|row| {
            let status = if row.is_outdated {
                Freshness::UNKNOWN.to_owned()
            } else {
                row.status
            };
            (
                row.unique_id,
                RelativeResult {
                    status,
                    run_id: row.run_id,
                },
            )
        }));
    }
    Ok(results)
}

/// The definitions of tests by their numbers.
async fn definitions(view: &mut View, tests: &[&Neighbour]) -> Result<HashMap<i64, Vec<u8>>, Error> {
    let ids: Vec<i64> = tests.iter().take(MAX_RELATIVES).map(|test| test.id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let account = view.account();
    let docs = queries::graph::docs(view.connection(), account, &ids).await?;
    docs.into_iter().map(|(id, doc)| Ok((id, decode_doc(&doc)?))).collect()
}

/// The group that a node names.
async fn group(view: &mut View, scope: &Scope, node: &Fields) -> Result<Option<Fields>, Error> {
    let (Some(group), Some(package)) = (node.text("group"), node.text("package_name")) else {
        return Ok(None);
    };
    let (account, node_set) = (view.account(), scope.nodes()?);
    let id = format!("group.{package}.{group}");
    let row = queries::nodes::node(view.connection(), account, node_set, &id).await?;
    row.map(|row| Fields::new(&row)).transpose()
}

fn of_aspect(aspect: &'static str, row: &Aspect) -> Option<Origin> {
    let file = (row.event_id, row.kind.as_deref(), row.name.as_deref());
    Origin::new(aspect, file, (row.written_at, row.uploaded_at), row.run_id)
}

fn of_result(aspect: &'static str, row: &NodeResult) -> Option<Origin> {
    let file = (row.event_id, row.kind.as_deref(), row.name.as_deref());
    Origin::new(aspect, file, (row.written_at, row.uploaded_at), row.run_id)
}

fn of_check(row: &FreshnessCheck) -> Option<Origin> {
    let file = (row.event_id, row.kind.as_deref(), row.name.as_deref());
    Origin::new("freshness", file, (row.written_at, row.uploaded_at), row.run_id)
}

fn content(aspect: Option<Aspect>) -> Result<Option<Vec<u8>>, Error> {
    let doc = aspect.and_then(|aspect| aspect.doc);
    Ok(doc.map(|doc| decode_doc(&doc)).transpose()?)
}

fn table(entry: &[u8]) -> Option<CatalogTable> {
    let mut fields: HashMap<String, Box<RawValue>> = serde_json::from_slice(entry).ok()?;
    Some(CatalogTable {
        metadata: fields.remove("metadata"),
        stats: fields.remove("stats"),
    })
}
