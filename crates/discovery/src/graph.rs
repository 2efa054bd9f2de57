//! The nodes of an environment or a run, and how they depend on each other. A set of nodes never changes where it
//! is stored, so its graph is kept in memory.

mod attributes;
mod cache;

use std::collections::HashSet;
use std::sync::Arc;

use read_model::queries::discovery::IndexedNode;
use tokio::sync::OnceCell;

pub(crate) use attributes::{Attributes, modeling_layer};
pub(crate) use cache::{Graphs, read};

use crate::kind::Kind;

/// A node, by its index in the graph.
pub type NodeIndex = u32;

/// The nodes of a node set, sorted by `unique_id`.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<GraphNode>,
    /// What is read from the definitions, once somebody asks for it.
    attributes: OnceCell<Vec<Attributes>>,
}

/// A node of a graph. An environment may have a hundred thousand of them, so each takes as little memory as is simple.
#[derive(Debug)]
pub struct GraphNode {
    /// The definition's number, by which it is read.
    pub(crate) id: i64,
    /// dbt's id.
    pub unique_id: Box<str>,
    /// The resource type, such as `model`.
    pub resource_type: Arc<str>,
    pub(crate) kind: Option<Kind>,
    /// The name of the node.
    pub name: Option<Box<str>>,
    /// The dbt package that defines the node.
    pub package_name: Option<Arc<str>>,
    /// The materialization, such as `table`.
    pub materialized: Option<Arc<str>>,
    /// The nodes that it depends on, without those that are not defined.
    pub parents: Box<[NodeIndex]>,
    /// dbt's ids of the nodes that it depends on but that are not defined.
    undefined: Box<[Box<str>]>,
    /// The nodes that depend on it.
    pub children: Box<[NodeIndex]>,
    /// Its tests: those that dbt attached to it, and those that dbt attached to no node and that depend on it.
    pub tests: Box<[NodeIndex]>,
}

impl Graph {
    /// Makes the graph of nodes that are sorted by `unique_id`. A second node with the same id is left out.
    pub(crate) fn new(mut rows: Vec<IndexedNode>) -> Self {
        rows.dedup_by(|one, other| one.unique_id == other.unique_id);
        let find = |id: &str| {
            let found = rows.binary_search_by(|row| row.unique_id.as_str().cmp(id));
            found.ok().and_then(|index| NodeIndex::try_from(index).ok())
        };
        let mut parents = Vec::with_capacity(rows.len());
        let mut children = vec![Vec::new(); rows.len()];
        let mut tests = vec![Vec::new(); rows.len()];
        for (index, row) in (0..).zip(&rows) {
            let mut of_row = Vec::with_capacity(row.depends_on.len());
            let mut undefined = Vec::new();
            for id in &row.depends_on {
                match find(id) {
                    Some(parent) => of_row.push(parent),
                    None => undefined.push(Box::from(id.as_str())),
                }
            }
            of_row.sort_unstable();
            of_row.dedup();
            for parent in &of_row {
                children[*parent as usize].push(index);
            }
            if Kind::of(&row.resource_type) == Some(Kind::Test) {
                let attached = row.attached_node.as_deref().and_then(find);
                for tested in attached
                    .as_slice()
                    .iter()
                    .chain(of_row.iter().filter(|_| attached.is_none()))
                {
                    tests[*tested as usize].push(index);
                }
            }
            parents.push((of_row, undefined.into_boxed_slice()));
        }
        let mut words = Words::default();
        let edges = parents.into_iter().zip(children).zip(tests);
        let nodes = rows
            .into_iter()
            .zip(edges)
            .map(|(row, (((parents, undefined), children), tests))| GraphNode {
                id: row.id,
                kind: Kind::of(&row.resource_type),
                unique_id: row.unique_id.into(),
                resource_type: words.shared(row.resource_type),
                name: row.name.map(Into::into),
                package_name: row.package_name.map(|name| words.shared(name)),
                materialized: row.materialized.map(|materialized| words.shared(materialized)),
                parents: parents.into(),
                undefined,
                children: children.into(),
                tests: tests.into(),
            });
        Self {
            nodes: nodes.collect(),
            attributes: OnceCell::new(),
        }
    }

    /// The indices of all nodes.
    #[must_use]
    pub fn indices(&self) -> std::ops::Range<NodeIndex> {
        0..NodeIndex::try_from(self.nodes.len()).unwrap_or(NodeIndex::MAX)
    }

