//! Accounts, projects and environments as Datacoves' own database has them.
//!
//! [`Source`] reads the rows, [`Wanted`] is what of them keeps our rules, and [`Wanted::changes`] tells what has to be recorded so that
//! the directory is the same.

mod difference;
mod rows;
mod settings;
mod wanted;

pub use difference::{Change, Difference, NothingThere, Present};
pub use rows::{Rows, Source};
pub use settings::Queries;
pub use wanted::Wanted;

#[cfg(test)]
mod tests;
