#![doc = include_str!("../README.md")]

mod artifact_kind;
mod connection_details;
mod event;
mod ids;
mod run_status;
mod token_state;

pub use artifact_kind::ArtifactKind;
pub use connection_details::{ConnectionDetails, InvalidDetail};
pub use event::*;
pub use ids::*;
pub use run_status::RunStatus;
pub use token_state::TokenState;
