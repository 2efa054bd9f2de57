//! A manifest's bytes into rows.

use std::collections::HashSet;
use std::ops::Range;

use rayon::prelude::*;
use read_model::{
    CodeRow, CompiledSet, DocEncoder, ManifestFacts, NodeRow, NodeSetMember, QuarantineRow, has_compiled_set,
    has_manifest, has_node_set, insert_codes, insert_compiled_set, insert_manifest, insert_node_set, insert_nodes,
    unknown_codes, unknown_hashes, without_nul,
};
use schemas::{AccountId, Manifest, Node, Sha256, UploadedFile};
use sqlx::PgConnection;

use crate::apply::Reading;
use crate::content::{off_the_runtime, rejected};
use crate::{ApplyError, Projector};

/// How many rows are worth the way to another core.
const WORTH_A_CORE: usize = 100;

/// A manifest that was read, with those of its nodes that are not stored yet.
pub(crate) struct ReadManifest {
    /// Of its bytes.
    pub(crate) sha256: Sha256,
    facts: ManifestFacts,
    node_set: Sha256,
    members: Vec<NodeSetMember>,
    is_new_set: bool,
    /// None: nothing was compiled.
    compiled: Option<CompiledSet>,
    /// None: this set of codes is stored already.
    new_codes: Option<Vec<CodeRow>>,
    new_nodes: Vec<NodeRow>,
    quarantine: Vec<QuarantineRow>,
}

/// Reads a manifest from the bucket; none when its content was read before.
pub(crate) async fn read(
    projector: &Projector,
    account: AccountId,
    file: &UploadedFile,
    reading: Reading,
) -> Result<Option<ReadManifest>, ApplyError> {
    let mut connection = projector.pool.acquire().await?;
    if reading == Reading::WhatIsNew && has_manifest(&mut connection, account, file.sha256).await? {
        return Ok(None);
    }
    // No connection is held while a file is fetched and read.
    drop(connection);
    let bytes = projector.bucket.read_artifact(account, file.sha256, file.size).await?;
    let (manifest, index) = off_the_runtime(move || {
        let manifest = Manifest::read(bytes).map_err(rejected)?;
        let index = Index::of(&manifest);
        Ok((manifest, index))
    })
    .await?;

    let mut connection = projector.pool.acquire().await?;
    let is_anew = reading == Reading::Everything;
    let known = !is_anew && has_node_set(&mut connection, account, index.node_set).await?;
    let new = if known {
        HashSet::new()
    } else if is_anew {
        index.members.iter().map(|member| member.hash).collect()
    } else {
        unknown_hashes(&mut connection, account, &index.members).await?
    };
    let wanted_codes = match &index.compiled {
        Some(set) if is_anew => Some(set.codes.iter().flatten().copied().collect()),
        Some(set) if !has_compiled_set(&mut connection, account, set.hash).await? => {
            Some(unknown_codes(&mut connection, account, set).await?)
        }
        _ => None,
    };
    drop(connection);
    let is_all_known = new.is_empty() && wanted_codes.as_ref().is_none_or(HashSet::is_empty);
    let (new_nodes, new_codes, members) = if is_all_known {
        (Vec::new(), wanted_codes.map(|_| Vec::new()), index.members)
    } else {
        let (members, places) = (index.members, index.places);
        off_the_runtime(move || {
            let source = Source {
                manifest: &manifest,
                members: &members,
                places: &places,
            };
            let codes = wanted_codes.map(|wanted| source.codes(wanted)).transpose()?;
            Ok((source.nodes(new)?, codes, members))
        })
        .await?
    };
    Ok(Some(ReadManifest {
        sha256: file.sha256,
        facts: index.facts,
        node_set: index.node_set,
        members,
        is_new_set: !known,
        compiled: index.compiled,
        new_codes,
        new_nodes,
        quarantine: index.quarantine,
    }))
}

impl ReadManifest {
    /// Writes its rows.
    pub(crate) async fn write(self, transaction: &mut PgConnection, account: AccountId) -> Result<(), ApplyError> {
        if self.is_new_set {
            insert_nodes(transaction, account, &self.new_nodes).await?;
            insert_node_set(transaction, account, self.node_set, &self.members).await?;
        }
        if let (Some(set), Some(codes)) = (&self.compiled, &self.new_codes) {
            insert_codes(transaction, account, codes).await?;
            insert_compiled_set(transaction, account, set, &self.members).await?;
        }
        insert_manifest(
            transaction,
            account,
            self.sha256,
            self.node_set,
            self.compiled.as_ref().map(|set| set.hash),
            &self.facts,
            &self.quarantine,
        )
        .await?;
        Ok(())
    }
}

/// What is known of a manifest before any of its nodes is stored.
struct Index {
    facts: ManifestFacts,
    node_set: Sha256,
    members: Vec<NodeSetMember>,
    /// Where each member stands in the text.
    places: Vec<Place>,
    compiled: Option<CompiledSet>,
    quarantine: Vec<QuarantineRow>,
}

