//! Converts a catalog to rows.

use artifacts::ArtifactText;
use read_model::catalogs::{Catalog, CatalogRow};
use read_model::doc::DocEncoder;
use read_model::text::without_nul;
use schemas::{AccountId, UploadedFile};

use super::reading::{off_the_runtime, rejected};
use crate::{ApplyError, Projector};

/// Reads a catalog from the bucket.
pub(crate) async fn read(
    projector: &Projector,
    account: AccountId,
    file: &UploadedFile,
) -> Result<Catalog, ApplyError> {
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
        Ok(Catalog {
            account,
            sha256,
            rows,
            has_errors: catalog.has_errors,
        })
    })
    .await
}
