#![doc = include_str!("../README.md")]

mod artifacts;
mod event;
mod ids;
mod run_status;

pub use artifacts::*;
pub use event::*;
pub use ids::*;
pub use run_status::RunStatus;
