//! Compares the directory with the accounts, projects and environments in Datacoves' own database.
//!
//! [`Source`] reads the rows, [`Wanted`] keeps those that follow our rules, and [`Wanted::changes`] returns the changes that make the directory
//! the same.

mod difference;
mod rows;
mod settings;
mod wanted;

pub use difference::{Change, Difference, NothingThere, Present};
pub use rows::{ReadError, Rows, Source};
pub use settings::Queries;
pub use wanted::Wanted;

#[cfg(test)]
mod tests;
