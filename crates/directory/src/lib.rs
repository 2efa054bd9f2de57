#![doc = include_str!("../README.md")]

mod access;
mod apply;
pub mod datacoves;
mod history;
mod key;
mod newest;
pub mod queries;
mod snapshot;

pub use access::{Access, Environments, IdOrSlug};
pub use apply::{applied, applied_events, apply, begin_change, note_change, try_begin_change};
pub use history::{History, Issued, IssuedToken};
pub use key::{InvalidKey, Key, hash_of_key, is_own_key};
pub use snapshot::{EnvironmentEntry, Snapshot};
