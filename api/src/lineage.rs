//! Chooses nodes of an environment by a selection of dbt, with what dbt last did to them, for the REST API and for the console.

use std::collections::{HashMap, HashSet};

use discovery::{Defined, Discovery, NodeIndex, is_test};
use edge::{CloudError, InvalidParam};
use read_model::queries::discovery::{LastStatus, failing_tests, last_statuses};
use schemas::EnvironmentId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::Error;
use crate::view::View;

/// The most nodes that are chosen at once.
pub const MAX_NODES: usize = 20_000;

/// How many levels are added around a single node, unless the request says it.
const LEVELS_OF_ONE: u32 = 1;

/// Selects the nodes of a lineage.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LineageQuery {
    /// A selection as `dbt ls --select` takes it, such as `+orders tag:daily --exclude staging`, or the id of a node, such as
    /// `model.shop.orders`. By default all nodes.
    pub select: Option<String>,
    /// How many levels of parents to add to what is selected, or `all`. By default 1 if a single node is selected, and otherwise 0.
    pub up: Option<String>,
    /// How many levels of children to add, or `all`; of a single test, those of the nodes that it tests. By default 1 if a single node is selected, and otherwise 0.
    pub down: Option<String>,
    /// Whether tests are among the nodes. By default only if nothing but tests is selected.
    pub tests: Option<bool>,
}

/// The nodes that were chosen.
#[derive(Debug)]
pub struct Chosen {
    /// All nodes of the environment.
    pub defined: Defined,
    /// What was selected, sorted by id; empty if all nodes are chosen.
    pub selected: Vec<NodeIndex>,
    /// How many levels of parents and of children were added; `u32::MAX` for all.
    pub levels: (u32, u32),
    /// What was selected with what was added, sorted by id.
    pub nodes: Vec<NodeIndex>,
    /// What dbt last did to the chosen nodes, once it was read.
    pub statuses: HashMap<NodeIndex, LastStatus>,
    /// The tests of the chosen nodes that failed last.
    failing: HashSet<NodeIndex>,
    environment: EnvironmentId,
}

/// A selection that is wrong, or selects too much, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSelection(pub String);

impl From<WrongSelection> for Error {
    fn from(WrongSelection(reason): WrongSelection) -> Self {
        CloudError::bad_request(reason).into()
    }
}

impl Chosen {
    /// Reads what dbt last did to the chosen nodes, and which of their tests failed.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn read_statuses(&mut self, view: &mut View) -> Result<(), Error> {
        let (account, graph) = (view.account(), self.defined.graph());
        let id = |node: &NodeIndex| graph.node(*node).unique_id.to_string();
        let ids: Vec<String> = self.nodes.iter().map(id).collect();
        let statuses = last_statuses(view.connection(), account, self.environment, &ids).await?;
        let statuses = statuses
            .into_iter()
            .filter_map(|last| Some((graph.find(&last.unique_id)?, last)));
        let mut tests: Vec<NodeIndex> = self
            .nodes
            .iter()
            .flat_map(|node| &*graph.node(*node).tests)
            .copied()
            .collect();
        tests.sort_unstable();
        tests.dedup();
        let ids: Vec<String> = tests.iter().map(id).collect();
        let failing = failing_tests(view.connection(), account, self.environment, &ids).await?;
        let failing = failing.iter().filter_map(|id| graph.find(id)).collect();
        self.statuses = statuses.collect();
        self.failing = failing;
        Ok(())
    }

    /// How many tests of a node failed last.
    #[must_use]
    pub fn failing_tests(&self, node: NodeIndex) -> usize {
        let tests = self.defined.graph().node(node).tests.iter();
        tests.filter(|test| self.failing.contains(test)).count()
    }
}

/// Chooses nodes of an environment. The inner error is one of the selection.
///
/// # Errors
/// If the environment does not exist or is not visible, or if a query fails.
pub async fn choose(
    view: &mut View,
    discovery: &Discovery,
    environment: EnvironmentId,
    query: &LineageQuery,
) -> Result<Result<Chosen, WrongSelection>, Error> {
    let account = view.account();
    let defined = discovery.defined(view.connection(), account, environment).await?;
    let defined = defined.ok_or_else(CloudError::not_found)?;
    let selection = query.select.as_deref().unwrap_or_default().trim();
    let chosen = match defined.select(view.connection(), selection).await {
        Err(discovery::Error::Query(errors)) => {
            let reasons: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            return Ok(Err(WrongSelection(reasons.join("; "))));
        }
        chosen => chosen?,
    };
    let graph = defined.graph();
    let default = if chosen.len() == 1 { LEVELS_OF_ONE } else { 0 };
    let levels = (
        levels("up", query.up.as_deref(), default)?,
        levels("down", query.down.as_deref(), default)?,
    );
    let has_tests = query
        .tests
        .unwrap_or_else(|| chosen.iter().all(|node| is_test(graph.node(*node))));
    let is_shown = |node: &NodeIndex| {
        let node = graph.node(*node);
        (has_tests || !is_test(node))
            && !matches!(&*node.resource_type, "macro" | "group" | "operation" | "sql_operation")
    };
    let mut nodes = defined.around(&chosen, levels.0, levels.1);
    if let [only] = chosen[..]
        && is_test(graph.node(only))
        && levels.1 > 0
    {
        // Nothing depends on a test, so what depends on the nodes that it tests is shown.
        let tested: Vec<NodeIndex> = graph.node(only).parents.to_vec();
        nodes.extend(defined.around(&tested, 0, levels.1));
        nodes.sort_unstable();
        nodes.dedup();
    }
    nodes.retain(|node| is_shown(node) || chosen == [*node]);
    if nodes.len() > MAX_NODES {
        let message = format!(
            "{} nodes are selected, at most {MAX_NODES} are shown at once: select fewer",
            nodes.len()
        );
        return Ok(Err(WrongSelection(message)));
    }
    Ok(Ok(Chosen {
        selected: if selection.is_empty() { Vec::new() } else { chosen },
        statuses: HashMap::new(),
        failing: HashSet::new(),
        levels,
        nodes,
        defined,
        environment,
    }))
}

/// Reads a number of levels.
fn levels(name: &str, text: Option<&str>, default: u32) -> Result<u32, Error> {
    match text.map(str::trim) {
        None | Some("") => Ok(default),
        Some("all") => Ok(u32::MAX),
        Some(text) => Ok(text
            .parse()
            .map_err(|_| InvalidParam::new(name, text, "a number from 0, or `all`"))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbers_or_all() {
        assert_eq!(levels("up", None, 1).ok(), Some(1));
        assert_eq!(levels("up", Some(" 3 "), 1).ok(), Some(3));
        assert_eq!(levels("up", Some("all"), 1).ok(), Some(u32::MAX));
        assert!(levels("up", Some("-1"), 1).is_err());
    }
}
