//! Texts that belong to the nodes of a manifest and are no part of their definitions: compiled code, and the macros that are called. Each
//! content is stored once.

use std::collections::{BTreeMap, HashMap};

use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use crate::NodeSetMember;

/// Which text each node of a manifest has.
#[derive(Clone, Debug)]
pub struct TextSet {
    /// Of the hashes of all texts, in the order of the members.
    pub hash: Sha256,
    /// Of the text of each member of the node set; none: it has none.
    pub texts: Vec<Option<Sha256>>,
}

/// A row of `texts`.
#[derive(Clone, Debug)]
pub struct TextRow {
    /// Of the text.
    pub hash: Sha256,
    /// The text, as [`crate::DocEncoder`] writes it.
    pub text: Vec<u8>,
}

impl TextSet {
    /// None when no node has a text.
    #[must_use]
    pub fn of(texts: Vec<Option<Sha256>>) -> Option<Self> {
        texts.iter().any(Option::is_some).then(|| {
            let all: Vec<u8> = texts
                .iter()
                .flat_map(|text| text.map_or([0; 32], |text| text.0))
                .collect();
            Self {
                hash: Sha256::of(&all),
                texts,
            }
        })
    }
}

/// Is this set of texts stored?
///
/// # Errors
/// Those of the database.
pub async fn has_text_set(connection: &mut PgConnection, account: AccountId, hash: Sha256) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM text_sets WHERE account_id = $1 AND hash = $2) AS "exists!""#,
        account.0,
        hash.0.as_slice()
    )
    .fetch_one(connection)
    .await
}

/// The ids of those of these texts that are stored.
///
/// # Errors
/// Those of the database.
pub async fn ids_of_texts(
    connection: &mut PgConnection,
    account: AccountId,
    set: &TextSet,
) -> sqlx::Result<HashMap<Sha256, i64>> {
    let hashes: Vec<&[u8]> = set.texts.iter().flatten().map(|hash| hash.0.as_slice()).collect();
    let rows = sqlx::query!(
        "SELECT id, hash FROM texts WHERE account_id = $1 AND hash = ANY($2)",
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

/// Adds texts, none of which is stored, under [`crate::lock_contents`]. Returns their ids.
///
/// # Errors
/// Those of the database.
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

/// Stores a set of texts that have these ids, for the members of a node set.
///
/// # Errors
/// Those of the database; `RowNotFound` when a text has none.
pub async fn insert_text_set(
    transaction: &mut PgConnection,
    account: AccountId,
    set: &TextSet,
    members: &[NodeSetMember],
    ids: &HashMap<Sha256, i64>,
) -> sqlx::Result<()> {
    let mut by_type: BTreeMap<&str, Vec<Option<i64>>> = BTreeMap::new();
    for (member, text) in members.iter().zip(&set.texts) {
        let id = match text {
            Some(hash) => Some(*ids.get(hash).ok_or(sqlx::Error::RowNotFound)?),
            None => None,
        };
        by_type.entry(&member.resource_type).or_default().push(id);
    }
    for (resource_type, text_ids) in by_type {
        if text_ids.iter().all(Option::is_none) {
            continue;
        }
        sqlx::query!(
            "INSERT INTO text_sets (account_id, hash, resource_type, text_ids) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            account.0,
            set.hash.0.as_slice(),
            resource_type,
            &text_ids as &[Option<i64>]
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}
