//! Changes: what differs between two manifests.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use edge::{CloudError, Query};
use read_model::doc::decode_doc;
use read_model::queries;
use read_model::queries::graph::Difference;
use schemas::{AccountId, EnvironmentId, RunId, Sha256};
use serde::Deserialize;
use utoipa::IntoParams;

use super::nodes::NodeOrder;
use super::scope::Scope;
use crate::error::Error;
use crate::listing::{Listing, Many, applied, many};
use crate::resources::change::Change;
use crate::view::{Ids, View};

/// How many pairs of definitions are read at once.
const AT_ONCE: usize = 500;

/// The definitions of a node in the two manifests.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sides<'d> {
    pub(crate) old: Option<&'d Difference>,
    pub(crate) new: Option<&'d Difference>,
}

/// Which manifests to compare.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Comparison {
    /// The run with the old manifest.
    from: i64,
    /// The run with the new manifest; by default the environment's newest manifest.
    to: Option<i64>,
}

/// The manifest to compare a run's with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ComparisonOfRun {
    /// The run with the old manifest, of the same environment.
    from: i64,
}

/// List changes
///
/// The nodes that differ between the manifests of two runs of an environment, by `unique_id`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}/changes", tag = "Nodes", operation_id = "list_changes",
    params(
        ("account_id" = i64, Path), ("id" = i64, Path, description = "The environment"),
        Comparison, Listing<NodeOrder>,
    ),
    responses((status = 200, description = "A page of changes", body = Many<Change>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(comparison): Query<Comparison>,
    listing: Listing<NodeOrder>,
) -> Result<Many<Change>, Error> {
    let newest = Scope::of_environment(&mut view, environment).await?;
    let from = nodes_of_run(&mut view, RunId(comparison.from), environment).await?;
    let to = match comparison.to {
        Some(run) => nodes_of_run(&mut view, RunId(run), environment).await?,
        None => newest.nodes()?,
    };
    page(view, listing, from, to).await
}

/// List the changes of a run
///
/// The nodes that differ between the manifest of an earlier run and that of this run, by `unique_id`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/changes", tag = "Nodes", operation_id = "list_changes_of_run",
    params(
        ("account_id" = i64, Path), ("run_id" = i64, Path, description = "The run with the new manifest"),
        ComparisonOfRun, Listing<NodeOrder>,
    ),
    responses((status = 200, description = "A page of changes", body = Many<Change>))
)]
pub(crate) async fn list_of_run(
    mut view: View,
    Ids((_, run)): Ids<(AccountId, RunId)>,
    Query(comparison): Query<ComparisonOfRun>,
    listing: Listing<NodeOrder>,
) -> Result<Many<Change>, Error> {
    let scope = Scope::of_run(&mut view, run).await?;
    let from = nodes_of_run(&mut view, RunId(comparison.from), scope.environment).await?;
    page(view, listing, from, scope.nodes()?).await
}

async fn nodes_of_run(view: &mut View, run: RunId, environment: EnvironmentId) -> Result<Sha256, Error> {
    let scope = Scope::of_run(view, run).await?;
    if scope.environment != environment {
        return Err(CloudError::not_found().into());
    }
    Ok(scope.nodes()?)
}

/// How many nodes differ between two manifests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) added: usize,
    pub(crate) removed: usize,
    pub(crate) changed: usize,
}

/// Counts the nodes that differ between the manifests of two runs of an environment; none if one of them has no nodes. If more nodes changed
/// than are read at once, all whose stored definitions differ count as changed.
pub(crate) async fn counts(
    view: &mut View,
    environment: EnvironmentId,
    from: RunId,
    to: RunId,
) -> Result<Option<Counts>, Error> {
    let account = view.account();
    let old = queries::aspects::node_set_of_run(view.connection(), account, environment, from).await?;
    let new = queries::aspects::node_set_of_run(view.connection(), account, environment, to).await?;
    let Some((old, new)) = old.zip(new) else {
        return Ok(None);
    };
    if old == new {
        return Ok(Some(Counts::default()));
    }
    let differences = queries::graph::differences(view.connection(), account, old, new).await?;
    let by_id = sides(&differences);
    let changed = if are_few(&by_id) {
        changed_fields(view, account, &by_id).await?.len()
    } else {
        in_both(&by_id)
    };
    Ok(Some(Counts {
        added: by_id.values().filter(|sides| sides.old.is_none()).count(),
        removed: by_id.values().filter(|sides| sides.new.is_none()).count(),
        changed,
    }))
}

