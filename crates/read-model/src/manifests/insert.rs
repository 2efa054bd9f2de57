//! Stores manifests and sets of nodes, many with one statement.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use super::{ContentId, ManifestFacts, NodeSetMember, QuarantineRow, array_of, content_id};

/// Stores sets of nodes with these ids.
///
/// # Errors
/// Returns an error if the query fails, or `RowNotFound` if a node has no id.
pub async fn insert_node_sets(
    transaction: &mut PgConnection,
    sets: &[(ContentId, &[NodeSetMember])],
    ids: &HashMap<ContentId, i64>,
) -> sqlx::Result<()> {
    let mut rows = SetRows::default();
    for (set, members) in sets {
        let (account, _) = set;
        let mut by_type: BTreeMap<&str, Vec<Option<i64>>> = BTreeMap::new();
        for member in *members {
            let id = ids.get(&(*account, member.hash)).ok_or(sqlx::Error::RowNotFound)?;
            by_type.entry(&member.resource_type).or_default().push(Some(*id));
        }
        rows.add(*set, by_type);
    }
    sqlx::query!(
        "INSERT INTO node_sets (account_id, hash, resource_type, node_ids)
         SELECT s.account_id, s.hash, s.resource_type, s.ids::bigint[]
         FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[]) AS s (account_id, hash, resource_type, ids)
         ON CONFLICT DO NOTHING",
        &rows.accounts,
        &rows.hashes,
        &rows.resource_types as &[&str],
        &rows.ids
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// The columns of sets.
#[derive(Default)]
pub(crate) struct SetRows<'a> {
    pub(crate) accounts: Vec<i64>,
    pub(crate) hashes: Vec<Vec<u8>>,
    pub(crate) resource_types: Vec<&'a str>,
    /// The ids, as texts of arrays: PostgreSQL has no arrays of arrays with different lengths.
    pub(crate) ids: Vec<String>,
}

impl<'a> SetRows<'a> {
    /// Adds the rows of a set, one for each resource type.
    pub(crate) fn add(&mut self, (account, hash): ContentId, by_type: BTreeMap<&'a str, Vec<Option<i64>>>) {
        for (resource_type, ids) in by_type {
            let ids = ids
                .into_iter()
                .map(|id| id.map_or_else(|| "NULL".to_owned(), |id| id.to_string()));
            self.accounts.push(account.0);
            self.hashes.push(hash.0.to_vec());
            self.resource_types.push(resource_type);
            self.ids.push(format!("{{{}}}", ids.collect::<Vec<_>>().join(",")));
        }
    }
}

/// The stored data of a manifest, except its nodes.
#[derive(Debug)]
pub struct ManifestRow {
    /// The account that uploaded it.
    pub account: AccountId,
    /// The hash of the manifest's bytes.
    pub sha256: Sha256,
    /// The key of its set of nodes.
    pub node_set: Sha256,
    /// What it says about itself.
    pub facts: ManifestFacts,
    /// The entries that could not be read.
    pub quarantine: Vec<QuarantineRow>,
}

