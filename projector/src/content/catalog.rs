//! Converts a catalog to rows.

use artifacts::ArtifactText;
use read_model::catalogs::{CatalogRow, insert_catalog};
use read_model::doc::DocEncoder;
use read_model::text::without_nul;
use schemas::{AccountId, Sha256, UploadedFile};
use sqlx::PgConnection;

use super::reading::{off_the_runtime, rejected};
use crate::{ApplyError, Projector};

/// A catalog that was read.
pub(crate) struct ReadCatalog {
    sha256: Sha256,
    rows: Vec<CatalogRow>,
    has_errors: bool,
}

/// Reads a catalog from the bucket.
pub(crate) async fn read(
    projector: &Projector,
    account: AccountId,
    file: &UploadedFile,
) -> Result<ReadCatalog, ApplyError> {
    let bytes = projector.bucket.read_artifact(account, file.sha256, file.size).await?;
    let sha256 = file.sha256;
    off_the_runtime(move || {
        let catalog = ArtifactText::read(bytes)
            .and_then(|text| text.catalog())
            .map_err(rejected)?;
        let mut encoder = DocEncoder::new().map_err(rejected)?;
        let mut rows = Vec::with_capacity(catalog.nodes.len());
        for node in &catalog.nodes {
            rows.push(CatalogRow {
                hash: node.sha256,
                unique_id: without_nul(&node.unique_id),
                doc: encoder.encode(&node.json).map_err(rejected)?,
            });
        }
        rows.sort_by(|one: &CatalogRow, other| (&one.unique_id, one.hash).cmp(&(&other.unique_id, other.hash)));
        Ok(ReadCatalog {
            sha256,
            rows,
            has_errors: catalog.has_errors,
        })
    })
    .await
}

impl ReadCatalog {
    /// Writes the rows.
    pub(crate) async fn write(self, transaction: &mut PgConnection, account: AccountId) -> Result<(), ApplyError> {
        Ok(insert_catalog(transaction, account, self.sha256, &self.rows, self.has_errors).await?)
    }
}
