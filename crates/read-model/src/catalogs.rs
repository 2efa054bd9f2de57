//! The tables in the warehouse. Each catalog content is read only once.

use std::collections::HashSet;

use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use crate::manifests::{ContentId, columns_of};

/// The number of rows that one statement inserts.
const BATCH: usize = 2_000;

/// A row of `catalog_nodes`.
#[derive(Clone, Debug)]
pub struct CatalogRow {
    /// The hash of the entry.
    pub hash: Sha256,
    /// dbt's id of the node.
    pub unique_id: String,
    /// The entry, compressed by [`crate::doc::DocEncoder`].
    pub doc: Vec<u8>,
}

/// Returns those of these contents that were read before.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn known_catalogs(connection: &mut PgConnection, ids: &[ContentId]) -> sqlx::Result<HashSet<ContentId>> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let (accounts, hashes) = columns_of(ids);
    let known = sqlx::query!(
        "SELECT c.account_id, c.sha256 FROM unnest($1::bigint[], $2::bytea[]) AS i (account_id, sha256)
         JOIN catalogs c ON c.account_id = i.account_id AND c.sha256 = i.sha256",
        &accounts,
        &hashes
    )
    .fetch_all(connection)
    .await?;
    let known = known.into_iter();
    Ok(known
        .filter_map(|row| Some((AccountId(row.account_id), Sha256(row.sha256.try_into().ok()?))))
        .collect())
}

/// Returns the key of a catalog with these tables in `catalog_sets`. The rows must be sorted by `unique_id`.
fn hash_of_catalog(rows: &[CatalogRow]) -> Sha256 {
    let all: Vec<u8> = rows.iter().flat_map(|row| row.hash.0).collect();
    Sha256::of(&all)
}

/// Stores a catalog if it is not stored yet, under [`crate::journal::lock_contents`]. The rows must be sorted by `unique_id`.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_catalog(
    transaction: &mut PgConnection,
    account: AccountId,
    sha256: Sha256,
    rows: &[CatalogRow],
    has_errors: bool,
) -> sqlx::Result<()> {
    let set = hash_of_catalog(rows);
    let is_known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM catalog_sets WHERE account_id = $1 AND hash = $2) AS "exists!""#,
        account.0,
        set.0.as_slice()
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !is_known {
        insert_tables(transaction, account, set, rows).await?;
    }
    sqlx::query!(
        "INSERT INTO catalogs (account_id, sha256, catalog_set, has_errors) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        account.0,
        sha256.0.as_slice(),
        set.0.as_slice(),
        has_errors
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Inserts the tables that are not stored yet, and their set.
async fn insert_tables(
    transaction: &mut PgConnection,
    account: AccountId,
    set: Sha256,
    rows: &[CatalogRow],
) -> sqlx::Result<()> {
    for rows in rows.chunks(BATCH) {
        let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.0.as_slice()).collect();
        let unique_ids: Vec<&str> = rows.iter().map(|row| row.unique_id.as_str()).collect();
        let docs: Vec<&[u8]> = rows.iter().map(|row| row.doc.as_slice()).collect();
        sqlx::query!(
            "INSERT INTO catalog_nodes (account_id, hash, unique_id, doc)
             SELECT $1, n.hash, n.unique_id, n.doc
             FROM unnest($2::bytea[], $3::text[], $4::bytea[]) WITH ORDINALITY AS n (hash, unique_id, doc, place) ORDER BY n.place
             ON CONFLICT DO NOTHING",
            account.0,
            &hashes as &[&[u8]],
            &unique_ids as &[&str],
            &docs as &[&[u8]],
        )
        .execute(&mut *transaction)
        .await?;
    }
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.0.as_slice()).collect();
    sqlx::query!(
        r#"INSERT INTO catalog_sets (account_id, hash, node_ids)
         SELECT $1, $2, ARRAY(
            SELECT n.id FROM unnest($3::bytea[]) AS w (hash)
            CROSS JOIN LATERAL (SELECT id, unique_id FROM catalog_nodes WHERE account_id = $1 AND hash = w.hash LIMIT 1) n
            GROUP BY n.id, n.unique_id, w.hash ORDER BY n.unique_id COLLATE "C", w.hash)
         ON CONFLICT DO NOTHING"#,
        account.0,
        set.0.as_slice(),
        &hashes as &[&[u8]],
    )
    .execute(transaction)
    .await?;
    Ok(())
}
