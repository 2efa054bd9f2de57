//! Queries of the directory's tables.

mod begin;
mod records;
mod tokens;

pub use begin::*;
pub use records::*;
pub use tokens::*;
