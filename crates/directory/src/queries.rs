//! Queries of the directory's tables.

mod records;
mod tokens;

pub use records::*;
pub use tokens::*;
