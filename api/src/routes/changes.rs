//! Differences between two manifests.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use edge::{CloudError, Many, OrderBy, Paging, Params, many};
use read_model::decode_doc;
use read_model::queries::{self, Difference};
use schemas::{AccountId, EnvironmentId, NodeContent, RunId, Sha256};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::scope::Scope;
use crate::error::Error;
use crate::list::Filters;
use crate::view::{Ids, View};

/// The number of pairs of definitions that are read in one query.
const AT_ONCE: usize = 500;

/// A node that differs between two manifests.
#[derive(Serialize, ToSchema)]
pub(crate) struct Change {
    unique_id: String,
    resource_type: String,
    name: Option<String>,
    /// `added`, `removed` or `changed`.
    change: &'static str,
    /// The fields of a changed node that differ, such as `raw_code` or `config`; empty for other changes.
    fields: BTreeSet<String>,
}

/// The definitions of a node in the old and the new manifest.
#[derive(Default)]
struct Sides<'d> {
    old: Option<&'d Difference>,
    new: Option<&'d Difference>,
}

/// Lists the nodes that differ between the manifests of two runs of an environment, by `unique_id`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}/changes", tag = "Nodes", operation_id = "List Changes",
    params(
        ("account_id" = i64, Path),
        ("id" = i64, Path, description = "The environment"),
        ("from" = i64, Query, description = "The run with the old manifest"),
        ("to" = Option<i64>, Query, description = "The run with the new manifest; by default, the environment's newest manifest is used"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<Change>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
    params: Params,
) -> Result<Many<Change>, Error> {
    let newest = Scope::of_environment(&mut view, environment).await?;
    let from = old_nodes(&mut view, &params, environment).await?;
    let to = match params.number("to")? {
        Some(run) => nodes_of_run(&mut view, RunId(run), environment).await?,
        None => newest.nodes()?,
    };
    page(view, &params, from, to).await
}

/// Lists the nodes that differ between the manifests of an earlier run and of this run, by `unique_id`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/changes", tag = "Nodes", operation_id = "List Changes of a run",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path, description = "The run with the new manifest"),
        ("from" = i64, Query, description = "The run with the old manifest, of the same environment"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<Change>))
)]
pub(crate) async fn list_of_run(
    mut view: View,
    Ids((_, run)): Ids<(AccountId, RunId)>,
    params: Params,
) -> Result<Many<Change>, Error> {
    let scope = Scope::of_run(&mut view, run).await?;
    let from = old_nodes(&mut view, &params, scope.environment).await?;
    page(view, &params, from, scope.nodes()?).await
}

async fn old_nodes(view: &mut View, params: &Params, environment: EnvironmentId) -> Result<Sha256, Error> {
    params.due("from")?;
    let run = params.number("from")?.unwrap_or_default();
    nodes_of_run(view, RunId(run), environment).await
}

async fn nodes_of_run(view: &mut View, run: RunId, environment: EnvironmentId) -> Result<Sha256, Error> {
    let scope = Scope::of_run(view, run).await?;
    if scope.environment != environment {
        return Err(CloudError::not_found().into());
    }
    Ok(scope.nodes()?)
}

async fn page(mut view: View, params: &Params, from: Sha256, to: Sha256) -> Result<Many<Change>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(params)?, OrderBy::read(params, &["unique_id"])?);
    let filters = Filters::new(params, account);
    let differences = queries::differences(view.connection(), account, from, to).await?;
    let mut by_id: BTreeMap<&str, Sides<'_>> = BTreeMap::new();
    for difference in &differences {
        let sides = by_id.entry(&difference.unique_id).or_default();
        if difference.is_new {
            sides.new = Some(difference);
        } else {
            sides.old = Some(difference);
        }
    }
    let pairs: Vec<(&Difference, &Difference)> = by_id.values().filter_map(|sides| sides.old.zip(sides.new)).collect();
    let unchanged = unchanged(&mut view, account, &pairs).await?;
    by_id.retain(|_, sides| !sides.new.is_some_and(|new| unchanged.contains(&new.id)));
    let total = i64::try_from(by_id.len()).unwrap_or(i64::MAX);
    let offset = usize::try_from(paging.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(paging.limit).unwrap_or(0);
    let shown: Vec<Sides<'_>> = by_id.into_values().skip(offset).take(limit).collect();
    // Only definitions on the page are compared, because reading them is expensive.
    let ids: Vec<i64> = shown
        .iter()
        .filter_map(|sides| Some([sides.old?.id, sides.new?.id]))
        .flatten()
        .collect();
    let docs = docs_of(&mut view, account, &ids).await?;
    let changes = shown
        .iter()
        .filter_map(|sides| change(sides, &docs).transpose())
        .collect::<Result<_, Error>>()?;
    Ok(many(changes, total, paging, &order, filters.applied()))
}

