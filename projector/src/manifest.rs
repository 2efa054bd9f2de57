//! A manifest's bytes into rows.

use std::collections::HashSet;
use std::sync::Arc;

use read_model::{
    DocEncoder, ManifestFacts, NodeRow, NodeSetMember, QuarantineRow, has_manifest, has_node_set, insert_manifest,
    insert_node_set, insert_nodes, unknown_hashes, without_nul,
};
use schemas::{AccountId, ArtifactText, Manifest, Node, Sha256, UploadedFile};
use sqlx::PgConnection;

use crate::content::{off_the_runtime, rejected};
use crate::{ApplyError, Projector};

/// A manifest that was read, with those of its nodes that are not stored yet.
pub(crate) struct ReadManifest {
    /// Of its bytes.
    pub(crate) sha256: Sha256,
    facts: ManifestFacts,
    node_set: Sha256,
    /// None: this set of nodes is stored already.
    members: Option<Vec<NodeSetMember>>,
    new_nodes: Vec<NodeRow>,
    quarantine: Vec<QuarantineRow>,
}

/// Reads a manifest from the bucket; none when its content was read before.
pub(crate) async fn read(
    projector: &Projector,
    account: AccountId,
    file: &UploadedFile,
) -> Result<Option<ReadManifest>, ApplyError> {
    let mut connection = projector.pool.acquire().await?;
    if has_manifest(&mut connection, account, file.sha256).await? {
        return Ok(None);
    }
    // No connection is held while a file is fetched and read.
    drop(connection);
    let bytes = projector.bucket.read_artifact(account, file.sha256, file.size).await?;
    let (text, index) = off_the_runtime(move || {
        let text = ArtifactText::read(bytes).map_err(rejected)?;
        let index = Index::of(&text.manifest().map_err(rejected)?);
        Ok((text, index))
    })
    .await?;

    let mut connection = projector.pool.acquire().await?;
    let known = has_node_set(&mut connection, account, index.node_set).await?;
    let new = if known {
        HashSet::new()
    } else {
        unknown_hashes(&mut connection, account, &index.members).await?
    };
    drop(connection);
    let new_nodes = if new.is_empty() {
        Vec::new()
    } else {
        let text = Arc::new(text);
        off_the_runtime(move || rows_of(&text.manifest().map_err(rejected)?, new)).await?
    };
    Ok(Some(ReadManifest {
        sha256: file.sha256,
        facts: index.facts,
        node_set: index.node_set,
        members: (!known).then_some(index.members),
        new_nodes,
        quarantine: index.quarantine,
    }))
}

impl ReadManifest {
    /// Writes its rows.
    pub(crate) async fn write(self, transaction: &mut PgConnection, account: AccountId) -> Result<(), ApplyError> {
        if let Some(members) = &self.members {
            insert_nodes(transaction, account, &self.new_nodes).await?;
            insert_node_set(transaction, account, self.node_set, members).await?;
        }
        insert_manifest(
            transaction,
            account,
            self.sha256,
            self.node_set,
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
    quarantine: Vec<QuarantineRow>,
}

impl Index {
    fn of(manifest: &Manifest<'_>) -> Self {
        let mut members: Vec<NodeSetMember> = manifest
            .nodes
            .iter()
            .map(|node| NodeSetMember {
                resource_type: without_nul(node.resource_type()),
                unique_id: without_nul(node.unique_id()),
                hash: node.content().sha256,
            })
            .collect();
        members.sort_unstable();
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

/// The rows of these nodes, in the order of their hashes.
fn rows_of(manifest: &Manifest<'_>, mut wanted: HashSet<Sha256>) -> Result<Vec<NodeRow>, ApplyError> {
    let mut encoder = DocEncoder::new().map_err(rejected)?;
    let mut rows = Vec::with_capacity(wanted.len());
    for node in &manifest.nodes {
        let content = node.content();
        if wanted.remove(&content.sha256) {
            rows.push(row_of(
                node,
                content.sha256,
                encoder.encode(&content.json).map_err(rejected)?,
            ));
        }
    }
    rows.sort_unstable_by_key(|row| row.hash);
    Ok(rows)
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
