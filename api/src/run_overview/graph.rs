//! Explains a run by what its nodes depend on: which failure others were skipped because of, and which chain of nodes decided when it ended.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::attempts::Attempt;
use crate::resources::run_overview::{PathNode, SkippedBecause};

/// How many of the nodes that were skipped because of a failure are named.
const MAX_NAMED: usize = 50;

/// The longest critical path that is followed. Longer chains do not exist; in a damaged manifest nodes may depend on each other.
const MAX_PATH: usize = 1_000;

/// What nodes depend on.
#[derive(Default)]
pub(super) struct Parents<'g>(HashMap<&'g str, Vec<&'g str>>);

impl<'g> Parents<'g> {
    /// Each child and the parent at the same place.
    pub(super) fn new(children: &'g [String], parents: &'g [String]) -> Self {
        let mut of: HashMap<&str, Vec<&str>> = HashMap::new();
        for (child, parent) in children.iter().zip(parents) {
            of.entry(child).or_default().push(parent);
        }
        Self(of)
    }

    fn of(&self, unique_id: &str) -> &[&'g str] {
        self.0.get(unique_id).map_or(&[], Vec::as_slice)
    }

    /// The other direction, only to the children that pass on to their own children what is found.
    fn children(&self, passes_on: impl Fn(&str) -> bool) -> HashMap<&'g str, Vec<&'g str>> {
        let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
        for (child, parents) in self.0.iter().filter(|(child, _)| passes_on(child)) {
            for parent in parents {
                children.entry(parent).or_default().push(child);
            }
        }
        children
    }
}

/// Groups the skipped nodes of a run by the failure because of which dbt skipped them: a node that they depend on, directly or through nodes that
/// were skipped or have no result, such as ephemeral models; or a failed test of such a node.
pub(super) fn skipped(attempts: &[Attempt], parents: &Parents<'_>) -> Vec<SkippedBecause> {
    let by_id: HashMap<&str, &Attempt> = attempts
        .iter()
        .map(|attempt| (attempt.unique_id.as_str(), attempt))
        .collect();
    let mut failed_tests: HashMap<&str, &str> = HashMap::new();
    for attempt in attempts
        .iter()
        .filter(|attempt| attempt.has_failed && attempt.resource_type().ends_with("test"))
    {
        for parent in parents.of(&attempt.unique_id) {
            failed_tests.entry(parent).or_insert(&attempt.unique_id);
        }
    }
    let causes = causes(parents, &by_id, &failed_tests);
    let mut groups: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for attempt in attempts.iter().filter(|attempt| attempt.is_skipped()) {
        let cause = causes.get(attempt.unique_id.as_str()).copied();
        groups.entry(cause).or_default().push(&attempt.unique_id);
    }
    let mut groups: Vec<SkippedBecause> = groups
        .into_iter()
        .map(|(cause, mut nodes)| {
            nodes.sort_unstable();
            SkippedBecause {
                unique_id: cause.map(str::to_owned),
                nodes: nodes.len(),
                unique_ids: nodes.into_iter().take(MAX_NAMED).map(str::to_owned).collect(),
            }
        })
        .collect();
    groups.sort_by_key(|group| (group.unique_id.is_none(), std::cmp::Reverse(group.nodes)));
    groups
}

/// The nearest failure above each node that was skipped or has no result. The search goes downwards from the failures, for all nodes at once: one
/// upwards from each node would look at the same nodes again and again.
fn causes<'g>(
    parents: &Parents<'g>,
    by_id: &HashMap<&'g str, &'g Attempt>,
    failed_tests: &HashMap<&'g str, &'g str>,
) -> HashMap<&'g str, &'g str> {
    if !by_id.values().any(|attempt| attempt.is_skipped()) {
        return HashMap::new();
    }
    // Ephemeral models have no result of their own.
    let passes_on = |node: &str| by_id.get(node).is_none_or(|attempt| attempt.is_skipped());
    let of_parents = |node: &str| {
        let parents = parents.of(node).iter().copied();
        let failed = |parent: &&str| by_id.get(parent).is_some_and(|attempt| attempt.has_failed);
        let tested = || parents.clone().find_map(|parent| failed_tests.get(parent).copied());
        parents.clone().find(failed).or_else(tested)
    };
    let mut causes: HashMap<&str, &str> = parents
        .0
        .keys()
        .filter(|node| passes_on(node))
        .filter_map(|node| Some((*node, of_parents(node)?)))
        .collect();
    let children = parents.children(passes_on);
    let mut newest: Vec<&str> = causes.keys().copied().collect();
    while !newest.is_empty() {
        let below: HashSet<&str> = newest
            .iter()
            .filter_map(|node| children.get(node))
            .flatten()
            .copied()
            .filter(|child| !causes.contains_key(child))
            .collect();
        // Those of its parents that have a cause by now are all equally near, and the first of them counts.
        let cause = |child: &str| parents.of(child).iter().find_map(|parent| causes.get(parent)).copied();
        let next: Vec<(&str, &str)> = below
            .into_iter()
            .filter_map(|child| Some((child, cause(child)?)))
            .collect();
        newest = next.iter().map(|(child, _)| *child).collect();
        causes.extend(next);
    }
    causes
}

