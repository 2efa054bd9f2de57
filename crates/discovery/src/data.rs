//! The data of an environment or a run: first it is noted what a query needs of which nodes, then all is read at once.

mod load;

use std::collections::{HashMap, HashSet};

use read_model::doc::doc_size;
use read_model::queries::discovery::{CatalogEntry, Freshness, Outcome};

use crate::graph::{Graph, Place};
use crate::kind::{Kind, Shape};
use crate::needs::Needs;
use crate::plan::Selected;
use crate::related::related;
use crate::scope::Scope;
use crate::values::{Reader, last_known_result};

/// How many definitions one statement reads, so that their rows take little memory at once.
const BATCH: usize = 5_000;

/// The data of an environment or a run.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) scope: Scope,
    wanted: Wanted,
    /// The stored definitions.
    pub(crate) definitions: HashMap<Place, Vec<u8>>,
    /// The stored compiled code.
    pub(crate) codes: HashMap<Place, Vec<u8>>,
    pub(crate) catalogs: HashMap<Place, CatalogEntry>,
    /// The last attempts.
    pub(crate) last: HashMap<Place, Outcome>,
    /// The last successes, where they are not the last attempts.
    pub(crate) earlier_success: HashMap<Place, Outcome>,
    pub(crate) freshness: HashMap<Place, Freshness>,
}

/// The nodes of which something is needed. What was read is taken out.
#[derive(Debug, Default)]
struct Wanted {
    definitions: HashSet<Place>,
    codes: HashSet<Place>,
    catalogs: HashSet<Place>,
    results: HashSet<Place>,
    freshness: HashSet<Place>,
    /// The nodes whose results and checks were read, found or not.
    read_results: HashSet<Place>,
    read_freshness: HashSet<Place>,
}

impl Data {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            wanted: Wanted::default(),
            definitions: HashMap::new(),
            codes: HashMap::new(),
            catalogs: HashMap::new(),
            last: HashMap::new(),
            earlier_success: HashMap::new(),
            freshness: HashMap::new(),
        }
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.scope.graph
    }

    /// The last success of a node.
    pub(crate) fn success(&self, place: Place) -> Option<&Outcome> {
        let last = self.last.get(&place).filter(|last| last.is_success);
        last.or_else(|| self.earlier_success.get(&place))
    }

    /// The last status of a test that says something about the data.
    pub(crate) fn last_known_result(&self, place: Place) -> Option<&str> {
        let last = self.last.get(&place).map(|outcome| outcome.status.as_str());
        last_known_result(last, self.success(place).map(|outcome| outcome.status.as_str()))
    }

    /// Notes what a query needs of these nodes and of those related to them.
    pub(crate) fn want(&mut self, places: &[Place], shape: Shape, selected: &Selected) {
        for kind in Kind::ALL {
            let Some(selection) = shape.type_name(kind).and_then(|name| selected.sub.get(name)) else {
                continue;
            };
            let graph = std::sync::Arc::clone(&self.scope.graph);
            let of_kind: Vec<Place> = places
                .iter()
                .copied()
                .filter(|place| graph.node(*place).kind == Some(kind))
                .collect();
            if of_kind.is_empty() {
                continue;
            }
            self.want_of(&of_kind, kind, selection.needs);
            for field in &selection.fields {
                if let Some(Reader::Nodes(relation)) = field.reader {
                    let others = of_kind
                        .iter()
                        .flat_map(|place| related(&graph, *place, shape, relation, field));
                    let mut others: Vec<Place> = others.collect();
                    others.sort_unstable();
                    others.dedup();
                    self.want(&others, shape.nested(), field);
                }
            }
        }
    }

    fn want_of(&mut self, places: &[Place], kind: Kind, needs: Needs) {
        let wanted = &mut self.wanted;
        if needs.has(Needs::DEFINITION) {
            wanted.definitions.extend(places);
        }
        if needs.has(Needs::CODE) {
            wanted.codes.extend(places);
        }
        if needs.has(Needs::CATALOG) {
            wanted.catalogs.extend(places);
        }
        if needs.has(Needs::RESULTS) && kind.is_executable() {
            wanted.results.extend(places);
        }
        if needs.has(Needs::FRESHNESS) && kind == Kind::Source {
            wanted.freshness.extend(places);
        }
        if needs.has(Needs::TESTS) {
            let tests = places.iter().flat_map(|place| &self.scope.graph.node(*place).tests);
            wanted.results.extend(tests);
        }
    }

    /// The size of what was read when it is decompressed, in bytes: more than an answer takes that has each node once.
    pub(crate) fn size(&self) -> usize {
        let frames = self.definitions.values().chain(self.codes.values());
        let results = self
            .last
            .values()
            .chain(self.earlier_success.values())
            .map(|outcome| &outcome.doc);
        let others = self.catalogs.values().map(|entry| &entry.doc);
        let frames = frames.chain(results).chain(others);
        frames
            .map(|frame| frame.len() + doc_size(frame).unwrap_or_default())
            .sum()
    }

    fn ids(&self, places: &[Place]) -> Vec<String> {
        places.iter().map(|place| self.graph().id(*place).to_owned()).collect()
    }
}
