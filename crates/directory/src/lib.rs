#![doc = include_str!("../README.md")]

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
