//! Texts that belong to the nodes of a manifest but not to their definitions: compiled code, and the macros that are called. Each content
//! is stored once.

use std::collections::{BTreeMap, HashMap};

use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use crate::manifests::{ContentId, NodeSetMember, SetRows, columns_of, content_id};

/// The text of each node of a manifest.
#[derive(Clone, Debug)]
pub struct TextSet {
    /// The hash over the resource types of the members and the hashes of their texts, in the order of the members.
    pub hash: Sha256,
    /// The hash of each member's text, or `None` if the member has no text.
    pub texts: Vec<Option<Sha256>>,
}

/// A row of `texts`.
#[derive(Clone, Debug)]
pub struct TextRow {
    /// The account of the manifest.
    pub account: AccountId,
    /// The hash of the text.
    pub hash: Sha256,
    /// The text, compressed by [`crate::doc::DocEncoder`].
    pub text: Vec<u8>,
}

impl TextSet {
    /// Returns `None` if no node has a text.
    #[must_use]
    pub fn of(members: &[NodeSetMember], texts: Vec<Option<Sha256>>) -> Option<Self> {
        texts.iter().any(Option::is_some).then(|| {
            let mut all = Vec::with_capacity(texts.len() * 40);
            for (member, text) in members.iter().zip(&texts) {
                all.extend_from_slice(member.resource_type.as_bytes());
                all.push(0);
                all.extend_from_slice(&text.map_or([0; 32], |text| text.0));
            }
            Self {
                hash: Sha256::of(&all),
                texts,
            }
        })
    }
}

/// Returns the ids of those of these texts that are stored.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn ids_of_texts(
    connection: &mut PgConnection,
    contents: &[ContentId],
) -> sqlx::Result<HashMap<ContentId, i64>> {
    let (accounts, hashes) = columns_of(contents);
    let rows = sqlx::query!(
        // Each by its whole key: without statistics, PostgreSQL reads all rows of the account to find many of them.
        r#"SELECT n.id AS "id!", w.account_id AS "account_id!", w.hash AS "hash!"
         FROM unnest($1::bigint[], $2::bytea[]) AS w (account_id, hash)
         CROSS JOIN LATERAL (SELECT id FROM texts WHERE account_id = w.account_id AND hash = w.hash LIMIT 1) n"#,
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

/// Inserts texts and returns their ids, under [`crate::journal::lock_contents`]. None of them may be stored yet.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_texts(transaction: &mut PgConnection, rows: &[TextRow]) -> sqlx::Result<HashMap<ContentId, i64>> {
    let accounts: Vec<i64> = rows.iter().map(|row| row.account.0).collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.0.as_slice()).collect();
    let texts: Vec<&[u8]> = rows.iter().map(|row| row.text.as_slice()).collect();
    let rows = sqlx::query!(
        "INSERT INTO texts (account_id, hash, text) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])
         RETURNING id, account_id, hash",
        &accounts,
        &hashes as &[&[u8]],
        &texts as &[&[u8]],
    )
    .fetch_all(transaction)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .filter_map(|row| Some((content_id(row.account_id, row.hash)?, row.id)))
        .collect())
}

/// Stores sets of texts with these ids, each for the members of a node set of the account.
///
/// # Errors
/// Returns an error if the query fails, or `RowNotFound` if a text has no id.
pub async fn insert_text_sets(
    transaction: &mut PgConnection,
    sets: &[(AccountId, &TextSet, &[NodeSetMember])],
    ids: &HashMap<ContentId, i64>,
) -> sqlx::Result<()> {
    let mut rows = SetRows::default();
    for (account, set, members) in sets {
        let mut by_type: BTreeMap<&str, Vec<Option<i64>>> = BTreeMap::new();
        for (member, text) in members.iter().zip(&set.texts) {
            let id = match text {
                Some(hash) => Some(*ids.get(&(*account, *hash)).ok_or(sqlx::Error::RowNotFound)?),
                None => None,
            };
            by_type.entry(&member.resource_type).or_default().push(id);
        }
        by_type.retain(|_, ids| ids.iter().any(Option::is_some));
        rows.add((*account, set.hash), by_type);
    }
    sqlx::query!(
        "INSERT INTO text_sets (account_id, hash, resource_type, text_ids)
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