/// The definitions that differ, by dbt's ids of the nodes.
pub(crate) fn sides(differences: &[Difference]) -> BTreeMap<&str, Sides<'_>> {
    let mut by_id: BTreeMap<&str, Sides<'_>> = BTreeMap::new();
    for difference in differences {
        let sides = by_id.entry(&difference.unique_id).or_default();
        if difference.is_new {
            sides.new = Some(difference);
        } else {
            sides.old = Some(difference);
        }
    }
    by_id
}

fn in_both(by_id: &BTreeMap<&str, Sides<'_>>) -> usize {
    let sides = by_id.values();
    sides.filter(|sides| sides.old.is_some() && sides.new.is_some()).count()
}

/// Whether all definitions that differ may be read for a single answer.
pub(crate) fn are_few(by_id: &BTreeMap<&str, Sides<'_>>) -> bool {
    in_both(by_id) <= AT_ONCE
}

async fn page(mut view: View, listing: Listing<NodeOrder>, from: Sha256, to: Sha256) -> Result<Many<Change>, Error> {
    let account = view.account();
    let Listing { order, paging } = listing;
    let differences = queries::graph::differences(view.connection(), account, from, to).await?;
    let mut by_id = sides(&differences);
    let fields = changed_fields(&mut view, account, &by_id).await?;
    by_id.retain(|id, sides| sides.old.is_none() || sides.new.is_none() || fields.contains_key(id));
    let total = i64::try_from(by_id.len()).unwrap_or(i64::MAX);
    let offset = usize::try_from(paging.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(paging.limit).unwrap_or(0);
    let mut all: Vec<(&str, Sides<'_>)> = by_id.into_iter().collect();
    if order.descending {
        all.reverse();
    }
    let shown = all.into_iter().skip(offset).take(limit);
    let changes = shown
        .filter_map(|(id, sides)| change(&sides, fields.get(id).cloned().unwrap_or_default()))
        .collect();
    Ok(many(changes, total, listing, applied(account, &())))
}

/// The fields that differ, for each node that is in both manifests. A node without such fields did not change: its definitions differ only
/// by the target, or were stored under different rules of identity.
pub(crate) async fn changed_fields<'d>(
    view: &mut View,
    account: AccountId,
    by_id: &BTreeMap<&'d str, Sides<'d>>,
) -> Result<HashMap<&'d str, BTreeSet<String>>, Error> {
    let both = by_id.values().filter_map(|sides| sides.old.zip(sides.new));
    let pairs: Vec<(&Difference, &Difference)> = both.collect();
    let mut fields = HashMap::new();
    for pairs in pairs.chunks(AT_ONCE) {
        let ids: Vec<i64> = pairs.iter().flat_map(|(old, new)| [old.id, new.id]).collect();
        let docs = docs_of(view, account, &ids).await?;
        for (old, new) in pairs {
            let (Some(one), Some(other)) = (docs.get(&old.id), docs.get(&new.id)) else {
                continue;
            };
            let changed = artifacts::changed_fields(&new.resource_type, &decode_doc(one)?, &decode_doc(other)?);
            if !changed.is_empty() {
                fields.insert(new.unique_id.as_str(), changed);
            }
        }
    }
    Ok(fields)
}

pub(crate) async fn docs_of(view: &mut View, account: AccountId, ids: &[i64]) -> Result<HashMap<i64, Vec<u8>>, Error> {
    Ok(queries::graph::docs(view.connection(), account, ids)
        .await?
        .into_iter()
        .collect())
}

fn change(sides: &Sides<'_>, fields: BTreeSet<String>) -> Option<Change> {
    let node = sides.new.or(sides.old)?;
    let kind = match (sides.old, sides.new) {
        (Some(_), Some(_)) => "changed",
        (Some(_), None) => "removed",
        (None, _) => "added",
    };
    Some(Change {
        unique_id: node.unique_id.clone(),
        resource_type: node.resource_type.clone(),
        name: node.name.clone(),
        change: kind,
        fields,
    })
}
