//! The contents of manifests. Each content is read only once, and each node is stored once.

mod insert;

use std::collections::{HashMap, HashSet};

use artifacts::DEFINITION_FORMAT;
use chrono::{DateTime, Utc};
use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

pub(crate) use self::insert::SetRows;
pub use self::insert::{ManifestRow, insert_manifests, insert_node_sets};
use crate::text::fold;

/// The data of a manifest apart from its nodes.
#[derive(Clone, Debug, Default)]
pub struct ManifestFacts {
    /// The schema version in the file.
    pub dbt_schema_version: Option<String>,
    /// The dbt version in the file.
    pub dbt_version: Option<String>,
    /// dbt's name for the project. Before schema v9, it is the package whose hash is the project's hash in the file.
    pub project_name: Option<String>,
    /// The adapter, such as `snowflake`.
    pub adapter_type: Option<String>,
    /// The time in the file.
    pub generated_at: Option<DateTime<Utc>>,
    /// The hooks that dbt runs before the nodes, by dbt's ids.
    pub start_hooks: Vec<String>,
    /// The hooks that dbt runs after the nodes, even after failures.
    pub end_hooks: Vec<String>,
    /// Whether any source has a limit for its age.
    pub checks_freshness: bool,
    /// Whether the command has compiled or run any of the nodes.
    pub has_traces: bool,
    /// The texts of the nodes that do not belong to their definitions.
    pub texts: ManifestTexts,
}

/// The sets of texts of a manifest's nodes. A set is `None` if no node has such a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct ManifestTexts {
    /// The compiled code for the warehouse.
    pub compiled: Option<Sha256>,
    /// The macros that are called, each list as JSON.
    pub macros: Option<Sha256>,
}

/// A node of a manifest, identified by its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeSetMember {
    /// The resource type, such as `model`.
    pub resource_type: String,
    /// dbt's id.
    pub unique_id: String,
    /// The hash of the definition.
    pub hash: Sha256,
}

/// A row of `nodes`.
#[derive(Clone, Debug)]
pub struct NodeRow {
    /// The account of the manifest.
    pub account: AccountId,
    /// The hash of the definition.
    pub hash: Sha256,
    /// dbt's id.
    pub unique_id: String,
    /// The resource type, such as `model`.
    pub resource_type: String,
    /// The name of the node.
    pub name: Option<String>,
    /// The dbt package that defines the node.
    pub package_name: Option<String>,
    /// The materialization, such as `table`.
    pub materialized: Option<String>,
    /// The node that a test checks, as dbt records it.
    pub attached_node: Option<String>,
    /// The nodes that this node depends on, by dbt's ids.
    pub depends_on: Vec<String>,
    /// The definition, compressed by [`crate::doc::DocEncoder`].
    pub doc: Vec<u8>,
}

/// An entry of a manifest that could not be read as a node.
#[derive(Clone, Debug)]
pub struct QuarantineRow {
    /// The top-level key of the section.
    pub section: String,
    /// The key of the entry in the section.
    pub unique_id: String,
    /// Why the entry is not a node.
    pub reason: String,
}

/// A content of an account, identified by the hash of its bytes.
pub type ContentId = (AccountId, Sha256);

/// Returns those of these contents that were read before.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn known_manifests(connection: &mut PgConnection, ids: &[ContentId]) -> sqlx::Result<HashSet<ContentId>> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let (accounts, hashes) = columns_of(ids);
    let known = sqlx::query!(
        "SELECT m.account_id, m.sha256 FROM unnest($1::bigint[], $2::bytea[]) AS i (account_id, sha256)
         JOIN manifests m ON m.account_id = i.account_id AND m.sha256 = i.sha256",
        &accounts,
        &hashes
    )
    .fetch_all(connection)
    .await?;
    let known = known.into_iter();
    Ok(known.filter_map(|row| content_id(row.account_id, row.sha256)).collect())
}

pub(crate) fn content_id(account: i64, hash: Vec<u8>) -> Option<ContentId> {
    Some((AccountId(account), Sha256(hash.try_into().ok()?)))
}

pub(crate) fn columns_of(ids: &[ContentId]) -> (Vec<i64>, Vec<Vec<u8>>) {
    ids.iter()
        .map(|(account, sha256)| (account.0, sha256.0.to_vec()))
        .unzip()
}

/// Sets of nodes and sets of texts.
#[derive(Clone, Debug, Default)]
pub struct Sets {
    /// The sets of nodes.
    pub nodes: Vec<ContentId>,
    /// The sets of texts.
    pub texts: Vec<ContentId>,
}