/// Stores manifests, unless they are stored.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_manifests(transaction: &mut PgConnection, manifests: &[ManifestRow]) -> sqlx::Result<()> {
    let accounts: Vec<i64> = manifests.iter().map(|manifest| manifest.account.0).collect();
    let facts = || manifests.iter().map(|manifest| &manifest.facts);
    let hash_of = |hash: Option<Sha256>| hash.map(|hash| hash.0.to_vec());
    let hashes: Vec<Vec<u8>> = manifests.iter().map(|manifest| manifest.sha256.0.to_vec()).collect();
    let node_sets: Vec<Vec<u8>> = manifests.iter().map(|manifest| manifest.node_set.0.to_vec()).collect();
    let schemas: Vec<Option<&str>> = facts().map(|facts| facts.dbt_schema_version.as_deref()).collect();
    let versions: Vec<Option<&str>> = facts().map(|facts| facts.dbt_version.as_deref()).collect();
    let projects: Vec<Option<&str>> = facts().map(|facts| facts.project_name.as_deref()).collect();
    let adapters: Vec<Option<&str>> = facts().map(|facts| facts.adapter_type.as_deref()).collect();
    let times: Vec<Option<DateTime<Utc>>> = facts().map(|facts| facts.generated_at).collect();
    let compiled: Vec<Option<Vec<u8>>> = facts().map(|facts| hash_of(facts.texts.compiled)).collect();
    let macros: Vec<Option<Vec<u8>>> = facts().map(|facts| hash_of(facts.texts.macros)).collect();
    let start_hooks: Vec<String> = facts().map(|facts| array_of(&facts.start_hooks)).collect();
    let end_hooks: Vec<String> = facts().map(|facts| array_of(&facts.end_hooks)).collect();
    let checks_freshness: Vec<bool> = facts().map(|facts| facts.checks_freshness).collect();
    let has_traces: Vec<bool> = facts().map(|facts| facts.has_traces).collect();
    let inserted = sqlx::query!(
        "INSERT INTO manifests
            (account_id, sha256, node_set, dbt_schema_version, dbt_version, project_name, adapter_type, generated_at, compiled_set,
             macro_set, start_hooks, end_hooks, checks_freshness, has_traces)
         SELECT m.account_id, m.sha256, m.node_set, m.dbt_schema_version, m.dbt_version, m.project_name, m.adapter_type, m.generated_at,
            m.compiled_set, m.macro_set, m.start_hooks::text[], m.end_hooks::text[], m.checks_freshness, m.has_traces
         FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::bytea[],
                $10::bytea[], $11::text[], $12::text[], $13::bool[], $14::bool[])
            AS m (account_id, sha256, node_set, dbt_schema_version, dbt_version, project_name, adapter_type, generated_at, compiled_set,
                macro_set, start_hooks, end_hooks, checks_freshness, has_traces)
         ON CONFLICT DO NOTHING RETURNING account_id, sha256",
        &accounts,
        &hashes,
        &node_sets,
        &schemas as &[Option<&str>],
        &versions as &[Option<&str>],
        &projects as &[Option<&str>],
        &adapters as &[Option<&str>],
        &times as &[Option<DateTime<Utc>>],
        &compiled as &[Option<Vec<u8>>],
        &macros as &[Option<Vec<u8>>],
        &start_hooks,
        &end_hooks,
        &checks_freshness,
        &has_traces
    )
    .fetch_all(&mut *transaction)
    .await?;
    let inserted = inserted.into_iter();
    let inserted: HashSet<ContentId> = inserted
        .filter_map(|row| content_id(row.account_id, row.sha256))
        .collect();
    let new = manifests
        .iter()
        .filter(|manifest| inserted.contains(&(manifest.account, manifest.sha256)));
    insert_quarantine(transaction, new).await
}

async fn insert_quarantine(
    transaction: &mut PgConnection,
    manifests: impl Iterator<Item = &ManifestRow>,
) -> sqlx::Result<()> {
    let rows: Vec<(&ManifestRow, &QuarantineRow)> = manifests
        .flat_map(|manifest| manifest.quarantine.iter().map(move |row| (manifest, row)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let accounts: Vec<i64> = rows.iter().map(|(manifest, _)| manifest.account.0).collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|(manifest, _)| manifest.sha256.0.as_slice()).collect();
    let sections: Vec<&str> = rows.iter().map(|(_, row)| row.section.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|(_, row)| row.unique_id.as_str()).collect();
    let reasons: Vec<&str> = rows.iter().map(|(_, row)| row.reason.as_str()).collect();
    sqlx::query!(
        "INSERT INTO quarantined_nodes (account_id, sha256, section, unique_id, reason)
         SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[])",
        &accounts,
        &hashes as &[&[u8]],
        &sections as &[&str],
        &ids as &[&str],
        &reasons as &[&str]
    )
    .execute(transaction)
    .await?;
    Ok(())
}
