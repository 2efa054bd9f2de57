//! Files that clients stored.

use edge::FileFacts;
use serde::Serialize;
use utoipa::ToSchema;

use crate::listing::Pagination;

/// A page of files, without their contents.
#[derive(Serialize, ToSchema)]
pub(crate) struct Files {
    pub(crate) data: Vec<FileFacts>,
    pub(crate) pagination: Pagination,
}
