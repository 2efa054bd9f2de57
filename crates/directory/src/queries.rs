//! Queries of the directory's tables.

mod begin;
mod observed;
mod operators;
mod recorded;
mod records;
mod tokens;

pub use begin::*;
pub use observed::*;
pub use operators::*;
pub use records::*;
pub use tokens::*;
