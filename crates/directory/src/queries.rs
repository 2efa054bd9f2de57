//! What the tables of the directory hold.

mod records;
mod tokens;

pub use records::*;
pub use tokens::*;