/// Returns those of these sets that are stored.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn stored_sets(connection: &mut PgConnection, Sets { nodes, texts }: &Sets) -> sqlx::Result<Sets> {
    let (accounts_of_nodes, nodes) = columns_of(nodes);
    let (accounts_of_texts, texts) = columns_of(texts);
    let rows = sqlx::query!(
        r#"SELECT true AS "is_of_nodes!", w.account_id AS "account_id!", w.hash AS "hash!"
         FROM unnest($1::bigint[], $2::bytea[]) AS w (account_id, hash)
         WHERE EXISTS (SELECT FROM node_sets s WHERE s.account_id = w.account_id AND s.hash = w.hash)
         UNION ALL
         SELECT false, w.account_id, w.hash FROM unnest($3::bigint[], $4::bytea[]) AS w (account_id, hash)
         WHERE EXISTS (SELECT FROM text_sets s WHERE s.account_id = w.account_id AND s.hash = w.hash)"#,
        &accounts_of_nodes,
        &nodes,
        &accounts_of_texts,
        &texts
    )
    .fetch_all(connection)
    .await?;
    let mut stored = Sets::default();
    for row in rows {
        let sets = if row.is_of_nodes {
            &mut stored.nodes
        } else {
            &mut stored.texts
        };
        sets.extend(content_id(row.account_id, row.hash));
    }
    Ok(stored)
}

/// Returns the ids of those of these definitions that are stored.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn ids_of_nodes(
    connection: &mut PgConnection,
    contents: &[ContentId],
) -> sqlx::Result<HashMap<ContentId, i64>> {
    let (accounts, hashes) = columns_of(contents);
    let rows = sqlx::query!(
        // Each by its whole key: without statistics, PostgreSQL reads all rows of the account to find many of them.
        r#"SELECT n.id AS "id!", w.account_id AS "account_id!", w.hash AS "hash!"
         FROM unnest($1::bigint[], $2::bytea[]) AS w (account_id, hash)
         CROSS JOIN LATERAL (SELECT id FROM nodes WHERE account_id = w.account_id AND hash = w.hash LIMIT 1) n"#,
        &accounts,
        &hashes
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .filter_map(|row| Some((content_id(row.account_id, row.hash)?, row.id)))
        .collect())
}

/// Inserts definitions and returns their ids, under [`crate::journal::lock_contents`]. None of them may be stored yet.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_nodes(transaction: &mut PgConnection, nodes: &[NodeRow]) -> sqlx::Result<HashMap<ContentId, i64>> {
    let accounts: Vec<i64> = nodes.iter().map(|node| node.account.0).collect();
    let hashes: Vec<&[u8]> = nodes.iter().map(|node| node.hash.0.as_slice()).collect();
    let unique_ids: Vec<&str> = nodes.iter().map(|node| node.unique_id.as_str()).collect();
    let resource_types: Vec<&str> = nodes.iter().map(|node| node.resource_type.as_str()).collect();
    let names: Vec<Option<&str>> = nodes.iter().map(|node| node.name.as_deref()).collect();
    let packages: Vec<Option<&str>> = nodes.iter().map(|node| node.package_name.as_deref()).collect();
    let materialized: Vec<Option<&str>> = nodes.iter().map(|node| node.materialized.as_deref()).collect();
    // PostgreSQL has no arrays of arrays with different lengths, so each list is passed as the text of an array.
    let depends_on: Vec<String> = nodes.iter().map(|node| array_of(&node.depends_on)).collect();
    let attached: Vec<Option<&str>> = nodes.iter().map(|node| node.attached_node.as_deref()).collect();
    let folded: Vec<Option<String>> = nodes.iter().map(|node| node.name.as_deref().map(fold)).collect();
    let docs: Vec<&[u8]> = nodes.iter().map(|node| node.doc.as_slice()).collect();
    let rows = sqlx::query!(
        "INSERT INTO nodes (account_id, format, hash, unique_id, resource_type, name, folded_name, package_name, materialized, attached_node,
            depends_on, doc)
         SELECT n.account_id, $1, n.hash, n.unique_id, n.resource_type, n.name, n.folded_name, n.package_name, n.materialized,
            n.attached_node, n.depends_on::text[], n.doc
         FROM unnest($2::bigint[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
                $11::text[], $12::bytea[])
            AS n (account_id, hash, unique_id, resource_type, name, folded_name, package_name, materialized, attached_node, depends_on,
                doc)
         RETURNING id, account_id, hash",
        DEFINITION_FORMAT,
        &accounts,
        &hashes as &[&[u8]],
        &unique_ids as &[&str],
        &resource_types as &[&str],
        &names as &[Option<&str>],
        &folded as &[Option<String>],
        &packages as &[Option<&str>],
        &materialized as &[Option<&str>],
        &attached as &[Option<&str>],
        &depends_on,
        &docs as &[&[u8]],
    )
    .fetch_all(transaction)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .filter_map(|row| Some((content_id(row.account_id, row.hash)?, row.id)))
        .collect())
}

/// Formats a list of texts as a PostgreSQL array.
pub(crate) fn array_of(texts: &[String]) -> String {
    let quoted: Vec<String> = texts
        .iter()
        .map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    format!("{{{}}}", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_quoted() {
        let texts = ["a.b", "with \"quotes\" and \\", ""].map(str::to_owned);
        assert_eq!(
            array_of(&texts),
            r#"{"a.b","with \"quotes\" and \\\\",""}"#.replace(r"\\\\", r"\\")
        );
        assert_eq!(array_of(&[]), "{}");
    }
}
