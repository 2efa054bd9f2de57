//! dbt's node selection: strings such as `+orders tag:daily,path:models/marts`, as `dbt ls --select` takes them.

mod matching;
mod methods;
#[cfg(test)]
mod recorded;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Instant;

use crate::error::{Error, QueryError};
use crate::graph::{Attributes, Graph, NodeIndex};
use spec::{Reach, Spec};

pub(crate) use methods::order_of_versions;

/// The maximum number of parts in a selection, such as `+tag:daily`. Each is compared with all nodes.
const MAX_PARTS: usize = 500;

/// A selection: what is selected, without what is excluded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// Each is an intersection; the selection is their union. `None` means everything.
    select: Option<Vec<Vec<Spec>>>,
    exclude: Vec<Vec<Spec>>,
}

/// What a selection is applied to.
pub(crate) struct Nodes<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) attributes: &'a [Attributes],
    /// The configurations of the nodes, if [`Selector::needs_configs`].
    pub(crate) configs: &'a HashMap<NodeIndex, serde_json::Value>,
    /// dbt's name of the project, for `package:this`.
    pub(crate) project: Option<&'a str>,
    /// When nobody waits for the selection any more.
    pub(crate) until: Instant,
}

/// Which list a word belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Select,
    Exclude,
}

impl Selector {
    /// Parses `select` and `exclude`. Both may be whole command lines, such as `--select a+ --exclude b`.
    pub(crate) fn parse(select: Option<&str>, exclude: Option<&str>) -> Result<Self, QueryError> {
        let (mut selected, mut excluded) = (Vec::new(), Vec::new());
        let mut count = 0;
        for (text, name, default) in [
            (select, "select", Target::Select),
            (exclude, "exclude", Target::Exclude),
        ] {
            let mut into = default;
            for word in words(text.unwrap_or_default()) {
                let rest = match option(&word, name)? {
                    Some((option, rest)) => {
                        into = option;
                        rest
                    }
                    None => word.as_str(),
                };
                if rest.is_empty() {
                    continue;
                }
                count += rest.split(',').count();
                if count > MAX_PARTS {
                    let message = format!("invalid `{name}`: expected at most {MAX_PARTS} parts, got more");
                    return Err(QueryError::too_large(message));
                }
                let parts: Result<Vec<Spec>, QueryError> = rest.split(',').map(Spec::parse).collect();
                match into {
                    Target::Select => selected.push(parts?),
                    Target::Exclude => excluded.push(parts?),
                }
            }
        }
        Ok(Self {
            select: (!selected.is_empty()).then_some(selected),
            exclude: excluded,
        })
    }

    /// Whether the selection asks for configurations, which are not among the attributes.
    pub(crate) fn needs_configs(&self) -> bool {
        let mut specs = self.select.iter().flatten().chain(&self.exclude).flatten();
        specs.any(Spec::needs_configs)
    }

    /// Returns the selected nodes, sorted by id.
    ///
    /// # Errors
    /// Returns an error if it takes too long.
    pub(crate) fn apply(&self, nodes: &Nodes<'_>) -> Result<Vec<NodeIndex>, Error> {
        let count = nodes.graph.len();
        let mut chosen = match &self.select {
            Some(select) => union(select, nodes)?,
            None => vec![true; count],
        };
        for (index, is_excluded) in union(&self.exclude, nodes)?.into_iter().enumerate() {
            chosen[index] &= !is_excluded;
        }
        let indices = nodes.graph.indices().zip(chosen);
        let selected = indices.filter(|(index, is_chosen)| *is_chosen && is_selectable(nodes.graph, *index));
        Ok(selected.map(|(index, _)| index).collect())
    }
}

/// Macros, groups and operations cannot be selected.
fn is_selectable(graph: &Graph, index: NodeIndex) -> bool {
    !matches!(
        &*graph.node(index).resource_type,
        "macro" | "group" | "operation" | "doc" | "sql_operation"
    )
}

