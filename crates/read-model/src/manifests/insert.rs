//! Stores manifests and sets of nodes, many with one statement.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use super::{ManifestFacts, NodeSetMember, QuarantineRow, array_of};

/// Stores sets of nodes with these ids.
///
/// # Errors
/// Returns an error if the query fails, or `RowNotFound` if a node has no id.
pub async fn insert_node_sets(
    transaction: &mut PgConnection,
    account: AccountId,
    sets: &[(Sha256, &[NodeSetMember])],
    ids: &HashMap<Sha256, i64>,
) -> sqlx::Result<()> {
    let mut rows = SetRows::default();
    for (hash, members) in sets {
        let mut by_type: BTreeMap<&str, Vec<Option<i64>>> = BTreeMap::new();
        for member in *members {
            let id = ids.get(&member.hash).ok_or(sqlx::Error::RowNotFound)?;
            by_type.entry(&member.resource_type).or_default().push(Some(*id));
        }
        rows.add(*hash, by_type);
    }
    sqlx::query!(
        "INSERT INTO node_sets (account_id, hash, resource_type, node_ids)
         SELECT $1, s.hash, s.resource_type, s.ids::bigint[] FROM unnest($2::bytea[], $3::text[], $4::text[]) AS s (hash, resource_type, ids)
         ON CONFLICT DO NOTHING",
        account.0,
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
    pub(crate) hashes: Vec<Vec<u8>>,
    pub(crate) resource_types: Vec<&'a str>,
    /// The ids, as texts of arrays: PostgreSQL has no arrays of arrays with different lengths.
    pub(crate) ids: Vec<String>,
}

impl<'a> SetRows<'a> {
    /// Adds the rows of a set, one for each resource type.
    pub(crate) fn add(&mut self, hash: Sha256, by_type: BTreeMap<&'a str, Vec<Option<i64>>>) {
        for (resource_type, ids) in by_type {
            let ids = ids
                .into_iter()
                .map(|id| id.map_or_else(|| "NULL".to_owned(), |id| id.to_string()));
            self.hashes.push(hash.0.to_vec());
            self.resource_types.push(resource_type);
            self.ids.push(format!("{{{}}}", ids.collect::<Vec<_>>().join(",")));
        }
    }
}

/// What is stored of a manifest besides its nodes.
#[derive(Debug)]
pub struct ManifestRow {
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
pub async fn insert_manifests(
    transaction: &mut PgConnection,
    account: AccountId,
    manifests: &[ManifestRow],
) -> sqlx::Result<()> {
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
    let inserted = sqlx::query_scalar!(
        "INSERT INTO manifests
            (account_id, sha256, node_set, dbt_schema_version, dbt_version, project_name, adapter_type, generated_at, compiled_set,
             macro_set, start_hooks, end_hooks, checks_freshness, has_traces)
         SELECT $1, m.sha256, m.node_set, m.dbt_schema_version, m.dbt_version, m.project_name, m.adapter_type, m.generated_at,
            m.compiled_set, m.macro_set, m.start_hooks::text[], m.end_hooks::text[], m.checks_freshness, m.has_traces
         FROM unnest($2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::bytea[],
                $10::bytea[], $11::text[], $12::text[], $13::bool[], $14::bool[])
            AS m (sha256, node_set, dbt_schema_version, dbt_version, project_name, adapter_type, generated_at, compiled_set, macro_set,
                start_hooks, end_hooks, checks_freshness, has_traces)
         ON CONFLICT DO NOTHING RETURNING sha256",
        account.0,
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
    let inserted: HashSet<Vec<u8>> = inserted.into_iter().collect();
    let new = manifests
        .iter()
        .filter(|manifest| inserted.contains(manifest.sha256.0.as_slice()));
    for manifest in new.filter(|manifest| !manifest.quarantine.is_empty()) {
        insert_quarantine(transaction, account, manifest).await?;
    }
    Ok(())
}

async fn insert_quarantine(
    transaction: &mut PgConnection,
    account: AccountId,
    manifest: &ManifestRow,
) -> sqlx::Result<()> {
    let rows = || manifest.quarantine.iter();
    let sections: Vec<&str> = rows().map(|row| row.section.as_str()).collect();
    let ids: Vec<&str> = rows().map(|row| row.unique_id.as_str()).collect();
    let reasons: Vec<&str> = rows().map(|row| row.reason.as_str()).collect();
    sqlx::query!(
        "INSERT INTO quarantined_nodes (account_id, sha256, section, unique_id, reason)
         SELECT $1, $2, q.* FROM unnest($3::text[], $4::text[], $5::text[]) AS q (section, unique_id, reason)",
        account.0,
        manifest.sha256.0.as_slice(),
        &sections as &[&str],
        &ids as &[&str],
        &reasons as &[&str]
    )
    .execute(transaction)
    .await?;
    Ok(())
}
