//! Finds what differs between two runs or two environments, for the REST API and for the console.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use edge::CloudError;
use read_model::doc::decode_doc;
use read_model::queries;
use read_model::queries::graph::Difference;
use read_model::queries::nodes::Node;
use schemas::{EnvironmentId, RunId};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::resources::column;
pub use crate::resources::comparison::{ColumnChange, ColumnFacts, Comparison, FieldChange, NodeChange};
use crate::resources::node::Fields;
use crate::routes::changes::{Sides, are_few, changed_fields, docs_of, sides};
use crate::routes::scope::Scope;
use crate::run_overview;
use crate::view::View;

/// How many nodes are shown at once.
pub const NODES: usize = 25;

/// The two to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// What two runs had.
    Runs(RunId, RunId),
    /// What two environments have now.
    Environments(EnvironmentId, EnvironmentId),
}

/// The error of a request that names both a run and an environment, or neither.
#[must_use]
pub fn not_one_of_them(has_both: bool) -> CloudError {
    let got = if has_both { "both" } else { "neither" };
    CloudError::bad_request(format!(
        "invalid `run` and `environment`: expected one of them, got {got}"
    ))
}

/// Which nodes to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Only nodes that differ in this way.
    pub kind: Option<ChangeKind>,
    /// How many to skip.
    pub offset: usize,
}

/// How a node differs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Both have it, with different definitions.
    Changed,
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
}

impl ChangeKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }

    fn of(sides: &Sides<'_>) -> Self {
        match (sides.old, sides.new) {
            (Some(_), Some(_)) => Self::Changed,
            (Some(_), None) => Self::Removed,
            (None, _) => Self::Added,
        }
    }
}