fn union(of: &[Vec<Spec>], nodes: &Nodes<'_>) -> Result<Vec<bool>, Error> {
    let mut chosen = vec![false; nodes.graph.len()];
    for specs in of {
        let mut all: Option<Vec<bool>> = None;
        for spec in specs {
            if Instant::now() > nodes.until {
                return Err(Error::Late);
            }
            let found = spec.apply(nodes);
            all = Some(match all {
                None => found,
                Some(before) => before.into_iter().zip(found).map(|(one, other)| one && other).collect(),
            });
        }
        for (chosen, found) in chosen.iter_mut().zip(all.unwrap_or_default()) {
            *chosen |= found;
        }
    }
    Ok(chosen)
}

/// Follows the graph from the nodes that match.
fn reach(nodes: &Nodes<'_>, start: &[bool], reach: &Reach) -> Vec<bool> {
    let mut chosen = start.to_vec();
    let add = |chosen: &mut Vec<bool>, more: Vec<bool>| {
        for (one, other) in chosen.iter_mut().zip(more) {
            *one |= other;
        }
    };
    if let Some(depth) = reach.parents {
        let parents = walk(nodes.graph, start, depth, |graph, index| &graph.node(index).parents);
        add(&mut chosen, parents);
    }
    if let Some(depth) = reach.children {
        let children = walk(nodes.graph, start, depth, |graph, index| &graph.node(index).children);
        add(&mut chosen, children);
    }
    if reach.parents_of_children {
        let children = walk(nodes.graph, start, u32::MAX, |graph, index| &graph.node(index).children);
        let parents = walk(nodes.graph, &children, u32::MAX, |graph, index| {
            &graph.node(index).parents
        });
        add(&mut chosen, parents);
    }
    chosen
}

/// Returns these nodes, and those that are at most so many steps before and after them, sorted.
pub(crate) fn around(graph: &Graph, start: &[NodeIndex], before: u32, after: u32) -> Vec<NodeIndex> {
    let mut chosen = vec![false; graph.len()];
    for index in start {
        chosen[*index as usize] = true;
    }
    let parents = walk(graph, &chosen, before, |graph, index| &graph.node(index).parents);
    let children = walk(graph, &chosen, after, |graph, index| &graph.node(index).children);
    let indices = graph.indices();
    indices
        .filter(|index| parents[*index as usize] || children[*index as usize])
        .collect()
}

/// Breadth first, so that each node is reached by a shortest way.
fn walk(graph: &Graph, start: &[bool], depth: u32, next: fn(&Graph, NodeIndex) -> &[NodeIndex]) -> Vec<bool> {
    let mut seen = start.to_vec();
    let starts = graph.indices().zip(start);
    let mut level: Vec<NodeIndex> = starts.filter(|(_, is_in)| **is_in).map(|(index, _)| index).collect();
    let mut left = depth;
    while left > 0 && !level.is_empty() {
        let mut farther = Vec::new();
        for index in level {
            for other in next(graph, index) {
                if !seen[*other as usize] {
                    seen[*other as usize] = true;
                    farther.push(*other);
                }
            }
        }
        level = farther;
        left -= 1;
    }
    seen
}

/// Splits at white space, also inside quotation marks: a shell removes these, and dbt splits each argument again.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split_whitespace().map(|word| word.replace(['"', '\''], ""));
    words.filter(|word| !word.is_empty())
}

/// Reads a word that is an option, and what follows it after `=`.
fn option<'a>(word: &'a str, of: &str) -> Result<Option<(Target, &'a str)>, QueryError> {
    if !word.starts_with('-') {
        return Ok(None);
    }
    let (name, rest) = word.split_once('=').unwrap_or((word, ""));
    let into = match name {
        "--select" | "-s" | "--models" | "--model" | "-m" => Target::Select,
        "--exclude" => Target::Exclude,
        _ => {
            let message = format!("invalid `{of}`: expected `--select` or `--exclude`, got the option `{name}`");
            return Err(QueryError::invalid(message));
        }
    };
    Ok(Some((into, rest)))
}
