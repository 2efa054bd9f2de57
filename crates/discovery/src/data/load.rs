//! Reads what was noted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use read_model::doc::DocDecoder;
use read_model::queries;
use read_model::queries::discovery::{self, Outcome};
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::{BATCH, Data};
use crate::doc::Doc;
use crate::error::Error;
use crate::graph::{Attributes, Graph, NodeIndex};
use crate::memory::Memory;
use crate::values::is_skip;

impl Data {
    /// Reads everything that was noted, with at most one statement for each kind of data, as long as there is memory for it.
    pub(crate) async fn load(&mut self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), Error> {
        let wanted: Vec<NodeIndex> = self.wanted.definitions.drain().collect();
        self.load_definitions(connection, memory, wanted).await?;
        self.load_codes(connection, memory).await?;
        self.load_macros(connection, memory).await?;
        self.load_catalogs(connection, memory).await?;
        self.load_results(connection, memory).await?;
        self.load_freshness(connection, memory).await
    }

    async fn load_definitions(
        &mut self,
        connection: &mut PgConnection,
        memory: &mut Memory,
        mut indices: Vec<NodeIndex>,
    ) -> Result<(), Error> {
        indices.retain(|index| !self.stored.definitions.contains_key(index));
        if indices.is_empty() {
            return Ok(());
        }
        let by_id: HashMap<i64, NodeIndex> = indices
            .into_iter()
            .map(|index| (self.graph().node(index).id, index))
            .collect();
        let ids: Vec<i64> = by_id.keys().copied().collect();
        for ids in ids.chunks(BATCH) {
            let docs = queries::graph::docs(connection, self.scope.account, ids).await?;
            memory.add(docs.iter().map(|(_, doc)| doc.len()).sum())?;
            let docs = docs.into_iter().filter_map(|(id, doc)| Some((*by_id.get(&id)?, doc)));
            Arc::make_mut(&mut self.stored).definitions.extend(docs);
        }
        Ok(())
    }

    async fn load_codes(&mut self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), Error> {
        let indices: Vec<NodeIndex> = self.wanted.codes.drain().collect();
        if indices.is_empty() {
            return Ok(());
        }
        let account = self.scope.account;
        let codes = match self.scope.run {
            None => {
                let ids = self.ids(&indices);
                discovery::compiled_codes(connection, account, self.scope.environment, &ids).await?
            }
            Some(run) => {
                let types = self.types(&indices);
                discovery::compiled_codes_of_run(connection, account, run, &types).await?
            }
        };
        memory.add(codes.iter().map(|(_, code)| code.len()).sum())?;
        let stored = Arc::make_mut(&mut self.stored);
        for (id, code) in codes {
            if let Some(index) = self.scope.graph.find(&id) {
                stored.codes.insert(index, code);
            }
        }
        Ok(())
    }

    async fn load_macros(&mut self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), Error> {
        let indices: Vec<NodeIndex> = self.wanted.macros.drain().collect();
        if indices.is_empty() {
            return Ok(());
        }
        let (scope, types) = (&self.scope, self.types(&indices));
        let macros =
            discovery::macros_of_nodes(connection, scope.account, scope.environment, scope.run, &types).await?;
        memory.add(macros.iter().map(|(_, macros)| macros.len()).sum())?;
        let stored = Arc::make_mut(&mut self.stored);
        for (id, macros) in macros {
            if let Some(index) = self.scope.graph.find(&id) {
                stored.macros.insert(index, macros);
            }
        }
        Ok(())
    }

    async fn load_catalogs(&mut self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), Error> {
        let indices: Vec<NodeIndex> = self.wanted.catalogs.drain().collect();
        if indices.is_empty() {
            return Ok(());
        }
        let account = self.scope.account;
        let entries = match self.scope.run {
            None => {
                let ids = self.ids(&indices);
                discovery::catalog_entries(connection, account, self.scope.environment, &ids).await?
            }
            Some(run) => discovery::catalog_entries_of_run(connection, account, run).await?,
        };
        memory.add(entries.iter().map(|entry| entry.doc.len()).sum())?;
        let stored = Arc::make_mut(&mut self.stored);
        for entry in entries {
            if let Some(index) = self.scope.graph.find(&entry.unique_id) {
                stored.catalogs.insert(index, entry);
            }
        }
        Ok(())
    }

    /// Reads the last attempts of these nodes now, since a filter needs them.
    pub(crate) async fn read_results(
        &mut self,
        connection: &mut PgConnection,
        memory: &mut Memory,
        indices: &[NodeIndex],
    ) -> Result<(), Error> {
        self.wanted.results.extend(indices);
        self.load_results(connection, memory).await
    }

    async fn load_results(&mut self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), Error> {
        let mut indices: Vec<NodeIndex> = self.wanted.results.drain().collect();
        indices.retain(|index| !self.wanted.read_results.contains(index));
        if indices.is_empty() {
            return Ok(());
        }
        let account = self.scope.account;
        let outcomes = match self.scope.run {
            None => {
                let ids = self.ids(&indices);
                self.wanted.read_results.extend(indices);
                discovery::outcomes(connection, account, self.scope.environment, &ids).await?
            }
            Some(run) => {
                self.wanted.read_results.extend(self.scope.graph.indices());
                discovery::outcomes_of_run(connection, account, run).await?
            }
        };
        memory.add(outcomes.iter().map(|outcome| outcome.doc.len()).sum())?;
        self.add_outcomes(outcomes);
        Ok(())
    }