/// Follows the nodes of a step back from the one that ended last, each time to the parent that ended last, which is the one that it waited for.
pub(super) fn critical_path(attempts: &[&Attempt], parents: &Parents<'_>) -> Vec<PathNode> {
    let ran = |attempt: &&&Attempt| !attempt.is_skipped() && !attempt.resource_type().ends_with("test");
    let by_id: HashMap<&str, &Attempt> = attempts
        .iter()
        .filter(ran)
        .map(|attempt| (attempt.unique_id.as_str(), *attempt))
        .collect();
    let mut in_order: Vec<&Attempt> = by_id.values().copied().collect();
    in_order.sort_unstable_by(|one, other| (other.at, &other.unique_id).cmp(&(one.at, &one.unique_id)));
    let passed_on = passed_on(&in_order, parents, &by_id);
    let mut current = in_order.first().copied();
    let mut path = Vec::new();
    while let Some(node) = current.filter(|_| path.len() < MAX_PATH) {
        let before = last_parent(node, parents, &by_id, &passed_on);
        let waited = before.map_or(0.0, |before| (node.started_at() - before.at).as_seconds_f64().max(0.0));
        path.push(PathNode {
            unique_id: node.unique_id.clone(),
            status: node.status.clone(),
            execution_time: node.seconds,
            waited,
        });
        current = before;
    }
    path.reverse();
    path
}

/// For what did not run in this step, such as an ephemeral model: the node above it that ended last. The attempts begin with the one that ended
/// last, so the first that leads to a node is the right one, and each node is looked at once.
fn passed_on<'a>(
    in_order: &[&'a Attempt],
    parents: &Parents<'a>,
    by_id: &HashMap<&str, &'a Attempt>,
) -> HashMap<&'a str, &'a Attempt> {
    let children = parents.children(|node| !by_id.contains_key(node));
    let mut last: HashMap<&str, &Attempt> = HashMap::new();
    for attempt in in_order {
        let mut waiting = vec![attempt.unique_id.as_str()];
        while let Some(node) = waiting.pop() {
            for child in children.get(node).into_iter().flatten() {
                if let Entry::Vacant(entry) = last.entry(child) {
                    entry.insert(attempt);
                    waiting.push(child);
                }
            }
        }
    }
    last
}

