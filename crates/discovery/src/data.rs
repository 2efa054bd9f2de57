//! The data of an environment or a run: first it is noted what a query needs of which nodes, then all is read at once.

mod choose;
mod load;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use read_model::doc::doc_size;
use read_model::queries::discovery::{CatalogEntry, Freshness, Outcome};

use crate::error::QueryError;
use crate::graph::{Graph, NodeIndex};
use crate::kind::{Kind, Shape};
use crate::needs::Needs;
use crate::plan::Selected;
use crate::related::related_of_all;
use crate::scope::Scope;
use crate::steps::Steps;
use crate::values::Reader;

/// How many definitions one statement reads, so that their rows take little memory at once.
const BATCH: usize = 5_000;

/// The data of an environment or a run.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) scope: Scope,
    wanted: Wanted,
    steps: Steps,
    /// What was read of definitions, files and checks. Rows of a history share it.
    pub(crate) stored: Arc<Stored>,
    /// The last attempts.
    pub(crate) last: HashMap<NodeIndex, Outcome>,
    /// The last successes, where they are not the last attempts.
    pub(crate) earlier_success: HashMap<NodeIndex, Outcome>,
    /// The statuses of the last attempts that were not skipped, where the last attempts were.
    before_skips: HashMap<NodeIndex, String>,
}

/// Data of the nodes of an environment or a run, except their results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// The stored definitions.
    pub(crate) definitions: HashMap<NodeIndex, Vec<u8>>,
    /// The stored compiled code.
    pub(crate) codes: HashMap<NodeIndex, Vec<u8>>,
    /// The stored lists of the macros that the nodes call.
    pub(crate) macros: HashMap<NodeIndex, Vec<u8>>,
    pub(crate) catalogs: HashMap<NodeIndex, CatalogEntry>,
    pub(crate) freshness: HashMap<NodeIndex, Freshness>,
}

/// The nodes of which something is needed. What was read is taken out.
#[derive(Debug, Default)]
struct Wanted {
    definitions: HashSet<NodeIndex>,
    codes: HashSet<NodeIndex>,
    macros: HashSet<NodeIndex>,
    catalogs: HashSet<NodeIndex>,
    results: HashSet<NodeIndex>,
    freshness: HashSet<NodeIndex>,
    /// The nodes whose results and checks were read, found or not.
    read_results: HashSet<NodeIndex>,
    read_freshness: HashSet<NodeIndex>,
}

impl Data {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            wanted: Wanted::default(),
            steps: Steps::default(),
            stored: Arc::default(),
            last: HashMap::new(),
            earlier_success: HashMap::new(),
            before_skips: HashMap::new(),
        }
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.scope.graph
    }

    /// The last success of a node.
    pub(crate) fn success(&self, index: NodeIndex) -> Option<&Outcome> {
        let last = self.last.get(&index).filter(|last| last.is_success);
        last.or_else(|| self.earlier_success.get(&index))
    }

    /// The last status of a test that says something about the data; of tests that were always skipped, that of the last attempt.
    pub(crate) fn last_known_result(&self, index: NodeIndex) -> Option<&str> {
        let before = self.before_skips.get(&index).map(String::as_str);
        before.or_else(|| Some(self.last.get(&index)?.status.as_str()))
    }

    /// Notes what a query needs of these nodes and of those related to them.
    ///
    /// # Errors
    /// Returns an error if these are too many.
    pub(crate) fn want(&mut self, indices: &[NodeIndex], shape: Shape, selected: &Selected) -> Result<(), QueryError> {
        self.steps.take(indices.len())?;
        for kind in Kind::ALL {
            let Some(selection) = shape.type_name(kind).and_then(|name| selected.sub.get(name)) else {
                continue;
            };
            let graph = Arc::clone(&self.scope.graph);
            let of_kind: Vec<NodeIndex> = indices
                .iter()
                .copied()
                .filter(|index| graph.node(*index).kind == Some(kind))
                .collect();
            if of_kind.is_empty() {
                continue;
            }
            self.want_of(&of_kind, kind, selection.needs);
            for field in &selection.fields {
                if let Some(Reader::Nodes(relation)) = field.reader {
                    let others = related_of_all(&graph, &of_kind, shape, relation, field, &mut self.steps)?;
                    self.want(&others, shape.nested(), field)?;
                }
            }
        }
        Ok(())
    }

    fn want_of(&mut self, indices: &[NodeIndex], kind: Kind, needs: Needs) {
        let wanted = &mut self.wanted;
        if needs.has(Needs::DEFINITION) {
            wanted.definitions.extend(indices);
        }
        if needs.has(Needs::CODE) {
            wanted.codes.extend(indices);
        }
        if needs.has(Needs::MACROS) {
            wanted.macros.extend(indices);
        }
        if needs.has(Needs::CATALOG) {
            wanted.catalogs.extend(indices);
        }
        if needs.has(Needs::RESULTS) && kind.is_executable() {
            wanted.results.extend(indices);
        }
        if needs.has(Needs::FRESHNESS) && kind == Kind::Source {
            wanted.freshness.extend(indices);
        }
        if needs.has(Needs::TESTS) {
            let tests = indices.iter().flat_map(|index| &*self.scope.graph.node(*index).tests);
            wanted.results.extend(tests);
        }
    }

    /// Notes that the macros which these nodes call are needed.
    pub(crate) fn want_macros(&mut self, indices: &[NodeIndex]) {
        self.wanted.macros.extend(indices);
    }

    /// The size of what was read when it is decompressed, in bytes: more than an answer takes that has each node once. What another one shares
    /// is counted once; `counted` has what was counted.
    pub(crate) fn size(&self, counted: &mut HashSet<*const Stored>) -> usize {
        let results = self.last.values().chain(self.earlier_success.values());
        let results: usize = results.map(|outcome| size_of_doc(&outcome.doc)).sum();
        if !counted.insert(Arc::as_ptr(&self.stored)) {
            return results;
        }
        let stored = &self.stored;
        let texts = stored.definitions.values().chain(stored.codes.values());
        let texts = texts.chain(stored.macros.values());
        let texts = texts.chain(stored.catalogs.values().map(|entry| &entry.doc));
        let texts = texts.chain(stored.freshness.values().map(|check| &check.doc));
        results + texts.map(|doc| size_of_doc(doc)).sum::<usize>()
    }

    /// The resource types of these nodes.
    fn types(&self, indices: &[NodeIndex]) -> Vec<String> {
        let types: HashSet<&str> = indices
            .iter()
            .map(|index| &*self.graph().node(*index).resource_type)
            .collect();
        types.into_iter().map(str::to_owned).collect()
    }

    fn ids(&self, indices: &[NodeIndex]) -> Vec<String> {
        indices.iter().map(|index| self.graph().id(*index).to_owned()).collect()
    }
}

/// The size of a stored text, as it is and decompressed.
fn size_of_doc(doc: &[u8]) -> usize {
    doc.len() + doc_size(doc).unwrap_or_default()
}