/// Compares two runs or two environments. If more definitions differ than may be read for a single answer, only those of the shown nodes are read:
/// the others count as changed, although they may differ only by the target.
///
/// # Errors
/// If one of them is not known or has no manifest, or a query fails.
pub async fn of(view: &mut View, subjects: Subjects, shown: Shown) -> Result<Comparison, Error> {
    let [before, now] = match subjects {
        Subjects::Runs(before, now) => [Scope::of_run(view, before).await?, Scope::of_run(view, now).await?],
        Subjects::Environments(before, now) => [
            Scope::of_environment(view, before).await?,
            Scope::of_environment(view, now).await?,
        ],
    };
    let (old, new) = (before.nodes()?, now.nodes()?);
    let account = view.account();
    let differences = queries::graph::differences(view.connection(), account, old, new).await?;
    let mut by_id = sides(&differences);
    let all_fields = if are_few(&by_id) {
        Some(changed_fields(view, account, &by_id).await?)
    } else {
        None
    };
    if let Some(fields) = &all_fields {
        by_id.retain(|id, sides| ChangeKind::of(sides) != ChangeKind::Changed || fields.contains_key(id));
    }
    let total = |kind| by_id.values().filter(|sides| ChangeKind::of(sides) == kind).count();
    let nodes: Vec<(&str, &Sides<'_>)> = by_id
        .iter()
        .map(|(id, sides)| (*id, sides))
        .filter(|(_, sides)| shown.kind.is_none_or(|kind| ChangeKind::of(sides) == kind))
        .skip(shown.offset)
        .take(NODES)
        .collect();
    let fields = match all_fields {
        Some(fields) => fields,
        None => {
            let of_shown = nodes.iter().map(|(id, sides)| (*id, **sides)).collect();
            changed_fields(view, account, &of_shown).await?
        }
    };
    let results = match (before.run, now.run) {
        (Some(one), Some(other)) => {
            run_overview::compared(view, (before.environment, one), (now.environment, other)).await?
        }
        _ => None,
    };
    Ok(Comparison {
        added_total: total(ChangeKind::Added),
        removed_total: total(ChangeKind::Removed),
        changed_total: total(ChangeKind::Changed),
        nodes: changes(view, [&before, &now], &nodes, &fields).await?,
        results,
    })
}

/// The nodes with what differs in each.
async fn changes(
    view: &mut View,
    scopes: [&Scope; 2],
    nodes: &[(&str, &Sides<'_>)],
    fields: &HashMap<&str, BTreeSet<String>>,
) -> Result<Vec<NodeChange>, Error> {
    let account = view.account();
    let pairs = || nodes.iter().filter_map(|(_, sides)| sides.old.zip(sides.new));
    let ids: Vec<i64> = pairs().flat_map(|(old, new)| [old.id, new.id]).collect();
    let docs = docs_of(view, account, &ids).await?;
    let changed: Vec<String> = pairs().map(|(_, new)| new.unique_id.clone()).collect();
    let mut entries = Vec::new();
    for scope in scopes {
        entries.push(entries_of(view, scope, &changed).await?);
    }
    let mut changes = Vec::new();
    for (unique_id, sides) in nodes {
        let Some(node) = sides.new.or(sides.old) else { continue };
        let mut change = NodeChange {
            unique_id: node.unique_id.clone(),
            resource_type: node.resource_type.clone(),
            name: node.name.clone(),
            change: ChangeKind::of(sides).as_str(),
            fields: BTreeMap::new(),
            columns: Vec::new(),
        };
        if let (Some((old, new)), Some(differing)) = (sides.old.zip(sides.new), fields.get(unique_id)) {
            let (Some(before), Some(now)) = (definition(old, &docs)?, definition(new, &docs)?) else {
                continue;
            };
            let entry = |side: usize| {
                entries
                    .get(side)
                    .and_then(|entries: &HashMap<String, Vec<u8>>| entries.get(*unique_id))
            };
            // With one catalog, all types would differ.
            let catalogs = entry(0).zip(entry(1));
            change.columns = columns(
                [&before, &now],
                catalogs.map(|(one, other)| [one.as_slice(), other.as_slice()]),
            );
            let value = |fields: &Fields, key: &str| fields.raw(key).map(ToOwned::to_owned);
            let differing = differing.iter().filter(|key| *key != "columns");
            change.fields = differing
                .map(|key| {
                    (
                        key.clone(),
                        FieldChange {
                            before: value(&before, key),
                            now: value(&now, key),
                        },
                    )
                })
                .collect();
        }
        changes.push(change);
    }
    Ok(changes)
}

fn definition(node: &Difference, docs: &HashMap<i64, Vec<u8>>) -> Result<Option<Fields>, Error> {
    let Some(doc) = docs.get(&node.id) else { return Ok(None) };
    let row = Node {
        unique_id: node.unique_id.clone(),
        resource_type: node.resource_type.clone(),
        doc: doc.clone(),
    };
    Fields::new(&row).map(Some)
}

/// The catalog entries of these nodes in an environment. Those of a run are not read, since few runs have a catalog.
async fn entries_of(view: &mut View, scope: &Scope, ids: &[String]) -> Result<HashMap<String, Vec<u8>>, Error> {
    if scope.run.is_some() || ids.is_empty() {
        return Ok(HashMap::new());
    }
    let account = view.account();
    let rows = queries::discovery::catalog_entries(view.connection(), account, scope.environment, ids).await?;
    rows.into_iter()
        .map(|row| Ok((row.unique_id, decode_doc(&row.doc)?)))
        .collect()
}

/// The columns that differ, in the order of the second, then those that it does not have.
fn columns(nodes: [&Fields; 2], catalogs: Option<[&[u8]; 2]>) -> Vec<ColumnChange> {
    let of_side = |side: usize| -> Vec<(String, ColumnFacts)> {
        let entry = catalogs.map(|catalogs| catalogs[side]);
        let columns = column::columns(nodes[side], entry).into_iter().map(|column| {
            let facts = ColumnFacts {
                data_type: column.data_type,
                catalog_type: column.catalog_type,
                description: column.description.filter(|text| !text.is_empty()),
            };
            (column.name, facts)
        });
        columns.collect()
    };
    let (before, now) = (of_side(0), of_side(1));
    let mut old: HashMap<String, ColumnFacts> = before.iter().cloned().collect();
    let mut changes: Vec<ColumnChange> = now
        .into_iter()
        .map(|(name, facts)| ColumnChange {
            before: old.remove(&name),
            name,
            now: Some(facts),
        })
        .filter(|change| change.before != change.now)
        .collect();
    let removed = before
        .into_iter()
        .filter_map(|(name, _)| Some((old.remove(&name)?, name)));
    changes.extend(removed.map(|(facts, name)| ColumnChange {
        name,
        before: Some(facts),
        now: None,
    }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        let doc = read_model::doc::DocEncoder::new()
            .unwrap()
            .encode(json.as_bytes())
            .unwrap();
        Fields::new(&Node {
            unique_id: "model.p.a".to_owned(),
            resource_type: "model".to_owned(),
            doc,
        })
        .unwrap()
    }

    #[test]
    fn columns_are_compared_by_what_is_known_of_both() {
        let before = fields(r#"{"columns": {"a": {"data_type": "int"}, "b": {}, "c": {"description": "x"}, "d": {}}}"#);
        let now = fields(r#"{"columns": {"a": {"data_type": "text"}, "b": {}, "c": {"description": "y"}, "e": {}}}"#);
        let names = |changes: Vec<ColumnChange>| -> Vec<(String, bool, bool)> {
            changes
                .into_iter()
                .map(|change| (change.name, change.before.is_some(), change.now.is_some()))
                .collect()
        };
        let expected = [
            ("a", true, true),
            ("c", true, true),
            ("e", false, true),
            ("d", true, false),
        ];
        assert_eq!(
            names(columns([&before, &now], None)),
            expected.map(|(name, old, new)| (name.to_owned(), old, new))
        );
        let entry = |kind: &str| format!(r#"{{"columns": {{"b": {{"name": "b", "type": "{kind}", "index": 1}}}}}}"#);
        let (one, other) = (entry("INT"), entry("BIGINT"));
        let changes = columns([&before, &before], Some([one.as_bytes(), other.as_bytes()]));
        assert_eq!(names(changes), [("b".to_owned(), true, true)]);
    }
}
