//! The directory of accounts, projects, environments and tokens, which decides who may do what.
//!
//! Its source of truth is the events under `events/directory/` in the bucket. [`apply`] applies an event to PostgreSQL, [`Snapshot`] is a copy
//! in memory that works without both, and the functions in [`queries`] read the tables.

mod access;
mod apply;
pub mod datacoves;
mod key;
pub mod queries;
mod snapshot;

pub use access::{Access, Environments, Name};
pub use apply::{applied, apply, begin_change, note_change, try_begin_change};
pub use key::{InvalidKey, Key, hash_of_key, is_own_key};
pub use snapshot::{Place, Snapshot};
