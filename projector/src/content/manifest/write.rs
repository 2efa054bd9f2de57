//! Writes manifests together, because most of what those of an account contain is the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use read_model::manifests::{
    ContentId, NodeRow, Sets, ids_of_nodes, insert_manifests, insert_node_sets, insert_nodes, stored_sets,
};
use read_model::texts::{TextRow, TextSet, ids_of_texts, insert_text_sets, insert_texts};
use schemas::Sha256;
use sqlx::PgConnection;

use super::{ReadManifest, Source};
use crate::ApplyError;
use crate::content::reading::{Reading, off_the_runtime};

/// The number of rows in a batch: enough to be worth a switch to another core, and few compared with a manifest.
const BATCH: usize = 500;

/// The number of batches that are prepared while one is written.
const AHEAD: usize = 2;

/// Writes the rows of manifests, under [`read_model::journal::lock_contents`] of their accounts.
pub(in crate::content) async fn write_all(
    transaction: &mut PgConnection,
    manifests: Vec<ReadManifest>,
    reading: Reading,
) -> Result<(), ApplyError> {
    if manifests.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::with_capacity(manifests.len());
    let (mut node_sets, mut text_sets) = (BTreeMap::new(), BTreeMap::new());
    for ReadManifest {
        row,
        compiled,
        macros,
        source,
    } in manifests
    {
        let source = Arc::new(source);
        let texts = [
            (compiled, Source::code_rows as Make<TextRow>),
            (macros, Source::macro_rows),
        ];
        for (set, make) in texts {
            if let Some(set) = set {
                let key = (row.account, set.hash);
                text_sets.entry(key).or_insert_with(|| (set, Arc::clone(&source), make));
            }
        }
        node_sets.entry((row.account, row.node_set)).or_insert(source);
        rows.push(row);
    }
    if reading == Reading::WhatIsNew {
        let wanted = Sets {
            nodes: node_sets.keys().copied().collect(),
            texts: text_sets.keys().copied().collect(),
        };
        let stored = stored_sets(transaction, &wanted).await?;
        for set in stored.nodes {
            node_sets.remove(&set);
        }
        for set in stored.texts {
            text_sets.remove(&set);
        }
    }
    write_nodes(transaction, node_sets).await?;
    write_texts(transaction, text_sets).await?;
    insert_manifests(transaction, &rows).await?;
    Ok(())
}

async fn write_nodes(transaction: &mut PgConnection, sets: BTreeMap<ContentId, Arc<Source>>) -> Result<(), ApplyError> {
    if sets.is_empty() {
        return Ok(());
    }
    let parts = sets.values().map(|source| Part {
        source: Arc::clone(source),
        hashes: source.members.iter().map(|member| Some(member.hash)).collect(),
        make: Source::node_rows,
    });
    let parts: Arc<[Part<NodeRow>]> = parts.collect();
    let mut ids = ids_of_nodes(transaction, &contents_of(&parts)).await?;
    let mut batches = pin!(batches(parts, &ids));
    while let Some(rows) = batches.try_next().await? {
        ids.extend(insert_nodes(transaction, &rows).await?);
    }
    let sets = sets.iter().map(|(key, source)| (*key, source.members.as_slice()));
    insert_node_sets(transaction, &sets.collect::<Vec<_>>(), &ids).await?;
    Ok(())
}

/// A set of texts, and what makes the rows of its texts from a manifest.
type TextsOf = (TextSet, Arc<Source>, Make<TextRow>);

async fn write_texts(transaction: &mut PgConnection, sets: BTreeMap<ContentId, TextsOf>) -> Result<(), ApplyError> {
    if sets.is_empty() {
        return Ok(());
    }
    let parts = sets.values().map(|(set, source, make)| Part {
        source: Arc::clone(source),
        hashes: set.texts.clone(),
        make: *make,
    });
    let parts: Arc<[Part<TextRow>]> = parts.collect();
    let mut ids = ids_of_texts(transaction, &contents_of(&parts)).await?;
    let mut batches = pin!(batches(parts, &ids));
    while let Some(rows) = batches.try_next().await? {
        ids.extend(insert_texts(transaction, &rows).await?);
    }
    let sets = sets
        .iter()
        .map(|((account, _), (set, source, _))| (*account, set, source.members.as_slice()));
    insert_text_sets(transaction, &sets.collect::<Vec<_>>(), &ids).await?;
    Ok(())
}

type Make<T> = fn(&Source, &[usize]) -> Result<Vec<T>, ApplyError>;

/// The rows that a manifest needs, one for each member.
struct Part<T> {
    source: Arc<Source>,
    /// The hash of each member's row, or `None` if it needs none.
    hashes: Vec<Option<Sha256>>,
    make: Make<T>,
}

/// Where a row is made from.
#[derive(Clone, Copy)]
struct Origin {
    /// The index of the part.
    part: usize,
    /// The index of the member in it.
    member: usize,
}

impl<T> Part<T> {
    /// Returns the row of each member.
    fn contents(&self) -> impl Iterator<Item = Option<ContentId>> {
        let account = self.source.account;
        self.hashes.iter().map(move |hash| Some((account, (*hash)?)))
    }
}

/// Returns all rows, each once.
fn contents_of<T>(parts: &[Part<T>]) -> Vec<ContentId> {
    let contents: HashSet<ContentId> = parts.iter().flat_map(|part| part.contents().flatten()).collect();
    contents.into_iter().collect()
}

/// Makes the rows that have no id in batches, each once, while earlier batches are written.
fn batches<T: Send + 'static>(
    parts: Arc<[Part<T>]>,
    ids: &HashMap<ContentId, i64>,
) -> impl Stream<Item = Result<Vec<T>, ApplyError>> + use<T> {
    let mut seen = HashSet::new();
    let mut new = Vec::new();
    for (part, of_part) in parts.iter().enumerate() {
        for (member, content) in of_part.contents().enumerate() {
            if content.is_some_and(|content| !ids.contains_key(&content) && seen.insert(content)) {
                new.push(Origin { part, member });
            }
        }
    }
    let batches: Vec<Vec<Origin>> = new.chunks(BATCH).map(<[_]>::to_vec).collect();
    stream::iter(batches)
        .map(move |batch| {
            let parts = Arc::clone(&parts);
            off_the_runtime(move || rows_of(&parts, &batch))
        })
        .buffered(AHEAD)
}

fn rows_of<T>(parts: &[Part<T>], batch: &[Origin]) -> Result<Vec<T>, ApplyError> {
    let mut rows = Vec::with_capacity(batch.len());
    for of_part in batch.chunk_by(|one, other| one.part == other.part) {
        let part = &parts[of_part[0].part];
        let members: Vec<usize> = of_part.iter().map(|origin| origin.member).collect();
        rows.extend((part.make)(&part.source, &members)?);
    }
    Ok(rows)
}