/// Returns the new definitions that equal the old ones although their hashes differ, because different versions of the service made them.
/// Until the read model is rebuilt, it has definitions of both versions.
async fn unchanged(
    view: &mut View,
    account: AccountId,
    pairs: &[(&Difference, &Difference)],
) -> Result<HashSet<i64>, Error> {
    let mixed = pairs.iter().filter(|(old, new)| old.format != new.format);
    let pairs: Vec<&(&Difference, &Difference)> = mixed.collect();
    let mut unchanged = HashSet::new();
    for pairs in pairs.chunks(AT_ONCE) {
        let ids: Vec<i64> = pairs.iter().flat_map(|(old, new)| [old.id, new.id]).collect();
        let docs = docs_of(view, account, &ids).await?;
        for (old, new) in pairs {
            if let (Some(one), Some(other)) = (docs.get(&old.id), docs.get(&new.id))
                && NodeContent::of_stored(&old.resource_type, &decode_doc(one)?)
                    == NodeContent::of_stored(&new.resource_type, &decode_doc(other)?)
            {
                unchanged.insert(new.id);
            }
        }
    }
    Ok(unchanged)
}

async fn docs_of(view: &mut View, account: AccountId, ids: &[i64]) -> Result<HashMap<i64, Vec<u8>>, Error> {
    Ok(queries::docs(view.connection(), account, ids)
        .await?
        .into_iter()
        .collect())
}

fn change(sides: &Sides<'_>, docs: &HashMap<i64, Vec<u8>>) -> Result<Option<Change>, Error> {
    let Some(node) = sides.new.or(sides.old) else {
        return Ok(None);
    };
    let (kind, fields) = match (sides.old, sides.new) {
        (Some(old), Some(new)) => match (docs.get(&old.id), docs.get(&new.id)) {
            (Some(old), Some(new)) => {
                let (old, new) = (decode_doc(old)?, decode_doc(new)?);
                let lasting = |doc: &[u8]| NodeContent::of_stored(&node.resource_type, doc).json;
                ("changed", differing_fields(&lasting(&old), &lasting(&new)))
            }
            _ => ("changed", BTreeSet::new()),
        },
        (Some(_), None) => ("removed", BTreeSet::new()),
        (None, _) => ("added", BTreeSet::new()),
    };
    Ok(Some(Change {
        unique_id: node.unique_id.clone(),
        resource_type: node.resource_type.clone(),
        name: node.name.clone(),
        change: kind,
        fields,
    }))
}

fn differing_fields(old: &[u8], new: &[u8]) -> BTreeSet<String> {
    let fields = |doc: &[u8]| -> BTreeMap<String, Box<RawValue>> { serde_json::from_slice(doc).unwrap_or_default() };
    let (old, new) = (fields(old), fields(new));
    let text =
        |fields: &BTreeMap<String, Box<RawValue>>, key: &str| fields.get(key).map(|value| value.get().to_owned());
    old.keys()
        .chain(new.keys())
        .filter(|key| text(&old, key) != text(&new, key))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_fields_are_listed() {
        let fields = differing_fields(br#"{"a": 1, "b": [1], "c": 3}"#, br#"{"a": 1, "b": [2], "d": 3}"#);
        assert_eq!(fields, BTreeSet::from(["b", "c", "d"].map(str::to_owned)));
    }
}
