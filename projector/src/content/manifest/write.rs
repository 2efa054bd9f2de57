//! Writes the manifests of an account together, because most of what they contain is the same.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use read_model::manifests::{ManifestRow, NodeRow, ids_of_nodes, insert_manifests, insert_node_sets, insert_nodes};
use read_model::texts::{TextRow, TextSet, ids_of_texts, insert_text_sets, insert_texts};
use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use super::{New, ReadManifest, Source};
use crate::ApplyError;
use crate::content::reading::off_the_runtime;

/// The number of rows in a batch: enough to be worth a switch to another core, and few compared with a manifest.
const BATCH: usize = 500;

/// The number of batches that are prepared while one is written.
const AHEAD: usize = 2;

/// Writes the rows of an account's manifests, under [`read_model::journal::lock_contents`].
pub(in crate::content) async fn write_all(
    transaction: &mut PgConnection,
    account: AccountId,
    manifests: Vec<ReadManifest>,
) -> Result<(), ApplyError> {
    let (rows, new): (Vec<ManifestRow>, Vec<Option<New>>) = manifests
        .into_iter()
        .map(|manifest| (manifest.row, manifest.new))
        .unzip();
    let with_hash = rows.iter().map(|row| row.node_set).zip(&new);
    let with_hash = with_hash.filter_map(|(hash, new)| Some((hash, new.as_ref()?)));
    write_nodes(transaction, account, with_hash).await?;
    write_texts(transaction, account, new.iter().flatten()).await?;
    insert_manifests(transaction, account, &rows).await?;
    Ok(())
}

async fn write_nodes(
    transaction: &mut PgConnection,
    account: AccountId,
    new: impl Iterator<Item = (Sha256, &New)>,
) -> Result<(), ApplyError> {
    let mut seen = HashSet::new();
    let sets: Vec<(Sha256, &New)> = new
        .filter(|(hash, new)| new.is_node_set && seen.insert(*hash))
        .collect();
    if sets.is_empty() {
        return Ok(());
    }
    let parts = sets.iter().map(|(_, new)| Part {
        source: Arc::clone(&new.source),
        hashes: new.source.members.iter().map(|member| Some(member.hash)).collect(),
        make: Source::node_rows,
    });
    let parts: Arc<[Part<NodeRow>]> = parts.collect();
    let mut ids = ids_of_nodes(transaction, account, &hashes_of(&parts)).await?;
    let mut batches = pin!(batches(parts, &ids));
    while let Some(rows) = batches.try_next().await? {
        ids.extend(insert_nodes(transaction, account, &rows).await?);
    }
    let sets = sets.iter().map(|(hash, new)| (*hash, new.source.members.as_slice()));
    insert_node_sets(transaction, account, &sets.collect::<Vec<_>>(), &ids).await?;
    Ok(())
}

async fn write_texts(
    transaction: &mut PgConnection,
    account: AccountId,
    new: impl Iterator<Item = &New>,
) -> Result<(), ApplyError> {
    let mut seen = HashSet::new();
    let sets: Vec<(&TextSet, &Arc<Source>, Make<TextRow>)> = new
        .flat_map(|new| {
            let compiled = new.compiled.iter().map(|set| (set, Source::code_rows as Make<TextRow>));
            let macros = new.macros.iter().map(|set| (set, Source::macro_rows as Make<TextRow>));
            compiled.chain(macros).map(|(set, make)| (set, &new.source, make))
        })
        .filter(|(set, ..)| seen.insert(set.hash))
        .collect();
    if sets.is_empty() {
        return Ok(());
    }
    let parts = sets.iter().map(|(set, source, make)| Part {
        source: Arc::clone(source),
        hashes: set.texts.clone(),
        make: *make,
    });
    let parts: Arc<[Part<TextRow>]> = parts.collect();
    let mut ids = ids_of_texts(transaction, account, &hashes_of(&parts)).await?;
    let mut batches = pin!(batches(parts, &ids));
    while let Some(rows) = batches.try_next().await? {
        ids.extend(insert_texts(transaction, account, &rows).await?);
    }
    let sets = sets.iter().map(|(set, source, _)| (*set, source.members.as_slice()));
    insert_text_sets(transaction, account, &sets.collect::<Vec<_>>(), &ids).await?;
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

/// Returns the hashes of all rows, each once.
fn hashes_of<T>(parts: &[Part<T>]) -> Vec<Sha256> {
    let hashes: HashSet<Sha256> = parts
        .iter()
        .flat_map(|part| part.hashes.iter().flatten().copied())
        .collect();
    hashes.into_iter().collect()
}

/// Makes the rows that have no id in batches, each once, while earlier batches are written.
fn batches<T: Send + 'static>(
    parts: Arc<[Part<T>]>,
    ids: &HashMap<Sha256, i64>,
) -> impl Stream<Item = Result<Vec<T>, ApplyError>> + use<T> {
    let mut seen = HashSet::new();
    let mut new = Vec::new();
    for (part, Part { hashes, .. }) in parts.iter().enumerate() {
        for (member, hash) in hashes.iter().enumerate() {
            if hash.is_some_and(|hash| !ids.contains_key(&hash) && seen.insert(hash)) {
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
