//! Searches the names, columns, descriptions and tags of the nodes of an environment.

mod index;
mod snippet;

use std::collections::BTreeMap;
use std::sync::Arc;

use read_model::queries::discovery::NodeSet;
use schemas::AccountId;
use sqlx::PgConnection;

pub(crate) use index::SearchIndex;
use index::{Texts, rank_of_whole};
pub use snippet::Snippet;
use snippet::Source;

use crate::answer::Discovery;
use crate::defined::{Defined, is_test};
use crate::error::Error;
use crate::graph::{GraphNode, NodeIndex};
use crate::recent::Recent;

/// The maximum size of all indexes that are kept, in bytes. A model with 18 described columns takes about 2 KB.
const MAX_BYTES: usize = 96 << 20;

/// The most words that are searched for. Others are ignored.
const MAX_WORDS: usize = 8;

/// The most characters that are searched for. Others are ignored.
const MAX_TEXT: usize = 200;

/// By how much the rank of tests and macros is worse: their names repeat those of models.
const OF_HELPERS: u8 = 16;

/// The indexes that were used last.
pub(crate) type Indexes = Recent<(AccountId, NodeSet), SearchIndex>;

impl Default for Indexes {
    fn default() -> Self {
        Self::new(MAX_BYTES, SearchIndex::size)
    }
}

/// What is searched for.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The words. A node must have all of them, as they are or as a part of other words, in any of its texts; case does not matter.
    pub text: &'a str,
    /// Only nodes of this type, such as `model`.
    pub resource_type: Option<&'a str>,
    /// How many of the best are left out.
    pub offset: usize,
    /// How many are returned.
    pub limit: usize,
}

/// Nodes that were found.
#[derive(Debug, Default)]
pub struct Found {
    /// A part of them, the best first: those with this name, those whose name begins with the text, has a word that does, or contains it, then
    /// by tags, columns and descriptions.
    pub hits: Vec<Hit>,
    /// How many there are.
    pub total: usize,
    /// How many there are of each type, if the type did not matter.
    pub of_types: BTreeMap<Arc<str>, usize>,
    /// The words that they have, in lower case: those of the text, unless it has too many.
    pub words: Vec<String>,
}

/// A node that was found.
#[derive(Debug)]
pub struct Hit {
    /// The node.
    pub node: NodeIndex,
    /// The text by which it was found, if it is not only the name.
    pub snippet: Option<Snippet>,
    /// The description of the node, or its beginning.
    pub description: String,
}

impl Discovery {
    /// Searches the nodes of an environment.
    ///
    /// # Errors
    /// Returns an error if a statement fails.
    pub async fn search(
        &self,
        connection: &mut PgConnection,
        defined: &Defined,
        wanted: &Wanted<'_>,
    ) -> Result<Found, Error> {
        let text: String = wanted.text.chars().take(MAX_TEXT).collect();
        let words: Vec<String> = text.split_whitespace().take(MAX_WORDS).map(str::to_lowercase).collect();
        let Some(node_set) = defined.node_set().filter(|_| !words.is_empty()) else {
            return Ok(Found::default());
        };
        let key = (defined.data.scope.account, node_set);
        let index = self.indexes.get(key, defined.search_index(connection)).await?;
        let graph = Arc::clone(defined.graph());
        let (searched, marked) = (words.clone(), words.clone());
        // A large project takes some milliseconds.
        let ranking = tokio::task::spawn_blocking(move || {
            let ranks = index.ranks(&searched);
            let whole = searched.join(" ");
            let found = graph.indices().zip(ranks).filter_map(|(node, rank)| {
                let of = graph.node(node);
                let rank = rank_of_whole(of, &whole).or_else(|| Some(rank? + penalty(of)))?;
                Some((rank, order_of_type(of), of.name.as_deref().map_or(0, str::len), node))
            });
            let mut found: Vec<_> = found.collect();
            found.sort_unstable();
            found
        });
        let mut found = ranking.await.map_err(|panic| Error::Internal(panic.to_string()))?;
        let mut of_types = BTreeMap::new();
        for (.., node) in &found {
            *of_types
                .entry(Arc::clone(&defined.graph().node(*node).resource_type))
                .or_insert(0) += 1;
        }
        if let Some(wanted) = wanted.resource_type {
            found.retain(|(.., node)| *defined.graph().node(*node).resource_type == *wanted);
        }
        let page = found
            .iter()
            .skip(wanted.offset)
            .take(wanted.limit)
            .map(|(.., node)| *node);
        let page: Vec<NodeIndex> = page.collect();
        let read = defined
            .data
            .read_definitions(connection, &page, move |doc| Source::of(doc, &marked));
        let mut sources = read.await?;
        let hits = page.iter().map(|node| {
            let source = sources.remove(node).unwrap_or_default();
            Hit {
                node: *node,
                snippet: source.snippet,
                description: source.description,
            }
        });
        Ok(Found {
            hits: hits.collect(),
            total: found.len(),
            of_types,
            words,
        })
    }
}

impl Defined {
    async fn search_index(&self, connection: &mut PgConnection) -> Result<SearchIndex, Error> {
        let indices: Vec<NodeIndex> = self.graph().indices().collect();
        let read = self.data.read_definitions(connection, &indices, Texts::of).await?;
        let count = indices.len();
        let making = tokio::task::spawn_blocking(move || SearchIndex::new(count, &read));
        making.await.map_err(|panic| Error::Internal(panic.to_string()))
    }
}

fn penalty(node: &GraphNode) -> u8 {
    if is_test(node) || matches!(&*node.resource_type, "macro" | "operation") {
        OF_HELPERS
    } else {
        0
    }
}

/// Among nodes that are found equally well, these come first.
fn order_of_type(node: &GraphNode) -> u8 {
    match &*node.resource_type {
        "model" => 0,
        "source" | "seed" | "snapshot" => 1,
        "exposure" | "metric" | "semantic_model" | "saved_query" => 2,
        _ => 3,
    }
}