    /// The number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node by its index.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &GraphNode {
        &self.nodes[index as usize]
    }

    pub(crate) fn id(&self, index: NodeIndex) -> &str {
        &self.node(index).unique_id
    }

    /// Returns dbt's ids of the nodes that a node depends on, including those that are not defined.
    #[must_use]
    pub fn depends_on(&self, node: &GraphNode) -> Vec<String> {
        let parents = node.parents.iter().map(|parent| self.id(*parent));
        let undefined = node.undefined.iter().map(AsRef::as_ref);
        parents.chain(undefined).map(str::to_owned).collect()
    }

    /// Finds a node by dbt's id.
    #[must_use]
    pub fn find(&self, unique_id: &str) -> Option<NodeIndex> {
        let found = self.nodes.binary_search_by(|node| (*node.unique_id).cmp(unique_id));
        found.ok().and_then(|index| NodeIndex::try_from(index).ok())
    }

    /// The nodes of a kind, sorted by `unique_id`.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = NodeIndex> {
        self.indices().filter(move |index| self.node(*index).kind == Some(kind))
    }

    /// The models of a group, if the attributes are known.
    pub(crate) fn models_of_group(&self, group: &GraphNode) -> impl Iterator<Item = NodeIndex> {
        let attributes = self.attributes().unwrap_or_default();
        let is_in_group = move |index: &NodeIndex| {
            let of_model = attributes.get(*index as usize);
            of_model.is_some_and(|of_model| of_model.group.is_some() && of_model.group == group.name)
        };
        self.of_kind(Kind::Model).filter(is_in_group)
    }

    /// The nodes that any of these nodes depends on, directly or not, sorted by `unique_id`. A node is not an ancestor of itself.
    pub(crate) fn ancestors(&self, indices: &[NodeIndex]) -> Vec<NodeIndex> {
        let mut seen = HashSet::new();
        let mut waiting = Vec::new();
        for start in indices {
            waiting.extend(&self.node(*start).parents);
            while let Some(next) = waiting.pop() {
                if next != *start && seen.insert(next) {
                    waiting.extend(&self.node(next).parents);
                }
            }
        }
        let mut ancestors: Vec<NodeIndex> = seen.into_iter().collect();
        ancestors.sort_unstable();
        ancestors
    }

    /// What was read from the definitions, if somebody asked for it before.
    pub(crate) fn attributes(&self) -> Option<&[Attributes]> {
        self.attributes.get().map(Vec::as_slice)
    }

    /// Keeps what `read` reads from the definitions, unless they were read before. One request reads them, and the others wait.
    pub(crate) async fn keep_attributes<E>(
        &self,
        read: impl Future<Output = Result<Vec<Attributes>, E>>,
    ) -> Result<(), E> {
        self.attributes.get_or_try_init(|| read).await.map(|_| ())
    }
}

/// Keeps words that are repeated once.
#[derive(Default)]
struct Words(HashSet<Arc<str>>);

impl Words {
    fn shared(&mut self, word: String) -> Arc<str> {
        if let Some(known) = self.0.get(word.as_str()) {
            return Arc::clone(known);
        }
        let word: Arc<str> = word.into();
        self.0.insert(Arc::clone(&word));
        word
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn node(id: &str, parents: &[&str]) -> IndexedNode {
        IndexedNode {
            id: 0,
            unique_id: id.to_owned(),
            resource_type: id.split('.').next().unwrap().to_owned(),
            name: id.rsplit('.').next().map(str::to_owned),
            package_name: id.split('.').nth(1).map(str::to_owned),
            materialized: None,
            attached_node: None,
            depends_on: parents.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    #[test]
    fn neighbours_are_found_and_undefined_ones_left_out() {
        let mut attached = node("test.p.t", &["model.p.a", "model.p.b"]);
        attached.attached_node = Some("model.p.b".to_owned());
        let graph = Graph::new(vec![
            node("model.p.a", &["source.p.s.x", "model.p.gone"]),
            node("model.p.b", &["model.p.a", "model.p.a"]),
            node("source.p.s.x", &[]),
            node("test.p.singular", &["model.p.a"]),
            attached,
        ]);
        let index = |id| graph.find(id).unwrap();
        let a = graph.node(index("model.p.a"));
        assert_eq!(*a.parents, [index("source.p.s.x")]);
        assert_eq!(
            *a.children,
            [index("model.p.b"), index("test.p.singular"), index("test.p.t")]
        );
        assert_eq!(*a.tests, [index("test.p.singular")]);
        assert_eq!(*graph.node(index("model.p.b")).tests, [index("test.p.t")]);
        assert_eq!(graph.depends_on(a), ["source.p.s.x", "model.p.gone"]);
        let ancestors = graph.ancestors(&[index("model.p.b")]);
        assert_eq!(ancestors, [index("model.p.a"), index("source.p.s.x")]);
        let of_several = graph.ancestors(&[index("model.p.a"), index("test.p.t")]);
        assert_eq!(
            of_several,
            [index("model.p.a"), index("model.p.b"), index("source.p.s.x")]
        );
        assert_eq!(graph.find("model.p.gone"), None);
    }
}
