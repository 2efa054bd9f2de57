//! The code that the warehouse got for the nodes of a manifest: each content is stored once.

use std::collections::{BTreeMap, HashMap};

use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use crate::NodeSetMember;

/// Which code each node of a manifest was compiled to.
#[derive(Clone, Debug)]
pub struct CompiledSet {
    /// Of the hashes of all codes, in the order of the members.
    pub hash: Sha256,
    /// Of the code of each member of the node set; none: it was not compiled.
    pub codes: Vec<Option<Sha256>>,
}

/// A row of `compiled_codes`.
#[derive(Clone, Debug)]
pub struct CodeRow {
    /// Of the code.
    pub hash: Sha256,
    /// The code, as [`crate::DocEncoder`] writes it.
    pub code: Vec<u8>,
}

impl CompiledSet {
    /// None when nothing was compiled.
    #[must_use]
    pub fn of(codes: Vec<Option<Sha256>>) -> Option<Self> {
        codes.iter().any(Option::is_some).then(|| {
            let all: Vec<u8> = codes
                .iter()
                .flat_map(|code| code.map_or([0; 32], |code| code.0))
                .collect();
            Self {
                hash: Sha256::of(&all),
                codes,
            }
        })
    }
}

/// Is this set of codes stored?
///
/// # Errors
/// Those of the database.
pub async fn has_compiled_set(connection: &mut PgConnection, account: AccountId, hash: Sha256) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM compiled_sets WHERE account_id = $1 AND hash = $2) AS "exists!""#,
        account.0,
        hash.0.as_slice()
    )
    .fetch_one(connection)
    .await
}

/// The ids of those of these codes that are stored.
///
/// # Errors
/// Those of the database.
pub async fn ids_of_codes(
    connection: &mut PgConnection,
    account: AccountId,
    set: &CompiledSet,
) -> sqlx::Result<HashMap<Sha256, i64>> {
    let hashes: Vec<&[u8]> = set.codes.iter().flatten().map(|hash| hash.0.as_slice()).collect();
    let rows = sqlx::query!(
        "SELECT id, hash FROM compiled_codes WHERE account_id = $1 AND hash = ANY($2)",
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

/// Adds codes, none of which is stored, under [`crate::lock_contents`]. Tells their ids.
///
/// # Errors
/// Those of the database.
pub async fn insert_codes(
    transaction: &mut PgConnection,
    account: AccountId,
    rows: &[CodeRow],
) -> sqlx::Result<HashMap<Sha256, i64>> {
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.0.as_slice()).collect();
    let codes: Vec<&[u8]> = rows.iter().map(|row| row.code.as_slice()).collect();
    let rows = sqlx::query!(
        "INSERT INTO compiled_codes (account_id, hash, code)
         SELECT $1, c.hash, c.code FROM unnest($2::bytea[], $3::bytea[]) AS c (hash, code)
         RETURNING id, hash",
        account.0,
        &hashes as &[&[u8]],
        &codes as &[&[u8]],
    )
    .fetch_all(transaction)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((Sha256(row.hash.try_into().ok()?), row.id)))
        .collect())
}

/// Stores a set of codes that have these ids, for the members of a node set.
///
/// # Errors
/// Those of the database; `RowNotFound` when a code has none.
pub async fn insert_compiled_set(
    transaction: &mut PgConnection,
    account: AccountId,
    set: &CompiledSet,
    members: &[NodeSetMember],
    ids: &HashMap<Sha256, i64>,
) -> sqlx::Result<()> {
    let mut by_type: BTreeMap<&str, Vec<Option<i64>>> = BTreeMap::new();
    for (member, code) in members.iter().zip(&set.codes) {
        let id = match code {
            Some(hash) => Some(*ids.get(hash).ok_or(sqlx::Error::RowNotFound)?),
            None => None,
        };
        by_type.entry(&member.resource_type).or_default().push(id);
    }
    for (resource_type, code_ids) in by_type {
        if code_ids.iter().all(Option::is_none) {
            continue;
        }
        sqlx::query!(
            "INSERT INTO compiled_sets (account_id, hash, resource_type, code_ids) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            account.0,
            set.hash.0.as_slice(),
            resource_type,
            &code_ids as &[Option<i64>]
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}
