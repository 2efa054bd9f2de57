//! The data of an environment or a run: first it is noted what a query needs of which nodes, then all is read at once.

use std::collections::{HashMap, HashSet};

use read_model::queries::discovery::{self, CatalogEntry, Freshness, Outcome};
use read_model::{DocDecoder, doc_size, queries};
use sqlx::PgConnection;

use crate::doc::Doc;
use crate::error::Error;
use crate::graph::{Attributes, Graph, Place};
use crate::kind::{Kind, Shape};
use crate::needs::Needs;
use crate::plan::Selected;
use crate::related::related;
use crate::scope::Scope;
use crate::values::Reader;

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

    /// Reads everything that was noted, with at most one statement for each kind of data.
    pub(crate) async fn load(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let wanted: Vec<Place> = self.wanted.definitions.drain().collect();
        self.load_definitions(connection, wanted).await?;
        self.load_codes(connection).await?;
        self.load_catalogs(connection).await?;
        self.load_results(connection).await?;
        self.load_freshness(connection).await
    }

    async fn load_definitions(&mut self, connection: &mut PgConnection, mut places: Vec<Place>) -> Result<(), Error> {
        places.retain(|place| !self.definitions.contains_key(place));
        if places.is_empty() {
            return Ok(());
        }
        let by_id: HashMap<i64, Place> = places
            .into_iter()
            .map(|place| (self.graph().node(place).node.id, place))
            .collect();
        let ids: Vec<i64> = by_id.keys().copied().collect();
        for ids in ids.chunks(BATCH) {
            let docs = queries::docs(connection, self.scope.account, ids).await?;
            let docs = docs.into_iter().filter_map(|(id, doc)| Some((*by_id.get(&id)?, doc)));
            self.definitions.extend(docs);
        }
        Ok(())
    }

    async fn load_codes(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let places: Vec<Place> = self.wanted.codes.drain().collect();
        if places.is_empty() {
            return Ok(());
        }
        let account = self.scope.account;
        let codes = match self.scope.run {
            None => {
                let ids = self.ids(&places);
                discovery::compiled_codes(connection, account, self.scope.environment, &ids).await?
            }
            Some(run) => {
                let types: HashSet<&String> = places
                    .iter()
                    .map(|place| &self.graph().node(*place).node.resource_type)
                    .collect();
                let types: Vec<String> = types.into_iter().cloned().collect();
                discovery::compiled_codes_of_run(connection, account, run, &types).await?
            }
        };
        for (id, code) in codes {
            if let Some(place) = self.graph().find(&id) {
                self.codes.insert(place, code);
            }
        }
        Ok(())
    }

    async fn load_catalogs(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let places: Vec<Place> = self.wanted.catalogs.drain().collect();
        if places.is_empty() {
            return Ok(());
        }
        let account = self.scope.account;
        let entries = match self.scope.run {
            None => {
                let ids = self.ids(&places);
                discovery::catalog_entries(connection, account, self.scope.environment, &ids).await?
            }
            Some(run) => discovery::catalog_entries_of_run(connection, account, run).await?,
        };
        for entry in entries {
            if let Some(place) = self.graph().find(&entry.unique_id) {
                self.catalogs.insert(place, entry);
            }
        }
        Ok(())
    }

    /// Reads the last attempts of these nodes now, since a filter needs them.
    pub(crate) async fn read_results(&mut self, connection: &mut PgConnection, places: &[Place]) -> Result<(), Error> {
        self.wanted.results.extend(places);
        self.load_results(connection).await
    }

    async fn load_results(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let mut places: Vec<Place> = self.wanted.results.drain().collect();
        places.retain(|place| !self.wanted.read_results.contains(place));
        if places.is_empty() {
            return Ok(());
        }
        let account = self.scope.account;
        let outcomes = match self.scope.run {
            None => {
                let ids = self.ids(&places);
                self.wanted.read_results.extend(places);
                discovery::outcomes(connection, account, self.scope.environment, &ids).await?
            }
            Some(run) => {
                self.wanted.read_results.extend(self.scope.graph.places());
                discovery::outcomes_of_run(connection, account, run).await?
            }
        };
        self.add_outcomes(outcomes);
        Ok(())
    }

    /// Adds attempts, of each node the newest first.
    pub(crate) fn add_outcomes(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            let Some(place) = self.graph().find(&outcome.unique_id) else {
                continue;
            };
            if let std::collections::hash_map::Entry::Vacant(entry) = self.last.entry(place) {
                entry.insert(outcome);
            } else if outcome.is_success {
                self.earlier_success.entry(place).or_insert(outcome);
            }
        }
    }

    /// Takes the results of all nodes as read.
    pub(crate) fn no_more_results(&mut self) {
        self.wanted.read_results.extend(self.scope.graph.places());
    }

    /// Reads the freshness checks of these nodes now, since a filter needs them.
    pub(crate) async fn read_freshness(
        &mut self,
        connection: &mut PgConnection,
        places: &[Place],
    ) -> Result<(), Error> {
        self.wanted.freshness.extend(places);
        self.load_freshness(connection).await
    }

    async fn load_freshness(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let mut places: Vec<Place> = self.wanted.freshness.drain().collect();
        places.retain(|place| !self.wanted.read_freshness.contains(place));
        if places.is_empty() {
            return Ok(());
        }
        let ids = self.ids(&places);
        self.wanted.read_freshness.extend(places);
        let scope = &self.scope;
        let checks = discovery::freshness(connection, scope.account, scope.environment, scope.run, &ids).await?;
        for check in checks {
            if let Some(place) = self.graph().find(&check.unique_id) {
                self.freshness.insert(place, check);
            }
        }
        Ok(())
    }

    /// Reads the attributes of all nodes, unless they are known.
    pub(crate) async fn read_attributes(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let graph = std::sync::Arc::clone(&self.scope.graph);
        if graph.attributes().is_some() {
            return Ok(());
        }
        let mut attributes = vec![Attributes::default(); graph.len()];
        let by_id: HashMap<i64, Place> = graph.places().map(|place| (graph.node(place).node.id, place)).collect();
        let ids: Vec<i64> = by_id.keys().copied().collect();
        // In batches, so that the definitions need not be in memory at once.
        for ids in ids.chunks(BATCH) {
            let docs = queries::docs(connection, self.scope.account, ids).await?;
            let reading = tokio::task::spawn_blocking(move || -> Vec<(i64, Attributes)> {
                let Ok(mut decoder) = DocDecoder::new() else {
                    return Vec::new();
                };
                let docs = docs.into_iter().filter_map(|(id, doc)| {
                    let json = String::from_utf8(decoder.decode(&doc).ok()?).ok()?;
                    Some((id, Attributes::of(&Doc::of(&json))))
                });
                docs.collect()
            });
            let read = reading.await.map_err(|panic| Error::Internal(panic.to_string()))?;
            for (id, of_node) in read {
                if let Some(place) = by_id.get(&id) {
                    attributes[*place as usize] = of_node;
                }
            }
        }
        graph.keep_attributes(attributes);
        Ok(())
    }

    /// Reads what `read` makes of the definitions of these nodes. The definitions themselves are not kept.
    pub(crate) async fn read_definitions<T>(
        &mut self,
        connection: &mut PgConnection,
        places: &[Place],
        read: impl Fn(&Doc<'_>) -> T,
    ) -> Result<HashMap<Place, T>, Error> {
        let by_id: HashMap<i64, Place> = places
            .iter()
            .map(|place| (self.graph().node(*place).node.id, *place))
            .collect();
        let ids: Vec<i64> = by_id.keys().copied().collect();
        let mut found = HashMap::new();
        let mut decoder = DocDecoder::new().map_err(|error| Error::Internal(error.to_string()))?;
        for ids in ids.chunks(BATCH) {
            for (id, doc) in queries::docs(connection, self.scope.account, ids).await? {
                let json = decoder.decode(&doc).ok().and_then(|json| String::from_utf8(json).ok());
                if let Some((place, json)) = by_id.get(&id).zip(json) {
                    found.insert(*place, read(&Doc::of(&json)));
                }
            }
        }
        Ok(found)
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