/// Where a node stands in the text.
struct Place {
    range: Range<usize>,
    /// The hash of its compiled code, if it has any.
    code: Option<Sha256>,
}

impl Index {
    fn of(manifest: &Manifest) -> Self {
        let mut nodes = manifest.map_nodes(|node| {
            let member = NodeSetMember {
                resource_type: without_nul(node.resource_type()),
                unique_id: without_nul(node.unique_id()),
                hash: node.content().sha256,
            };
            let place = Place {
                range: manifest.place_of(&node),
                code: node.compiled_code().map(|code| Sha256::of(code.as_bytes())),
            };
            (member, place)
        });
        nodes.sort_unstable_by(|(one, at), (other, there)| one.cmp(other).then(at.code.cmp(&there.code)));
        let (members, places): (Vec<NodeSetMember>, Vec<Place>) = nodes.into_iter().unzip();
        let codes = places.iter().map(|place| place.code).collect();
        let mut all = Vec::with_capacity(members.len() * 32);
        for member in &members {
            all.extend_from_slice(&member.hash.0);
        }
        let metadata = &manifest.metadata;
        let text = |value: &Option<String>| value.as_deref().map(without_nul);
        Self {
            facts: ManifestFacts {
                dbt_schema_version: text(&metadata.dbt_schema_version),
                dbt_version: text(&metadata.dbt_version),
                project_name: text(&metadata.project_name),
                adapter_type: text(&metadata.adapter_type),
                generated_at: metadata.generated_at,
            },
            node_set: Sha256::of(&all),
            members,
            places,
            compiled: CompiledSet::of(codes),
            quarantine: manifest
                .quarantined
                .iter()
                .map(|node| QuarantineRow {
                    section: without_nul(&node.section),
                    unique_id: without_nul(&node.unique_id),
                    reason: without_nul(&node.reason),
                })
                .collect(),
        }
    }
}

/// What rows are made of: each core makes some of them.
struct Source<'a> {
    manifest: &'a Manifest,
    members: &'a [NodeSetMember],
    places: &'a [Place],
}

impl Source<'_> {
    /// The rows of these codes, in the order of their hashes.
    fn codes(&self, mut wanted: HashSet<Sha256>) -> Result<Vec<CodeRow>, ApplyError> {
        let firsts: Vec<(usize, Sha256)> = self
            .places
            .iter()
            .enumerate()
            .filter_map(|(at, place)| Some((at, place.code.filter(|code| wanted.remove(code))?)))
            .collect();
        self.rows(firsts, |node, hash, encoder| {
            let code = node.compiled_code().unwrap_or_default();
            let code = encoder.encode(code.as_bytes())?;
            Ok((hash, CodeRow { hash, code }))
        })
    }

    /// The rows of these nodes, in the order of their hashes.
    fn nodes(&self, mut wanted: HashSet<Sha256>) -> Result<Vec<NodeRow>, ApplyError> {
        let firsts: Vec<(usize, Sha256)> = self
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| wanted.remove(&member.hash))
            .map(|(at, member)| (at, member.hash))
            .collect();
        self.rows(firsts, |node, hash, encoder| {
            let doc = encoder.encode(&node.content().json)?;
            Ok((hash, row_of(node, hash, doc)))
        })
    }

    fn rows<T: Send>(
        &self,
        of: Vec<(usize, Sha256)>,
        row: impl Fn(&Node<'_>, Sha256, &mut DocEncoder) -> std::io::Result<(Sha256, T)> + Sync,
    ) -> Result<Vec<T>, ApplyError> {
        let mut rows = of
            .into_par_iter()
            .with_min_len(WORTH_A_CORE)
            .map_init(DocEncoder::new, |encoder, (at, hash)| {
                let encoder = encoder.as_mut().map_err(rejected)?;
                let (member, place) = (&self.members[at], &self.places[at]);
                let node = self
                    .manifest
                    .node_at(place.range.clone(), &member.unique_id, &member.resource_type)
                    .ok_or_else(|| rejected("a node is not where it was found"))?;
                row(&node, hash, encoder).map_err(rejected)
            })
            .collect::<Result<Vec<_>, ApplyError>>()?;
        rows.sort_unstable_by_key(|(hash, _)| *hash);
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

fn row_of(node: &Node<'_>, hash: Sha256, doc: Vec<u8>) -> NodeRow {
    NodeRow {
        hash,
        unique_id: without_nul(node.unique_id()),
        resource_type: without_nul(node.resource_type()),
        name: node.name().as_deref().map(without_nul),
        package_name: node.package_name().as_deref().map(without_nul),
        materialized: node.materialized().as_deref().map(without_nul),
        depends_on: node.depends_on_nodes().iter().map(|id| without_nul(id)).collect(),
        doc,
    }
}