    /// Adds attempts, of each node the newest first.
    pub(crate) fn add_outcomes(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            let Some(index) = self.graph().find(&outcome.unique_id) else {
                continue;
            };
            let last = match self.last.entry(index) {
                Entry::Vacant(entry) => {
                    entry.insert(outcome);
                    continue;
                }
                Entry::Occupied(last) => last,
            };
            if is_skip(&last.get().status) && !is_skip(&outcome.status) {
                let before = self.before_skips.entry(index);
                before.or_insert_with(|| outcome.status.clone());
            }
            if outcome.is_success {
                self.earlier_success.entry(index).or_insert(outcome);
            }
        }
    }

    /// Takes the results of all nodes as read.
    pub(crate) fn no_more_results(&mut self) {
        self.wanted.read_results.extend(self.scope.graph.indices());
    }

    /// Reads the freshness checks of these nodes now, since a filter needs them.
    pub(crate) async fn read_freshness(
        &mut self,
        connection: &mut PgConnection,
        memory: &mut Memory,
        indices: &[NodeIndex],
    ) -> Result<(), Error> {
        self.wanted.freshness.extend(indices);
        self.load_freshness(connection, memory).await
    }

    async fn load_freshness(&mut self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), Error> {
        let mut indices: Vec<NodeIndex> = self.wanted.freshness.drain().collect();
        indices.retain(|index| !self.wanted.read_freshness.contains(index));
        if indices.is_empty() {
            return Ok(());
        }
        let ids = self.ids(&indices);
        self.wanted.read_freshness.extend(indices);
        let scope = &self.scope;
        let checks = discovery::freshness(connection, scope.account, scope.environment, scope.run, &ids).await?;
        memory.add(checks.iter().map(|check| check.doc.len()).sum())?;
        let stored = Arc::make_mut(&mut self.stored);
        for check in checks {
            if let Some(index) = self.scope.graph.find(&check.unique_id) {
                stored.freshness.insert(index, check);
            }
        }
        Ok(())
    }

    /// Reads the attributes of all nodes, unless they are known.
    pub(crate) async fn read_attributes(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let graph = Arc::clone(&self.scope.graph);
        graph.keep_attributes(self.attributes_of(connection, &graph)).await
    }

    async fn attributes_of(&self, connection: &mut PgConnection, graph: &Graph) -> Result<Vec<Attributes>, Error> {
        let indices: Vec<NodeIndex> = graph.indices().collect();
        let read = self.read_definitions(connection, &indices, Attributes::of).await?;
        let mut attributes = vec![Attributes::default(); graph.len()];
        for (index, of_node) in read {
            attributes[index as usize] = of_node;
        }
        Ok(attributes)
    }

    /// Reads what `read` makes of the definitions of these nodes. The definitions themselves are not kept.
    pub(crate) async fn read_definitions<T: Send + 'static>(
        &self,
        connection: &mut PgConnection,
        indices: &[NodeIndex],
        read: impl Fn(&Doc<'_>) -> T + Send + Sync + 'static,
    ) -> Result<HashMap<NodeIndex, T>, Error> {
        let by_id: HashMap<i64, NodeIndex> = indices
            .iter()
            .map(|index| (self.graph().node(*index).id, *index))
            .collect();
        let ids: Vec<i64> = by_id.keys().copied().collect();
        let (mut found, read) = (Vec::new(), Arc::new(read));
        let mut decoding: Option<Decoding<T>> = None;
        // In batches, so that the definitions need not be in memory at once. A batch is decoded while the next one is read.
        for ids in ids.chunks(BATCH) {
            let docs = queries::graph::docs(connection, self.scope.account, ids).await?;
            let read = Arc::clone(&read);
            let next = tokio::task::spawn_blocking(move || {
                let mut decoder = DocDecoder::new().map_err(|error| error.to_string())?;
                let docs = docs.into_iter().filter_map(|(id, doc)| {
                    let json = String::from_utf8(decoder.decode(&doc).ok()?).ok()?;
                    Some((id, read(&Doc::of(&json))))
                });
                Ok(docs.collect())
            });
            if let Some(before) = decoding.replace(next) {
                found.extend(decoded(before).await?);
            }
        }
        if let Some(last) = decoding {
            found.extend(decoded(last).await?);
        }
        let of_nodes = found.into_iter();
        Ok(of_nodes
            .filter_map(|(id, read)| Some((*by_id.get(&id)?, read)))
            .collect())
    }
}

/// Decodes a batch of definitions. The error is its text.
type Decoding<T> = JoinHandle<Result<Vec<(i64, T)>, String>>;

/// What was read of a batch of definitions.
async fn decoded<T>(decoding: Decoding<T>) -> Result<Vec<(i64, T)>, Error> {
    let decoded = decoding.await.map_err(|panic| Error::Internal(panic.to_string()))?;
    decoded.map_err(Error::Internal)
}