/// The node that a node waited for.
fn last_parent<'a>(
    node: &Attempt,
    parents: &Parents<'_>,
    by_id: &HashMap<&str, &'a Attempt>,
    passed_on: &HashMap<&str, &'a Attempt>,
) -> Option<&'a Attempt> {
    let parents = parents.of(&node.unique_id).iter();
    parents
        .filter_map(|parent| by_id.get(parent).or_else(|| passed_on.get(parent)))
        .copied()
        // Times are rounded, so a parent may seem to end a little after its child began.
        .filter(|parent| parent.at < node.at)
        .max_by(|one, other| (one.at, &one.unique_id).cmp(&(other.at, &other.unique_id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Sha256;

    fn attempt(unique_id: &str, status: &str, end: i64, seconds: f64) -> Attempt {
        Attempt {
            unique_id: unique_id.to_owned(),
            status: status.to_owned(),
            has_failed: ["error", "fail"].contains(&status),
            step_id: 1,
            at: chrono::DateTime::from_timestamp(end, 0).unwrap(),
            seconds,
            stored: (Sha256([0; 32]), 0),
        }
    }

    fn edges(pairs: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        pairs
            .iter()
            .map(|(child, parent)| ((*child).to_owned(), (*parent).to_owned()))
            .unzip()
    }

    #[test]
    fn what_is_skipped_has_the_failure_above_it() {
        let (children, parents) = edges(&[
            ("model.a.broken", "source.a.x"),
            ("model.a.through", "model.a.ephemeral"),
            ("model.a.ephemeral", "model.a.broken"),
            ("model.a.far", "model.a.through"),
            ("test.a.bad", "model.a.good"),
            ("model.a.tested", "model.a.good"),
            ("model.a.alone", "model.a.good2"),
            ("model.a.both", "model.a.alone"),
            ("model.a.both", "model.a.through"),
        ]);
        let attempts = [
            attempt("model.a.broken", "error", 1, 1.0),
            attempt("model.a.through", "skipped", 1, 0.0),
            attempt("model.a.far", "skipped", 1, 0.0),
            attempt("model.a.good", "success", 1, 0.0),
            attempt("model.a.good2", "success", 1, 0.0),
            attempt("test.a.bad", "fail", 2, 0.0),
            attempt("model.a.tested", "skipped", 1, 0.0),
            attempt("model.a.alone", "skipped", 1, 0.0),
            attempt("model.a.both", "skipped", 1, 0.0),
        ];
        let found = skipped(&attempts, &Parents::new(&children, &parents));
        let because = |cause: Option<&str>| {
            &found
                .iter()
                .find(|group| group.unique_id.as_deref() == cause)
                .unwrap()
                .unique_ids
        };
        assert_eq!(
            because(Some("model.a.broken")),
            &["model.a.both", "model.a.far", "model.a.through"]
        );
        assert_eq!(because(Some("test.a.bad")), &["model.a.tested"]);
        assert_eq!(because(None), &["model.a.alone"]);
    }

    #[test]
    fn nodes_that_depend_on_each_other_end_the_search() {
        let (children, parents) = edges(&[("model.a.x", "model.a.y"), ("model.a.y", "model.a.x")]);
        let attempts = [
            attempt("model.a.x", "skipped", 1, 0.0),
            attempt("model.a.y", "skipped", 1, 0.0),
        ];
        let found = skipped(&attempts, &Parents::new(&children, &parents));
        assert_eq!((found.len(), found[0].nodes, &found[0].unique_id), (1, 2, &None));
        let of_step: Vec<&Attempt> = attempts.iter().collect();
        assert!(critical_path(&of_step, &Parents::new(&children, &parents)).is_empty());
    }

    /// A chain of models, each of which depends on the one before.
    fn chain(length: usize) -> (Vec<String>, Vec<String>) {
        let id = |number: usize| format!("model.a.{number:06}");
        (1..length).map(|number| (id(number), id(number - 1))).unzip()
    }

    #[test]
    fn a_long_chain_of_skipped_nodes_is_searched_once() {
        let (children, parents) = chain(50_000);
        let parents = Parents::new(&children, &parents);
        // The last of the chain first: what is found for it must do for the others.
        let mut attempts: Vec<Attempt> = children
            .iter()
            .rev()
            .map(|child| attempt(child, "skipped", 1, 0.0))
            .collect();
        let found = skipped(&attempts, &parents);
        assert_eq!((found.len(), found[0].nodes, &found[0].unique_id), (1, 49_999, &None));
        let first = "model.a.000000";
        attempts.push(attempt(first, "error", 1, 1.0));
        let found = skipped(&attempts, &parents);
        assert_eq!(
            (found.len(), found[0].nodes, found[0].unique_id.as_deref()),
            (1, 49_999, Some(first))
        );
    }

    #[test]
    fn the_nearest_failure_counts_whatever_the_order_of_the_attempts() {
        let (children, parents) = edges(&[
            ("model.a.two", "model.a.one"),
            ("model.a.one", "model.a.far"),
            ("model.a.three", "model.a.two"),
            ("model.a.three", "model.a.side"),
            ("model.a.side", "model.a.near"),
        ]);
        let mut attempts = vec![
            attempt("model.a.far", "error", 1, 1.0),
            attempt("model.a.near", "error", 1, 1.0),
            attempt("model.a.one", "skipped", 1, 0.0),
            attempt("model.a.side", "skipped", 1, 0.0),
            attempt("model.a.two", "skipped", 1, 0.0),
            attempt("model.a.three", "skipped", 1, 0.0),
        ];
        for _ in 0..attempts.len() {
            let found = skipped(&attempts, &Parents::new(&children, &parents));
            let near = found
                .iter()
                .find(|group| group.unique_id.as_deref() == Some("model.a.near"));
            assert_eq!(near.unwrap().unique_ids, ["model.a.side", "model.a.three"]);
            attempts.rotate_left(1);
        }
    }

    #[test]
    fn a_long_chain_that_did_not_run_is_passed_once() {
        let (mut children, mut parents) = chain(50_000);
        let mut attempts = vec![attempt("model.a.000000", "success", 1, 1.0)];
        // Each of them waits for the one before, and depends on the end of the chain.
        for number in 0..1_000 {
            let id = |number: i64| format!("model.b.{number:06}");
            attempts.push(attempt(&id(number), "success", 2 + number, 1.0));
            children.extend([id(number), id(number)]);
            parents.extend(["model.a.049999".to_owned(), id(number - 1)]);
        }
        let of_step: Vec<&Attempt> = attempts.iter().collect();
        let path = critical_path(&of_step, &Parents::new(&children, &parents));
        assert_eq!(path.len(), MAX_PATH);
        assert_eq!(path[0].unique_id, "model.b.000000");
    }

    #[test]
    fn the_critical_path_leads_back_from_what_ended_last() {
        let (children, parents) = edges(&[
            ("model.a.c", "model.a.e"),
            ("model.a.e", "model.a.b"),
            ("model.a.c", "model.a.short"),
            ("model.a.b", "model.a.a"),
        ]);
        let attempts = [
            attempt("model.a.a", "success", 10, 10.0),
            attempt("model.a.short", "success", 2, 2.0),
            attempt("model.a.b", "success", 30, 18.0),
            attempt("model.a.c", "success", 40, 10.0),
            attempt("test.a.t", "pass", 50, 9.0),
        ];
        let of_step: Vec<&Attempt> = attempts.iter().collect();
        let path = critical_path(&of_step, &Parents::new(&children, &parents));
        let path: Vec<(&str, f64)> = path.iter().map(|node| (node.unique_id.as_str(), node.waited)).collect();
        assert_eq!(path, [("model.a.a", 0.0), ("model.a.b", 2.0), ("model.a.c", 0.0)]);
    }
}
