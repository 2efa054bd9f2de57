//! The tables in the warehouse. Each catalog content is read only once.

use std::collections::{BTreeMap, HashSet};

use schemas::{AccountId, Sha256};
use sqlx::PgConnection;

use crate::manifests::{ContentId, columns_of, content_id};

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
    Ok(known.filter_map(|row| content_id(row.account_id, row.sha256)).collect())
}

/// A catalog.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The account that uploaded it.
    pub account: AccountId,
    /// The hash of the catalog's bytes.
    pub sha256: Sha256,
    /// The tables, sorted by `unique_id`.
    pub rows: Vec<CatalogRow>,
    /// Whether dbt could not read some tables.
    pub has_errors: bool,
}

impl Catalog {
    /// The key in `catalog_sets`.
    fn set(&self) -> ContentId {
        let all: Vec<u8> = self.rows.iter().flat_map(|row| row.hash.0).collect();
        (self.account, Sha256::of(&all))
    }
}

/// Stores those of these catalogs that are not stored yet, under [`crate::journal::lock_contents`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_catalogs(transaction: &mut PgConnection, catalogs: &[Catalog]) -> sqlx::Result<()> {
    if catalogs.is_empty() {
        return Ok(());
    }
    let keys: Vec<ContentId> = catalogs.iter().map(Catalog::set).collect();
    let mut sets: BTreeMap<ContentId, &Catalog> = keys.iter().copied().zip(catalogs).collect();
    for stored in stored_sets(transaction, &keys).await? {
        sets.remove(&stored);
    }
    insert_tables(transaction, &sets).await?;
    insert_sets(transaction, &sets).await?;
    let ids: Vec<ContentId> = catalogs
        .iter()
        .map(|catalog| (catalog.account, catalog.sha256))
        .collect();
    let (accounts, hashes) = columns_of(&ids);
    let (_, hashes_of_sets) = columns_of(&keys);
    let have_errors: Vec<bool> = catalogs.iter().map(|catalog| catalog.has_errors).collect();
    sqlx::query!(
        "INSERT INTO catalogs (account_id, sha256, catalog_set, has_errors)
         SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bool[]) ON CONFLICT DO NOTHING",
        &accounts,
        &hashes,
        &hashes_of_sets,
        &have_errors
    )
    .execute(transaction)
    .await?;
    Ok(())
}

async fn stored_sets(transaction: &mut PgConnection, sets: &[ContentId]) -> sqlx::Result<Vec<ContentId>> {
    let (accounts, hashes) = columns_of(sets);
    let stored = sqlx::query!(
        "SELECT s.account_id, s.hash FROM unnest($1::bigint[], $2::bytea[]) AS w (account_id, hash)
         JOIN catalog_sets s ON s.account_id = w.account_id AND s.hash = w.hash",
        &accounts,
        &hashes
    )
    .fetch_all(transaction)
    .await?;
    let stored = stored.into_iter();
    Ok(stored.filter_map(|row| content_id(row.account_id, row.hash)).collect())
}

/// Inserts the tables that are not stored yet.
async fn insert_tables(transaction: &mut PgConnection, sets: &BTreeMap<ContentId, &Catalog>) -> sqlx::Result<()> {
    let rows: Vec<(AccountId, &CatalogRow)> = sets
        .values()
        .flat_map(|catalog| catalog.rows.iter().map(|row| (catalog.account, row)))
        .collect();
    for rows in rows.chunks(BATCH) {
        let accounts: Vec<i64> = rows.iter().map(|(account, _)| account.0).collect();
        let hashes: Vec<&[u8]> = rows.iter().map(|(_, row)| row.hash.0.as_slice()).collect();
        let unique_ids: Vec<&str> = rows.iter().map(|(_, row)| row.unique_id.as_str()).collect();
        let docs: Vec<&[u8]> = rows.iter().map(|(_, row)| row.doc.as_slice()).collect();
        sqlx::query!(
            "INSERT INTO catalog_nodes (account_id, hash, unique_id, doc)
             SELECT n.account_id, n.hash, n.unique_id, n.doc
             FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::bytea[]) WITH ORDINALITY
                AS n (account_id, hash, unique_id, doc, place) ORDER BY n.place
             ON CONFLICT DO NOTHING",
            &accounts,
            &hashes as &[&[u8]],
            &unique_ids as &[&str],
            &docs as &[&[u8]],
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

/// Inserts sets of tables that are stored.
async fn insert_sets(transaction: &mut PgConnection, sets: &BTreeMap<ContentId, &Catalog>) -> sqlx::Result<()> {
    let keys: Vec<ContentId> = sets.keys().copied().collect();
    let (accounts, hashes) = columns_of(&keys);
    // The place of each table's set in the arrays of sets.
    let (mut places, mut tables): (Vec<i64>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    for (place, catalog) in (1..).zip(sets.values()) {
        for row in &catalog.rows {
            places.push(place);
            tables.push(row.hash.0.as_slice());
        }
    }
    sqlx::query!(
        r#"WITH sets AS (
            SELECT * FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS s (account_id, hash, place)
         ), tables AS (
            SELECT DISTINCT s.place, n.id, n.unique_id, w.hash FROM unnest($3::bigint[], $4::bytea[]) AS w (place, hash)
            JOIN sets s ON s.place = w.place
            CROSS JOIN LATERAL (SELECT id, unique_id FROM catalog_nodes WHERE account_id = s.account_id AND hash = w.hash LIMIT 1) n
         ), ids AS (
            SELECT place, array_agg(id ORDER BY unique_id COLLATE "C", hash) AS ids FROM tables GROUP BY place
         )
         INSERT INTO catalog_sets (account_id, hash, node_ids)
         SELECT s.account_id, s.hash, coalesce(i.ids, '{}') FROM sets s LEFT JOIN ids i ON i.place = s.place
         ON CONFLICT DO NOTHING"#,
        &accounts,
        &hashes,
        &places,
        &tables as &[&[u8]],
    )
    .execute(transaction)
    .await?;
    Ok(())
}
