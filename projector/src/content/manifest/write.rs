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
    let new_sets: Vec<(Sha256, &New)> = with_hash
        .filter_map(|(hash, new)| Some((hash, new.as_ref().filter(|new| new.is_node_set)?)))
        .collect();
    if !new_sets.is_empty() {
        let parts = new_sets.iter().map(|(_, new)| Part {
            source: &new.source,
            hashes: new.source.members.iter().map(|member| Some(member.hash)).collect(),
            make: Source::node_rows,
        });
        let parts: Vec<Part<'_, NodeRow>> = parts.collect();
        let mut ids = ids_of_nodes(transaction, account, &hashes_of(&parts)).await?;
        let mut batches = pin!(batches(&parts, &ids));
        while let Some(rows) = batches.try_next().await? {
            ids.extend(insert_nodes(transaction, account, &rows).await?);
        }
        let sets = new_sets
            .iter()
            .map(|(hash, new)| (*hash, new.source.members.as_slice()));
        insert_node_sets(transaction, account, &sets.collect::<Vec<_>>(), &ids).await?;
    }
    write_texts(transaction, account, new.iter().flatten()).await?;
    insert_manifests(transaction, account, &rows).await?;
    Ok(())
}

async fn write_texts(
    transaction: &mut PgConnection,
    account: AccountId,
    new: impl Iterator<Item = &New>,
) -> Result<(), ApplyError> {
    let sets: Vec<(&TextSet, &Arc<Source>, MakeTexts)> = new
        .flat_map(|new| {
            let compiled = new
                .compiled
                .iter()
                .map(|set| (set, &new.source, Source::code_rows as MakeTexts));
            let macros = new
                .macros
                .iter()
                .map(|set| (set, &new.source, Source::macro_rows as MakeTexts));
            compiled.chain(macros)
        })
        .collect();
    if sets.is_empty() {
        return Ok(());
    }
    let parts = sets.iter().map(|(set, source, make)| Part {
        source,
        hashes: set.texts.clone(),
        make: *make,
    });
    let parts: Vec<Part<'_, TextRow>> = parts.collect();
    let mut ids = ids_of_texts(transaction, account, &hashes_of(&parts)).await?;
    let mut batches = pin!(batches(&parts, &ids));
    while let Some(rows) = batches.try_next().await? {
        ids.extend(insert_texts(transaction, account, &rows).await?);
    }
    let sets = sets.iter().map(|(set, source, _)| (*set, source.members.as_slice()));
    insert_text_sets(transaction, account, &sets.collect::<Vec<_>>(), &ids).await?;
    Ok(())
}

type Make<T> = fn(&Source, &[usize]) -> Result<Vec<T>, ApplyError>;

type MakeTexts = Make<TextRow>;

/// A row to be made: its source, the member's position in it, and how it is made.
type Row<T> = (Arc<Source>, usize, Make<T>);

/// The rows that a manifest needs, one for each member.
struct Part<'a, T> {
    source: &'a Arc<Source>,
    /// The hash of each member's row, or `None` if it needs none.
    hashes: Vec<Option<Sha256>>,
    make: Make<T>,
}

/// Returns the hashes of all rows, each once.
fn hashes_of<T>(parts: &[Part<'_, T>]) -> Vec<Sha256> {
    let hashes: HashSet<Sha256> = parts
        .iter()
        .flat_map(|part| part.hashes.iter().flatten().copied())
        .collect();
    hashes.into_iter().collect()
}

/// Makes the rows that have no id in batches, each once, while earlier batches are written.
fn batches<T: Send + 'static>(
    parts: &[Part<'_, T>],
    ids: &HashMap<Sha256, i64>,
) -> impl Stream<Item = Result<Vec<T>, ApplyError>> + use<T> {
    let mut seen = HashSet::new();
    let mut all: Vec<Row<T>> = Vec::new();
    for part in parts {
        let hashes = part
            .hashes
            .iter()
            .enumerate()
            .filter_map(|(at, hash)| Some((at, (*hash)?)));
        let new = hashes.filter(|(_, hash)| !ids.contains_key(hash) && seen.insert(*hash));
        all.extend(new.map(|(at, _)| (Arc::clone(part.source), at, part.make)));
    }
    let batches: Vec<Vec<Row<T>>> = all.chunks(BATCH).map(<[_]>::to_vec).collect();
    stream::iter(batches)
        .map(|batch| off_the_runtime(move || rows_of(&batch)))
        .buffered(AHEAD)
}

fn rows_of<T>(batch: &[Row<T>]) -> Result<Vec<T>, ApplyError> {
    let mut rows = Vec::with_capacity(batch.len());
    for of_source in batch.chunk_by(|(one, _, make), (other, _, other_make)| {
        Arc::ptr_eq(one, other) && std::ptr::fn_addr_eq(*make, *other_make)
    }) {
        let (source, _, make) = &of_source[0];
        let of: Vec<usize> = of_source.iter().map(|(_, at, _)| *at).collect();
        rows.extend(make(source, &of)?);
    }
    Ok(rows)
}
