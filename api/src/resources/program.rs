//! The program that answers.

use serde::Serialize;
use utoipa::ToSchema;

/// The program that answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}
