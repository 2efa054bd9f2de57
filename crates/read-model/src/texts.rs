//! Texts that belong to the nodes of a manifest but not to their definitions: compiled code, and the macros that are called. Each content
//! is stored once.

use std::collections::{BTreeMap, HashMap};

use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use crate::manifests::{NodeSetMember, SetRows};

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

/// Returns the ids of the texts with these hashes, as far as they are stored.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn ids_of_texts(
    connection: &mut PgConnection,
    account: AccountId,
    hashes: &[Sha256],
) -> sqlx::Result<HashMap<Sha256, i64>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| hash.0.as_slice()).collect();
    let rows = sqlx::query!(
        // Each by its whole key: without statistics, PostgreSQL reads all rows of the account to find many of them.
        r#"SELECT n.id AS "id!", w.hash AS "hash!" FROM unnest($2::bytea[]) AS w (hash)
         CROSS JOIN LATERAL (SELECT id FROM texts WHERE account_id = $1 AND hash = w.hash LIMIT 1) n"#,
        account.0,
        &hashes as &[&[u8]]
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((Sha256(row.hash.try_into().ok()?), row.id)))
        .collect())
}

/// Inserts texts and returns their ids, under [`crate::journal::lock_contents`]. None of them may be stored yet.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_texts(
    transaction: &mut PgConnection,
    account: AccountId,
    rows: &[TextRow],
) -> sqlx::Result<HashMap<Sha256, i64>> {
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.0.as_slice()).collect();
    let texts: Vec<&[u8]> = rows.iter().map(|row| row.text.as_slice()).collect();
    let rows = sqlx::query!(
        "INSERT INTO texts (account_id, hash, text)
         SELECT $1, t.hash, t.text FROM unnest($2::bytea[], $3::bytea[]) AS t (hash, text)
         RETURNING id, hash",
        account.0,
        &hashes as &[&[u8]],
        &texts as &[&[u8]],
    )
    .fetch_all(transaction)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((Sha256(row.hash.try_into().ok()?), row.id)))
        .collect())
}

/// Stores sets of texts with these ids, each for the members of a node set.
///
/// # Errors
/// Returns an error if the query fails, or `RowNotFound` if a text has no id.
pub async fn insert_text_sets(
    transaction: &mut PgConnection,
    account: AccountId,
    sets: &[(&TextSet, &[NodeSetMember])],
    ids: &HashMap<Sha256, i64>,
) -> sqlx::Result<()> {
    let mut rows = SetRows::default();
    for (set, members) in sets {
        let mut by_type: BTreeMap<&str, Vec<Option<i64>>> = BTreeMap::new();
        for (member, text) in members.iter().zip(&set.texts) {
            let id = match text {
                Some(hash) => Some(*ids.get(hash).ok_or(sqlx::Error::RowNotFound)?),
                None => None,
            };
            by_type.entry(&member.resource_type).or_default().push(id);
        }
        by_type.retain(|_, ids| ids.iter().any(Option::is_some));
        rows.add(set.hash, by_type);
    }
    sqlx::query!(
        "INSERT INTO text_sets (account_id, hash, resource_type, text_ids)
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
